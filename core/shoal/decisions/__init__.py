"""What people decided about a run's images and clusters, remembered for ever and always open to be taken back."""

from shoal.decisions.database import Decisions
from shoal.decisions.model import (
    NOISE,
    Answer,
    Change,
    ChangeKind,
    Conflict,
    Policy,
    Said,
    Surface,
    Unsettled,
    Version,
    now,
)
from shoal.decisions.older import Readable

__all__ = [
    "NOISE", "Answer", "Change", "ChangeKind", "Conflict", "Decisions", "Policy", "Readable", "Said", "Surface",
    "Unsettled", "Version", "now",
]  # fmt: skip
