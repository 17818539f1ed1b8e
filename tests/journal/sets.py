"""Small sets of real files with everything that an organiser meets, and pictures of a folder to compare."""

import hashlib
import os
import stat
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa


class Entry(NamedTuple):
    """What must be the same again: bytes, time, permissions."""

    sha256: str
    mtime_ns: int
    mode: int


def snapshot(folder: Path) -> dict[str, Entry]:
    """Return every file below a folder by its relative path, the journal's own folder left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder).as_posix()
        if ".shoal/" in f"{relative}/" or not path.is_file():
            continue
        state = path.stat()
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        found[relative] = Entry(digest, state.st_mtime_ns, stat.S_IMODE(state.st_mode))
    return found


def folders(folder: Path) -> set[str]:
    """Return every folder below a folder, the journal's own left out."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_dir()}
    return {path for path in found if ".shoal" not in path.split("/")}


def write(path: Path, data: bytes, number: int) -> str:
    """Write a file with a time and permissions of its own, and return its sha256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(0o640 if number % 2 else 0o604)
    os.utime(path, ns=(1_500_000_000_000_000_000 + number, 1_400_000_000_123_456_789 + number))
    return hashlib.sha256(data).hexdigest()


def bytes_of(number: int, size: int = 3000) -> bytes:
    """Return bytes that differ for every number."""
    return hashlib.sha256(str(number).encode()).digest() * (size // 32 + 1)


def make_plan(rows: list[tuple[str, Path, str, bool]]) -> pa.Table:
    """Return a plan of id, source, target, sidecar."""
    names = ("id", "source", "target", "sidecar")
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    types = (pa.string(), pa.string(), pa.string(), pa.bool_())
    values = [[str(value) if isinstance(value, Path) else value for value in column] for column in columns]
    return pa.table({name: pa.array(column, kind) for name, column, kind in zip(names, values, types, strict=True)})


def make_pairs(base: Path, count: int = 12) -> pa.Table:
    """Make a YOLO set, `img/` and `lab/`, and a target where some names are taken, and return an organiser's plan over it.

    Every fourth image has no label, two share one, an empty label lies at many: equal bytes under many names.
    """
    from shoal.contract import Context
    from shoal_plugins.organize.folders import Folders

    images: list[tuple[str, list[str], int]] = []
    for number in range(count):
        path = base / "photos" / "img" / f"day{number % 2}" / "IMG_0.jpg"
        path = path if number < 3 else path.with_name(f"IMG_{number}.jpg")
        path = path.with_suffix(".png") if number == 2 else path
        images.append((write(path, bytes_of(number), number), [str(path)], number % 3 - 1))
        if number % 4 != 3:
            label = base / "photos" / "lab" / path.parent.name / f"{path.stem}.txt"
            write(label, b"" if number % 3 else bytes_of(2000 + number, 80), number)
    write(base / "out" / "cluster_000" / "lab" / "IMG_4.txt", b"somebody else's", 99)
    write(base / "out" / "noise" / "img" / "img_6.JPG", b"somebody else's image", 98)
    names = ("id", "paths", "cluster")
    rows = pa.table(dict(zip(names, zip(*images, strict=True), strict=True)))
    return Folders(rule="cluster_id", yolo=True).run(rows, Context())


def make_set(base: Path, count: int = 20) -> pa.Table:
    """Make `photos/` and a target `out/` that is not empty, and return a plan over them.

    Among the files: side-cars, one shared by two images, an image at two paths, one whose bytes lie at the target already,
    and targets that are taken by files of other people.
    """
    rows: list[tuple[str, Path, str, bool]] = []
    for number in range(count):
        path = base / "photos" / f"day{number % 3}" / f"IMG_{number}.jpg"
        key = write(path, bytes_of(number), number)
        folder = f"{number % 4:02d}"
        rows.append((key, path, f"{folder}/{folder}@L@IMG_{number}.jpg", False))
        if number % 5 == 0:
            write(path.with_suffix(".txt"), bytes_of(1000 + number, 90), number)
            rows.append((key, path.with_suffix(".txt"), f"{folder}/{folder}@L@IMG_{number}.txt", True))
        if number == 7:
            twin = base / "photos" / "again" / "IMG_7.jpg"
            write(twin, bytes_of(number), 70)
            rows.append((key, twin, "03/03@L@IMG_7_1.jpg", False))
        if number == 8:
            rows.append((key, base / "photos" / "day0" / "IMG_0.txt", "00/00@L@IMG_8.txt", True))
    write(base / "out" / "00" / "00@L@IMG_0.jpg", b"somebody else's", 99)
    write(base / "out" / "01" / "01@L@img_5.txt", b"somebody else's notes", 98)
    write(base / "out" / "02" / "02@L@IMG_2.jpg", bytes_of(2), 97)
    return make_plan(rows)
