"""`python -m shoal.docs [--check] [FOLDER_OR_FILE ...]`: brings generated blocks up to date."""

import argparse
import os
import sys
from pathlib import Path

from shoal.docs import stale
from shoal.errors import ShoalError
from shoal.host import ALLOW_VARIABLE, Host


def main(arguments: list[str] | None = None) -> int:
    """Write the files whose blocks changed; return 1 where `--check` found some, 2 where a file is wrong."""
    parser = argparse.ArgumentParser(prog="python -m shoal.docs", description="Bring generated blocks up to date.")
    parser.add_argument("paths", nargs="*", type=Path, default=[Path("docs")], help="Markdown files or folders of them.")
    parser.add_argument("--check", action="store_true", help="Write nothing; exit with 1 where a file is not up to date.")
    given = parser.parse_args(arguments)
    os.environ[ALLOW_VARIABLE] = ""  # the reference holds what shoal brings, whatever else is installed
    files = sorted(file for path in given.paths for file in (path.rglob("*.md") if path.is_dir() else [path]))
    try:
        found = stale(files, Host())
    except (ShoalError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    for file, text in found.items():
        if not given.check:
            file.write_text(text, encoding="utf-8")
        print(f"{file}: {'not up to date; run `python -m shoal.docs`' if given.check else 'written'}")
    return 1 if found and given.check else 0


if __name__ == "__main__":
    sys.exit(main())
