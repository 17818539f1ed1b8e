"""Writes the reference from the code: every block of a Markdown file between two marks is made anew.

```text
<!-- begin NAME -->
what the code says
<!-- end NAME -->
```

`python -m shoal.docs` brings the files of `docs/` up to date; with `--check` it only says which are not.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from shoal.errors import UsageError
from shoal.host import Host

Block = Callable[[Host], str]
_BLOCK = re.compile(r"^<!-- begin (?P<name>[\w-]+) -->\n(?P<text>.*?)^<!-- end (?P=name) -->$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"^<!-- (?:begin|end) [\w-]+ -->$", re.MULTILINE)


def blocks() -> Mapping[str, Block]:
    """Return what makes each block, by its name."""
    from shoal.docs import commands, hooks, migrating, pipeline, stages
    from shoal.migrating import TABLES

    return {
        "commands": lambda host: commands.text(),
        "hooks": lambda host: hooks.text(),
        "kinds": lambda host: stages.kinds(),
        "pipeline-index-columns": lambda host: pipeline.index_columns(),
        "pipeline-keys": lambda host: pipeline.keys(),
        "pipeline-overrides": lambda host: pipeline.overrides(),
        "pipeline-run": lambda host: pipeline.run_settings(),
        "stages": stages.text,
        **{f"migrating-{old.workflow}": lambda host, old=old: migrating.text(old) for old in TABLES},  # type: ignore[misc]
    }


def fill(text: str, host: Host, made: Mapping[str, Block] | None = None) -> str:
    """Return a Markdown text with its blocks made anew.

    Raises:
        UsageError: a block has no end, or a name that nothing makes.
    """
    made = blocks() if made is None else made
    if len(_MARK.findall(text)) != 2 * len(_BLOCK.findall(text)):
        raise UsageError("a generated block needs both marks, each on a line of its own, with one name")

    def block(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in made:
            raise UsageError(f"nothing makes the block {name!r}; blocks are {', '.join(sorted(made))}")
        return f"<!-- begin {name} -->\n{made[name](host).strip()}\n<!-- end {name} -->"

    return _BLOCK.sub(block, text)


def stale(files: Iterable[Path], host: Host) -> dict[Path, str]:
    """Return the new text of each file that is not up to date.

    Raises:
        UsageError: a file has a wrong block; the message names the file.
    """
    found: dict[Path, str] = {}
    for file in files:
        old = file.read_text(encoding="utf-8")
        try:
            new = fill(old, host)
        except UsageError as error:
            raise UsageError(f"{file}: {error}") from error
        if new != old:
            found[file] = new
    return found
