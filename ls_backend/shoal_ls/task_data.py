"""What a task of shoal's shows, read from Label Studio's JSON: hand-edited data and hostile results never raise here."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shoal.decisions import NOISE, Surface
from shoal.decisions.upgrading import BASE
from shoal.text import amount, plain
from shoal_ls.moments import moment

BIGGEST_CLUSTER = 2**31
_NAME = re.compile(r"[!-~]{1,64}")  # what the columns of the database of decisions hold
_ID = re.compile(r"[!-~]{1,120}")
_CANDIDATE = re.compile(r"cluster:([0-9]{1,10})")
_BASE = re.compile(r"[0-9]{1,10}(-[0-9a-f]{12})?")
CHANGED = "shoal_changed"
"""Field of a task that got other numbers: when, by the server's clock."""
UNREADABLE = "?"
"""Base of a task whose data name none that can be: no run has it, so its answers are told and not applied."""


@dataclass(frozen=True)
class ShownTask:
    """A task as the reviewer saw it.

    Attributes:
        surface, run: where it was asked and about what.
        kind: `cluster`, `rescue` or `image`.
        subject: number of the cluster or id of the image, as text; with `kind` it makes up `key`.
        cluster: of a cluster task the cluster, of an image task where the image lies; -1 is noise.
        label: the name that was shown.
        shown: ids of the images.
        candidates: number of the cluster by choice that was offered; -1 for noise.
        numbers: clusters that the data name: `alt1`, `alt2`, `suggested`.
        base: whose numbers of clusters these are; empty where a task of an older shoal does not say it.
        changed: when it got these numbers, as `moment` writes it; empty: it was made with them.
    """

    surface: str
    run: str
    kind: str
    subject: str
    cluster: int | None = None
    label: str = ""
    shown: tuple[str, ...] = ()
    candidates: Mapping[str, int] = field(default_factory=dict)
    numbers: Mapping[str, int] = field(default_factory=dict)
    base: str = ""
    changed: str = ""

    @property
    def key(self) -> str:
        """The task's own name."""
        return f"{self.kind}:{self.subject}"

    @classmethod
    def of(cls, data: object, surface: Surface | None = None) -> "ShownTask | None":
        """Return what task data say; None where they don't say which task it is.

        Args:
            data: JSON of any shape.
            surface: where it is asked; None takes the data's word.
        """
        if not isinstance(data, Mapping):
            return None
        place = surface.key if surface else _matched(_NAME, data.get("shoal_surface"))
        run = surface.run if surface else _matched(_NAME, data.get("shoal_run"))
        kind, _, subject = str(data.get("shoal_task") if isinstance(data.get("shoal_task"), str) else "").partition(":")
        number = _digits(subject) if kind == "cluster" else _number(data.get("cluster"))
        known = number is not None if kind == "cluster" else kind in ("rescue", "image") and bool(_matched(_ID, subject))
        if not place or not run or not known:
            return None
        label = data.get("label")
        named = {name: _number(data.get(name)) for name in ("alt1", "alt2", "suggested")}
        return cls(
            surface=place, run=run, kind=kind, subject=str(number) if kind == "cluster" else subject, cluster=number,
            label=label if isinstance(label, str) else "", shown=_shown(data.get("items")),
            candidates=_candidates(data.get("candidates")),
            numbers={name: value for name, value in named.items() if value is not None}, base=_base(data, surface),
            changed=moment(data.get(CHANGED)),
        )  # fmt: skip


