"""A driver in a process of its own: it may die with its cluster. `python -m tests.faults.driver ADDRESS PHOTOS FOLDER`."""

import sys
from pathlib import Path

from shoal.host import Host

from .cluster import BUILTINS, At, Bench


def main(address: str, photos: str, folder: str) -> None:
    """Run once; leave a file when a third of the images is done; print what was computed."""
    bench = Bench(Host(builtins=BUILTINS, allow=()), Path(photos), Path(folder))
    told = At("embed", 32, lambda: Path(folder, "moment").touch())
    run = bench.go("pause: 0.05", progress=told, actors=1, address=address)
    print(run.record.step("embed").computed)


if __name__ == "__main__":
    main(*sys.argv[1:])
