"""A pool of actors that works through chunks and outlives what befalls it.

Ray Data's own actor pool repeats the block that killed an actor for ever, or ends the run without saying which block it
was. Here each chunk is known by the actor that has it: one that dies with a chunk at work gives it back, a chunk that kills
twice is cut until the one image is found, and what is slow is done twice. All of it is safe because a chunk's work is
idempotent: whoever does it writes the same part files.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from statistics import median
from time import monotonic, sleep
from typing import Any

import pyarrow as pa

from shoal.errors import RunFailed, UsageError
from shoal.runner.bodies import Mapper
from shoal.runner.cluster import gave_up
from shoal.runner.happened import DIED, LOST, MEMORY, SLOW, STORAGE, UNREACHABLE, Happened, kind_of
from shoal.runner.jobs import Job, Trouble
from shoal.runner.placement import FIRST_WORKERS, Placement, Shape, alive, holds, shape, worth
from shoal.runner.waiting import Patience, WaitingRoom

DEPTH = 2
"""Chunks of a worker: one at work and one that waits. A longer queue leaves the last chunks with one worker."""

TICK = 1.0
PLAN_SECONDS = 5.0
SLOW_SECONDS, SLOW_TIMES = 10.0, 5.0
"""A chunk is slow, and is given to an idle worker too, after so many seconds and so many times what others need a row."""

PIECES = 8
TIMES = 2
"""A chunk that killed so many workers is cut; a single image that did is rejected."""

LOSSES = 4
"""The same for a chunk whose node was lost each time, which is chance as a rule: spot nodes go while they work."""

STILLBORN = 3
HOPELESS = 12
STORAGE_TIMES = 4


@dataclass(eq=False)
class _Unit:
    """A chunk on its way: how many workers died of it or were lost with it, how often storage failed it, who has it now."""

    chunk: pa.Table
    deaths: int = 0
    losses: int = 0
    excuses: int = 0
    copies: int = 0
    done: bool = False


@dataclass(eq=False)
class _Hand:
    """A worker: placed on a node, then set up, then given units, which it does in order."""

    actor: Any
    node: str = ""
    ready: bool = False
    since: float = 0.0
    units: list[_Unit] = field(default_factory=list)


class Crew:
    """Does one job.

    Args:
        ray: the module, started.
        job: what is done with each chunk.
        place: what each worker is given.
        rows: of all chunks together.
        told: is told what happens.
        say: shows a sentence to who waits.
        patience: how long to wait for room.
    """

    def __init__(
        self, ray: Any, job: Job, place: Placement, rows: int, told: Happened, say: Callable[[str], None], patience: Patience
    ) -> None:
        """Plan the workers.

        Raises:
            UsageError: they can never fit.
        """
        self.ray, self.job, self.place, self.left, self.told = ray, job, place, rows, told
        self._plan: Shape = shape(alive(ray.nodes()), place)
        self._planned = monotonic()
        self._room = WaitingRoom(patience, say)
        self._cap = 10**6
        self._hands: list[_Hand] = []
        self._calls: dict[Any, tuple[_Hand, _Unit | None]] = {}
        self._queue: deque[_Unit] = deque()
        self._open = self._done = self._deaths = self._stillborn = self._most = 0
        self._paces: deque[float] = deque(maxlen=50)
        self._spoilt: dict[str, int] = {}
        self._names: dict[str, str] = {}
        self._dry = False

    def run(self, chunks: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Yield the receipts of all chunks, in any order; takes a chunk only when a worker is about to get it."""
        source = iter(chunks)
        try:
            while self._go_on(source):
                done = self._wait()
                for reference in done:
                    yield from self._hear(reference)
                self._watch(bool(done))
        finally:
            for hand in list(self._hands):
                self._dismiss(hand)
            self.told.where = f"ray: {replace(self._plan, workers=max(self._most, 1))}"

    def _wait(self) -> list[Any]:
        if not self._calls:  # no node can hold a worker now
            sleep(TICK)
            return []
        done, _ = self.ray.wait(list(self._calls), num_returns=1, timeout=TICK)
        return list(done)

    # -- handing out ---------------------------------------------------------------------------------------------------

    def _go_on(self, source: Iterator[pa.Table]) -> bool:
        """Bring chunks and workers together; tell whether anything is left to do."""
        workers = self._workers()
        while not self._dry and len(self._queue) < max(workers, 1):
            chunk = next(source, None)
            self._dry = chunk is None
            if chunk is not None:
                self._add(_Unit(chunk))
        starting = sum(not hand.ready for hand in self._hands)
        while len(self._hands) < workers and starting < len(self._queue):
            self._hire()
            starting += 1
        for depth in range(DEPTH):
            for hand in self._hands:
                if hand.ready and len(hand.units) <= depth and self._queue:
                    self._give(hand, self._queue.popleft())
        return self._open > 0

    def _add(self, unit: _Unit, soon: bool = False) -> None:
        self._open += 1
        self._queue.appendleft(unit) if soon else self._queue.append(unit)

    def _give(self, hand: _Hand, unit: _Unit) -> None:
        unit.copies += 1
        if not hand.units:
            hand.since = monotonic()
        hand.units.append(unit)
        self._calls[hand.actor.work.remote(unit.chunk)] = (hand, unit)

    def _workers(self) -> int:
        """Return how many workers are wanted now: nodes come and go, and the first chunks show what a row costs."""
        if monotonic() - self._planned >= PLAN_SECONDS:
            self._planned = monotonic()
            try:
                self._plan = shape(self._nodes(), replace(self.place, actors=0))
            except UsageError:  # nodes were lost; others may come
                self._plan = replace(self._plan, workers=0)
        wanted = self.place.actors or self._grown()
        return min(self._plan.workers, wanted, self._cap)

    def _grown(self) -> int:
        return max(FIRST_WORKERS, worth(self.left, median(self._paces)) if self._paces else 0)

    def _nodes(self) -> list[Any]:
        return [node for node in alive(self.ray.nodes()) if node.id not in self._shunned()]

    def _shunned(self) -> list[str]:
        """Return the nodes whose workers could not write, again and again: full disks, broken mounts."""
        return [node for node, times in self._spoilt.items() if times >= 2]

    def _hire(self) -> None:
        options: dict[str, Any] = {"num_cpus": self._plan.cpus, "num_gpus": self._plan.gpus}
        if self._shunned():
            options["label_selector"] = {"ray.io/node-id": f"!in({','.join(self._shunned())})"}
        # Restarts and retries are this pool's own: Ray's would repeat a chunk that kills without telling.
        actor = self.ray.remote(Mapper).options(max_restarts=0, max_task_retries=0, **options).remote(self.job)
        hand = _Hand(actor)
        self._hands.append(hand)
        self._most = max(self._most, len(self._hands))
        self._calls[actor.where.remote()] = (hand, None)

    def _dismiss(self, hand: _Hand) -> None:
        self._hands.remove(hand)
        self._calls = {reference: call for reference, call in self._calls.items() if call[0] is not hand}
        self.ray.kill(hand.actor)

    # -- hearing back --------------------------------------------------------------------------------------------------

    def _hear(self, reference: Any) -> Iterator[pa.Table]:
        if reference not in self._calls:  # its worker was dismissed within this round
            return
        hand, unit = self._calls.pop(reference)
        from ray.exceptions import RayError

        try:
            said = self.ray.get(reference)
        except RayError as error:
            yield from self._lose(hand, unit, error)
            return
        if unit is None:
            self._settle(hand, said)
        elif isinstance(said, Trouble):
            yield from self._excuse(hand, unit, said)
        else:
            yield from self._finish(hand, unit, said)

    def _settle(self, hand: _Hand, said: Any) -> None:
        """Take in that a worker was placed, and then that it was set up."""
        if isinstance(said, Trouble):
            raise said.error()
        if hand.node:
            hand.ready, self._stillborn = True, 0
            return
        hand.node = said
        self._calls[hand.actor.setup.remote()] = (hand, None)

    def _finish(self, hand: _Hand, unit: _Unit, receipt: pa.Table) -> Iterator[pa.Table]:
        now = monotonic()
        self._spoilt.pop(hand.node, None)
        pace, hand.since = (now - hand.since) / max(unit.chunk.num_rows, 1), now
        self._return(hand, unit)
        if unit.done:
            return
        self._paces.append(pace)
        self.told.did(self._name(hand.node), unit.chunk.num_rows)
        self._close(unit)
        self._done += 1
        yield receipt

    def _return(self, hand: _Hand, unit: _Unit) -> None:
        hand.units.remove(unit)
        unit.copies -= 1

    def _close(self, unit: _Unit) -> None:
        unit.done = True
        self._open -= 1
        self.left -= unit.chunk.num_rows

    def _name(self, node: str) -> str:
        if node not in self._names:  # asked once a node, not once a chunk
            self._names |= {entry.id: entry.name for entry in alive(self.ray.nodes())}
        return self._names.get(node, node[:6])

    # -- faults --------------------------------------------------------------------------------------------------------

    def _lose(self, hand: _Hand, unit: _Unit | None, error: Exception) -> Iterator[pa.Table]:
        """Give back what a worker that is gone had; only the chunk that was at work may be to blame."""
        kind = kind_of(error)
        if not kind:
            raise gave_up(error) from error
        units = list(hand.units)
        self._dismiss(hand)
        if not hand.ready:
            self._lose_unborn(hand, kind, error)
            return
        self.told.fault(kind, len(units))
        self._deaths += kind != UNREACHABLE
        if not self._done and self._deaths >= HOPELESS:
            raise RunFailed(f"{self._deaths} workers died and no chunk was done: {_last(error)}; see the workers' logs")
        for at_work, held in enumerate(units):
            self._return(hand, held)
            if held.done or held.copies:
                continue
            if at_work == 0:
                yield from self._suspect(held, kind)
            else:
                self._queue.appendleft(held)

    def _lose_unborn(self, hand: _Hand, kind: str, error: Exception) -> None:
        """Count workers that died while they were set up: no chunk is to blame, the stage or the machine is."""
        self.told.fault(kind, 0)
        self._stillborn += bool(hand.node) and kind != UNREACHABLE
        if self._stillborn >= STILLBORN:
            raise RunFailed(
                f"{self._stillborn} workers in a row died while their stages were set up ({kind}): {_last(error)}; "
                "see the workers' logs, or give them more memory"
            )

    def _suspect(self, unit: _Unit, kind: str) -> Iterator[pa.Table]:
        """Do a chunk again that was at work when its worker went; cut it where it was so before; reject the one image."""
        unit.deaths += kind in (DIED, MEMORY)
        unit.losses += kind in (UNREACHABLE, LOST)
        if kind == MEMORY:
            yield from self._shrink(unit)
        elif unit.deaths >= TIMES:
            reason = f"the worker process died {unit.deaths} times on this image alone: the stage or a library of it crashes"
            yield from self._cut(unit, PIECES, reason, lasting=True)
        elif unit.losses >= LOSSES:
            reason = f"{unit.losses} nodes were lost while they worked on this image alone"
            yield from self._cut(unit, PIECES, reason, lasting=False)
        else:
            self._queue.appendleft(unit)

    def _shrink(self, unit: _Unit) -> Iterator[pa.Table]:
        """Go on with fewer workers and half the chunk; an image alone is tried again when others have let memory go."""
        self._cap = max(1, min(self._cap, len(self._hands)))
        if unit.deaths < 2 * TIMES and not self.job.split(unit.chunk, 2):
            self._queue.append(unit)
        else:
            yield from self._cut(unit, 2, "memory ran out on this image alone", lasting=False)

    def _cut(self, unit: _Unit, parts: int, reason: str, lasting: bool) -> Iterator[pa.Table]:
        pieces = self.job.split(unit.chunk, parts)
        if not pieces:
            self._close(unit)
            yield self.job.reject(unit.chunk, reason, lasting)
            return
        self._open -= 1
        unit.done = True
        for piece in reversed(pieces):
            # One more of what cut it and a piece is cut again; an image alone gets its full number of tries.
            alone = not self.job.split(piece, parts)
            self._add(_Unit(piece, 0, 0) if alone else _Unit(piece, TIMES - 1, LOSSES - 1), soon=True)

    def _excuse(self, hand: _Hand, unit: _Unit, trouble: Trouble) -> Iterator[pa.Table]:
        """Do a chunk again that failed of what another worker or another moment may not have; raise anything else."""
        self._return(hand, unit)
        hand.since = monotonic()
        if unit.done or (unit.copies and trouble.kind in ("StoreError", "MemoryError")):
            return
        if trouble.kind == "MemoryError":
            unit.deaths += 1
            self.told.fault(MEMORY)
            if len(self._hands) > 1:
                self._empty(hand)
            yield from self._shrink(unit)
            return
        unit.excuses += 1
        if trouble.kind != "StoreError" or unit.excuses >= STORAGE_TIMES:
            raise trouble.error()
        self.told.fault(STORAGE)
        self._spoil(hand, trouble)
        self._queue.append(unit)

    def _spoil(self, hand: _Hand, trouble: Trouble) -> None:
        """Remember where writing failed; leave a node alone that fails again, as long as another can do its work."""
        self._spoilt[hand.node] = self._spoilt.get(hand.node, 0) + 1
        if hand.node not in self._shunned():
            return
        if not holds(self._nodes(), self._plan.cpus, self._plan.gpus):
            raise trouble.error()
        for other in [other for other in self._hands if other.node == hand.node]:
            self._empty(other)

    def _empty(self, hand: _Hand) -> None:
        """Let a worker go that nothing befell, and give what it has to others."""
        self._dismiss(hand)
        for unit in list(hand.units):
            self._return(hand, unit)
            if not unit.done and not unit.copies:
                self._queue.append(unit)

    # -- waiting -------------------------------------------------------------------------------------------------------

    def _watch(self, heard: bool) -> None:
        """Look after a round: double what is slow, and say aloud what a pass without any worker waits for."""
        placed, ready = any(hand.node for hand in self._hands), any(hand.ready for hand in self._hands)
        self._room.look(placed, self._plan.cpus, self._plan.gpus, self._plan.workers > 0)
        self._room.look_at_setup(placed, ready)
        if not heard:
            self._double(monotonic())

    def _double(self, now: float) -> None:
        """Give what slow workers have to idle ones as well; the first answer counts."""
        if self._queue or not self._paces:
            return
        idle = [hand for hand in self._hands if hand.ready and not hand.units]
        for hand in self._hands:
            if not hand.units:
                continue
            usual = median(self._paces) * hand.units[0].chunk.num_rows
            if now - hand.since < max(SLOW_SECONDS, SLOW_TIMES * usual):
                continue
            for unit in hand.units:
                if idle and unit.copies == 1 and not unit.done:
                    self.told.fault(SLOW)
                    self._give(idle.pop(), unit)


def _last(error: Exception) -> str:
    """Return the last line of what Ray says of a death, kept short."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[-1].partition(" Some common causes")[0][:300]
