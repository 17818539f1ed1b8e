"""A third-party package: an embedder, a command and a listener."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from shoal import hookimpl
from shoal.contract import Context, ImageSpec, Stage
from shoal.kinds import Embedder

if TYPE_CHECKING:
    import typer

    from shoal.records import RunView, StepRecord

HEARD = "SHOAL_TEST_HEARD"
"""Environment variable: file that hooks append a JSON line to."""


class Brightness(Embedder):
    """Mean of red, green and blue, and the process that computed it."""

    name = "brightness"
    scale: float = Field(1.0, gt=0, description="Factor of all components.")

    @property
    def size(self) -> int:
        """Three channels."""
        return 3

    @property
    def image(self) -> ImageSpec:
        """Small pixels are enough."""
        return ImageSpec(32, 32)

    def setup(self, context: Context) -> None:
        """Tell that a worker got this stage."""
        tell("setup", pid=os.getpid())

    def embed(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return an array of shape (number of images, 3)."""
        if any(image.size == 0 for image in images):
            raise ValueError("the image has no pixels")
        rows = [image.reshape(-1, 3).mean(axis=0) * self.scale / 255.0 for image in images]
        return np.asarray(rows, dtype=np.float32).reshape(len(rows), 3)


def tell(event: str, **facts: object) -> None:
    """Append a line to the file that the environment names, if it does."""
    if HEARD in os.environ:
        with Path(os.environ[HEARD]).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"event": event, **facts}) + "\n")


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Add the embedder."""
    return (Brightness,)


@hookimpl
def shoal_commands(cli: "typer.Typer") -> None:
    """Add `shoal hello`."""

    @cli.command()
    def hello(name: str) -> None:
        """Greet somebody."""
        print(f"hello {name}")


@hookimpl
def shoal_stage_done(run: "RunView", record: "StepRecord") -> None:
    """Write down which step ended."""
    tell("stage_done", run=run.id, step=record.step)


@hookimpl
def shoal_run_done(run: "RunView") -> None:
    """Write down that the run ended."""
    tell("run_done", run=run.id, status=run.status)
