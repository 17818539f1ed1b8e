#!/usr/bin/env python3
"""Show what reviewers see: review_demo.py PHOTOS --out OUT, on this machine, until Ctrl-C.

Clusters the photos, starts Label Studio and shoal's backend, opens the run for review, prints where to look and the login.
Label Studio keeps its database, and the demo its secrets (files of mode 600, made on the first start), in STATE. The same
command again goes on there. Nothing but this machine can reach the two servers, and both end with the demo.
"""

import argparse
import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HOST = "127.0.0.1"
EMAIL = "reviewer@example.com"
DECISIONS = "decisions.db"
"""File in OUT that holds what reviewers decided: another run would be another review."""
SHOAL = Path(sys.executable).with_name("shoal")
READY_SECONDS = 300
"""The first start of Label Studio makes its database: half a minute, more on a busy machine."""
PATIENCE = 20
"""Seconds that a server has to end."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DemoError(Exception):
    """The demo can't go on; the message is one sentence."""


class Stopped(Exception):  # noqa: N818  (an outcome)
    """Somebody wants the demo to end."""


@dataclass(frozen=True)
class Program:
    """A process that the demo started, in a session of its own: Ctrl-C reaches the demo alone, which then ends it.

    Attributes:
        name: for people.
        process: the process.
        log: where its output goes; None: the terminal.
    """

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path | None = None

    def end(self) -> None:
        """Ask it and what it started to end, make them after a while, and wait until none is left."""
        if self.process.poll() is not None:  # its number may be another process's by now
            return
        group = self.process.pid
        os.killpg(group, signal.SIGTERM)
        _until(self._ended)
        os.killpg(group, signal.SIGKILL)  # it was not waited for yet, so the number is its own
        self.process.wait()
        _until(lambda: _is_empty(group))

    def _ended(self) -> bool:
        """Tell whether it ended, without giving its number back."""
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.process.pid, how) is not None

    def last_words(self) -> str:
        """Return the last line of its log."""
        lines = self.log.read_text(errors="replace").split("\n") if self.log else []
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


