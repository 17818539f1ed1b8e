"""Which nodes get no more work of a pass: where storage fails, or where workers die before they are ready."""

from collections.abc import Iterable

from shoal.runner.placement import Node, holds

OFTEN = 2
"""A node that failed so often is left alone, as long as another can do its work."""


class Distrust:
    """Remembers what befell workers, by the ids of their nodes."""

    def __init__(self) -> None:
        """Trust all."""
        self._spoilt: dict[str, tuple[int, int]] = {}
        self._unborn: dict[str, int] = {}

    def spoil(self, node: str, done: int) -> None:
        """Count that storage failed a worker.

        Only where others finished something since it did so before: what fails everywhere in the same moment is the
        store, not the node.

        Args:
            node: of the worker.
            done: chunks that all workers have done by now.
        """
        times, before = self._spoilt.get(node, (0, -1))
        if done > before:
            self._spoilt[node] = (times + 1, done)

    def bury(self, node: str) -> None:
        """Count that a worker died before it was ready; it may not have said on which node it was."""
        self._unborn[node] = self._unborn.get(node, 0) + 1

    def welcome(self, node: str) -> None:
        """Forget what befell a node's workers before they were ready: one of them is."""
        self._unborn.pop(node, None)

    def praise(self, node: str) -> None:
        """Forget what storage did there: a chunk was done."""
        self._spoilt.pop(node, None)

    def shunned(self, nodes: Iterable[Node], cpus: float, gpus: float) -> list[str]:
        """Return the ids of the nodes to leave alone; none of them where no other holds such a worker."""
        known = list(nodes)
        bad = [node for node in known if max(self._spoilt.get(node.id, (0, 0))[0], self._unborn.get(node.id, 0)) >= OFTEN]
        return [node.id for node in bad] if holds([node for node in known if node not in bad], cpus, gpus) else []

    def untried(self, nodes: Iterable[Node], cpus: float, gpus: float) -> bool:
        """Tell whether some node that holds such a worker has lost none before it was ready."""
        return holds([node for node in nodes if node.id not in self._unborn], cpus, gpus)
