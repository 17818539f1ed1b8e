"""A package whose embedder forgot to embed."""

from shoal import hookimpl
from shoal.contract import Stage
from shoal.kinds import Embedder


class Forgetful(Embedder):
    """Has a size and nothing else."""

    name = "forgetful"

    @property
    def size(self) -> int:
        """One component."""
        return 1


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Add the stage."""
    return (Forgetful,)
