"""How a tuning goes: its budget, its phases, its score."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from shoal.tuning.trials import Trial

TWO_PHASES_FROM = 2000
"""Images from which a part of them tells about all; below that a part is too small to hold the clusters."""


@dataclass(frozen=True)
class Weights:
    """How the parts of the score count: `modularity ** modularity_exponent * stability ** stability_exponent`.

    Attributes:
        modularity, stability: exponents; 0 leaves a part out. Without stability no candidate has a twin: half the work.
        neighbors: of an image in the graph that modularity is measured on.
    """

    modularity: float = 1.0
    stability: float = 0.5
    neighbors: int = 20


@dataclass(frozen=True)
class Settings:
    """Settings of a tuning.

    Attributes:
        budget: candidates to evaluate, both phases together.
        search: `evolution`, or `grid`: all combinations, or an even draw of them where there are more than the budget.
        seed: of the search and of the part of the images.
        generation: candidates that are evaluated side by side.
        two_phases: first on a part of the images, then on all; None: from 2,000 images on.
        fraction: that part.
        ratio: share of the budget for the first phase.
        top: best candidates of the first phase that the second begins with.
        patience: generations without a better candidate before the search ends, after `least` evaluations.
        weights: of the score.
    """

    budget: int = 100
    search: Literal["evolution", "grid"] = "evolution"
    seed: int = 0
    generation: int = 20
    two_phases: bool | None = None
    fraction: float = 0.3
    ratio: float = 0.6
    top: int = 10
    patience: int = 5
    least: int = 60
    weights: Weights = field(default_factory=Weights)

    def phases(self, images: int) -> tuple[tuple[float, int], ...]:
        """Return (part of the images, budget) of each phase."""
        two = images >= TWO_PHASES_FROM if self.two_phases is None else self.two_phases
        first = min(max(round(self.budget * self.ratio), 1), self.budget - 1)
        if not two or first < 1:
            return ((1.0, self.budget),)
        return ((self.fraction, first), (1.0, self.budget - first))


class Watcher(Protocol):
    """Hears how far a tuning is."""

    def begun(self, total: int, images: int) -> None:
        """Features are there; the candidates come."""

    def evaluated(self, trials: "Sequence[Trial]", budget: int) -> None:
        """A generation ended; `trials` are all so far."""


class Unwatched:
    """Says nothing."""

    def begun(self, total: int, images: int) -> None:
        """Say nothing."""

    def evaluated(self, trials: "Sequence[Trial]", budget: int) -> None:
        """Say nothing."""
