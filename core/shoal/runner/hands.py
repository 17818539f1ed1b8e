"""The workers of a pass and the chunks that they have: who is slow, what memory holds, who does the same as another."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import pyarrow as pa

SLOW_SECONDS, SLOW_TIMES = 10.0, 5.0
"""A chunk is slow, and is given to an idle worker too, after so many seconds and so many times what others need a row."""

UNKNOWN_SECONDS = 60.0
"""The same as long as no chunk is done that tells what a row costs."""

ELSEWHERE_SECONDS = 60.0
"""So long a chunk waits for another node than those where storage failed it."""

CALM = 20
"""Chunks that fit into memory, after which a worker more and larger chunks are tried again."""

BOUNDLESS = 2**30


@dataclass(eq=False)
class Unit:
    """A chunk on its way.

    Attributes:
        chunk: its rows.
        deaths, losses: how many workers died of it, or were lost with it.
        excuses: how often storage failed it.
        spoilt: the nodes where it did.
        rests_until: when it may be given out again after that.
        copies: how many workers have it now.
        done: whether its answer is there, or that of its pieces is waited for instead.
    """

    chunk: pa.Table
    deaths: int = 0
    losses: int = 0
    excuses: int = 0
    spoilt: set[str] = field(default_factory=set)
    rests_until: float = 0.0
    copies: int = 0
    done: bool = False

    def suits(self, node: str, nodes: set[str], now: float) -> bool:
        """Tell whether a worker may have it now: not where storage failed it, as long as another node may take it.

        Args:
            node: of the worker.
            nodes: of all workers.
            now: the time.
        """
        if now < self.rests_until:
            return False
        return node not in self.spoilt or nodes <= self.spoilt or now >= self.rests_until + ELSEWHERE_SECONDS


@dataclass(eq=False)
class Hand:
    """A worker: placed on a node, then set up, then given units, which it does in order.

    Attributes:
        actor: of Ray.
        size: its CPUs and GPUs.
        node: where it is; empty before it has a place.
        ready: whether it is set up.
        since: when it began with the first of its units.
        units: that it has; the first is at work.
    """

    actor: Any
    size: tuple[float, float] = (1.0, 0.0)
    node: str = ""
    ready: bool = False
    since: float = 0.0
    units: list[Unit] = field(default_factory=list)


class Pace:
    """Knows from the chunks that were done last what a row costs."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._seconds: deque[float] = deque(maxlen=50)

    def add(self, seconds: float) -> None:
        """Take in the seconds that a row of a chunk took."""
        self._seconds.append(seconds)

    @property
    def seconds(self) -> float | None:
        """Seconds that a row takes; None before a chunk is done."""
        return median(self._seconds) if self._seconds else None

    def slow(self, hand: Hand, now: float, times: int) -> bool:
        """Tell whether a worker needs so many times longer for its first unit than would be slow."""
        usual, rows = self.seconds, int(hand.units[0].chunk.num_rows)
        if usual is None:
            return now - hand.since >= UNKNOWN_SECONDS * times
        return now - hand.since >= max(SLOW_SECONDS, SLOW_TIMES * usual * rows) * times


class Room:
    """How much memory has shown to hold: so many workers at once, and so many rows of a chunk.

    Less after each want of memory, and more again while all goes well: one image that fits nowhere, or a library that
    leaks, must not leave one worker for all that comes after.
    """

    def __init__(self) -> None:
        """Know of no bound yet."""
        self.workers = self.rows = BOUNDLESS
        self._calm = 0

    def shrink(self, workers: int, rows: int = 0) -> None:
        """Take in that memory ran out.

        Args:
            workers: that are left; at least one may work.
            rows: of the chunk that did not fit, where it was one.
        """
        self.workers, self._calm = max(1, min(self.workers, workers)), 0
        if rows > 1:
            self.rows = min(self.rows, rows // 2)

    def fit(self) -> None:
        """Take in that a chunk was done."""
        self._calm += 1
        if self._calm % CALM == 0:
            self.workers, self.rows = min(self.workers + 1, BOUNDLESS), min(self.rows * 2, BOUNDLESS)


def doubles(hands: Sequence[Hand], slow: Callable[[Hand, int], bool]) -> Iterator[tuple[Hand, Unit]]:
    """Yield an idle worker for each unit that only slow ones have; one of another node, where there is one.

    Units that wait behind another come first: what is at work may still end. A unit that several have was given out for
    each of them; who got it last may hang as well, so it is given out again, each time later.

    Args:
        hands: all workers.
        slow: takes a worker and how many have its unit; tells whether it is slow.
    """
    idle = [hand for hand in hands if hand.ready and not hand.units]
    held = [(unit, hand) for hand in hands for unit in hand.units[1:]]
    held += [(hand.units[0], hand) for hand in hands if hand.units]
    holders: dict[Unit, list[Hand]] = {}
    for unit, hand in held:
        if not unit.done:
            holders.setdefault(unit, []).append(hand)
    for unit, having in holders.items():
        if not idle:
            return
        if all(slow(hand, len(having)) for hand in having):
            nodes = {hand.node for hand in having}
            chosen = next((hand for hand in idle if hand.node not in nodes), idle[0])
            idle.remove(chosen)
            yield chosen, unit
