#!/usr/bin/env python3
"""Fetch a small labelled photo set to try shoal on: fetch_photos.py OUT (standard library only).

First choice: 214 photos in 7 classes out of the Debian package gcompris-qt-data (free licences, 44 MB to download), by
Debian's own client. Where that client is missing: the 100 sample images of the PyPI package foolbox (1.7 MB). Either way
OUT/<class>/ holds the images and OUT/SOURCE.txt says whose they are. Run it again to repair or to go on; what is there
already stays untouched.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

MARKER = ".photos.json"
NOTE = "SOURCE.txt"
DOWNLOADS = ".download"
MAX_BYTES = 64 * 2**20
MINUTES = 60

DEBIAN = "gcompris-qt-data"
RESOURCES = "usr/share/gcompris-qt/rcc/"
COPYRIGHT = f"usr/share/doc/{DEBIAN}/copyright"
LANDS = ("egypt", "france", "germany", "india", "usa", "wonders")
# (resource file, folder in it, class), in the order in which names are taken.
FOLDERS = (
    *(("categorization", f"resource/images/{name}", name) for name in ("fishes", "monuments", "renewable", "tools")),
    *(("explore_monuments", f"resource/{land}", "monuments") for land in LANDS),
    ("explore_world_animals", "resource/animals", "animal"),
    ("explore_farm_animals", "resource/animals", "animal"),
    ("explore_world_music", "resource/music", "music"),
    ("solar_system", "solar_system/resource", "planet"),
)  # fmt: skip
EXPECTED = 214
ENOUGH = 100

PYPI = "foolbox==3.3.4"
PYPI_SHA256 = "11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb"
PYPI_CLASSES = {
    "imagenet": "photos",
    "cifar10": "thumbnails",
    "cifar100": "thumbnails",
    "fashionMNIST": "clothes",
    "mnist": "digits",
}
PYPI_NOTE = f"""Sample images of the package {PYPI} (MIT licence) from PyPI.
They come from the research data sets ImageNet, CIFAR-10, CIFAR-100, Fashion-MNIST and MNIST: use them to try things out.
"""

DIRECTORY, ZLIB, ZSTD = 0x02, 0x01, 0x04
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\.(webp|png|jpg)")


class FetchError(Exception):
    """The set can't be had this way; the message is one sentence."""