def meta_of(task: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the meta of a task as a list of tasks gives it; empty where somebody made something else of it."""
    meta = task.get("meta")
    return meta if isinstance(meta, Mapping) else {}


class Buckets:
    """Ids of images by the bucket that they lie in; each bucket is taken once."""

    def __init__(self, images: Mapping[str, Sequence[str]] | None = None) -> None:
        """Take what lies where."""
        self._images = {name: tuple(ids) for name, ids in (images or {}).items() if ids}

    def take(self, name: str) -> tuple[str, ...]:
        """Take out what lies in a bucket."""
        return self._images.pop(name, ())

    def left(self) -> dict[str, tuple[str, ...]]:
        """Return what nobody took."""
        return dict(self._images)


def ranked(value: object, shown: Sequence[str]) -> tuple[Buckets, list[str]]:
    """Return what a Ranker's value puts into which bucket, and what does not fit.

    Only images that the task shows count. One in two buckets is in none: nobody can tell which is meant. One in no bucket
    is kept.
    """
    ranker = value.get("ranker") if isinstance(value, Mapping) else None
    if not isinstance(ranker, Mapping):
        return Buckets({"keep": shown}), ["the buckets can't be read; all images count as kept"]
    said = {str(name): _ids(listed) for name, listed in ranker.items()}
    known = set(shown)
    strange = sorted({image for ids in said.values() for image in ids if image not in known})
    times = Counter(image for ids in said.values() for image in ids if image in known)
    twice = sorted(image for image, count in times.items() if count > 1)
    missing = [image for image in shown if image not in times]
    troubles = [
        *([f"{_some(strange)} not shown by the task: ignored"] if strange else []),
        *([f"{_some(twice)} in two buckets: not applied"] if twice else []),
        *([f"{_some(missing)} in no bucket: kept"] if missing else []),
    ]
    unclear = {*strange, *twice}
    placed = {name: [image for image in ids if image not in unclear] for name, ids in said.items()}
    placed["keep"] = [*placed.get("keep", []), *missing]
    return Buckets(placed), troubles


def choice(value: object) -> str:
    """Return the one choice of a Choices value; empty where there is none or more than one."""
    chosen = value.get("choices") if isinstance(value, Mapping) else None
    return chosen[0] if isinstance(chosen, list) and len(chosen) == 1 and isinstance(chosen[0], str) else ""


def sole_text(value: object) -> str:
    """Return the text of a TextArea value, the last where it has several; empty where it has none."""
    text = value.get("text") if isinstance(value, Mapping) else None
    last = text[-1] if isinstance(text, list) and text else text
    return last if isinstance(last, str) else ""


def word(text: str) -> str:
    """Return hostile text as a word of a message."""
    return repr(plain(text, 60))


def _some(ids: Sequence[str]) -> str:
    first = ", ".join(plain(image, 12) for image in ids[:3])
    return f"{amount(len(ids), 'image')} ({first}{', ...' if len(ids) > 3 else ''})"


def _ids(listed: object) -> list[str]:
    """Return the ids that a bucket lists, each once."""
    return list(dict.fromkeys(item for item in listed if isinstance(item, str))) if isinstance(listed, list) else []


def _shown(items: object) -> tuple[str, ...]:
    listed = items if isinstance(items, list) else []
    ids = (_matched(_ID, item.get("id")) for item in listed if isinstance(item, Mapping))
    return tuple(dict.fromkeys(image for image in ids if image))


def _candidates(listed: object) -> dict[str, int]:
    values = [item.get("value") for item in listed if isinstance(item, Mapping)] if isinstance(listed, list) else []
    found = {value: _candidate(value) for value in values if isinstance(value, str)}
    return {value: number for value, number in found.items() if number is not None}


def _candidate(value: str) -> int | None:
    if value == "noise":
        return NOISE
    match = _CANDIDATE.fullmatch(value)
    return _digits(match[1]) if match else None


def _digits(text: str) -> int | None:
    return _number(int(text)) if re.fullmatch(r"[0-9]{1,10}", text) else None


def _number(value: object) -> int | None:
    """Return the number of a cluster; Label Studio's editor may make a float of it."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if NOISE <= value < BIGGEST_CLUSTER else None


def _base(data: Mapping[Any, Any], surface: Surface | None) -> str:
    if "shoal_base" in data:
        return _matched(_BASE, data["shoal_base"]) or UNREADABLE
    return surface.facts.get(BASE, "") if surface else ""


def _matched(pattern: re.Pattern[str], value: object) -> str:
    return value if isinstance(value, str) and pattern.fullmatch(value) else ""
