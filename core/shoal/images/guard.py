"""Runs the codec in a child process that can be killed: for files whose cost their header does not bound.

The child is started without a fork of this process's state (no inherited sockets, no threads), imports Pillow only, is
kept for the next image, and ends with its parent. It takes about 60 ms to start and a millisecond an image.
"""

import atexit
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from shoal.errors import ImageError, StageError
from shoal.images.codec.model import Limits, TargetLike

_FOLDER = Path(__file__).parent / "codec"
_BOOT = """
import importlib.util, json, sys
sys.path[:] = json.loads(sys.argv[1])
folder = sys.argv[2]
spec = importlib.util.spec_from_file_location("shoal_codec", folder + "/__init__.py", submodule_search_locations=[folder])
sys.modules["shoal_codec"] = package = importlib.util.module_from_spec(spec)
spec.loader.exec_module(package)
from shoal_codec.child import main
main()
"""
_START_SECONDS = 60.0
_IDLE = 4
"""Children kept for the next images, a process."""


class ImageTimeout(ImageError):  # noqa: N818  (named like its base)
    """An image was given up because it took too long; unlike other errors, a quieter machine may read it."""


class _Died(Exception):  # noqa: N818  (told apart from errors: the caller decides what it means)
    """The child ended or ran out of memory while it answered; the text says how."""


class Child:
    """One guarded child process; use it from one thread at a time."""

    def __init__(self) -> None:
        """Start the process and wait until it is ready."""
        if not sys.executable:
            raise StageError("no Python interpreter is known to start the image reader with; set sys.executable")
        command = [sys.executable, "-I", "-S", "-c", _BOOT, json.dumps([p for p in sys.path if p]), str(_FOLDER)]
        environment = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PATH": os.environ.get("PATH", "")}
        for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"):
            if name in os.environ:
                environment[name] = os.environ[name]
        try:
            self.process = subprocess.Popen(  # noqa: S603  (our own interpreter and script)
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0,
                env=environment, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise StageError(f"the process that reads images could not be started: {error}") from error
        assert self.process.stdin is not None  # noqa: S101  (for the type checker: both are pipes)
        assert self.process.stdout is not None  # noqa: S101
        self._in, self._out = self.process.stdin.fileno(), self.process.stdout.fileno()
        self.fresh = True
        for pipe in (self._in, self._out):
            os.set_blocking(pipe, False)
        try:
            self._reply(time.monotonic() + _START_SECONDS)
        except (_Died, TimeoutError) as error:
            self.close()
            raise StageError(f"the process that reads images did not start: {error}") from error

    def ask(
        self, data: bytes, targets: Sequence[TargetLike], wanted: bool, limits: Limits
    ) -> tuple[dict[str, Any], bytearray]:
        """Return the head of the reply and its pixels.

        Raises:
            TimeoutError: it took longer than allowed; the child must be closed.
            _Died: it crashed or ran out of memory; the child must be closed.
        """
        deadline = time.monotonic() + limits.seconds
        wishes = [(t.width, t.height, t.fit, t.resample, t.overscan, t.trim) for t in targets]
        head = json.dumps({"size": len(data), "limits": asdict(limits), "targets": wishes, "probe": wanted}).encode()
        self._send(len(head).to_bytes(4, "big") + head, deadline)
        self._send(data, deadline)
        reply, pixels = self._reply(deadline)
        self.fresh = False
        if "memory" in reply:
            raise _Died(f"it needs more than the allowed {limits.memory} bytes of memory")
        return reply, pixels

    def close(self) -> None:
        """Kill the process and free its pipes."""
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.process.wait()

    def _reply(self, deadline: float) -> tuple[dict[str, Any], bytearray]:
        head: dict[str, Any] = json.loads(self._receive(int.from_bytes(self._receive(4, deadline), "big"), deadline))
        return head, self._receive(head["size"], deadline)

    def _send(self, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        while view:
            self._wait(self._in, select.POLLOUT, deadline)
            try:
                view = view[os.write(self._in, view) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise _Died(self._how()) from error

    def _receive(self, size: int, deadline: float) -> bytearray:
        buffer = bytearray(size)
        view = memoryview(buffer)
        while view:
            self._wait(self._out, select.POLLIN, deadline)
            try:
                count = os.readv(self._out, [view])
            except BlockingIOError:
                continue
            if not count:
                raise _Died(self._how())
            view = view[count:]
        return buffer

    def _wait(self, pipe: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(pipe, event)
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise TimeoutError

    def _how(self) -> str:
        code = self.process.wait(timeout=10)
        return f"its decoder crashed (signal {-code})" if code < 0 else f"its decoder ended (code {code})"


_idle: list[Child] = []
_lock = threading.Lock()


def ask(data: bytes, targets: Sequence[TargetLike], wanted: bool, limits: Limits) -> tuple[dict[str, Any], bytearray]:
    """Return a guarded child's reply: a probe where `wanted`, `shapes`, and the pixels of all targets.

    Raises:
        ImageError: the image can't be read, in one sentence; `ImageTimeout` where it took too long.
        StageError: no child can be started.
    """
    while True:
        child = _take()
        fresh, whole = child.fresh, False
        try:
            reply, pixels = child.ask(data, targets, wanted, limits)
            whole = True
        except TimeoutError:
            raise ImageTimeout(f"reading it took longer than the allowed {limits.seconds:g} s") from None
        except _Died as error:
            if fresh:
                raise ImageError(str(error)) from None
            continue  # an older child may have been short of memory for a reason of its own: a new one has the last word
        finally:
            _give(child) if whole else child.close()
        if "refused" in reply:
            raise ImageError(reply["refused"])
        return reply, pixels


def _take() -> Child:
    with _lock:
        while _idle:
            child = _idle.pop()
            if child.process.poll() is None:
                return child
            child.close()
    return Child()


def _give(child: Child) -> None:
    with _lock:
        if len(_idle) < _IDLE:
            _idle.append(child)
            return
    child.close()


def close() -> None:
    """End the idle children of this process."""
    with _lock:
        children, _idle[:] = _idle[:], []
    for child in children:
        child.close()


def _forget() -> None:
    """Leave a forked parent's children to it: two processes on one pipe would mix up their answers."""
    global _lock  # noqa: PLW0603  (another thread of the parent may have held it)
    _lock = threading.Lock()
    for child in _idle:
        child.process.returncode = 0  # not ours to wait for
        for pipe in (child.process.stdin, child.process.stdout):
            if pipe is not None:
                pipe.close()
    _idle.clear()


atexit.register(close)
os.register_at_fork(after_in_child=_forget)
