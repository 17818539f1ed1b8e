"""How far a run is, with and without a terminal; Ctrl-C and readers that leave."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shoal.cli import progress
from shoal.cli.progress import Bar, clock

from .conftest import PIPELINE, Made, call, pictures

pytestmark = pytest.mark.processes

SHOAL = (sys.executable, "-c", "from shoal.cli import main; main()")
SECONDS = 60


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.34, "0.3 s"), (9.96, "10 s"), (59, "59 s"), (61, "1:01 min"), (3600, "1:00 h"), (7500, "2:05 h")],
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress._Step, "__init__", _begin(now))
    bar = Bar()
    bar.start("embed", 1000)
    for _ in range(3):
        now[0] += 20
        bar.advance("embed", 100)
    bar.finish("embed", "60.0 s")
    bar.close()
    assert capsys.readouterr().err.splitlines() == [
        "embed: 1,000 to do",
        "embed: 200 of 1,000, 5/s, 2:40 min left",
        "embed: 60.0 s",
    ]


def _begin(now: list[float]):  # type: ignore[no-untyped-def]
    def begin(self: progress._Step, total: int) -> None:
        self.total, self.began, self.told, self.done, self.task = total, now[0], now[0], 0, None

    return begin


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    bar = Bar(quiet=True)
    bar.start("embed", 10)
    bar.advance("embed", 5)
    bar.tell("something")
    bar.finish("embed", "done")
    bar.close()
    assert capsys.readouterr().err == ""


class Terminal:
    """A command on a pseudo terminal of 80 columns."""

    def __init__(self, cwd: Path, *arguments: str, columns: int = 80) -> None:
        """Start it."""
        self.seen = b""
        self.pid, self.handle = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # on a terminal nobody ignores it; who began the tests may
            os.chdir(cwd)
            os.environ.update(COLUMNS=str(columns), LINES="40", TERM="xterm", SHOAL_MLFLOW="off")
            os.execv(SHOAL[0], [*SHOAL, *arguments])

    def read(self, until: str = "") -> str:
        """Read to the end, or until a text is seen."""
        limit = time.monotonic() + SECONDS
        while time.monotonic() < limit:
            if until and until in self.text:
                return self.text
            ready, _, _ = select.select([self.handle], [], [], 0.2)
            try:
                data = os.read(self.handle, 65536) if ready else b"?"
            except OSError:  # what Linux says at the end
                return self.text
            if not data:
                return self.text
            self.seen += data if ready else b""
        os.kill(self.pid, signal.SIGKILL)
        raise TimeoutError(self.text)

    @property
    def text(self) -> str:
        """What was written, without escapes."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.seen.decode(errors="replace"))

    def waits(self) -> None:
        """Wait until the command sleeps: between its question and its reading Python would keep a signal to itself."""
        asleep = 0
        while asleep < 5:
            state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
            asleep = asleep + 1 if state == "S" else 0
            time.sleep(0.02)

    def write(self, text: str) -> None:
        """Type."""
        os.write(self.handle, text.encode())

    def code(self) -> int:
        """Wait and return the exit code."""
        _, status = os.waitpid(self.pid, 0)
        os.close(self.handle)
        return os.waitstatus_to_exitcode(status)


def test_a_terminal_shows_a_line_a_pass(fresh: Made) -> None:
    terminal = Terminal(fresh.folder, "run", "small.yaml", "my photos", "--on", "local")
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", terminal.read())]
    assert terminal.code() == 0
    done = next(line for line in reversed(lines) if "thumbnail + embed (" in line)
    assert re.search(r"thumbnail \+ embed \([\d.]+ s\) +━+ +9/9 +[\d,]+/s", done)
    assert max(len(line) for line in lines if "━" in line) <= 80
    assert "\x1b[?25h" in terminal.seen.decode()  # the cursor is back
    assert any(line.startswith("RUN ") for line in lines)


def test_organize_asks_on_a_terminal(made: Made, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "organize", str(made.out), "--to", "sorted")
    terminal.read(until="[y/N]")
    terminal.write("n\n")
    assert "nothing was touched" in terminal.read()
    assert terminal.code() == 0
    assert not (tmp_path / "sorted").exists()
    terminal = Terminal(tmp_path, "organize", str(made.out), "--to", "sorted")
    terminal.read(until="[y/N]")
    terminal.write("y\n")
    assert "9 files copied" in terminal.read()
    assert terminal.code() == 0


@pytest.mark.parametrize("command", [["organize"], ["run"]])
def test_ctrl_c_is_one_sentence_and_code_1(fresh: Made, made: Made, command: list[str]) -> None:
    if command == ["run"]:
        pictures(fresh.folder / "many", 400)
        terminal = Terminal(fresh.folder, "run", "small.yaml", "many", "--on", "local")
        terminal.read(until="thumbnail + embed")
    else:
        terminal = Terminal(fresh.folder, "organize", str(made.out), "--to", "sorted")
        terminal.read(until="[y/N]")
        terminal.waits()
    terminal.write("\x03")
    text = terminal.read()
    assert terminal.code() == 1
    assert text.rstrip().endswith("shoal: stopped; what is done is kept: the same command goes on from here")
    assert "Traceback" not in text
    if command == ["run"]:
        assert call("runs", "out").err.endswith("the last run failed: it was stopped\n")


@pytest.mark.parametrize("arguments", [["stages"], ["stages", "--json"], ["schema"], ["--help"]])
def test_a_reader_that_leaves_gets_no_traceback(arguments: list[str]) -> None:
    with subprocess.Popen([*SHOAL, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        said = running.stderr.read()
        assert running.wait(SECONDS) in (0, 1)
    assert "Traceback" not in said
    assert "Exception ignored" not in said


@pytest.mark.parametrize(
    "encoding",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"NO_COLOR": "1"}],
)
def test_other_encodings_lose_characters_and_nothing_else(tmp_path: Path, encoding: dict[str, str]) -> None:
    pictures(tmp_path / "photos", 1)
    (tmp_path / "photos" / "日本語 😀.txt").write_text("x")
    (tmp_path / "p.yaml").write_text(PIPELINE.replace("k: 3", "k: 1"))
    environment = {**os.environ, **encoding}
    for arguments in (["run", "p.yaml", "photos", "--on", "local"], ["rejected", "out"]):
        done = subprocess.run(
            [*SHOAL, *arguments], cwd=tmp_path, env=environment, capture_output=True, timeout=SECONDS, check=False
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        assert b"\x1b" not in done.stdout
    assert b"1 of 2 files rejected" in done.stdout
