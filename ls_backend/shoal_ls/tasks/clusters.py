"""One task a cluster: its members as thumbnails, its name, the clusters nearest to it."""

from collections.abc import Callable

from shoal_ls.tasks.drafts import Json, TaskDraft, chosen
from shoal_ls.tasks.markup import candidate, member, sentences
from shoal_ls.tasks.said import Said
from shoal_ls.tasks.sampling import MOST

Address = Callable[[str], str]
"""Gives the address of an image's thumbnail by its id; empty where it has none."""

SMALL, DOUBTFUL = 5, 0.5
BUCKETS = ("keep", "alt1", "alt2", "new", "noise")
REASONS = {
    "doubtful": "many members are nearly as near to another cluster",
    "twin": "its first name was that of another cluster: one of the two may be part of the other",
    "large": "more members than are shown",
    "small": "few members",
    "typical": "nothing stands out",
}
"""Why a cluster is worth a look, the strongest reason first."""


def cluster_tasks(said: Said, address: Address) -> list[TaskDraft]:
    """Return a task for each cluster, the largest first.

    Args:
        said: what the run says.
        address: of thumbnails.
    """
    sizes = {number: len(rows) for number, rows in said.members.items()}
    order = sorted(sizes, key=lambda number: (-sizes[number], number))
    return [_task(said, number, sizes, address) for number in order]


def _task(said: Said, number: int, sizes: dict[int, int], address: Address) -> TaskDraft:
    rows = said.members[number]
    picked = said.samples[number]
    doubt = round(float(said.doubt[rows].mean()), 3)
    reason, label, near = _reason(said, number, sizes[number], doubt), said.label(number), said.neighbours[number]
    alternatives = (*near[:2], None, None)
    ids = [said.ids[row] for row in picked.rows]
    data: Json = {
        "cluster": number,
        "label": label,
        "size": sizes[number],
        "shown": len(ids),
        "doubt": doubt,
        "reason": reason,
        "alt1": alternatives[0],
        "alt2": alternatives[1],
        "context": _context(said, number, sizes[number], len(ids), reason),
        "candidates": [candidate(one, said.label(one), f"{sizes[one]:,}") for one in near],
        "items": [
            {"id": image, "html": member(said.names[row], address(image), picked.marks.get(row, ""))}
            for image, row in zip(ids, picked.rows, strict=True)
        ],
    }
    buckets = {name: ids if name == "keep" else [] for name in BUCKETS}
    ranker = {"from_name": "assign", "to_name": "imgs", "type": "ranker", "value": {"ranker": buckets}}
    name = {"from_name": "cluster_label", "to_name": "ctx", "type": "textarea", "value": {"text": [label]}}
    return TaskDraft(f"cluster:{number}", data, (chosen("verdict", "ctx", "accept"), name, ranker), round(1 - doubt, 3))


def _reason(said: Said, number: int, size: int, doubt: float) -> str:
    if doubt >= DOUBTFUL:
        return "doubtful"
    if number in said.twins:
        return "twin"
    if size > MOST:
        return "large"
    return "small" if size <= SMALL else "typical"


def _context(said: Said, number: int, size: int, shown: int, reason: str) -> str:
    """Return what stands above the thumbnails, as plain text: Label Studio shows it as text."""
    lone = "image" if size == 1 else "images"
    count = f"{size:,} {lone}" if shown == size else f"{shown} of {size:,} images shown, {size - shown:,} more follow them"
    others = [f"{letter} = {said.label(one)}" for letter, one in zip("AB", said.neighbours[number], strict=False)]
    return sentences([f"{said.label(number)} (cluster {number})", count, *others, f"{reason}: {REASONS[reason]}"])
