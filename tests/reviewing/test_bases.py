"""What answers are applied to changes under them: their numbers are translated, or they are set aside and told."""

import pytest

import shoal
from shoal.errors import UsageError
from shoal.reviewing import make_version, undo
from shoal.reviewing.bases import Numbers
from shoal.reviewing.carry import candidate, carry
from shoal.reviewing.status import status
from tests.decisions.answers import keep, move, rename

from .conftest import BLUE, RED, WARM, carried, image, members, say

pytestmark = pytest.mark.processes


def names(run: shoal.Run) -> dict[int, str]:
    return {row["cluster"]: row["label"] for row in run.look().version_table("label").to_pylist()}


def test_answers_from_before_the_carry_are_applied_in_its_numbers(newer, run):
    say(newer, "cluster:0", move(BLUE, image(newer, "red1")), keep(image(newer, "red2")), rename(RED, "fire"))
    carried(newer, run)
    before = status(newer.look())
    assert (before.version.number, before.answers, before.waiting) == (1, 1, 1)
    made = make_version(newer)
    assert (made.version.base, made.conflicts, made.unsettled) == (1, (), ())
    assert "red1" in members(newer.look())[BLUE]
    assert names(newer) == {RED: "red", BLUE: "blue", WARM: "fire"}
    assert status(newer.look()).waiting == 0


def test_what_cannot_be_carried_over_is_told_and_the_rest_is_applied(newer, run):
    say(newer, "cluster:0", keep(image(newer, "red0")), move(BLUE, image(newer, "red1")))
    carried(newer, run)
    made = make_version(newer)
    (lost,) = made.unsettled
    assert lost.subject == f"image:{image(newer, 'red0')}"
    assert lost.why.startswith("version 1 has it in cluster 0, not where the answer saw it; ")
    assert "red1" in members(newer.look())[BLUE]
    assert status(newer.look()).unsettled == (lost,)
    say(newer, "cluster:0", keep(image(newer, "red0")), at=9)  # somebody who saw the new clusters settles it
    assert make_version(newer).unsettled == ()


def test_a_version_from_before_the_carry_is_repeated_after_it_and_each_is_undone_alone(newer, run):
    say(newer, "cluster:0", rename(RED, "fire"))
    assert make_version(newer).version.number == 1
    made = carried(newer, run)
    assert (made.version.number, made.version.parent) == (2, 1)
    assert names(newer)[WARM] == "warm"
    assert status(newer.look()).waiting == 1
    assert make_version(newer).version.base == 2
    assert names(newer)[WARM] == "fire"
    undo(newer)
    assert make_version(newer).version is None
    assert names(newer)[WARM] == "warm"
    undo(newer)
    assert names(newer)[RED] == "fire"
    assert (status(newer.look()).waiting, newer.look().version.number) == (0, 1)


def test_undoing_a_carried_version_beneath_waiting_answers_translates_them(newer, run):
    carried(newer, run)
    say(newer, f"cluster:{WARM}", move(BLUE, image(newer, "red1")), rename(WARM, "fire"))
    say(newer, f"cluster:{RED}", rename(RED, "lone"), at=2)
    undo(newer)
    assert status(newer.look()).waiting == 2
    made = make_version(newer)
    assert made.version.base == 0
    assert names(newer) == {RED: "fire", BLUE: "blue"}
    assert "red1" in members(newer.look())[BLUE]
    (lost,) = made.unsettled
    assert lost.subject == f"cluster:{RED}"
    assert lost.why.startswith(f"cluster {RED} of version 1 is no cluster of what was computed; ")


def test_numbers_of_a_base_that_the_run_never_had_are_told(newer):
    say(newer, "cluster:0", rename(RED, "fire"), base="7-0123456789ab")
    made = make_version(newer)
    assert made.version is None
    (lost,) = made.unsettled
    assert lost.why.startswith("it means numbers of clusters that the run does not have (base 7-0123456789ab); ")
    assert status(newer.look()).waiting == 0


def test_who_skipped_a_task_of_unknown_numbers_lost_nothing(newer):
    say(newer, "cluster:0", base="?")
    assert make_version(newer).unsettled == ()


def test_a_task_of_a_number_that_no_cluster_has_asks_nothing_here(newer, run):
    carried(newer, run)
    numbers = Numbers.shown(newer.look())
    for hostile in ("cluster:" + "9" * 5000, "cluster:-1", "cluster:", "cluster:٣"):
        assert numbers.task("0", hostile) in (None, hostile)


def test_a_run_is_carried_to_once(newer, run):
    assert candidate(newer).id == run.id
    carried(newer, run)
    assert candidate(newer.look()) is None
    with pytest.raises(UsageError, match=f"was carried from run {run.id} already; `shoal review undo` until version 1"):
        carry(newer, run)
    undo(newer)
    assert carried(newer, run).version.number == 2


def test_a_run_shows_the_numbers_of_its_base(newer, run):
    assert newer.base == "0"
    made = carried(newer, run)
    say(newer, f"cluster:{WARM}", rename(WARM, "fire"))
    make_version(newer)
    now = newer.look()
    assert (now.version.number, now.base) == (2, made.version.name)
    assert newer.look(0).base == "0"
    assert Numbers.shown(now).task("0", "cluster:0") == f"cluster:{WARM}"
    assert Numbers.shown(newer.look(0)).task(made.version.name, f"cluster:{WARM}") == "cluster:0"
    assert Numbers.shown(now).task("7-x", "cluster:0") is None
