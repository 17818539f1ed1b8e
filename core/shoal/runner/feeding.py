"""Feeds a GPU: threads decode the next images while the model works on these, as many as keep it busy."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter
from typing import Generic, TypeVar

from shoal.runner.placement import decoders

Row = TypeVar("Row")
Pixels = TypeVar("Pixels")


class Feeder(Generic[Row, Pixels]):
    """Decodes parts of a chunk in order.

    The first part is the preflight: one thread decodes it, and it is timed, as is what the caller does with it. From the
    next part on so many threads decode ahead as the model needs, and one part ahead of it, so memory holds two.

    Args:
        decode: makes a row's pixels; safe with threads. Decoders of images let go of the interpreter while they work.
        cpus: of this worker; with one, parts are decoded when they are asked for.
    """

    def __init__(self, decode: Callable[[Row], Pixels], cpus: int) -> None:
        """Start no thread yet."""
        self.decode, self.cpus = decode, cpus
        self.threads = 1
        self.waited = 0.0
        self._pool: ThreadPoolExecutor | None = None

    def feed(self, parts: Iterable[list[Row]]) -> Iterator[list[Pixels]]:
        """Yield the pixels of each part; `waited` grows by the seconds that the caller had to wait for them."""
        ahead: list[list[Future[Pixels]]] = []
        for part in parts:
            if self._pool is None:
                yield from self._alone(part)
                continue
            ahead.append([self._pool.submit(self.decode, row) for row in part])
            if len(ahead) > 1:
                yield self._take(ahead.pop(0))
        for futures in ahead:
            yield self._take(futures)

    def _alone(self, part: list[Row]) -> Iterator[list[Pixels]]:
        began = perf_counter()
        pixels = [self.decode(row) for row in part]
        decoded = perf_counter()
        self.waited += decoded - began
        yield pixels
        if self.cpus > 1 and part:
            self.threads = decoders((decoded - began) / len(part), (perf_counter() - decoded) / len(part), self.cpus)
            self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="decode")

    def _take(self, futures: "list[Future[Pixels]]") -> list[Pixels]:
        began = perf_counter()
        pixels = [future.result() for future in futures]
        self.waited += perf_counter() - began
        return pixels
