"""Answers become versions; going back and forth; what is made twice, at once, or half."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import shoal
from shoal.decisions import Decisions, Version
from shoal.errors import UsageError
from shoal.reviewing import make_version, redo, undo
from tests.decisions.answers import keep, merge, move, noise, rename, split

from .conftest import BLUE, RED, image, members, say

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]


def changed(run: shoal.Run) -> Version:
    made = make_version(run, by="ann")
    assert made.version is not None
    return made.version


def test_a_version_moves_images_and_renames_clusters_and_the_run_shows_it(run):
    x, y = image(run, "red0"), image(run, "red1")
    say(run, "cluster:0", move(BLUE, x), noise(y), keep(image(run, "red2")), rename(RED, "warm"))
    version = changed(run)
    assert version.summary == {"keep": 1, "move": 1, "noise": 1, "rename": 1}
    assert version.changes == 3
    now = run.look()
    assert now.version == version
    assert "red0" in members(now)[BLUE]
    assert "red1" in members(now)[-1]
    labels = dict(zip(*(now.joined(["id", "label"])[name].to_pylist() for name in ("id", "label")), strict=True))
    assert labels[x] == "blue"
    assert labels[image(run, "red3")] == "warm"
    assert labels[y] is None
    (warm,) = [row for row in now.version_table("label").to_pylist() if row["cluster"] == RED]
    assert warm["reason"] == "named by ann on 2026-01-01; it was red"
    computed = now.joined(["cluster.cluster", "label.label"])
    assert run.look(0).joined(["cluster", "label"])["cluster"].equals(computed["cluster.cluster"])
    assert run.look(0).joined(["label"])["label"].equals(computed["label.label"])


def test_the_same_answers_make_no_second_version(run):
    assert make_version(run).version is None
    say(run, "cluster:0", rename(RED, "warm"))
    assert changed(run).number == 1
    assert make_version(run).version is None
    assert [version.number for version in Decisions.of(run.store).versions(run.id)] == [1]


def test_undo_goes_back_and_withdraws_and_a_newer_revision_counts_again(run):
    say(run, "cluster:0", rename(RED, "warm"), key="one", at=1)
    changed(run)
    say(run, "cluster:2", rename(BLUE, "cold"), key="two", at=2)
    changed(run)
    undone = undo(run, "bob")
    assert undone.number == 2
    assert Decisions.of(run.store).versions(run.id)[-1].undone_by == "bob"
    assert run.look().version.number == 1
    assert make_version(run).version is None  # the answer behind it was withdrawn
    say(run, "cluster:2", rename(BLUE, "icy"), key="two", at=3)
    assert changed(run).number == 3
    assert set(run.look().joined(["label"])["label"].to_pylist()) == {"warm", "icy", None}


def test_undoing_an_edit_brings_the_revision_before_it_back(run):
    say(run, "cluster:0", rename(RED, "warm"), key="one", at=1)
    changed(run)
    say(run, "cluster:0", rename(RED, "hot"), key="one", at=2)
    changed(run)
    undo(run)
    assert set(run.look().joined(["label"])["label"].to_pylist()) == {"warm", "blue", None}
    assert make_version(run).version is None


def test_an_answer_that_is_taken_back_is_taken_out_and_undo_of_that_brings_it_again(run):
    first = say(run, "cluster:0", rename(RED, "warm"), key="one", at=1)
    changed(run)
    Decisions.of(run.store).record([first.model_copy(update={"deleted": True, "changes": (), "at": first.at + "9"})])
    assert changed(run).summary == {}
    assert set(run.look().joined(["label"])["label"].to_pylist()) == {"red", "blue", None}
    undo(run)
    assert set(run.look().joined(["label"])["label"].to_pylist()) == {"warm", "blue", None}
    assert make_version(run).version is None


def test_redo_goes_forward_until_a_newer_version_is_made(run):
    for at, label in enumerate(["a", "b", "c"], 1):
        say(run, "cluster:0", rename(RED, label), key="one", at=at)
        changed(run)
    undo(run)
    undo(run)
    assert redo(run).number == 2
    assert redo(run).number == 3
    with pytest.raises(UsageError, match="no version to go forward to"):
        redo(run)
    undo(run)
    say(run, "cluster:2", rename(BLUE, "cold"), key="two", at=9)
    assert changed(run).number == 4
    with pytest.raises(UsageError, match="a newer one was made since"):
        redo(run)
    for _ in range(3):
        undo(run)
    with pytest.raises(UsageError, match="what was computed stands"):
        undo(run)
    assert run.look().version is None


def test_a_split_sends_what_was_not_shown_with_the_nearer_and_keeps_its_number(run):
    say(run, "cluster:0", split(RED, image(run, "red4"), label="yellow"), keep(image(run, "red0")), key="one", at=1)
    changed(run)
    found = members(run.look())
    assert found[RED] == ["red0", "red1", "red2"]
    assert found[3] == ["red3", "red4", "red5"]
    say(run, "cluster:3", move(BLUE, image(run, "red5")), rename(3, "lemon"), key="two", at=2)
    made = make_version(run)
    assert not made.conflicts  # who renames it saw the name that the split gave it
    assert members(run.look())[3] == ["red3", "red4"]
    assert "lemon" in run.look().joined(["label"])["label"].to_pylist()
    say(run, "cluster:2", split(BLUE, image(run, "blue5"), label="sky"), keep(*(image(run, f"blue{n}") for n in range(5))))
    changed(run)
    assert members(run.look())[4] == ["blue5"]
    say(run, "cluster:0", keep(image(run, "red0")), key="one", at=5)  # not split after all
    made = make_version(run)
    assert {open_.subject for open_ in made.unsettled} >= {"cluster:3"}
    assert members(run.look())[4] == ["blue5"]  # the other one keeps its number
    say(run, "cluster:0", split(RED, image(run, "red4"), label="yellow"), keep(image(run, "red0")), key="one", at=6)
    changed(run)
    assert members(run.look())[3] == ["red3", "red4"]


def test_a_split_without_examples_gives_two_halves(run):
    say(run, "cluster:0", split(RED))
    changed(run)
    found = members(run.look())
    assert sorted([found[RED], found[3]]) == [["red0", "red1", "red2"], ["red3", "red4", "red5"]]
    names = {row["cluster"]: row["label"] for row in run.look().version_table("label").to_pylist()}
    assert names == {RED: "red", BLUE: "blue", 3: "red 2"}


def test_merged_clusters_are_one_and_what_went_into_the_merged_one_goes_along(run):
    say(run, "cluster:0", merge(RED, BLUE))
    say(run, "image:grey", move(RED, image(run, "grey0")))
    changed(run)
    found = members(run.look())
    assert set(found) == {-1, BLUE}
    assert "grey0" in found[BLUE]
    (row,) = run.look().version_table("label").to_pylist()
    assert row["reason"] == "its colour; cluster 0 was merged into it by ann"


def test_what_is_not_there_is_told_and_the_rest_is_applied(run):
    say(run, "cluster:0", move(99, image(run, "red0")), move(BLUE, "f" * 64), merge(98, RED), rename(97, "x"))
    say(run, "cluster:2", rename(BLUE, "cold"), split(96, image(run, "red1")))
    made = make_version(run)
    assert {open_.why for open_ in made.unsettled} == {
        "cluster 99 is not there", "the image is not in the run", "cluster 98 is not there", "cluster 97 is not there",
        "cluster 96 is not there", "the cluster split off from cluster 96 is not there",
    }  # fmt: skip
    assert made.version.summary == {"rename": 1}


def test_names_stay_distinct_and_those_of_people_come_first(run):
    say(run, "cluster:2", rename(BLUE, "Red"))
    changed(run)
    names = {row["cluster"]: row["label"] for row in run.look().version_table("label").to_pylist()}
    assert names == {RED: "red 2", BLUE: "Red"}


def test_several_who_make_versions_at_once_make_one(run):
    say(run, "cluster:0", move(BLUE, image(run, "red0")))
    with ThreadPoolExecutor(8) as several:
        made = list(several.map(lambda _: make_version(run.look()), range(8)))
    assert sum(each.version is not None for each in made) == 1
    assert [version.number for version in Decisions.of(run.store).versions(run.id)] == [1]


def test_a_version_that_was_killed_before_its_row_is_not_there(run, monkeypatch):
    say(run, "cluster:0", move(BLUE, image(run, "red0")))
    monkeypatch.setattr(Decisions, "add_version", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        make_version(run)
    monkeypatch.undo()
    assert run.look().version is None
    assert "red0" in members(run.look())[RED]
    assert changed(run).number == 1
    assert "red0" in members(run.look())[BLUE]


KILLED = """
import os, sys
import shoal
from shoal.host import Host
from shoal.reviewing import make_version
replace, left = os.replace, [int(sys.argv[2])]
def dying(*names):
    if not left[0]:
        os.kill(os.getpid(), 9)
    left[0] -= 1
    replace(*names)
os.replace = dying
make_version(shoal.open(sys.argv[1], host=Host(builtins=("tests.reviewing.stages",), allow=())))
"""


@pytest.mark.parametrize("written", [0, 1])
def test_a_killed_process_leaves_no_version(run, written):
    say(run, "cluster:0", move(BLUE, image(run, "red0")))
    done = subprocess.run(
        [sys.executable, "-c", KILLED, run.store.root.uri, str(written)], check=False, cwd=ROOT, timeout=100
    )
    assert done.returncode == -signal.SIGKILL
    assert run.look().version is None
    assert "red0" in members(run.look())[RED]
    assert changed(run).number == 1
    assert "red0" in members(run.look())[BLUE]
