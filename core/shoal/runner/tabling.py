"""Table jobs on a cluster, side by side: each on an actor of its size, done again where its worker or node is lost."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from shoal.runner.answering import TableJob
from shoal.runner.bodies import Answerer
from shoal.runner.cluster import gave_up
from shoal.runner.happened import STORAGE, Happened, kind_of
from shoal.runner.jobs import Trouble
from shoal.runner.placement import alive, holds
from shoal.runner.waiting import Patience, WaitingRoom

TIMES = 4
"""How often a job is given out: a job that loses its worker every time (of memory, most likely) has failed."""

Outcome = dict[str, Any] | Trouble


@dataclass(frozen=True)
class Placed:
    """A table job, and the CPUs and GPUs of the worker that answers it."""

    job: TableJob
    cpus: float
    gpus: float


@dataclass(eq=False)
class _Try:
    number: int
    actor: Any
    node: str = ""


@dataclass
class Tables:
    """Answers table jobs.

    Attributes:
        ray: the module, started.
        jobs: what to answer.
        say: shows a sentence to who waits.
        patience: how long to wait for room.
    """

    ray: Any
    jobs: Sequence[Placed]
    say: Callable[[str], None]
    patience: Patience
    told: list[Happened] = field(default_factory=list)

    def outcomes(self) -> Generator[tuple[int, Outcome], None, None]:
        """Yield (number of the job, its facts or what it failed of) as they end."""
        self.told = [Happened("ray") for _ in self.jobs]
        waiting: dict[Any, _Try] = {}
        for number in range(len(self.jobs)):
            self._begin(number, waiting, "")
        try:
            yield from self._follow(waiting)
        finally:  # what one job raised, or Ctrl-C, ends the others' workers too
            for attempt in waiting.values():
                self.ray.kill(attempt.actor)

    def _follow(self, waiting: dict[Any, _Try]) -> Iterator[tuple[int, Outcome]]:
        room = WaitingRoom(self.patience, self.say)
        while waiting:
            done, _ = self.ray.wait(list(waiting), num_returns=1, timeout=1.0)
            for reference in done:
                attempt = waiting.pop(reference)
                outcome = self._hear(reference, attempt, waiting)
                if outcome is not None:
                    yield attempt.number, outcome
            least = min((self.jobs[attempt.number] for attempt in waiting.values()), key=lambda job: job.cpus, default=None)
            if least is not None:
                placed = any(attempt.node for attempt in waiting.values())
                possible = placed or holds(alive(self.ray.nodes()), least.cpus, least.gpus)
                room.look(placed, least.cpus, least.gpus, possible)

    def _begin(self, number: int, waiting: dict[Any, _Try], avoid: str) -> None:
        placed = self.jobs[number]
        options: dict[str, Any] = {"label_selector": {"ray.io/node-id": f"!in({avoid})"}} if avoid else {}
        # The same number of threads wherever it runs: sums in another order have other last bits.
        options["runtime_env"] = {"env_vars": {"OMP_NUM_THREADS": str(placed.job.threads)}}
        actor = self.ray.remote(Answerer).options(num_cpus=placed.cpus, num_gpus=placed.gpus, **options).remote()
        waiting[actor.where.remote()] = _Try(number, actor)

    def _hear(self, reference: Any, attempt: _Try, waiting: dict[Any, _Try]) -> Outcome | None:
        """Return an outcome; None where the job goes on or is done again."""
        from ray.exceptions import RayError

        try:
            said = self.ray.get(reference)
        except RayError as error:
            self.ray.kill(attempt.actor)
            return self._again(attempt, kind_of(error), Trouble.of(gave_up(error)), waiting, "")
        if not attempt.node:
            attempt.node = said
            waiting[attempt.actor.answer.remote(self.jobs[attempt.number].job)] = attempt
            return None
        if isinstance(said, Trouble):
            self.ray.kill(attempt.actor)
            kind = STORAGE if said.kind == "StoreError" else ""
            return self._again(attempt, kind, said, waiting, attempt.node)
        self._pass_on(attempt, waiting)
        told = self.told[attempt.number]
        return {**said, "faults": told.faults, "retried": told.retried}

    def _pass_on(self, done: _Try, waiting: dict[Any, _Try]) -> None:
        """Give a worker that has answered the next job that has none: what libraries take to load is paid once a worker.

        It is the last in Ray's queue, since Ray may be starting a worker for the first. A job that lost its worker gets a
        new one: what others left in a process may be what it failed of. So does each job on a GPU, whose memory libraries
        keep to themselves.
        """
        for reference, other in reversed(waiting.items()):
            its_own = other.node or self.told[other.number].retried or self.jobs[other.number].gpus
            if not its_own and self._size(other) == self._size(done):
                del waiting[reference]
                self.ray.kill(other.actor)
                job = self.jobs[other.number].job
                waiting[done.actor.answer.remote(job)] = _Try(other.number, done.actor, done.node)
                return
        self.ray.kill(done.actor)

    def _size(self, attempt: _Try) -> tuple[float, float, int]:
        placed = self.jobs[attempt.number]
        return placed.cpus, placed.gpus, placed.job.threads

    def _again(self, attempt: _Try, kind: str, trouble: Trouble, waiting: dict[Any, _Try], avoid: str) -> Outcome | None:
        """Give a job out once more, where that may help."""
        told = self.told[attempt.number]
        if not kind or told.retried + 1 >= TIMES:
            return trouble
        told.fault(kind)
        placed = self.jobs[attempt.number]
        others = [node for node in alive(self.ray.nodes()) if node.id != avoid]
        self._begin(attempt.number, waiting, avoid if holds(others, placed.cpus, placed.gpus) else "")
        return None
