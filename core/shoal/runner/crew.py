"""A pool of actors that works through chunks and outlives what befalls it.

Ray Data's own actor pool repeats the block that killed an actor for ever, or ends the run without saying which block it
was. Here each chunk is known by the actor that has it: one that dies with a chunk at work gives it back, a chunk that kills
twice is cut until the one image is found, and what is slow is done twice. All of it is safe because a chunk's work is
idempotent: whoever does it writes the same part files.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from time import monotonic, sleep
from typing import Any

import pyarrow as pa

from shoal.errors import RunFailed, UsageError
from shoal.runner.bodies import Mapper
from shoal.runner.cluster import gave_up
from shoal.runner.distrust import Distrust
from shoal.runner.hands import Hand, Pace, Room, Unit, doubles
from shoal.runner.happened import DIED, LOST, MEMORY, SLOW, STORAGE, UNREACHABLE, Happened, kind_of
from shoal.runner.jobs import Job, Trouble
from shoal.runner.placement import FIRST_WORKERS, Node, Placement, Shape, alive, shape, worth
from shoal.runner.waiting import Patience, WaitingRoom

DEPTH = 2
"""Chunks of a worker: one at work and one that waits. A longer queue leaves the last chunks with one worker."""

TICK = 1.0
PLAN_SECONDS = 5.0

PIECES = 8
TIMES = 2
"""A chunk that killed so many workers is cut; a single image that did is rejected."""

LOSSES = 4
"""The same for a chunk whose node was lost each time, which is chance as a rule: spot nodes go while they work."""

STILLBORN = 3
HOPELESS = 12
STORAGE_TIMES = 4


class Crew:
    """Does one job.

    Args:
        ray: the module, started.
        job: what is done with each chunk.
        place: what each worker is given; its GPUs are no wish here, since the job was made for them.
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
        self._plan: Shape = shape(self._able(), place)
        self._planned = monotonic()
        self._waiting = WaitingRoom(patience, say)
        self._room = Room()
        self._hands: list[Hand] = []
        self._calls: dict[Any, tuple[Hand, Unit | None]] = {}
        self._queue: deque[Unit] = deque()
        self._open = self._done = self._deaths = self._stillborn = self._most = 0
        self._pace = Pace()
        self._distrust = Distrust()
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
                for piece in self._that_fit(chunk):
                    self._add(Unit(piece))
        starting = sum(not hand.ready for hand in self._hands)
        while len(self._hands) < workers and starting < len(self._queue):
            self._hire()
            starting += 1
        nodes = {hand.node for hand in self._hands if hand.node}
        for depth in range(DEPTH):
            for hand in self._hands:
                unit = self._next(hand, nodes) if hand.ready and len(hand.units) <= depth else None
                if unit is not None:
                    self._queue.remove(unit)
                    self._give(hand, unit)
        return self._open > 0

    def _that_fit(self, chunk: pa.Table) -> list[pa.Table]:
        """Return a chunk in pieces of no more rows than have shown to fit into memory."""
        parts = -(-chunk.num_rows // self._room.rows)
        return self.job.split(chunk, parts) if parts > 1 else [chunk]

    def _next(self, hand: Hand, nodes: set[str]) -> Unit | None:
        now = monotonic()
        return next((unit for unit in self._queue if unit.suits(hand.node, nodes, now)), None)

    def _add(self, unit: Unit, soon: bool = False) -> None:
        self._open += 1
        self._queue.appendleft(unit) if soon else self._queue.append(unit)

    def _give(self, hand: Hand, unit: Unit) -> None:
        unit.copies += 1
        if not hand.units:
            hand.since = monotonic()
        hand.units.append(unit)
        self._calls[hand.actor.work.remote(unit.chunk)] = (hand, unit)

    def _workers(self) -> int:
        """Return how many workers are wanted now: nodes come and go, and the first chunks show what a row costs."""
        if monotonic() - self._planned >= PLAN_SECONDS:
            self._plan_anew()
        wanted = self.place.actors or self._grown()
        return min(self._plan.workers, wanted, self._room.workers)

    def _plan_anew(self) -> None:
        self._planned = monotonic()
        able, bad = self._able(), self._shunned()
        try:
            self._plan = shape([node for node in able if node.id not in bad], replace(self.place, actors=0))
        except UsageError:  # nodes were lost; others may come
            self._plan = replace(self._plan, workers=0)
        for hand in [hand for hand in self._hands if not hand.node and hand.size != (self._plan.cpus, self._plan.gpus)]:
            self._dismiss(hand)  # it waits for a place on a node of another kind, which may be gone for good

    def _grown(self) -> int:
        return max(FIRST_WORKERS, worth(self.left, self._pace.seconds) if self._pace.seconds is not None else 0)

    def _able(self) -> list[Node]:
        """Return the nodes that are alive and have the GPUs of a worker: what it began on a GPU, no CPU goes on with."""
        return [node for node in alive(self.ray.nodes()) if node.gpus >= self.place.gpus]

    def _shunned(self) -> list[str]:
        return self._distrust.shunned(self._able(), self._plan.cpus, self._plan.gpus)

    def _hire(self) -> None:
        options: dict[str, Any] = {"num_cpus": self._plan.cpus, "num_gpus": self._plan.gpus}
        bad = self._shunned()
        if bad:
            options["label_selector"] = {"ray.io/node-id": f"!in({','.join(bad)})"}
        # Restarts and retries are this pool's own: Ray's would repeat a chunk that kills without telling.
        actor = self.ray.remote(Mapper).options(max_restarts=0, max_task_retries=0, **options).remote(self.job)
        hand = Hand(actor, (self._plan.cpus, self._plan.gpus))
        self._hands.append(hand)
        self._most = max(self._most, len(self._hands))
        self._calls[actor.where.remote()] = (hand, None)

    def _dismiss(self, hand: Hand) -> None:
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

    def _settle(self, hand: Hand, said: Any) -> None:
        """Take in that a worker was placed, and then that it was set up."""
        if isinstance(said, Trouble):
            raise said.error()
        if hand.node:
            hand.ready, self._stillborn = True, 0
            self._distrust.welcome(hand.node)
            return
        hand.node = said
        self._calls[hand.actor.setup.remote()] = (hand, None)

    def _finish(self, hand: Hand, unit: Unit, receipt: pa.Table) -> Iterator[pa.Table]:
        now = monotonic()
        self._distrust.praise(hand.node)
        pace, hand.since = (now - hand.since) / max(unit.chunk.num_rows, 1), now
        self._return(hand, unit)
        if unit.done:
            return
        self._pace.add(pace)
        self.told.did(self._name(hand.node), unit.chunk.num_rows)
        self._close(unit)
        self._done += 1
        self._room.fit()
        yield receipt

    def _return(self, hand: Hand, unit: Unit) -> None:
        hand.units.remove(unit)
        unit.copies -= 1

    def _close(self, unit: Unit) -> None:
        unit.done = True
        self._open -= 1
        self.left -= unit.chunk.num_rows

    def _name(self, node: str) -> str:
        if node not in self._names:  # asked once a node, not once a chunk
            self._names |= {entry.id: entry.name for entry in alive(self.ray.nodes())}
        return self._names.get(node, node[:6])

    # -- faults --------------------------------------------------------------------------------------------------------

    def _lose(self, hand: Hand, unit: Unit | None, error: Exception) -> Iterator[pa.Table]:
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

    def _lose_unborn(self, hand: Hand, kind: str, error: Exception) -> None:
        """Count workers that died before they were set up: no chunk is to blame; the stage, the machine or its memory is."""
        self.told.fault(kind, 0)
        if kind == UNREACHABLE:
            return
        if kind == MEMORY and self._hands:  # fewer may fit
            self._room.shrink(len(self._hands))
            return
        self._stillborn += 1
        self._distrust.bury(hand.node)
        hope = self._distrust.untried(self._able(), self._plan.cpus, self._plan.gpus)
        if self._stillborn >= (HOPELESS if hope else STILLBORN):
            raise RunFailed(
                f"{self._stillborn} workers in a row died while their stages were set up ({kind}): {_last(error)}; "
                "see the workers' logs, or give them more memory"
            )

    def _suspect(self, unit: Unit, kind: str) -> Iterator[pa.Table]:
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

    def _shrink(self, unit: Unit) -> Iterator[pa.Table]:
        """Go on with fewer workers and half the chunk; an image alone is tried again when others have let memory go."""
        self._room.shrink(len(self._hands), unit.chunk.num_rows)
        if unit.deaths < 2 * TIMES and not self.job.split(unit.chunk, 2):
            self._queue.append(unit)
        else:
            yield from self._cut(unit, 2, "memory ran out on this image alone", lasting=False)

    def _cut(self, unit: Unit, parts: int, reason: str, lasting: bool) -> Iterator[pa.Table]:
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
            self._add(Unit(piece) if alone else Unit(piece, TIMES - 1, LOSSES - 1), soon=True)

    def _excuse(self, hand: Hand, unit: Unit, trouble: Trouble) -> Iterator[pa.Table]:
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
        unit.spoilt.add(hand.node)
        unit.rests_until = monotonic() + 2.0 ** (unit.excuses - 1)
        self._distrust.spoil(hand.node, self._done)
        self._queue.append(unit)
        if hand.node in self._shunned():
            for other in [other for other in self._hands if other.node == hand.node]:
                self._empty(other)

    def _empty(self, hand: Hand) -> None:
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
        self._waiting.look(placed, self._plan.cpus, self._plan.gpus, self._plan.workers > 0)
        self._waiting.look_at_setup(placed, ready)
        if heard:  # then who is idle gets something from the queue
            return
        now = monotonic()
        for hand, unit in doubles(self._hands, lambda hand, times: self._pace.slow(hand, now, times)):
            self.told.fault(SLOW)
            self._give(hand, unit)


def _last(error: Exception) -> str:
    """Return the last line of what Ray says of a death, kept short."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[-1].partition(" Some common causes")[0][:300]
