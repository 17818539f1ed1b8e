"""What people decided about a run's images and clusters, remembered for ever and always open to be taken back."""

from shoal.decisions.database import Decisions
from shoal.decisions.model import (
    COMPUTED,
    NOISE,
    Answer,
    Change,
    ChangeKind,
    Conflict,
    Considered,
    Policy,
    Said,
    Surface,
    Unsettled,
    Version,
    now,
)
from shoal.decisions.older import Readable
from shoal.decisions.standing import Standing

__all__ = [
    "COMPUTED", "NOISE", "Answer", "Change", "ChangeKind", "Conflict", "Considered", "Decisions", "Policy", "Readable",
    "Said", "Standing", "Surface", "Unsettled", "Version", "now",
]  # fmt: skip