@dataclass
class Demo:
    """What runs. Nothing is interrupted: a signal sets `stop`, and whatever waits looks at it."""

    state: Path
    stop: threading.Event = field(default_factory=threading.Event)
    programs: list[Program] = field(default_factory=list)

    def run(self, command: Sequence[str | Path], environment: Mapping[str, str]) -> None:
        """Run a command to its end.

        Raises:
            DemoError: it failed; it has said why.
            Stopped: the demo is to end; so was the command.
        """
        print(f"$ {shlex.join(map(str, command))}", flush=True)
        program = self._begin("the command", command, environment, None)
        while program.process.poll() is None:
            self.pause(0.1)
        self.programs.remove(program)
        if program.process.returncode:
            raise DemoError(f"{' '.join(map(str, command[1:3]))} failed; mend what it says and start the demo again")

    def serve(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str], health: str) -> None:
        """Start a server and wait until it answers.

        Raises:
            DemoError: it ended, or does not answer.
            Stopped: the demo is to end.
        """
        print(f"starting {name} ...", flush=True)
        log = self.state / f"{name.lower().replace(' ', '-')}.log"
        program = self._begin(name, command, environment, log)
        until = time.monotonic() + READY_SECONDS
        while not answers(health):
            self.check(program)
            if time.monotonic() > until:
                raise DemoError(f"{name} does not answer after {READY_SECONDS} s; {log} says more")
            self.pause(0.3)

    def stay(self) -> None:
        """Wait until the demo is to end.

        Raises:
            DemoError: a server ended.
            Stopped: always, else.
        """
        while True:
            for program in self.programs:
                self.check(program)
            self.pause(0.5)

    def pause(self, seconds: float) -> None:
        """Wait.

        Raises:
            Stopped: the demo is to end.
        """
        if self.stop.wait(seconds):
            raise Stopped

    def check(self, program: Program) -> None:
        """Look whether a server still runs.

        Raises:
            DemoError: it does not.
        """
        if program.process.poll() is not None:
            raise DemoError(f"{program.name} ended: {program.last_words()}; {program.log} says more")

    def end(self) -> None:
        """End everything that was started, the last first."""
        while self.programs:
            self.programs[-1].end()
            self.programs.pop()

    def _begin(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str], log: Path | None) -> Program:
        """Start a process; its output goes to the end of a log, or to the terminal."""
        out = log.open("ab") if log else None
        try:
            process = subprocess.Popen(  # noqa: S603
                list(map(str, command)), env=dict(environment), stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise DemoError(f"{name} can't be started: {error}") from error
        finally:
            if out:
                out.close()
        self.programs.append(Program(name, process, log))
        return self.programs[-1]


def _until(holds: Callable[[], bool]) -> None:
    """Wait until something holds, at most `PATIENCE` seconds."""
    last = time.monotonic() + PATIENCE
    while not holds() and time.monotonic() < last:
        time.sleep(0.02)


def _is_empty(group: int) -> bool:
    """Tell whether no process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def answers(url: str) -> bool:
    """Tell whether a server answers 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  (an address of this program's own)
            return bool(answer.status == 200)
    except OSError:
        return False


def secret(path: Path, length: int = 40) -> str:
    """Return a secret, made on the first call; nobody but the user can read its file.

    Args:
        path: of the file.
        length: hexadecimal digits; Label Studio's tokens have 40.

    Raises:
        DemoError: others can read it, or it is empty.
    """
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        text = path.read_text().strip()
        if path.stat().st_mode & 0o077 or not text:
            raise DemoError(f"{path} is empty or others may read it; remove {path.parent} to begin anew") from None
        return text
    made = secrets.token_hex(length // 2)
    with os.fdopen(handle, "w") as file:
        file.write(f"{made}\n")
    return made


def check_free(port: int, option: str) -> None:
    """Make sure that nobody listens on a port.

    Raises:
        DemoError: somebody does.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise DemoError(f"port {port} is taken ({error.strerror}); give another one with {option}") from error


def label_studio(options: argparse.Namespace) -> dict[str, str]:
    """Return the environment of Label Studio: on this machine only, with one user, and allowed to show OUT's pictures.

    The two protections against private addresses are off, since the backend is on this machine too. Leave them on where
    people from outside log in.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LABEL_STUDIO", "DJANGO"))}
    return kept | {
        "LABEL_STUDIO_BASE_DATA_DIR": str((options.state / "label-studio").absolute()),
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(options.out.resolve()),
        "LABEL_STUDIO_USERNAME": EMAIL,
        "LABEL_STUDIO_PASSWORD": secret(options.state / "password", 12),
        "LABEL_STUDIO_USER_TOKEN": secret(options.state / "token"),
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
        "ML_BLOCK_LOCAL_IP": "false",
        "SSRF_PROTECTION_ENABLED": "false",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
    }


def show(demo: Demo, options: argparse.Namespace) -> None:
    """Start everything, say where it is, and stay.

    Raises:
        DemoError: something can't be done.
        Stopped: the demo is to end.
    """
    check_free(options.port, "--port")
    check_free(options.backend_port, "--backend-port")
    demo.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    url, backend = f"http://{HOST}:{options.port}", f"http://{HOST}:{options.backend_port}"
    secret(demo.state / "backend-password")
    environment = os.environ | {
        "SHOAL_BACKEND_USER": "shoal", "SHOAL_BACKEND_PASSWORD_FILE": str(demo.state / "backend-password"),
    }  # fmt: skip
    if (options.out / DECISIONS).exists():
        print(f"{options.out} is under review already: its last run is opened again", flush=True)
    else:
        run: list[str | Path] = [SHOAL, "run", options.recipe, options.photos, "--out", options.out]
        demo.run([*run, *(word for setting in options.set for word in ("--set", setting))], environment)
    start = [options.label_studio / "label-studio", "start", "--no-browser", "--internal-host", HOST]
    demo.serve("Label Studio", [*start, "--port", str(options.port)], label_studio(options), f"{url}/health/")
    serve: list[str | Path] = [SHOAL, "serve", options.out, "--port", str(options.backend_port), "--label-studio", url]
    demo.serve("the backend", [*serve, "--document-root", options.out], environment, f"{backend}/health")
    token: list[str | Path] = ["--token-file", demo.state / "token"]
    demo.run([SHOAL, "review", "open", options.out, "--url", url, "--backend", backend, *token], environment)
    print(
        f"\nLabel Studio:  {url}\n"
        f"login:         {EMAIL}\n"
        f"password:      {secret(demo.state / 'password', 12)}   (kept in {demo.state / 'password'})\n"
        f"\nWhen you have submitted tasks, in another terminal:\n"
        f"  {shlex.join(map(str, [SHOAL, 'review', 'sync', options.out, *token]))}\n"
        f"  {shlex.join(map(str, [SHOAL, 'organize', options.out, '--to', 'sorted', '--dry-run']))}\n"
        f"  {shlex.join(map(str, [SHOAL, 'review', 'undo', options.out]))}\n"
        "\nCtrl-C ends the demo.",
        flush=True,
    )
    demo.stay()


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description="Have a folder of photos reviewed in Label Studio, on this machine.")
    parser.add_argument("photos", type=Path, help="folder of images")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of shoal's results")
    parser.add_argument("--state", type=Path, default=Path("data/review-demo"), help="folder of Label Studio and secrets")
    parser.add_argument("--label-studio", type=Path, default=Path(".venv-label-studio/bin"), help="where it is installed")
    parser.add_argument("--recipe", default="semantic-cluster", help="pipeline to run")
    parser.add_argument("--set", action="append", metavar="OPTION=VALUE", help="options of it")
    parser.add_argument("--port", type=int, default=8080, help="of Label Studio")
    parser.add_argument("--backend-port", type=int, default=9090, help="of shoal's backend")
    options = parser.parse_args(arguments)
    options.set = options.set or (["caption=tags"] if options.recipe == "semantic-cluster" else [])
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit code: 0 when it was told to end, 1 with one sentence on stderr."""
    options = parse(arguments)
    demo = Demo(options.state)
    for sign in SIGNALS:
        signal.signal(sign, lambda *_: demo.stop.set())
    try:
        show(demo, options)
    except DemoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except Stopped:
        print("\nending the demo ...", flush=True)
        return 0
    finally:
        demo.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
