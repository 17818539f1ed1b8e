"""What the terminal shows. Data goes to standard output, everything else to standard error."""

import json
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any, TextIO

from shoal.text import terminal


def lenient() -> None:
    """Let a character that the terminal's encoding lacks become `?` instead of an error."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def hush() -> None:
    """Send what is still to be printed nowhere: its reader has gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        if _broken(stream):
            os.dup2(nowhere, stream.fileno())


def _broken(stream: TextIO) -> bool:
    try:
        stream.flush()
    except OSError:
        return True
    return False


def complain(message: str) -> None:
    """Print an error, control characters taken out."""
    for line in message.splitlines() or [""]:
        print(f"shoal: {terminal(line)}", file=sys.stderr)


def say(message: str = "") -> None:
    """Print a line for people to standard error."""
    print(terminal(message), file=sys.stderr)


def out(message: str = "") -> None:
    """Print a line of data to standard output."""
    print(terminal(message))


def out_next(commands: list[str]) -> None:
    """Print commands to type next."""
    out("next:")
    for command in commands:
        out(f"  {command}")


def out_json(value: Any) -> None:
    """Print a value as JSON to standard output."""
    print(json.dumps(value, indent=1, ensure_ascii=True, default=str))


def quoted(*words: str | Path) -> str:
    """Return words as a command that can be copied into a shell."""
    return shlex.join(str(word) for word in words)


def nearby(path: Path, typed: str) -> str:
    """Return a path below a folder as the user spelled that folder, where that is shorter."""
    try:
        short = str(Path(typed) / path.relative_to(Path(typed).absolute()))
    except ValueError:
        return str(path)
    return min(short, str(path), key=len)


def paragraphs(text: str) -> None:
    """Print Markdown-like text: paragraphs filled to the terminal, lists and tables as they are."""
    import textwrap

    columns = min(shutil.get_terminal_size().columns, 100)
    for block in text.split("\n\n"):
        lines = block.splitlines()
        if any(line.startswith((" ", "|", "- ", "* ", "```")) for line in lines):
            for line in lines:
                out(line)
        else:
            for line in textwrap.wrap(" ".join(lines), columns, break_long_words=False, break_on_hyphens=False):
                out(line)
        out()
