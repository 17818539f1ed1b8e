"""What befell a piece of work: where it ran, what was lost on the way and done again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DIED = "worker died"
UNREACHABLE = "worker lost"
MEMORY = "out of memory"
LOST = "data lost"
STORAGE = "storage error"
SLOW = "slow worker"


@dataclass
class Happened:
    """Facts for the record.

    Attributes:
        where: in a few words.
        nodes: rows by name of the node that did them; empty in this process.
        faults: times by kind of fault.
        retried: pieces of work that were given out again.
    """

    where: str = "in process"
    nodes: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    retried: int = 0

    def did(self, node: str, rows: int) -> None:
        """Count rows that a node did."""
        self.nodes[node] = self.nodes.get(node, 0) + rows

    def fault(self, kind: str, retried: int = 1) -> None:
        """Count a fault and the pieces of work that are given out again for it."""
        self.faults[kind] = self.faults.get(kind, 0) + 1
        self.retried += retried

    def facts(self) -> Mapping[str, Any]:
        """Return what a step's record says of it."""
        return {"where": self.where, "nodes": dict(self.nodes), "faults": dict(self.faults), "retried": self.retried}


def kind_of(error: BaseException) -> str:
    """Return the kind of fault that an error of Ray tells of; empty where repeating the work would not help."""
    from ray import exceptions

    if isinstance(error, exceptions.OutOfMemoryError) or "running low on memory" in str(error):
        return MEMORY
    if isinstance(error, exceptions.ActorDiedError):
        return "" if error.actor_init_failed else UNREACHABLE if _of_node(error) else DIED
    if isinstance(error, (exceptions.ActorUnavailableError, exceptions.NodeDiedError)):
        return UNREACHABLE
    if isinstance(error, exceptions.WorkerCrashedError):
        return DIED
    kept = (exceptions.ObjectLostError, exceptions.ObjectReconstructionFailedError, exceptions.ObjectStoreFullError)
    if isinstance(error, exceptions.RayTaskError):
        return LOST if isinstance(error.cause, kept) else ""
    return LOST if isinstance(error, kept) else ""


def _of_node(error: BaseException) -> bool:
    """Tell whether an actor died with its node: then its work is not to blame."""
    text = str(error).lower()
    return "node has died" in text or "node was terminated" in text or "node died" in text
