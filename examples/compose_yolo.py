#!/usr/bin/env python3
"""Compose a YOLO set of any size to try shoal on: compose_yolo.py OUT --count 120.

Stamps (clip art with transparency, from the Debian package tuxpaint-stamps-default, 160 MB to download) are pasted over
the photos of `fetch_photos.py`; where Debian's client is missing, shapes are drawn instead. What a stamp covers is known
to the pixel, so the boxes are exact. OUT gets `img/`, `lab/`, `classes.txt` and `SOURCE.txt`; the same options give the
same set.
"""

import argparse
import io
import json
import math
import random
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from fetch_photos import FetchError, debian_archive, fetch
from PIL import Image, ImageDraw, ImageOps

MARKER = ".compose.json"
DEBIAN = "tuxpaint-stamps-default"
STAMPS = "usr/share/tuxpaint/stamps/"
CLASSES = ("animals", "food", "household", "plants", "space", "sports", "town", "vehicles")
PER_CLASS = 40
MAX_BYTES = 8 * 2**20
MAX_SIDE = 4096

SHAPES = ("circle", "ring", "triangle", "square", "star", "cross")
CANVAS = 256
COLOURS = ("#d62728", "#1f77b4", "#2ca02c", "#ff7f0e", "#9467bd", "#e377c2")

SIDE = 640
MOST = 4
TRIES = 20
SOLID = 128
"""Alpha from which a pixel counts as covered; a stamp's fainter pixels are not pasted, so boxes are exact."""


class Box(NamedTuple):
    """A class number and a rectangle in pixels; right and bottom are outside."""

    number: int
    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True)
class Stamps:
    """Class names, the encoded stamps of each class, and where they are from."""

    names: tuple[str, ...]
    images: tuple[tuple[bytes, ...], ...]
    origin: str


