"""Runs all benchmarks, one after another, and writes docs/benchmarks.md from what they found: `make bench`.

    python benchmarks/run_all.py [--quick] [NAME ...]

With `--quick` each is run with tiny sizes into a temporary folder: it shows that they work, and measures nothing.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import CACHE, RESULTS, ROOT
from table import ORDER, PAGE, page

HERE = Path(__file__).parent
QUICK = {name: ["--quick"] for name in ORDER if name not in ("clustering", "report")} | {"report": ["--images", "300"]}
WITH_PICTURES = ("captions", "embedding", "incremental", "rescue", "review_actions", "startup", "structural", "tuning")


def main() -> None:
    options = arguments()
    names = options.names or [name for name in ORDER if (HERE / f"{name}.py").exists()]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) if options.quick else options.results
        failed = [name for name in names if not run(name, folder, options)]
        if options.quick:
            page(folder)
        else:
            PAGE.write_text(page(folder))
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def arguments() -> argparse.Namespace:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("names", nargs="*", choices=[*ORDER, []], help="benchmarks to run; all where none is named")
    made.add_argument("--quick", action="store_true")
    made.add_argument("--results", type=Path, default=RESULTS)
    made.add_argument("--cache", type=Path, default=CACHE)
    made.add_argument("--photos", type=Path, default=ROOT / "data" / "photos")
    return made.parse_args()


def run(name: str, folder: Path, options: argparse.Namespace) -> bool:
    """Run one; say how it went."""
    words: list[str | Path] = [HERE / f"{name}.py", "--out", folder / f"{name}.json"]
    if name in WITH_PICTURES:
        words += ["--cache", options.cache, "--photos", options.photos]
    if options.quick:
        if name not in QUICK:
            print(f"== {name}: it has no quick size, and is left out", flush=True)
            return True
        words += QUICK[name]
    print(f"== {name}", flush=True)
    began = time.perf_counter()
    code = subprocess.run([sys.executable, *map(str, words)], check=False).returncode
    print(f"== {name}: {'done' if code == 0 else f'ended with {code}'} in {time.perf_counter() - began:.0f} s", flush=True)
    return code == 0


if __name__ == "__main__":
    main()
