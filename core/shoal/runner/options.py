"""How a run runs: nothing here changes what it answers."""

import hashlib
from dataclasses import dataclass, field
from typing import Literal

from shoal.images import Limits

Where = Literal["auto", "local", "ray"]


@dataclass(frozen=True)
class RunOptions:
    """Options of a run that are outside every cache key.

    Attributes:
        where: `ray`; `local` works in this process; `auto` takes Ray where an address is named or the work is
            worth its start.
        address: Ray cluster to join; None takes `RAY_ADDRESS`, else starts one on this machine.
        force: names of steps to compute again, whatever the store holds; `index` reads every file again.
        limits: what an image may cost.
        wait: seconds to wait for room on a cluster whose nodes are taken by other work.
    """

    where: Where = "auto"
    address: str | None = None
    force: frozenset[str] = frozenset()
    limits: Limits = field(default_factory=Limits)
    wait: float = 3600.0


def limits_key(limits: Limits) -> str:
    """Return a short text that is another one for other limits: errors are kept with it."""
    return hashlib.sha256(repr(limits).encode()).hexdigest()[:12]
