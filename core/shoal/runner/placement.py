"""Plans how many workers a pass gets and how large each is; a worker lies whole on one node, so nodes are counted singly."""

import json
import math
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from shoal.errors import UsageError

FIRST_WORKERS = 8
"""Workers of a pass before the first chunks have shown what a row costs: a large cluster is not woken for little work."""

WORKER_SECONDS = 10.0
"""Seconds of work that a further worker is worth: it needs some to start."""

MOST_DECODERS = 16
"""CPUs that one GPU worker takes at most to decode for its GPU."""

NODE_GROUPS = "SHOAL_NODE_GROUPS"
"""Names a file of the nodes that an autoscaler may start: `[{"cpus": 4, "gpus": 0, "most": 8}]`. The chart writes it.
Ray tells a program only of nodes that are there (nothing of open-source Ray reports groups to `get_cluster_config`)."""

SLACK = 1e-6
"""Ray counts shares of a GPU in decimals: 1 // 0.1 is 9."""


@dataclass(frozen=True)
class Placement:
    """What each worker of a pass is given.

    Attributes:
        actors: how many workers; 0 plans them.
        cpus, gpus: of one worker.
        seconds_a_row: estimate of the work a row in one process, to weigh whether Ray pays.
        stretch: whether a GPU worker takes its share of the node's CPUs to decode; off where `run:` says how many.
    """

    actors: int = 0
    cpus: float = 1.0
    gpus: float = 0.0
    seconds_a_row: float = 0.01
    stretch: bool = False


@dataclass(frozen=True)
class Node:
    """A node that is alive: its id, a name for people, and all that it has, taken or not."""

    id: str
    name: str
    cpus: float
    gpus: float


@dataclass(frozen=True)
class Shape:
    """A plan: so many workers at most, each of so many CPUs and GPUs."""

    workers: int
    cpus: float
    gpus: float

    def __str__(self) -> str:
        """Return `2 x 1 cpu`, as the record says it."""
        return f"{self.workers} x {self.cpus:g} cpu" + (f" + {self.gpus:g} gpu" if self.gpus else "")


def alive(seen: Iterable[dict[str, object]]) -> list[Node]:
    """Return the nodes that are alive out of what `ray.nodes()` tells, and those that an autoscaler may start.

    A worker that waits for one of the latter is what the autoscaler starts it for.

    Raises:
        UsageError: the file that `SHOAL_NODE_GROUPS` names can't be read.
    """
    found = []
    for node in seen:
        have = node["Resources"]
        if node["Alive"] and isinstance(have, dict):
            name = f"{node['NodeManagerHostname']}/{str(node['NodeID'])[:6]}"
            found.append(Node(str(node["NodeID"]), name, float(have.get("CPU", 0)), float(have.get("GPU", 0))))
    return found + coming(found, node_groups(os.environ.get(NODE_GROUPS, "")))


def node_groups(file: str) -> Counter[tuple[float, float]]:
    """Return how many nodes of each size (CPUs, GPUs) an autoscaler may run; none without a file.

    Raises:
        UsageError: the file is none of node groups.
    """
    sizes: Counter[tuple[float, float]] = Counter()
    if not file:
        return sizes
    try:
        for group in json.loads(Path(file).read_bytes()):
            sizes[float(group["cpus"]), float(group["gpus"])] += int(group["most"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{NODE_GROUPS}={file} names no file of node groups ({error!r}); mend or unset it") from error
    return sizes


def coming(there: Iterable[Node], sizes: Counter[tuple[float, float]]) -> list[Node]:
    """Return the nodes that may still come: of each size as many as there may be, less those that are there."""
    left = sizes - Counter((node.cpus, node.gpus) for node in there)
    return [
        Node(f"to come {cpus:g} {gpus:g} {number}", "a node to come", cpus, gpus)
        for (cpus, gpus), most in left.items()
        for number in range(most)
    ]


def room(node: Node, cpus: float, gpus: float) -> int:
    """Return how many workers a node holds."""
    bounds = [math.floor(have / need + SLACK) for have, need in ((node.cpus, cpus), (node.gpus, gpus)) if need]
    return min(bounds, default=10**6)


def holds(nodes: Iterable[Node], cpus: float, gpus: float) -> bool:
    """Tell whether one of the nodes is large enough for a worker: a head that lends no CPU is none."""
    return any(room(node, cpus, gpus) for node in nodes)


def gpus_of(nodes: Iterable[Node], place: Placement) -> float:
    """Return the GPUs of a worker: what was asked for where some node has it, else 0."""
    return place.gpus if any(node.gpus >= place.gpus for node in nodes) else 0.0


def shape(nodes: Iterable[Node], place: Placement) -> Shape:
    """Plan the workers of a pass on these nodes.

    Raises:
        UsageError: no node can ever hold one such worker, or fewer fit than were asked for; Ray would wait for ever.
    """
    nodes = list(nodes)
    gpus = gpus_of(nodes, place)
    cpus = _with_decoders(nodes, place) if gpus and place.stretch else place.cpus
    fit = sum(room(node, cpus, gpus) for node in nodes)
    if fit < max(place.actors, 1):
        have = f"{sum(node.cpus for node in nodes):g} CPUs and {sum(node.gpus for node in nodes):g} GPUs"
        largest = max(nodes, key=lambda node: (node.cpus, node.gpus), default=Node("", "", 0, 0))
        spread = f", of which one node has at most {largest.cpus:g} CPUs" if len(nodes) > 1 else ""
        raise UsageError(
            f"{max(place.actors, 1)} workers of {place.cpus:g} CPUs and {place.gpus:g} GPUs do not fit "
            f"the cluster's {have}{spread}; ask for less under the step's `run:`"
        )
    return Shape(place.actors or fit, cpus, gpus)


def _with_decoders(nodes: list[Node], place: Placement) -> float:
    """Return the CPUs of a GPU worker: its share of the poorest GPU node, less one CPU that is left for the driver."""
    shares = [math.floor((node.cpus - 1) * place.gpus / node.gpus + SLACK) for node in nodes if node.gpus >= place.gpus]
    return float(max(place.cpus, min(MOST_DECODERS, *shares)))


def worth(rows: int, seconds_a_row: float) -> int:
    """Return how many workers so many rows keep busy for a while, once it is known what a row costs."""
    return max(1, math.ceil(rows * seconds_a_row / WORKER_SECONDS))


def decoders(decode: float, answer: float, cpus: float) -> int:
    """Return how many threads decode for a model, so that it does not wait for pixels.

    Args:
        decode: seconds that one thread takes to decode a row.
        answer: seconds that the model takes for one.
        cpus: of the worker.
    """
    if decode > answer * cpus:  # asked before a division by what may be next to nothing
        return max(1, int(cpus))
    return max(1, min(int(cpus), math.ceil(decode / answer - SLACK))) if decode else 1
