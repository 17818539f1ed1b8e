"""`shoal review`: apply, undo, redo, history, status, carry, and that what follows uses the version."""

import json
import shutil
from pathlib import Path

import pytest

import shoal
from shoal.decisions import Answer, Change, Decisions, Version
from shoal.reviewing.matching import OVERLAP

from ..decisions.answers import answer, keep, move, rename
from .conftest import Answer as Said
from .conftest import Made, call, pictures

pytestmark = pytest.mark.processes


@pytest.fixture
def own(made: Made, tmp_path: Path) -> Made:
    """A store of a test's own, over the same photos."""
    shutil.copytree(made.out, tmp_path / "out")
    return Made(tmp_path)


def images(own: Made, cluster: int) -> list[str]:
    rows = shoal.open(own.out).look(0).joined(["cluster"]).to_pylist()
    return [row["id"] for row in rows if row["cluster"] == cluster]


def say(own: Made, task: str, *changes: Change, who: str = "ann@example.org", at: int = 1) -> Answer:
    run = shoal.open(own.out)
    told = answer(task, *changes, who=who, at=at, run=run.id, base=run.base)
    Decisions.of(run.store).record([told])
    return told


def apply(own: Made, *options: str) -> Said:
    done = call("review", "apply", own.out, *options)
    assert done.code == 0, done.err
    return done


def test_what_was_decided_is_applied_shown_organised_and_undone(own: Made, tmp_path: Path) -> None:
    moved = images(own, 0)[0]
    say(own, "cluster:0", move(1, moved), keep(*images(own, 0)[1:]), rename(0, "left\x1b[31m over"))
    waiting = call("review", "status", own.out)
    assert "\n1 answer counts, 1 waits to be applied, 0 revisions were undone\n" in waiting.out
    done = apply(own)
    assert done.out.startswith("version 1, reviewed by ann@example.org, 2 changes: 2 kept, 1 moved, 1 renamed\n")
    assert "next:" in done.out
    assert "version 1, reviewed by ann@example.org, 2 changes" in call("show", own.out).out
    clusters = {row["cluster"]: row for row in call("show", own.out, "--json").json["clusters"]}
    assert {number: row["size"] for number, row in clusters.items()} == {0: 2, 1: 4, 2: 3}
    assert clusters[0]["label"] == "left over"
    assert clusters[0]["reason"].startswith("named by ann@example.org on 2026-01-01; it was ")
    page = (shoal.open(own.out).folder.local / "report.html").read_text(encoding="utf-8")  # type: ignore[operator]
    assert "version 1, reviewed by ann@example.org, 2 changes" in page
    assert 'id="history"' in page
    planned = call("organize", own.out, "--to", tmp_path / "sorted", "--rule", "label@original", "--dry-run", "--json")
    assert sum(row["target"].startswith("left_over/") for row in planned.json) == 2
    assert "version 1, reviewed" in planned.err
    back = call("review", "undo", own.out)
    assert back.out.startswith("version 1 is undone; the run is now as computed, not reviewed\n")
    assert {row["size"] for row in call("show", own.out, "--json").json["clusters"]} == {3}
    assert "version 1, reviewed" not in call("show", own.out).out
    assert call("review", "redo", own.out).out.startswith("version 1 is done again; the run is now version 1")
    assert call("review", "redo", own.out).code == 2


def test_nothing_new_makes_no_version(own: Made) -> None:
    assert apply(own).out == "nothing new: as computed, not reviewed\n"
    say(own, "cluster:0", rename(0, "x"))
    apply(own)
    assert apply(own).out.startswith("nothing new: version 1, reviewed by ann@example.org, 1 change\n")
    assert apply(own, "--json").json == {"version": None, "conflicts": [], "unsettled": [], "report": None}


def test_conflicts_are_listed_with_both_answers_and_exit_well(own: Made) -> None:
    image = images(own, 0)[0]
    say(own, "cluster:0", move(1, image))
    say(own, f"image:{image}", move(2, image), who="bob")
    done = apply(own)
    assert done.out.startswith("nothing new")
    assert "Conflicts, not applied" in done.out
    assert "to cluster 1" in done.out
    assert "to cluster 2" in done.out
    assert "picture" in done.out  # by its path
    (conflict,) = call("review", "status", own.out, "--json").json["conflicts"]
    assert {said["who"] for said in conflict["said"]} == {"ann@example.org", "bob"}


def test_a_policy_settles_several_people(own: Made) -> None:
    for who, label in (("ann", "fish"), ("bob", "fish"), ("cy", "eel")):
        say(own, "cluster:0", rename(0, label), who=who, at=len(who) + ord(who[0]) % 9)
    asked = apply(own, "--policy", "ask", "--json").json
    assert asked["version"] is None
    assert asked["unsettled"][0]["why"] == "not all people say the same"
    made = Version.model_validate(apply(own, "--policy", "majority", "--json").json["version"])
    assert made.policy == "majority"
    assert "fish" in call("show", own.out).out
    assert call("review", "apply", own.out, "--policy", "dice").sentence == (
        "--policy is latest, majority or ask, not 'dice'"
    )


