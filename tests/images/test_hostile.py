"""Hostile bytes: nothing but `ImageError` comes out, within bounds of time and memory that really hold."""

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from shoal.contract import ImageSpec
from shoal.errors import ImageError
from shoal.images import ImageTimeout, Limits, decode, guard, probe, read
from tests.images.pictures import chunk, encode, scene, with_chunks

pytestmark = pytest.mark.processes

SPEC = ImageSpec(64, 64)
GUARDED = Limits(isolate="always")
KINDS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
WHOLE = {kind: encode(scene(120, 90), kind) for kind in KINDS}
WHOLE["progressive"] = encode(scene(120, 90), "JPEG", progressive=True)
WHOLE["palette"] = encode(scene(120, 90).convert("P"), "PNG", transparency=3)
WHOLE["deflate"] = encode(scene(120, 90), "TIFF", compression="tiff_adobe_deflate")


def attempt(data, limits=Limits()):  # noqa: B008
    try:
        loaded = read(data, [SPEC], limits)
    except ImageError as error:
        reason = str(error)
    else:
        reason = None
    if reason is not None:
        assert reason.isprintable()
        assert 5 < len(reason) < 300
        return None
    assert loaded.images[0].shape == (64, 64, 3)
    return loaded


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_random_bytes(data):
    attempt(data)


@given(head=st.sampled_from(sorted(WHOLE)), body=st.binary(max_size=300), keep=st.integers(4, 60))
@settings(max_examples=200, deadline=None)
def test_random_bytes_after_a_real_start(head, body, keep):
    attempt(WHOLE[head][:keep] + body)


@given(
    kind=st.sampled_from(sorted(WHOLE)),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1),
)
@settings(max_examples=300, deadline=None)
def test_flipped_bits(kind, flips):
    data = bytearray(WHOLE[kind])
    for where, bit in flips:
        data[int(where * len(data))] ^= 1 << bit
    attempt(bytes(data))


@given(kind=st.sampled_from(sorted(WHOLE)), share=st.floats(0, 0.95))
@settings(max_examples=150, deadline=None)
def test_truncated_files_are_errors(kind, share):
    assert attempt(WHOLE[kind][: int(share * len(WHOLE[kind]))]) is None