def from_debian(downloads: Path) -> Stamps:
    """Return the stamps of the Debian package, the first `PER_CLASS` of each class by name.

    Raises:
        FetchError: Debian's client is missing or fails, or the package is not the one expected.
    """
    archive = debian_archive(downloads, DEBIAN, "160 MB")
    found: dict[str, dict[str, bytes]] = {name: {} for name in CLASSES}
    command = ["dpkg-deb", "--fsys-tarfile", str(archive)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:  # noqa: S603
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
                for member in tar:
                    path = member.name.removeprefix("./").removeprefix(STAMPS)
                    name = path.partition("/")[0]
                    if member.isfile() and path.endswith(".png") and name in found and member.size <= MAX_BYTES:
                        stream = tar.extractfile(member)
                        found[name][path] = stream.read() if stream else b""
        except (tarfile.TarError, EOFError) as error:
            raise FetchError(f"{archive.name} was cut short; delete it and run this again") from error
    if not all(found.values()):
        raise FetchError(f"{archive.name} lacks stamps of some class: another release of the package")
    images = tuple(tuple(content for _, content in sorted(found[name].items())[:PER_CLASS]) for name in CLASSES)
    return Stamps(CLASSES, images, f"Stamps of the Debian package {archive.name} (GPL-2; Tux Paint's authors).")


def drawn(downloads: Path) -> Stamps:
    """Return shapes in some colours."""
    images = tuple(tuple(_png(_shape(name, colour)) for colour in COLOURS) for name in SHAPES)
    return Stamps(SHAPES, images, "Drawn shapes.")


def _shape(name: str, colour: str) -> Image.Image:
    canvas = Image.new("RGBA", (CANVAS, CANVAS))
    draw, last = ImageDraw.Draw(canvas), CANVAS - 1
    third = CANVAS // 3
    if name == "circle":
        draw.ellipse((0, 0, last, last), fill=colour)
    elif name == "ring":
        draw.ellipse((0, 0, last, last), outline=colour, width=third // 2)
    elif name == "triangle":
        draw.polygon(((last / 2, 0), (last, last), (0, last)), fill=colour)
    elif name == "square":
        draw.rectangle((0, 0, last, last), fill=colour)
    elif name == "star":
        turns = [(math.pi * turn / 5, last / 2 if turn % 2 == 0 else last / 5) for turn in range(10)]
        draw.polygon([(last / 2 + r * math.sin(a), last / 2 - r * math.cos(a)) for a, r in turns], fill=colour)
    else:
        draw.rectangle((third, 0, 2 * third, last), fill=colour)
        draw.rectangle((0, third, last, 2 * third), fill=colour)
    return canvas


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def compose(
    photo: Image.Image, stamps: list[tuple[int, Image.Image]], chance: random.Random
) -> tuple[Image.Image, list[Box]]:
    """Return a photo with stamps pasted at random, none over another, and the box of each that found room.

    Args:
        photo: any image.
        stamps: class number and RGBA image.
        chance: gives sizes and places.
    """
    made, boxes = photo.convert("RGB"), list[Box]()
    for number, image in stamps:
        stamp = _fitted(image, chance.uniform(0.2, 0.45) * min(made.size))
        if chance.random() < 0.5:
            stamp = ImageOps.mirror(stamp)
        bounds = stamp.getchannel("A").getbbox()
        if bounds is None:
            continue
        stamp = stamp.crop(bounds)
        for _ in range(TRIES):
            left = chance.randrange(max(1, made.width - stamp.width + 1))
            top = chance.randrange(max(1, made.height - stamp.height + 1))
            box = Box(number, left, top, left + stamp.width, top + stamp.height)
            if not any(_overlap(box, other) for other in boxes):
                made.paste(stamp, (left, top), stamp)
                boxes.append(box)
                break
    return made, boxes


def _fitted(image: Image.Image, side: float) -> Image.Image:
    """Return a stamp whose longer side is that long, with pixels that are solid enough or not there."""
    scale = side / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    stamp = image.convert("RGBA").resize(size, Image.Resampling.LANCZOS)
    stamp.putalpha(stamp.getchannel("A").point([0] * SOLID + list(range(SOLID, 256))))
    return stamp


def _overlap(one: Box, other: Box) -> bool:
    return one.left < other.right and other.left < one.right and one.top < other.bottom and other.top < one.bottom


def label(boxes: list[Box], width: int, height: int) -> str:
    """Return boxes as YOLO writes them: class, centre and size, as shares of the image."""
    lines = (
        f"{box.number} {(box.left + box.right) / 2 / width:.6f} {(box.top + box.bottom) / 2 / height:.6f} "
        f"{(box.right - box.left) / width:.6f} {(box.bottom - box.top) / height:.6f}\n"
        for box in boxes
    )
    return "".join(lines)


@dataclass(frozen=True)
class Options:
    """What a set is made of: number of images, how many of them get no label file, seed, source of the stamps."""

    count: int
    missing: int
    seed: int
    stamps: str


def images_of(photos: list[Path], stamps: Stamps, options: Options) -> Iterator[tuple[str, bytes, str | None]]:
    """Yield name without extension, JPEG and label (None: it shall have none) of each image."""
    chance = random.Random(options.seed)
    bare = set(chance.sample(range(options.count), options.missing))
    for number in range(options.count):
        path = chance.choice(photos)
        with Image.open(path) as opened:
            photo = ImageOps.contain(opened.convert("RGB"), (SIDE, SIDE))
        chosen = []
        for _ in range(chance.randint(1, MOST)):
            kind = chance.randrange(len(stamps.names))
            with Image.open(io.BytesIO(chance.choice(stamps.images[kind]))) as opened:
                if max(opened.size) <= MAX_SIDE:
                    chosen.append((kind, opened.convert("RGBA")))
        made, boxes = compose(photo, chosen, chance)
        file = io.BytesIO()
        made.save(file, "JPEG", quality=92)
        text = None if number in bare else label(boxes, *made.size)
        yield f"{path.parent.name}_{number:05d}", file.getvalue(), text


SOURCES: dict[str, Callable[[Path], Stamps]] = {"debian": from_debian, "drawn": drawn}


def _stamps(source: str, downloads: Path) -> Stamps:
    if source != "auto":
        return SOURCES[source](downloads)
    try:
        return from_debian(downloads)
    except FetchError as error:
        print(f"debian: {error}; shapes are drawn instead")
        return drawn(downloads)


def make(out: Path, options: Options, photos: Path | None = None, downloads: Path | None = None) -> int:
    """Fill OUT with a set and return the number of images.

    Args:
        out: a new folder, or one that this tool was filling with the same options.
        options: what the set is made of.
        photos: a folder of photos; None: those of `fetch_photos.py`.
        downloads: folder that keeps what is downloaded; None: a temporary one.

    Raises:
        FetchError: no photos can be had, or OUT holds something else.
    """
    marker, said = out / MARKER, asdict(options) | {"photos": str(photos or "")}
    have = json.loads(marker.read_text("utf-8")) if marker.is_file() else None
    if have == said | {"done": True}:
        print(f"{out}: {options.count} images, nothing to do")
        return options.count
    if (have is None or have != said | {"done": False}) and out.is_dir() and any(out.iterdir()):
        raise FetchError(f"{out} is not empty and holds something else; name an empty or a new folder")
    with ExitStack() as stack:
        place = downloads or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="compose-yolo-")))
        place.mkdir(parents=True, exist_ok=True)
        stamps = _stamps(options.stamps, place)
        if photos is None:
            photos = place / "photos"
            fetch(photos)
        found = sorted(path for path in photos.rglob("*") if path.suffix.lower() in (".webp", ".jpg", ".jpeg", ".png"))
        if not found:
            raise FetchError(f"{photos} holds no photo")
        for folder in ("img", "lab"):
            (out / folder).mkdir(parents=True, exist_ok=True)
        marker.write_text(json.dumps(said | {"done": False}), "utf-8")
        for name, image, text in images_of(found, stamps, options):
            (out / "img" / f"{name}.jpg").write_bytes(image)
            if text is not None:
                (out / "lab" / f"{name}.txt").write_text(text, "utf-8")
    (out / "classes.txt").write_text("".join(f"{name}\n" for name in stamps.names), "utf-8")
    (out / "SOURCE.txt").write_text(
        f"{stamps.origin}\nPhotos: see fetch_photos.py, or the folder that was named.\n", "utf-8"
    )
    marker.write_text(json.dumps(said | {"done": True}), "utf-8")
    print(f"{out}: {options.count} images, {options.missing} of them without a label, {len(stamps.names)} classes")
    return options.count


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code: 0, or 1 with one sentence on stderr."""
    parser = argparse.ArgumentParser(description="Compose a YOLO set: OUT/img, OUT/lab, OUT/classes.txt.")
    parser.add_argument("out", type=Path, help="folder to make")
    parser.add_argument("--count", type=int, default=120, help="number of images (120)")
    parser.add_argument("--missing", type=int, default=0, help="number of images that get no label file (0)")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives another set (0)")
    parser.add_argument("--stamps", choices=["auto", *SOURCES], default="auto", help="auto: debian, else drawn")
    parser.add_argument("--photos", type=Path, help="folder of photos to paste over; else they are fetched")
    parser.add_argument("--downloads", type=Path, help="folder that keeps what is downloaded, for the next time")
    said = parser.parse_args(arguments)
    if not 0 <= said.missing <= said.count:
        parser.error("--missing lies between 0 and --count")
    try:
        make(said.out, Options(said.count, said.missing, said.seed, said.stamps), said.photos, said.downloads)
    except (FetchError, OSError) as error:
        print(f"compose_yolo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
