"""Who decided what, and when: versions, moves that count, and every answer in its order."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import pyarrow as pa

from shoal.decisions import NOISE, Answer, Change, Considered, Version
from shoal.decisions.older import commands
from shoal.text import amount

WORDS = {
    "move": "moved", "noise": "made noise", "confirm": "rescued", "reject": "rejected", "rename": "renamed",
    "split": "split", "merge": "merged", "keep": "kept",
}  # fmt: skip
"""What a count of changes of a kind is called."""

MOVES = ("move", "noise", "confirm", "split")
"""Decisions that put an image elsewhere."""


class Reviewed(Protocol):
    """A run that people may have decided about."""

    @property
    def id(self) -> str:
        """Its name."""

    @property
    def images(self) -> pa.Table:
        """Its images: id, path."""

    @property
    def version(self) -> Version | None:
        """Its version."""

    @property
    def versions(self) -> Sequence[Version]:
        """Every version that was made of it."""

    @property
    def revisions(self) -> Sequence[Answer]:
        """Every revision of every answer about it."""

    @property
    def considered(self) -> Sequence[Considered]:
        """Answers about it that were applied and changed nothing."""

    def version_table(self, column: str) -> pa.Table:
        """Return a table of its version."""


NAMED = 3
"""People whose names stand in a title; the others are counted."""

HISTORY = pa.schema(
    [
        ("version", pa.int32()),
        ("state", pa.string()),
        ("made", pa.string()),
        ("by", pa.string()),
        ("people", pa.string()),
        ("changes", pa.int32()),
        ("what", pa.string()),
    ]
)


def history(run: Reviewed) -> pa.Table:
    """Return a row a version, the newest first: version, state, made, by, people, changes, what.

    The state is `current`, `earlier` or `undone`; `by` made it, of the answers of `people`.
    """
    current = run.version.number if run.version else 0
    rows = [
        {
            "version": version.number,
            "state": "undone" if version.undone else "current" if version.number == current else "earlier",
            "made": version.made,
            "by": version.by,
            "people": ", ".join(version.people),
            "changes": version.changes,
            "what": told(version),
        }
        for version in reversed(run.versions)
    ]
    return pa.Table.from_pylist(rows, schema=HISTORY)


def told(version: Version) -> str:
    """Return what a version holds, in words."""
    counts = ", ".join(f"{number:,} {WORDS.get(kind, kind)}" for kind, number in version.summary.items())
    carried = f"carried from run {version.came_from}" if version.came_from else ""
    policy = f"by {version.policy}" if version.policy != "latest" else ""
    gone = f"undone by {version.undone_by or 'somebody'} on {version.undone_at[:10]}" if version.undone else ""
    return "; ".join(filter(None, (carried, counts or "no change", policy, gone)))


def title(version: Version | None) -> str:
    """Return what tells a version from others, in one line; of none, that nothing was reviewed."""
    if version is None:
        return "as computed, not reviewed"
    reviewed = f"carried from run {version.came_from}" if version.kind == "carried" else "reviewed"
    names = version.people or tuple(filter(None, [version.by]))
    by = f" by {', '.join(names[:NAMED])}" if names else ""
    by += f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"version {version.number}, {reviewed}{by}, {amount(version.changes, 'change')}"


def moves(run: Reviewed) -> list[dict[str, Any]]:
    """Return the images that people put elsewhere: id, path, from, to, label, by, at, how; -1 is noise.

    Of a run that was organised by an older shoal and not reviewed since, these are the rescues that were accepted then.
    """
    paths = _paths(run)
    if run.version is None:
        return [] if run.versions else list(_accepted(run, paths))
    labels = {row["cluster"]: row["label"] for row in run.version_table("label").to_pylist()}
    return [
        {
            "id": row["id"], "path": paths.get(row["id"], ""), "from": row["before"], "to": row["cluster"],
            "label": labels.get(row["cluster"]) or "", "by": row["by"], "at": row["at"], "how": row["decided"],
        }
        for row in run.version_table("cluster").to_pylist()
        if row["decided"] in MOVES and row["cluster"] != row["before"]
    ]  # fmt: skip


def _accepted(run: Reviewed, paths: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    last = {answer.key: answer for answer in run.revisions if answer.surface == commands(run.id)}
    for image, answer in sorted(last.items()):
        for change in answer.changes:
            row = {"id": image, "path": paths.get(image, ""), "from": NOISE, "to": change.to, "label": ""}
            yield {**row, "by": answer.note, "at": answer.at, "how": change.kind}


def lines(run: Reviewed) -> Iterator[str]:
    """Yield a line a thing that was decided, made or undone, by time: when, who, what. Texts are hostile."""
    paths = _paths(run)
    events = [(answer.at, line) for answer in run.revisions for line in _answer(answer, paths)]
    events += [event for version in run.versions for event in _version(version)]
    events += [(one.made, _considered(one)) for one in run.considered]
    return (line for _, line in sorted(events, key=lambda event: event[0]))


def _paths(run: Reviewed) -> dict[str, str]:
    return dict(zip(run.images["id"].to_pylist(), run.images["path"].to_pylist(), strict=True))


def _version(version: Version) -> Iterator[tuple[str, str]]:
    by = version.by or "somebody"
    yield version.made, f"{version.made} {by}: made version {version.number} ({told(version)})"
    if version.undone_at:
        yield version.undone_at, f"{version.undone_at} {version.undone_by or 'somebody'}: undid version {version.number}"


def _considered(one: Considered) -> str:
    stood = f"version {one.version}" if one.version else "what was computed"
    answers = amount(len(one.answers), "answer")
    return f"{one.made} {one.by or 'somebody'}: applied {answers}, which changed nothing of {stood}"


def _answer(answer: Answer, paths: Mapping[str, str]) -> Iterator[str]:
    where = "" if answer.surface == commands(answer.run) else f" on {answer.task}"
    start = f"{answer.at} {answer.who or 'somebody'}{where}: "
    note = f" ({answer.note})" if answer.note else ""
    if answer.deleted:
        yield f"{start}took the answer back{note}"
    for change in answer.changes:
        for text in _change(change, paths):
            yield f"{start}{text}{note}"


def _change(change: Change, paths: Mapping[str, str]) -> Iterable[str]:
    images = [paths.get(image, image) for image in change.images]
    if change.kind == "keep":
        return [f"kept {amount(len(images), 'image')}"]
    if change.kind == "rename":
        return [f"renamed cluster {change.cluster} to {change.label}"]
    if change.kind == "merge":
        return [f"merged cluster {change.cluster} into cluster {change.to}"]
    if change.kind == "split":
        name = f", named {change.label}" if change.label else ""
        return [f"split cluster {change.cluster} with {amount(len(images), 'example')}{name}"]
    if change.kind == "reject":
        return [f"rejected the suggestion for {image}" for image in images]
    goal = "noise" if change.kind == "noise" or change.to == NOISE else f"cluster {change.to}"
    return [f"moved {image} {'from noise ' if change.kind == 'confirm' else ''}to {goal}" for image in images]