def test_too_many_pixels():
    header = struct.pack(">IIBBBBB", 10_000, 9_000, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND")
    with pytest.raises(ImageError, match="10000 x 9000 pixels, more than the allowed 89478485"):
        probe(png)
    with pytest.raises(ImageError, match="120 x 90 pixels, more than the allowed 10000"):
        decode(WHOLE["JPEG"], SPEC, Limits(max_pixels=10_000))


@pytest.mark.parametrize("kind", KINDS)
def test_a_header_that_claims_four_gigapixels(kind):
    claims = {
        "JPEG": lambda d: d.replace(struct.pack(">HH", 90, 120), struct.pack(">HH", 65_000, 65_000)),
        "PNG": lambda d: d[:8] + chunk(b"IHDR", struct.pack(">II", 65_000, 65_000) + d[24:29]) + d[33:],
        "WEBP": lambda d: d[:26] + struct.pack("<HH", 16_383, 16_383) + d[30:],
        "BMP": lambda d: d[:18] + struct.pack("<ii", 65_000, 65_000) + d[26:],
        "GIF": lambda d: d[:6] + struct.pack("<HH", 65_000, 65_000) + d[10:],
        "TIFF": lambda d: d.replace(struct.pack("<HHII", 256, 4, 1, 120), struct.pack("<HHII", 256, 4, 1, 2**30)),
    }
    data = claims[kind](WHOLE[kind])
    assert data != WHOLE[kind]
    with pytest.raises(ImageError, match="more than the allowed"):
        probe(data)


def test_more_pixels_can_be_allowed():
    data = encode(Image.new("1", (20_000, 10_000)), "PNG")
    with pytest.raises(ImageError, match="more than the allowed"):
        probe(data)
    assert decode(data, SPEC, Limits(max_pixels=2**30)).shape == (64, 64, 3)


def test_a_file_that_is_too_large():
    with pytest.raises(ImageError, match="bytes, more than the allowed 100"):
        probe(WHOLE["JPEG"], Limits(max_file_bytes=100))


def slow_jpeg():
    """Return a small file over which a decoder works for many seconds: a progressive picture with thousands of scans."""
    data = encode(Image.new("RGB", (3000, 3000)), "JPEG", progressive=True)
    last = data.rfind(b"\xff\xda")
    return data[:-2] + data[last:-2] * 4000 + data[-2:]


def test_a_decoder_that_is_stuck_is_killed():
    decode(WHOLE["TIFF"], SPEC)  # a child is there
    began = time.monotonic()
    with pytest.raises(ImageTimeout, match=r"longer than the allowed 0\.5 s"):
        decode(slow_jpeg(), SPEC, Limits(seconds=0.5))
    assert time.monotonic() - began < 20
    assert decode(WHOLE["TIFF"], SPEC).shape == (64, 64, 3)


def test_memory_is_bounded():
    data = encode(Image.new("RGB", (5000, 5000)), "PNG")
    with pytest.raises(ImageError, match="more than the allowed 33554432 bytes of memory"):
        decode(data, SPEC, Limits(memory=32 * 2**20))
    assert decode(data, SPEC, Limits(memory=512 * 2**20)).shape == (64, 64, 3)


@pytest.mark.parametrize("make", [lambda: WHOLE["JPEG"][:2] + b"\xff\xfe\0\2" * 500_000 + WHOLE["JPEG"][2:],
                                  lambda: with_chunks(WHOLE["PNG"], chunk(b"prVt") * 150_000)])  # fmt: skip
def test_many_empty_segments_are_read_in_bounded_time(make):
    began = time.monotonic()
    attempt(make())
    assert time.monotonic() - began < 10


def test_a_child_that_died_is_replaced():
    decode(WHOLE["GIF"], SPEC)
    for child in list(guard._idle):
        os.kill(child.process.pid, signal.SIGKILL)
        child.process.wait()
    assert decode(WHOLE["GIF"], SPEC).shape == (64, 64, 3)


def test_a_crash_while_it_answers_is_told():
    child = guard.Child()
    try:
        os.kill(child.process.pid, signal.SIGSEGV)
        with pytest.raises(guard._Died, match=r"crashed \(signal 11\)"):
            child.ask(WHOLE["GIF"], [SPEC], True, Limits())
    finally:
        child.close()


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_the_child_inherits_nothing():
    guard.close()
    with socket.socket() as ours:
        ours.set_inheritable(True)
        decode(WHOLE["GIF"], SPEC)
        folder = f"/proc/{guard._idle[-1].process.pid}/fd"
        open_files = [os.readlink(f"{folder}/{name}") for name in os.listdir(folder)]
    assert not [name for name in open_files if name.startswith("socket")]
    assert len(open_files) <= 5


def test_the_child_imports_pillow_and_little_else():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import codec.child, PIL.Image;"
        "heavy = {'numpy', 'pyarrow', 'pydantic', 'shoal', 'ray', 'torch'} & set(sys.modules);"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    folder = os.path.dirname(guard.__file__)
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_the_child_ends_with_its_parent():
    code = (
        "import os, signal, sys\n"
        "from shoal.images import guard\n"
        "child = guard.Child(); print(child.process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    pid = int(done.stdout)
    for _ in range(600):
        try:
            with open(f"/proc/{pid}/stat") as status:
                if status.read().rpartition(")")[2].split()[0] == "Z":
                    return
        except OSError:
            return
        time.sleep(0.05)
    pytest.fail("the child outlived its parent")


def test_threads_share_children_and_leave_the_warning_filters_alone():
    before = list(warnings.filters)
    wanted = {kind: decode(data, SPEC) for kind, data in WHOLE.items()}
    wrong = []

    def work():
        for kind, data in WHOLE.items():
            if not np.array_equal(decode(data, SPEC), wanted[kind]):
                wrong.append(kind)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert warnings.filters == before


def test_a_forked_process_gets_children_of_its_own():
    wanted = decode(WHOLE["GIF"], SPEC)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # later Pythons warn of any fork beside threads
        pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if np.array_equal(decode(WHOLE["GIF"], SPEC), wanted) else 1)
        except BaseException:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    np.testing.assert_array_equal(decode(WHOLE["GIF"], SPEC), wanted)