def test_history_says_who_when_and_what(own: Made) -> None:
    assert call("review", "history", own.out).out.endswith(": as computed, not reviewed\n")
    say(own, "cluster:0", rename(0, "x"), who="eve\x1b[31m")
    apply(own)
    call("review", "undo", own.out)
    told = call("review", "history", own.out, "--all")
    assert "\x1b" not in told.out
    assert "renamed cluster 0 to x" in told.out
    assert "undid version 1" in told.out
    found = call("review", "history", own.out, "--all", "--json").json
    (version,) = found["versions"]
    assert (version["version"], version["state"], version["changes"]) == (1, "undone", 1)
    assert version["people"] == "eve\x1b[31m"
    assert len(found["decisions"]) == 3


def test_an_undone_run_says_that_there_is_nothing_to_undo(own: Made) -> None:
    assert call("review", "undo", own.out).sentence.endswith("has no version to undo: what was computed stands")
    assert call("review", "undo", own.out).code == 2


def test_names_and_decisions_are_carried_to_a_run_over_more_images(fresh: Made) -> None:
    command = ("run", "small.yaml", "my photos", "--out", "out", "--on", "local")
    assert call(*command).code == 0
    rows = call("show", "out", "--json").json["clusters"]
    run = shoal.open("out")
    moved = next(row["id"] for row in run.joined(["cluster"]).to_pylist() if row["cluster"] == rows[0]["cluster"])
    say(fresh, f"cluster:{rows[0]['cluster']}", move(rows[1]["cluster"], moved), rename(rows[0]["cluster"], "mine"))
    apply(fresh)
    for picture in pictures(fresh.folder / "more", 15).iterdir():
        shutil.copy(picture, fresh.photos / picture.name)
    again = call(*command)
    assert f"shoal review carry out --from {run.id}" in again.out
    assert call("review", "carry", "out", "--overlap", "2").code == 2
    done = call("review", "carry", "out", "--json")
    assert done.code == 0, done.err
    assert done.json["from"] == run.id
    assert (len(done.json["matches"]), done.json["fresh"], done.json["lost"]) == (3, 0, [])
    now = shoal.open("out")
    assert now.id != run.id
    clusters = {row["cluster"]: row for row in call("show", "out", "--json").json["clusters"]}
    assert clusters[rows[0]["cluster"]]["label"] == "mine"
    where = {row["id"]: row["cluster"] for row in now.joined(["cluster"]).to_pylist()}
    assert where[moved] == rows[1]["cluster"]
    assert call("review", "carry", "out").sentence.startswith(f"run {now.id} was carried from run {run.id} already")
    assert "carried from run" in call("review", "history", "out").out
    say(fresh, f"cluster:{rows[1]['cluster']}", rename(rows[1]["cluster"], "yours"), at=9)
    assert Version.model_validate(apply(fresh, "--json").json["version"]).base == 1
    labels = {row["cluster"]: row["label"] for row in call("show", "out", "--json").json["clusters"]}
    assert (labels[rows[0]["cluster"]], labels[rows[1]["cluster"]]) == ("mine", "yours")
    call("review", "undo", "out")
    call("review", "undo", "out")
    assert shoal.open("out").version is None


def test_nothing_to_carry_is_one_sentence(own: Made) -> None:
    done = call("review", "carry", own.out)
    assert done.code == 2
    assert done.sentence == "no earlier run of pipeline small was reviewed; --from names another of those of `shoal runs`"


def test_the_overlap_that_the_command_tells_is_the_one_that_is_used() -> None:
    shown = " ".join(call("review", "carry", "--help").out.split())
    assert f"[default: {OVERLAP};" in shown


def test_exports_hold_the_version(own: Made, tmp_path: Path) -> None:
    moved = images(own, 0)[0]
    say(own, "cluster:0", move(1, moved), rename(0, "mine"))
    apply(own)
    call("export", own.out, "--as", "workflow", "--to", tmp_path / "w")
    lines = (tmp_path / "w" / "S2_clustering.csv").read_text(encoding="utf-8").splitlines()
    assert next(line for line in lines if line.startswith(moved)).split(",")[1] == "1"
    assert "0,mine,2," in (tmp_path / "w" / "S5_cluster_labels.csv").read_text(encoding="utf-8")
    (row,) = json.loads((tmp_path / "w" / "S7_confirmed_moves.json").read_text(encoding="utf-8"))
    assert (row["id"], row["from"], row["to"], row["by"], row["how"]) == (moved, 0, 1, "ann@example.org", "move")
    call("export", own.out, "--as", "csv", "--to", tmp_path / "c")
    assert "mine" in (tmp_path / "c" / "label.csv").read_text(encoding="utf-8")
    assert (tmp_path / "c" / "images.csv").read_text(encoding="utf-8").count("mine") == 2
    call("export", own.out, "--as", "structural", "--to", tmp_path / "s")
    assert (tmp_path / "s" / "image_clusters.csv").read_text(encoding="utf-8").count(",mine,") == 2
