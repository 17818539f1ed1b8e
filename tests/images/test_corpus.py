"""Pillow's own corpus of good, odd and malicious files: each is read or refused with a reason, in bounded time."""

import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from shoal.contract import ImageSpec
from shoal.errors import ImageError
from shoal.images import Limits, read

RELEASE = "12.0.0"
SPECS = (ImageSpec(224, 224), ImageSpec(96, 96, fit="inside"))


@pytest.fixture(scope="session")
def corpus(request):
    """Fetch the source package once; its folder of test images is kept in SHOAL_TEST_CACHE or pytest's cache."""
    named = os.environ.get("SHOAL_TEST_CACHE")
    cache = Path(named) if named else Path(request.config.cache.mkdir("shoal"))
    folder = cache / f"pillow-{RELEASE}" / "images"
    if not folder.is_dir():
        fetch(cache)
    return sorted(path for path in folder.rglob("*") if path.is_file())


def fetch(cache):
    cache.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-binary", ":all:", f"pillow=={RELEASE}", "--dest", str(cache)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    if done.returncode:
        pytest.skip(f"the corpus can't be fetched: {done.stderr.strip()[-300:]}")
    archive = cache / f"pillow-{RELEASE}.tar.gz"
    with tarfile.open(archive) as source:
        part = f"pillow-{RELEASE}/Tests/"
        members = [member for member in source.getmembers() if member.name.startswith(f"{part}images/")]
        for member in members:
            member.name = member.name.removeprefix(part)
        unpacked = cache / f"unpacking-{os.getpid()}"
        source.extractall(unpacked, members, filter="data")
    target = cache / f"pillow-{RELEASE}"
    if not target.exists():
        unpacked.rename(target)
    archive.unlink()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("isolate", ["auto", "always"])
def test_every_file_is_read_or_refused(corpus, isolate):
    limits = Limits(isolate=isolate, seconds=20)
    read_well, refused, slowest = 0, {}, 0.0
    for path in corpus:
        data, began = path.read_bytes(), time.monotonic()
        try:
            loaded = read(data, SPECS, limits)
        except ImageError as error:
            refused[path] = str(error)
        else:
            read_well += 1
            assert loaded.images[0].shape == (224, 224, 3)
            assert max(loaded.images[1].shape[:2]) <= 96
            assert (loaded.probe.width, loaded.probe.height) > (0, 0)
        slowest = max(slowest, time.monotonic() - began)
    assert len(corpus) == 1058
    assert read_well + len(refused) == len(corpus)
    assert read_well >= 680  # of the 1058, the others are of formats that are not allowed, or broken
    assert slowest < 20
    assert not [reason for reason in refused.values() if "\n" in reason or "0x" in reason or not reason.strip()]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_format_that_pillow_knows_can_be_allowed(corpus):
    from PIL import Image

    Image.init()
    # EPS starts a program, which the child's limits forbid; the others read in Python or C.
    limits = Limits(formats=tuple(name for name in Image.ID if name != "EPS"))
    seen, reasons = 0, []
    for path in corpus:
        try:
            read(path.read_bytes(), SPECS[1:], limits)
            seen += 1
        except ImageError as error:
            reasons.append(str(error))
    assert all(reasons)
    assert seen >= 820
