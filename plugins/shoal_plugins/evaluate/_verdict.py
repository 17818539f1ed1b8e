"""Figures held against thresholds, and the sentence that says how it came out. Shared by the evaluators."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoal.contract import Context


@dataclass(frozen=True)
class Bound:
    """A threshold of a figure.

    Attributes:
        name: of the figure.
        words: what it is, with the article: "the silhouette".
        limit: None judges nothing.
        most: whether the figure must be at most the limit, instead of at least.
    """

    name: str
    words: str
    limit: float | None
    most: bool

    @property
    def key(self) -> str:
        """`at_most` or `at_least`."""
        return "at_most" if self.most else "at_least"

    def broken(self, figures: Mapping[str, float | None]) -> str:
        """Return in a clause how the figure breaks the threshold; "" where it keeps it, or there is no such figure."""
        value = figures.get(self.name)
        if value is None or self.limit is None or (value <= self.limit if self.most else value >= self.limit):
            return ""
        return f"{self.words} is {value:.3f}, {'over' if self.most else 'under'} {self.limit:g}"


def judge(figures: Mapping[str, float | None], bounds: Sequence[Bound], fault: str = "") -> tuple[str, str]:
    """Return `PASS` or `FAIL`, and why in one sentence.

    Args:
        figures: by name; None stands for one that is not defined.
        bounds: to hold them against.
        fault: why the set can't pass whatever the figures, as a clause.
    """
    faults = [fault] if fault else [broken for bound in bounds if (broken := bound.broken(figures))]
    if faults:
        return "FAIL", _sentence(" and ".join(faults))
    judged = sum(bound.limit is not None and figures.get(bound.name) is not None for bound in bounds)
    return "PASS", _sentence(
        f"all {judged} figures keep to their thresholds" if judged > 1 else "nothing breaks a threshold"
    )


def _sentence(clause: str) -> str:
    return f"{clause[:1].upper()}{clause[1:]}."


def tell(
    context: Context,
    figures: Mapping[str, float | None],
    bounds: Sequence[Bound] = (),
    verdict: tuple[str, str] | None = None,
) -> dict[str, Any]:
    """Note metrics, thresholds, verdict and reason as `shoal.kinds.Evaluator` says, and return them.

    Figures that are not defined (None) are left out of the metrics.
    """
    facts: dict[str, Any] = {"metrics": {name: float(value) for name, value in figures.items() if value is not None}}
    facts["thresholds"] = {bound.name: {bound.key: bound.limit} for bound in bounds if bound.limit is not None}
    if verdict is not None:
        facts["verdict"], facts["reason"] = verdict
    for name, value in facts.items():
        context.note(name, value)
    return facts


def write_json(folder: Path, name: str, value: Any) -> None:
    """Write a JSON file that is whole or not there."""
    fresh = folder / f".{name}"
    fresh.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
    fresh.replace(folder / name)
