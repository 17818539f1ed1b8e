"""Writes the table of values in the chart's README from `values.yaml`; with `--check` it only looks."""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).with_name("shoal")
BEGIN, END = "<!-- begin values -->\n", "<!-- end values -->"
WHOLE = ("requests", "limits", "network", "dns", "apiServer")
"""Tables that are one value to a reader."""


def table(text: str) -> str:
    """Return the Markdown table of a values file: each value, its default, and the comment beside it."""
    rows = ["| value | default | meaning |", "| --- | --- | --- |"]
    told = comments(text)
    for path, default in values_of(yaml.safe_load(text)):
        meaning = told.get(path, "").replace("|", "\\|")
        if default or meaning:  # a table has a row where something is said of it
            rows.append(f"| `{path}` | {default} | {meaning} |")
    return "\n".join(rows) + "\n"


def values_of(values: dict[str, Any], path: str = "") -> list[tuple[str, str]]:
    """Return the paths of the file in its order, each value with its default as code, each table with nothing."""
    found: list[tuple[str, str]] = []
    for name, value in values.items():
        here = f"{path}.{name}".lstrip(".")
        if isinstance(value, dict) and value and name not in WHOLE:
            found += [(here, ""), *values_of(value, here)]
        else:
            found.append((here, f"`{json.dumps(value, ensure_ascii=False)}`"))
    return found


def comments(text: str) -> dict[str, str]:
    """Return the comment at the end of each line by the path of its value or table."""
    found: dict[str, str] = {}
    parents: list[str] = []
    for line in text.splitlines():
        name, colon, rest = line.partition(":")
        if colon and not name.lstrip().startswith("#"):
            parents = [*parents[: (len(name) - len(name.lstrip())) // 2], name.strip()]
            found[".".join(parents)] = rest.partition(" # ")[2].strip()
    return found


def page(readme: str, text: str) -> str:
    """Return the README with the table in its place."""
    before, _, rest = readme.partition(BEGIN)
    return f"{before}{BEGIN}{table(text)}{END}{rest.partition(END)[2]}"


def main(arguments: list[str]) -> int:
    """Bring the README up to date; with `--check` return 1 where it is not."""
    file = CHART / "README.md"
    old = file.read_text(encoding="utf-8")
    new = page(old, (CHART / "values.yaml").read_text(encoding="utf-8"))
    if old == new:
        return 0
    if "--check" in arguments:
        print(f"{file} is not up to date; run `python helm/values_table.py`")
        return 1
    file.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
