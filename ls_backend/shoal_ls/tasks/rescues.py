"""One task a suggestion: is this noise image one of that cluster?"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from shoal.text import plain
from shoal_ls.tasks.clusters import Address
from shoal_ls.tasks.drafts import Json, TaskDraft, chosen
from shoal_ls.tasks.markup import LONGEST_NAME, candidate, sentences
from shoal_ls.tasks.said import Said

CANDIDATES = 12


Suggestion = Mapping[str, Any]
"""A row of a rescuer: id, suggested, score, runner_up, runner_up_score, nearest, ..."""


def asked(said: Said, rows: Iterable[Suggestion]) -> list[Suggestion]:
    """Return the suggestions that can be asked about: those that name a cluster of the run."""
    return [row for row in rows if row["suggested"] in said.members and row["id"] in said.rows]


def master(said: Said, cluster: int) -> str:
    """Return the id of the image that stands for a cluster: its surest member."""
    return said.ids[int(said.members[cluster][0])]


def rescue_tasks(said: Said, suggestions: Sequence[Suggestion], address: Address) -> list[TaskDraft]:
    """Return a task for each suggestion, the most doubtful first.

    Args:
        said: what the run says.
        suggestions: those of `asked`.
        address: of pictures that are looked at one by one.
    """
    rows = [said.rows[one["id"]] for one in suggestions]
    near = said.near(np.array(rows, np.int64), CANDIDATES)
    tasks = [
        _task(said, one, row, [cluster for cluster, _ in places], address)
        for one, row, places in zip(suggestions, rows, near, strict=True)
    ]
    return sorted(tasks, key=lambda task: (task.score, task.key))


def _task(said: Said, one: Suggestion, row: int, near: list[int], address: Address) -> TaskDraft:
    suggested, score = int(one["suggested"]), round(float(one["score"] or 0.0), 3)
    others = [cluster for cluster in near if cluster != suggested]
    runner_up = one.get("runner_up")
    if runner_up in said.members and runner_up not in others:
        others.insert(0, int(runner_up))
    data: Json = {
        "image": address(one["id"]),
        "master": address(master(said, suggested)),
        "why": _why(said, one, row, suggested, score),
        "candidates": [candidate(cluster, said.label(cluster)) for cluster in others[:CANDIDATES]],
        "suggested": suggested,
        "label": said.label(suggested),
        "score": score,
        "doubt": round(1 - min(max(score, 0.0), 1.0), 3),
    }
    return TaskDraft(f"rescue:{one['id']}", data, (chosen("rescue", "cand", "confirm"),), 1 - data["doubt"])


def _why(said: Said, one: Suggestion, row: int, suggested: int, score: float) -> str:
    """Return why this cluster is suggested, as plain text."""
    second, by_picture = one.get("runner_up"), one.get("nearest")
    return sentences(
        [
            plain(said.names[row], LONGEST_NAME),
            f"suggested: {said.label(suggested)} ({score:.2f})",
            f"next: {said.label(second)} ({one['runner_up_score'] or 0:.2f})" if second in said.members else "",
            f"nearest by picture: {said.label(by_picture)}" if by_picture in said.members else "",
        ]
    )
