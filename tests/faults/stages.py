"""Stages that break in real ways: they end their process, run out of memory, fill no disk but say so, or take their time."""

import hashlib
import os
import signal
import time
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from shoal.contract import Batch, Context, Stage
from shoal.hooks import hookimpl
from tests.runner.stages import Centre, Colours, Numbered, Split

BLOCK = bytes(1 << 20)
ODD = "SHOAL_TEST_ODD"
"""Set on a node whose workers are to get something for certain: `waits` says how."""

GREEDY = "SHOAL_TEST_GREEDY"
"""Set on a node whose workers may hog memory."""

HOGGED = 3 << 30
"""Bytes."""


class Fragile(Colours):
    """Mean colours, and what befalls whoever computes them."""

    name: ClassVar[str] = "fragile"
    poison: tuple[str, ...] = Field((), description="Ids that end the process.")
    how: Literal["exit", "segfault"] = "exit"
    unborn: bool = Field(False, description="Ends the process in setup.")
    holds: int = Field(1_000_000, description="Rows a call that memory holds.")
    waits: str = Field("", description="A file that the odd node's worker makes when it is set up; the others begin then.")
    hog: str = Field("", description="A file that says that memory was taken: once only, on a node that is told to.")
    pause: float = Field(0.0, description="Seconds a row.")
    work: int = Field(0, description="Rounds of hashing a row: work that keeps a core busy.")

    def setup(self, context: Context) -> None:
        if self.unborn:
            os._exit(3)
        if self.waits and os.environ.get(ODD):
            Path(self.waits).touch()
        super().setup(context)

    def map(self, batch: Batch) -> pa.Table:
        ids = batch.rows["id"].to_pylist()
        end = time.monotonic() + 120
        while self.waits and not Path(self.waits).exists() and time.monotonic() < end:
            time.sleep(0.05)
        if self.log:
            call = f"{os.getpid()} {{}} {time.process_time()}\n"
            with Path(self.log).open("a") as out:
                out.writelines(call.format(image) for image in ids)
        if set(self.poison) & set(ids):
            self._die()
        if self.hog and os.environ.get(GREEDY) and not Path(self.hog).exists():
            Path(self.hog).touch()
            taken = np.ones(HOGGED, dtype=np.uint8)
            time.sleep(60 * min(taken[-1], 1))
        if len(ids) > self.holds:
            np.empty(1 << 62, dtype=np.uint8)  # a real MemoryError
        time.sleep(self.pause * len(ids))
        for _ in range(self.work * len(ids)):
            hashlib.sha256(BLOCK).digest()
        return super(Colours, self).map(batch)

    def _die(self) -> None:
        if self.how == "exit":
            os._exit(7)
        os.kill(os.getpid(), signal.SIGSEGV)
        time.sleep(60)


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    return (Fragile, Centre, Split, Numbered)
