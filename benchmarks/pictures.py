"""Makes the JPEG files that benchmarks read: the same ones every time, kept in a cache folder."""

import gzip
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

SMALL = (640, 480)
LARGE = (4000, 3000)
PRODUCT = 320
_PACKAGE = "dataset-fashion-mnist"
_PIXELS = "usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz"
_IDX_HEADER = 16  # bytes: magic, images, rows, columns
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def crops(photos: Path, cache: Path, count: int) -> Path:
    """Return a folder of `count` JPEG files of 640 x 480, quality 85: random parts of the photos. No two are the same."""
    return _made(cache / f"crops-{count}", count, _small(photos))


def large(photos: Path, cache: Path, count: int) -> Path:
    """Return a folder of `count` JPEG files of 12 megapixels, quality 92, with a camera's grain: 4 to 5 MB each."""
    return _made(cache / f"large-{count}", count, _large(photos))


def products(cache: Path, count: int) -> Path:
    """Return a folder of `count` grey JPEG files of 320 x 320, quality 85: Fashion-MNIST (28 x 28), scaled up.

    Raises:
        OSError: Debian's client is missing, or can't have the package.
    """
    folder = cache / f"products-{count}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    return _made(folder, count, _product(_fashion()))


def _fashion() -> "NDArray[np.uint8]":
    """Return the 60,000 training images, shape (n, 28, 28)."""
    with tempfile.TemporaryDirectory() as scratch:
        _run(scratch, "apt-get", "download", "-q", _PACKAGE)
        _run(scratch, "dpkg-deb", "-x", *(str(path) for path in Path(scratch).glob("*.deb")), ".")
        data = gzip.decompress((Path(scratch) / _PIXELS).read_bytes())
    return np.frombuffer(data, np.uint8, offset=_IDX_HEADER).reshape(-1, 28, 28)


def _run(folder: str, *command: str) -> None:
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=600)
    except subprocess.SubprocessError as error:
        raise OSError(str(error)) from error


def _product(images: "NDArray[np.uint8]") -> "Callable[[int], tuple[Image, int]]":
    from PIL.Image import Resampling, fromarray

    return lambda number: (fromarray(images[number]).resize((PRODUCT, PRODUCT), Resampling.BICUBIC), 85)


def _made(folder: Path, count: int, draw: "Callable[[int], tuple[Image, int]]") -> Path:
    if folder.is_dir():
        return folder
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    for number in range(count):
        image, quality = draw(number)
        place = part / f"{number // 1000:03d}"
        place.mkdir(parents=True, exist_ok=True)
        image.save(place / f"{number:06d}.jpg", "JPEG", quality=quality)
    part.rename(folder)
    return folder


def _small(photos: Path) -> "Callable[[int], tuple[Image, int]]":
    source = _Photos(photos)
    return lambda number: (source.part(number, SMALL), 85)


def _large(photos: Path) -> "Callable[[int], tuple[Image, int]]":
    from PIL.Image import fromarray

    source = _Photos(photos)
    grain = np.random.default_rng(12).normal(0, 3, (LARGE[1], LARGE[0], 1)).astype(np.int16)

    def draw(number: int) -> "tuple[Image, int]":
        pixels = np.asarray(source.part(number, LARGE), dtype=np.int16) + np.roll(grain, 7919 * number)
        return fromarray(np.clip(pixels, 0, 255).astype(np.uint8)), 92

    return draw


class _Photos:
    """The photo set, each photo decoded once."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
        if not self.paths:
            raise SystemExit(f"{folder} holds no photos; name the photo set with --photos")
        self.photo = cache(self._open)

    def _open(self, path: Path) -> "Image":
        from PIL.Image import open as open_image

        with open_image(path) as image:
            return image.convert("RGB")

    def part(self, number: int, size: tuple[int, int]) -> "Image":
        """Return the random part that a number stands for: 4 by 3, half to all of the largest that the photo holds."""
        from PIL.Image import Resampling

        rng = np.random.default_rng([number, *size])
        photo = self.photo(self.paths[int(rng.integers(len(self.paths)))])
        width = min(photo.width, photo.height * size[0] / size[1]) * rng.uniform(0.5, 1.0)
        height = width * size[1] / size[0]
        left, top = rng.uniform(0, photo.width - width), rng.uniform(0, photo.height - height)
        return photo.resize(size, Resampling.BICUBIC, box=(left, top, left + width, top + height))


def files(folder: Path) -> list[Path]:
    """Return the pictures of a folder, sorted."""
    return sorted(folder.rglob("*.jpg"))


def some(folder: Path, target: Path, chosen: slice) -> Iterator[Path]:
    """Link some of a folder's pictures into another one; yield the new paths."""
    for path in files(folder)[chosen]:
        place = target / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.hardlink_to(path)
        yield place
