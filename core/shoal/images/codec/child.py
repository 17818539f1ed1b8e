"""The guarded child: answers requests on its standard input, within limits on memory, CPU time, files and core dumps.

A message is four bytes of length, that many bytes of JSON, then `size` raw bytes. The child parses hostile files, so the
parent takes JSON and pixels from it and nothing that could carry code.
"""

import io
import json
import os
import resource
import signal
import sys
import time
import warnings
from dataclasses import asdict
from typing import Any

from .model import Limits, Refused, Target
from .opening import describe, open_image, plugins
from .rendering import render

_CHUNK = 1 << 20


def main() -> None:
    """Serve until the parent closes the pipe."""
    replies = os.dup(1)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)  # what C libraries print must not mix with the answers
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore")
    from PIL import Image

    plugins(("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"))
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(limit, (0, 0))
    _send(replies, {"ready": True}, [])
    while (head := _receive(0, 4)) is not None:
        request = json.loads(_receive(0, int.from_bytes(head, "big")) or b"{}")
        data = _receive(0, request["size"]) or b""
        limits = Limits(**{**request["limits"], "formats": tuple(request["limits"]["formats"])})
        Image.MAX_IMAGE_PIXELS = limits.max_pixels
        _bound(limits)
        _send(replies, *_answer(data, [Target(*target) for target in request["targets"]], request["probe"], limits))


def _bound(limits: Limits) -> None:
    """Set the limits of the next answer: memory above what the process has now, CPU time beyond what it has used.

    The parent watches the clock; the limit on CPU time ends a stuck child whose parent is gone.
    """
    with open("/proc/self/statm") if os.path.exists("/proc/self/statm") else io.StringIO("0") as status:
        have = int(status.read().split()[0]) * resource.getpagesize() or 1 << 30
    _soft(resource.RLIMIT_AS, have + limits.memory)
    _soft(resource.RLIMIT_CPU, int(time.process_time() + limits.seconds) + 2)


def _soft(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    try:
        resource.setrlimit(which, (value, hard))
    except (ValueError, OSError):  # macOS refuses some; the clock still holds
        sys.stderr.write(f"limit {which} can't be set\n")


def _answer(data: bytes, targets: list[Target], wanted: bool, limits: Limits) -> tuple[dict[str, Any], list[bytes]]:
    """Return the head of the reply and the pixels."""
    try:
        image = open_image(data, limits)
        probe = asdict(describe(image, data, limits)) if wanted else None
        images = render(image, data, targets, limits)
        return {"probe": probe, "shapes": [[image.height, image.width] for image in images]}, [i.tobytes() for i in images]
    except Refused as error:
        return {"refused": str(error)}, []
    except MemoryError:
        return {"memory": True}, []
    except Exception as error:  # the parent turns any answer but pixels into the image's error
        return {"refused": f"it can't be read: {type(error).__name__}"}, []


def _receive(pipe: int, size: int) -> bytes | None:
    """Return exactly `size` bytes, or None where the parent has gone."""
    buffer = io.BytesIO()
    while buffer.tell() < size:
        part = os.read(pipe, min(_CHUNK, size - buffer.tell()))
        if not part:
            return None
        buffer.write(part)
    return buffer.getvalue()


def _send(pipe: int, head: dict[str, Any], blocks: list[bytes]) -> None:
    body = json.dumps({**head, "size": sum(len(block) for block in blocks)}).encode()
    for block in (len(body).to_bytes(4, "big") + body, *blocks):
        view = memoryview(block)
        while view:
            view = view[os.write(pipe, view) :]
