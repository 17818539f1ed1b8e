"""Answers, written shortly."""

from itertools import count

from shoal.decisions import COMPUTED, Answer, Change

_KEYS = count(1)


def keep(*images: str) -> Change:
    return Change(kind="keep", images=images)


def move(to: int, *images: str) -> Change:
    return Change(kind="move", images=images, to=to)


def noise(*images: str) -> Change:
    return Change(kind="noise", images=images)


def rename(cluster: int, label: str) -> Change:
    return Change(kind="rename", cluster=cluster, label=label)


def merge(cluster: int, to: int) -> Change:
    return Change(kind="merge", cluster=cluster, to=to)


def split(cluster: int, *images: str, label: str = "") -> Change:
    return Change(kind="split", cluster=cluster, images=images, label=label)


def confirm(to: int, *images: str) -> Change:
    return Change(kind="confirm", images=images, to=to)


def reject(*images: str, to: int | None = None) -> Change:
    return Change(kind="reject", images=images, to=to)


def answer(
    task: str,
    *changes: Change,
    who: str = "ann",
    at: int = 1,
    key: str = "",
    surface: str = "s",
    run: str = "r",
    base: str = COMPUTED,
) -> Answer:
    """Return an answer; `at` is a minute."""
    when = f"2026-01-01T{at // 60:02d}:{at % 60:02d}:00.000Z"
    key = key or f"k{next(_KEYS)}"
    return Answer(run=run, surface=surface, key=key, at=when, task=task, who=who, changes=changes, base=base)