def rcc_entries(blob: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield (path, content) of every file in a Qt binary resource file; entries packed with zstd are skipped.

    Args:
        blob: the file: header, tree (14 bytes an entry in format 1, else 22), data and names, all big-endian; see Qt's
            `rcc` tool.

    Raises:
        FetchError: it is no resource file, or is cut short or damaged.
    """
    if blob[:4] != b"qres":
        raise FetchError("a resource file of the package does not begin with 'qres'; the package has another format")
    try:
        yield from _walk(blob, *struct.unpack(">IIII", blob[4:20]))
    except (struct.error, zlib.error, UnicodeDecodeError) as error:
        raise FetchError(f"a resource file of the package is damaged ({error}); delete it and fetch again") from error


def _walk(blob: bytes, version: int, tree: int, data: int, names: int) -> Iterator[tuple[str, bytes]]:
    size = 14 if version == 1 else 22
    todo, seen = [(0, "")], {0}
    while todo:
        index, path = todo.pop()
        at = tree + index * size
        _, flags, count, where = struct.unpack(">IHII", blob[at : at + 14])
        if not flags & DIRECTORY:
            if not flags & ZSTD:
                yield path, _content(blob, data + where, bool(flags & ZLIB))
            continue
        for child in range(where, where + min(count, len(blob) // size)):
            if child in seen:
                raise FetchError("a resource file of the package names an entry twice; delete it and fetch again")
            seen.add(child)
            (offset,) = struct.unpack(">I", blob[tree + child * size : tree + child * size + 4])
            todo.append((child, f"{path}/{_name(blob, names + offset)}"))


def _name(blob: bytes, at: int) -> str:
    (length,) = struct.unpack(">H", blob[at : at + 2])
    return blob[at + 6 : at + 6 + 2 * length].decode("utf-16-be")


def _content(blob: bytes, at: int, packed: bool) -> bytes:
    (length,) = struct.unpack(">I", blob[at : at + 4])
    content = blob[at + 4 : at + 4 + length]
    if len(content) < length:
        raise struct.error("cut short")
    if not packed:
        return content
    unpacker = zlib.decompressobj()
    plain = unpacker.decompress(content[4:], MAX_BYTES)  # the first four bytes tell the size; never trusted
    if not unpacker.eof:
        raise FetchError("a resource file of the package unpacks to more than is sensible; delete it and fetch again")
    return plain


def pick(resources: dict[str, bytes]) -> dict[str, bytes]:
    """Return `class/name` -> content of the photos in the resource files.

    Args:
        resources: content of the resource files, by name without `.rcc`. A name used twice in a class gets `_<folder>`.
    """
    photos: dict[str, bytes] = {}
    listed = {name: sorted(rcc_entries(blob)) for name, blob in resources.items()}
    for resource, folder, label in FOLDERS:
        for path, content in listed.get(resource, []):
            parent, _, name = path.rpartition("/")
            if not parent.endswith(f"/{folder}") or not name.endswith(".webp") or not FILE_NAME.fullmatch(name):
                continue
            target = f"{label}/{name}"
            if target in photos:
                target = f"{label}/{name.removesuffix('.webp')}_{folder.rpartition('/')[2]}.webp"
            photos[target] = content
    return photos


def from_debian(downloads: Path) -> tuple[dict[str, bytes], str]:
    """Return the photos of the Debian package, and what to write about their origin.

    Raises:
        FetchError: Debian's client is missing or fails, or the package holds other things than expected.
    """
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise FetchError("apt-get and dpkg-deb are not on this machine")
    archive = debian_archive(downloads, DEBIAN, "44 MB")
    resources, copyright_text = _read_deb(archive)
    photos = pick(resources)
    if len(photos) < ENOUGH:
        raise FetchError(f"{archive.name} holds {len(photos)} of {EXPECTED} photos; this release packs them otherwise")
    if len(photos) != EXPECTED:
        print(f"note: {archive.name} holds {len(photos)} photos, not {EXPECTED}: another release of the package")
    return photos, f"Photos of the Debian package {archive.name}, whose copyright file follows.\n\n{copyright_text}"


def debian_archive(downloads: Path, package: str, size: str) -> Path:
    """Return a package's file, downloaded by Debian's own client where it is not there yet.

    Args:
        downloads: folder for it.
        package: its name.
        size: what is told to who waits.

    Raises:
        FetchError: the client is missing or fails.
    """
    whole = sorted(
        path for path in downloads.glob(f"{package}_*.deb") if _run(["dpkg-deb", "--info", str(path)], downloads) is None
    )
    if whole:
        return whole[0]
    print(f"downloading {package} ({size}) with apt-get ...", flush=True)
    download = ["apt-get", "download", "-q", package]
    problem = _run(download, downloads)
    if problem is not None and os.geteuid() == 0:
        print("that failed; refreshing the package lists once (apt-get update) ...", flush=True)
        problem = _run(["apt-get", "update", "-q"], downloads) or _run(download, downloads)
    found = sorted(downloads.glob(f"{package}_*.deb"))
    if problem is not None or not found:
        raise FetchError(f"apt-get download {package} failed: {problem or 'no file came'}")
    return found[-1]


def _run(command: list[str], folder: Path) -> str | None:
    """Run a command; return None, or its last line of complaint."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=10 * MINUTES, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip() and not line.startswith("W:")]
    return None if done.returncode == 0 else (lines[-1].strip() if lines else f"exit code {done.returncode}")


def _read_deb(archive: Path) -> tuple[dict[str, bytes], str]:
    """Return the resource files that are wanted and the copyright file, without unpacking the rest."""
    wanted = {f"{RESOURCES}{resource}.rcc": resource for resource, _, _ in FOLDERS}
    resources: dict[str, bytes] = {}
    text = ""
    command = ["dpkg-deb", "--fsys-tarfile", str(archive)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:  # noqa: S603
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
                for member in tar:
                    name = member.name.removeprefix("./")
                    if member.isfile() and member.size <= MAX_BYTES and (name in wanted or name == COPYRIGHT):
                        stream = tar.extractfile(member)
                        content = stream.read() if stream else b""
                        if name == COPYRIGHT:
                            text = content.decode("utf-8", "replace")
                        else:
                            resources[wanted[name]] = content
        except (tarfile.TarError, EOFError) as error:
            archive.unlink()
            raise FetchError(f"{archive.name} was cut short; run this again to download it anew") from error
    return resources, text


def from_pypi(downloads: Path) -> tuple[dict[str, bytes], str]:
    """Return the sample images of a PyPI package, and what to write about their origin.

    Raises:
        FetchError: pip is missing or fails, or the package is not the one expected.
    """
    if find_spec("pip"):
        pip = [sys.executable, "-m", "pip"]
    elif shutil.which("pip"):
        pip = ["pip"]
    else:
        raise FetchError("pip is not on this machine")
    print(f"downloading {PYPI} (1.7 MB) with pip ...", flush=True)
    problem = _run([*pip, "download", "--no-deps", "--only-binary", ":all:", "--dest", ".", PYPI], downloads)
    wheels = sorted(downloads.glob("foolbox-*.whl"))
    if problem is not None or not wheels:
        raise FetchError(f"pip download {PYPI} failed: {problem or 'no file came'}")
    if hashlib.sha256(wheels[0].read_bytes()).hexdigest() != PYPI_SHA256:
        wheels[0].unlink()
        raise FetchError(f"{wheels[0].name} is not the file expected (its sha256 differs)")
    return pick_wheel(wheels[0]), PYPI_NOTE


def pick_wheel(wheel: Path) -> dict[str, bytes]:
    """Return `class/name` -> content of the images in a wheel's `data` folders."""
    photos: dict[str, bytes] = {}
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            parent, _, name = entry.filename.rpartition("/")
            label = PYPI_CLASSES.get(name.partition("_")[0])
            if label and parent.endswith("/data") and FILE_NAME.fullmatch(name) and entry.file_size <= MAX_BYTES:
                photos[f"{label}/{name}"] = archive.read(entry)
    return photos


def digest(photos: Iterable[tuple[str, str]]) -> str:
    """Return the sha256 over the sorted list of (path, sha256 of the content)."""
    return hashlib.sha256("".join(f"{path}\t{sha}\n" for path, sha in sorted(photos)).encode()).hexdigest()


def complete(out: Path) -> int | None:
    """Return the number of photos if OUT holds just those that its marker lists, unchanged; else None."""
    try:
        marker = json.loads((out / MARKER).read_text("utf-8"))
        shas = [(path, hashlib.sha256((out / path).read_bytes()).hexdigest()) for path in marker["files"]]
        return len(shas) if shas and digest(shas) == marker["sha256"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write(out: Path, photos: dict[str, bytes], note: str) -> None:
    """Write the photos that differ from what is there, then the note, last the marker.

    Raises:
        FetchError: a path would leave OUT.
    """
    root = out.resolve()
    for path, content in sorted(photos.items()):
        target = (root / path).resolve()
        if root not in target.parents:
            raise FetchError(f"{path} would lie outside {out}; remove the link in the way")
        if not target.is_file() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            _replace(target, content)
    _replace(root / NOTE, note.encode())
    shas = [(path, hashlib.sha256(content).hexdigest()) for path, content in photos.items()]
    marker = {"count": len(photos), "sha256": digest(shas), "files": sorted(photos)}
    _replace(root / MARKER, json.dumps(marker, indent=1).encode())


def _replace(target: Path, content: bytes) -> None:
    part = target.with_name(f".{target.name}.part")
    part.write_bytes(content)
    part.replace(target)


SOURCES: dict[str, Callable[[Path], tuple[dict[str, bytes], str]]] = {"debian": from_debian, "pypi": from_pypi}


def fetch(out: Path, sources: Iterable[str] = tuple(SOURCES)) -> int:
    """Fill OUT from the first source that works and return the number of photos.

    Raises:
        FetchError: none works, or OUT holds things of somebody else.
    """
    have = complete(out)
    if have is not None:
        print(f"{out}: {have} photos, nothing to do")
        return have
    if out.is_dir() and any(out.iterdir()) and not (out / MARKER).exists():
        raise FetchError(f"{out} is not empty and was not made by this tool; name an empty or a new folder")
    downloads = out / DOWNLOADS
    downloads.mkdir(parents=True, exist_ok=True)
    (out / MARKER).touch()
    problems = []
    for source in sources:
        try:
            photos, note = SOURCES[source](downloads)
        except FetchError as error:
            print(f"{source}: {error}")
            problems.append(f"{source}: {error}")
            continue
        write(out, photos, note)
        shutil.rmtree(downloads)
        print(f"{out}: {len(photos)} photos in {len({path.partition('/')[0] for path in photos})} classes")
        return len(photos)
    raise FetchError(f"no photo set could be had ({'; '.join(problems)})")


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code: 0, or 1 with one sentence on stderr."""
    parser = argparse.ArgumentParser(description="Fetch a small labelled photo set into OUT/<class>/.")
    parser.add_argument("out", type=Path, help="folder to make, or to go on with")
    parser.add_argument("--source", choices=["auto", *SOURCES], default="auto", help="auto: debian, else pypi")
    options = parser.parse_args(arguments)
    try:
        fetch(options.out, tuple(SOURCES) if options.source == "auto" else (options.source,))
    except (FetchError, OSError) as error:
        print(f"fetch_photos: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
