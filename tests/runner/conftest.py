"""A folder of small real JPEGs, a host with small real stages, and a way to run them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shoal.api import run as run_pipeline
from shoal.catalogue import Run
from shoal.host import Host
from shoal.pipeline import parse
from shoal.runner import RunOptions

BUILTINS = (
    "shoal_plugins.index.folder",
    "shoal_plugins.thumbnail.jpeg",
    "shoal_plugins.organize.folders",
    "tests.runner.stages",
)
PIPELINE = """
shoal: 1
name: small
steps:
  - use: index.folder
  - use: embed.colours
  - use: reduce.centre
  - use: cluster.split
    from: reduce
  - use: label.numbered
"""

Go = Callable[..., Run]


def picture(seed: int) -> Image.Image:
    noise = np.random.default_rng(seed)
    small = noise.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((64, 48), Image.Resampling.BICUBIC)


def save(folder: Path, seed: int) -> Path:
    path = folder / f"p{seed:04d}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(seed).save(path, quality=90)
    return path


@pytest.fixture(scope="package")
def ray_cluster() -> Iterator[None]:
    """One Ray for these tests: starting it takes longer than all of them. It is told of a GPU, on which nothing computes."""
    import ray

    ray.init(address="local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for seed in range(24):
        save(folder / ("a" if seed % 2 else "b"), seed)
    return folder


@pytest.fixture(scope="session")
def host() -> Host:
    return Host(builtins=BUILTINS, allow=())


@pytest.fixture
def go(tmp_path: Path, photos: Path, host: Host) -> Go:
    def run(text: str = PIPELINE, overrides: tuple[str, ...] = (), **options: object) -> Run:
        made = parse(text, host, overrides)
        settings = RunOptions(where=options.pop("where", "local"), **options)  # type: ignore[arg-type]
        return run_pipeline(made, photos, tmp_path / "out", options=settings, host=host)

    return run


def computed(run: Run) -> dict[str, int]:
    return {step.step: step.computed for step in run.record.steps}
