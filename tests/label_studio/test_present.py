"""Tasks of a project stand for what is asked now, also after the numbers of the clusters changed under them."""

from typing import Any

import pytest

import shoal
from shoal.decisions import Decisions
from shoal.reviewing.bases import Numbers
from shoal_ls.present import Before, Present, present
from shoal_ls.tasks import TaskDraft
from tests.decisions.answers import keep, rename
from tests.reviewing.conftest import RED, WARM, _made, carried, host, image, newer, run, say  # noqa: F401  (fixtures)

pytestmark = pytest.mark.processes


def draft(key: str) -> TaskDraft:
    return TaskDraft(key, {"cluster": key}, (), 1.0)


def listed(number: int, key: Any, base: Any = "0", answered: int = 0) -> dict[str, Any]:
    """A task as the server lists it."""
    meta = {"shoal_task": key, "shoal_digest": draft(str(key)).digest} | ({"shoal_base": base} if base else {})
    return {"id": number, "meta": meta, "total_annotations": answered, "cancelled_annotations": 0}


def known(run: shoal.Run, **facts: str) -> Before:  # noqa: F811
    decisions = Decisions.of(run.store)
    (surface,) = decisions.surfaces(run.id)
    return Before.of(surface.model_copy(update={"facts": facts}), decisions.answers(run.id), Numbers.shown(run))


def found(tasks: list[dict[str, Any]], drafts: list[TaskDraft], before: Before) -> dict[str, tuple[int, bool]]:
    there, spare = present(tasks, drafts, before)
    assert len(there) + spare == len(tasks)
    return {key: (one.task["id"], one.answered) for key, one in there.items()}


def test_tasks_of_this_base_are_found_by_their_key(newer: shoal.Run) -> None:  # noqa: F811
    tasks = [listed(1, "cluster:0"), listed(2, "cluster:2", answered=1), listed(3, "cluster:9"), listed(4, ["x"])]
    drafts = [draft("cluster:0"), draft("cluster:2"), draft("image:x")]
    assert found(tasks, drafts, known(newer)) == {"cluster:0": (1, False), "cluster:2": (2, True)}
    there, _ = present(tasks, drafts, known(newer))
    assert there["cluster:0"].shows(draft("cluster:0"), "0")
    assert not there["cluster:0"].shows(draft("cluster:0"), "1-abc")


def test_a_task_remembers_when_it_got_other_numbers() -> None:
    was, now = "2026-01-01T00:00:00.000Z", "2026-02-01T00:00:00.000Z"
    task = Present(listed(1, "cluster:0"), False)
    assert task.changed(draft("cluster:0"), "0", now) == ""
    assert task.changed(draft("cluster:1"), "0", now) == task.changed(draft("cluster:0"), "1-abc", now) == now
    task.task["meta"]["shoal_changed"] = was
    assert task.changed(draft("cluster:0"), "0", now) == was
    assert draft("cluster:0").task("s", "r", "0", was)["meta"]["shoal_changed"] == was


def test_tasks_of_another_base_stand_for_what_asks_the_same_now(newer: shoal.Run, run: shoal.Run) -> None:  # noqa: F811
    carried(newer, run)
    drafts = [draft(f"cluster:{number}") for number in (0, 2, WARM)]
    before = known(newer.look())
    open_ = [listed(1, "cluster:0"), listed(2, "cluster:2")]
    assert found(open_, drafts, before) == {f"cluster:{WARM}": (1, False), "cluster:2": (2, False)}
    answered = [listed(1, "cluster:0", answered=1), listed(2, "cluster:2", answered=1)]
    assert found(answered, drafts, before) == {f"cluster:{WARM}": (1, True), "cluster:2": (2, True)}
    newest = [*answered, listed(3, f"cluster:{WARM}", before.numbers.base)]
    assert found(newest, drafts, before)[f"cluster:{WARM}"] == (3, False)
    of_older_shoal = [listed(1, "cluster:0", None), listed(2, "cluster:2", None)]
    assert found(of_older_shoal, drafts, known(newer.look(), base="0"))[f"cluster:{WARM}"] == (1, False)


def test_an_open_task_whose_cluster_is_gone_is_taken_for_what_nobody_was_asked_yet(
    newer: shoal.Run,  # noqa: F811
    run: shoal.Run,  # noqa: F811
) -> None:
    carried(newer, run)
    drafts = [draft("cluster:0"), draft("cluster:2")]
    tasks = [listed(1, "cluster:7"), listed(2, "cluster:8", "9-abc"), listed(3, "cluster:2")]
    assert found(tasks, drafts, known(newer.look())) == {"cluster:2": (3, False), "cluster:0": (1, False)}


def test_a_task_whose_answer_does_not_carry_over_whole_is_asked_anew(newer: shoal.Run, run: shoal.Run) -> None:  # noqa: F811
    say(newer, "cluster:0", keep(image(newer, "red0")), rename(RED, "fire"))
    say(newer, "cluster:2", keep(image(newer, "blue0")))
    carried(newer, run)
    drafts = [draft(f"cluster:{number}") for number in (0, 2, WARM)]
    tasks = [listed(1, "cluster:0", answered=1), listed(2, "cluster:2", answered=1)]
    assert found(tasks, drafts, known(newer.look())) == {"cluster:2": (2, True)}


def test_a_task_that_an_answer_is_known_to_keeps_its_numbers_until_that_is_taken_back(
    newer: shoal.Run,  # noqa: F811
    run: shoal.Run,  # noqa: F811
) -> None:
    """Its annotation was removed, and nobody told yet: under another name the answer could not be taken back any more."""
    say(newer, "cluster:2", keep(image(newer, "blue0")))
    carried(newer, run)
    assert found([listed(2, "cluster:2")], [draft("cluster:2")], known(newer.look())) == {"cluster:2": (2, True)}
