"""Answers that change nothing are considered all the same: they wait no longer, and undo takes them back with the rest."""

import pytest

import shoal
from shoal.decisions import Decisions
from shoal.reviewing import make_version, redo, undo, versions
from shoal.reviewing.history import lines
from shoal.reviewing.status import status
from tests.decisions.answers import keep, move, rename

from .conftest import BLUE, RED, image, members, say


def waiting(run: shoal.Run) -> int:
    return status(run.look()).waiting


def moved(run: shoal.Run) -> bool:
    return "red0" in members(run.look())[BLUE]


@pytest.fixture
def applied(run: shoal.Run) -> shoal.Run:
    """A run with a version that moves red0, and an answer of somebody else who says the same, applied without effect."""
    say(run, "cluster:0", move(BLUE, image(run, "red0")), who="ann", key="first", at=9)
    assert make_version(run).version is not None
    say(run, "cluster:0", move(BLUE, image(run, "red0")), who="bob", key="second", at=2)
    assert make_version(run, by="carol").version is None
    return run


def test_an_answer_that_changed_nothing_waits_no_longer(applied):
    assert waiting(applied) == 0


def test_an_answer_that_asks_for_nothing_waits_no_longer_before_there_is_a_version(run):
    say(run, "cluster:0")
    assert waiting(run) == 1
    assert make_version(run).version is None
    assert waiting(run) == 0


def test_undo_withdraws_answers_that_changed_nothing(applied):
    undo(applied)
    found = status(applied.look())
    assert (found.answers, found.waiting, found.withdrawn) == (0, 0, 2)


def test_applying_after_undo_does_not_redo_the_same_move(applied):
    undo(applied)
    assert make_version(applied).version is None
    assert not moved(applied)


def test_redo_takes_them_forward_again(applied):
    undo(applied)
    redo(applied)
    found = status(applied.look())
    assert (found.answers, found.waiting, found.withdrawn) == (2, 0, 0)


def test_undo_does_not_bring_an_edit_back_that_was_never_applied(run):
    x = image(run, "red0")
    say(run, "cluster:0", move(BLUE, x), key="one", at=1)
    say(run, "cluster:0", move(BLUE, x), rename(RED, "warm"), key="one", at=2)
    make_version(run)
    undo(run)
    assert make_version(run).version is None
    say(run, "cluster:0", move(BLUE, x), key="one", at=0)  # an earlier revision, heard of late
    assert make_version(run).version is None
    assert not moved(run)
    say(run, "cluster:0", move(BLUE, x), key="one", at=3)
    assert make_version(run).version is not None


def test_what_a_version_considered_without_effect_stays_when_a_later_one_is_undone(applied):
    say(applied, "cluster:2", rename(BLUE, "cold"), key="third", at=3)
    make_version(applied)
    undo(applied)
    found = status(applied.look())
    assert (found.answers, found.waiting, found.withdrawn) == (2, 0, 1)
    assert moved(applied)


def test_an_answer_that_changed_nothing_there_waits_after_redo_of_what_it_never_met(run):
    x = image(run, "red0")
    say(run, "cluster:0", move(BLUE, x), who="ann", at=1)
    make_version(run)
    undo(run)
    say(run, "cluster:0", who="bob", at=2)
    make_version(run)
    assert waiting(run) == 0
    redo(run)
    assert waiting(run) == 1


def test_who_undoes_while_answers_are_applied_takes_back_only_what_stood(applied, monkeypatch):
    """An answer that changed nothing of the version that was undone meanwhile is applied to what stands then."""
    say(applied, "cluster:0", move(BLUE, image(applied, "red0")), who="dan", key="third", at=3)
    outcome, calls = versions.outcome, []

    def interrupted(*arguments):
        done = outcome(*arguments)
        calls.append(undo(applied) if not calls else None)
        return done

    monkeypatch.setattr(versions, "outcome", interrupted)
    assert make_version(applied).version is not None
    assert len(calls) == 2
    assert moved(applied)


def test_history_says_who_applied_it_and_when(applied):
    (considered,) = Decisions.of(applied.store).considered(applied.id)
    assert (considered.version, considered.by, len(considered.answers)) == (1, "carol", 1)
    (told,) = [line for line in lines(applied.look()) if "carol" in line]
    assert told == f"{considered.made} carol: applied 1 answer, which changed nothing of version 1"


def test_applying_again_writes_nothing(applied):
    make_version(applied)
    assert len(Decisions.of(applied.store).considered(applied.id)) == 1


def test_who_keeps_an_image_after_undo_of_its_move_is_heard(applied):
    undo(applied)
    say(applied, "cluster:0", keep(image(applied, "red0")), who="bob", key="second", at=30)
    made = make_version(applied).version
    assert made is not None
    assert made.summary == {"keep": 1}
