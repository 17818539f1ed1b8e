"""Writes the tables of docs/scaling.md: what was measured, and what follows from it on paper.

    python benchmarks/scaling.py [--page docs/scaling.md]

Measured figures come from `benchmarks/results/` (embedding, partitioned, driver_memory); everything else is an assumption of
`ASSUMED`, which the page lists. Nothing is measured here.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from common import RESULTS, ROOT

PAGE = ROOT / "docs" / "scaling.md"
HELD = "bytes a vector that clustering holds besides it: hash, answers, renumbering (by the code)"
GPU_RATE = "images a second that one GPU embeds, with 8 CPU cores that decode"
ASSUMED = {
    "size of an image, KB": 300.0,
    "components of a kept vector": 64.0,
    "size of a thumbnail, KB": 6.0,
    GPU_RATE: 800.0,
    "price of such a GPU machine, $ an hour": 1.2,
    "price of a CPU core, $ an hour": 0.04,
    "price of storage, $ a GB and month": 0.023,
    "price of 1,000 reads from an object store, $": 0.0004,
}
SIZES = (1_000_000, 100_000_000, 1_000_000_000)
PART_ROWS = 512


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--page", type=Path, default=PAGE)
    options = made.parse_args()
    text = options.page.read_text()
    for name, block in blocks().items():
        head, tail = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        text = text[: text.index(head) + len(head)] + block + text[text.index(tail) :]
    options.page.write_text(text)


def blocks() -> dict[str, str]:
    """Return the tables of the page by name."""
    results = {
        name: json.loads((RESULTS / f"{name}.json").read_text()) for name in ("embedding", "partitioned", "driver_memory")
    }
    known = constants(results)
    return {"measured": measured(results), "constants": listed(known), "assumed": listed(ASSUMED), "paper": paper(known)}


def constants(results: dict[str, Any]) -> dict[str, float]:
    """Return what a row costs, from the two largest sizes measured: what a run costs once is left out."""
    small, large = results["partitioned"]["sizes"][-2:]
    few, many = results["driver_memory"]["sizes"][-2:]
    embedding = results["embedding"]["figures"][0]
    return {
        "images a second that 2 CPU cores embed (EfficientNet-Lite0)": embedding["value"],
        "CPU seconds a million vectors, clustered beyond the sample": slope(small, large, "cpu_seconds") * 1e6,
        "CPU seconds, clusters of the sample": small["cpu_seconds"] - slope(small, large, "cpu_seconds") * small["rows"],
        HELD: 40.0,
        "driver: CPU seconds a million rows, index and map": slope(few, many, "cpu_seconds", "first") * 1e6,
        "driver: bytes a row": max(0.0, slope(few, many, "peak_mb", "first") * 1e6),
        "driver: MB at the largest size": many["first"]["peak_mb"],
    }


def slope(small: dict[str, Any], large: dict[str, Any], name: str, inside: str = "") -> float:
    """Return how much a figure grows with a row."""
    one, other = (size[inside] if inside else size for size in (small, large))
    return float((other[name] - one[name]) / (large["rows"] - small["rows"]))


def measured(results: dict[str, Any]) -> str:
    lines = [
        "| vectors of 64 components | `cluster.partitioned`, CPU s | wall s | cores of others | own memory, MB | clusters |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for size in results["partitioned"]["sizes"]:
        cells = [
            f"{size['rows']:,}",
            *(number(size[name]) for name in ("cpu_seconds", "seconds", "others", "own_mb", "clusters")),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "| rows of a manifest | peak of the driver, index and map, MB | all rows kept already, MB | CPU s |",
        "| ---: | ---: | ---: | ---: |",
    ]
    for size in results["driver_memory"]["sizes"]:
        figures = (size["first"]["peak_mb"], size["again"]["peak_mb"], size["first"]["cpu_seconds"])
        lines.append(f"| {size['rows']:,} | {' | '.join(number(figure) for figure in figures)} |")
    few, many = results["driver_memory"]["sizes"][-2:]
    ratio = many["first"]["peak_mb"] / few["first"]["peak_mb"]
    whole, exponent = results["partitioned"]["whole"], results["partitioned"]["slope"]
    lines += [
        "",
        f"- Between the two largest sizes CPU time of clustering grows with the power {exponent:.2f} of the rows.",
        f"- Agreement with HDBSCAN on all of {whole['rows']:,} other rows, in all 64 components: ARI {whole['ari']:.3f}, "
        "noise counted as a group of its own.",
        f"- Peak of the driver, {many['rows']:,} rows / {few['rows']:,} rows: {ratio:.2f}.",
        "",
    ]
    return "\n".join(lines)


def paper(known: dict[str, float]) -> str:
    """Return what sizes cost that nobody measured."""
    rows = {name: [how(size, known) for size in SIZES] for name, how in LINES.items()}
    head = f"| | {' | '.join(f'{size:,}' for size in SIZES)} |"
    lines = [
        head,
        f"| --- |{' ---: |' * len(SIZES)}",
        *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()),
    ]
    return "\n".join([*lines, ""])


def gpu_hours(size: int) -> float:
    return size / ASSUMED[GPU_RATE] / 3600


def cluster_seconds(size: int, known: dict[str, float]) -> float:
    once, each = (
        known["CPU seconds, clusters of the sample"],
        known["CPU seconds a million vectors, clustered beyond the sample"],
    )
    return once + each * size / 1e6


def stored_gb(size: int, each: int) -> float:
    return size * (ASSUMED["components of a kept vector"] * each + ASSUMED["size of a thumbnail, KB"] * 1000) / 1e9


def money(size: int, known: dict[str, float]) -> float:
    """Return dollars: GPUs, cores that cluster and drive, requests, a month of storage of what shoal keeps."""
    cores = cluster_seconds(size, known) + known["driver: CPU seconds a million rows, index and map"] * size / 1e6
    return (
        gpu_hours(size) * ASSUMED["price of such a GPU machine, $ an hour"]
        + cores / 3600 * ASSUMED["price of a CPU core, $ an hour"]
        + size / 1000 * ASSUMED["price of 1,000 reads from an object store, $"]
        + stored_gb(size, 4) * ASSUMED["price of storage, $ a GB and month"]
    )


LINES = {
    "images read once, over the network": lambda size, known: f"{number(size * ASSUMED['size of an image, KB'] / 1e9)} TB",
    "embedding on 1 GPU machine": lambda size, known: f"{number(gpu_hours(size))} h",
    "embedding on 64 GPU machines": lambda size, known: f"{number(gpu_hours(size) / 64)} h",
    "network of 64 machines meanwhile": lambda size, known: (
        f"{number(64 * 8e-6 * ASSUMED['size of an image, KB'] * ASSUMED[GPU_RATE])} Gbit/s"
    ),
    "embedding on 2 CPU cores": lambda size, known: (
        f"{number(size / known['images a second that 2 CPU cores embed (EfficientNet-Lite0)'] / 3600)} h"
    ),
    "vectors, float32": lambda size, known: f"{number(size * ASSUMED['components of a kept vector'] * 4 / 1e9)} GB",
    "vectors, float16 (halved)": lambda size, known: f"{number(size * ASSUMED['components of a kept vector'] * 2 / 1e9)} GB",
    "vectors and thumbnails kept": lambda size, known: f"{number(stored_gb(size, 4))} GB",
    f"part files of a stage, {PART_ROWS} rows each": lambda size, known: f"{size / PART_ROWS:,.0f}",
    "driver, index and map: CPU": lambda size, known: (
        f"{number(known['driver: CPU seconds a million rows, index and map'] * size / 3.6e9)} h"
    ),
    "driver, index and map: memory": lambda size, known: (
        f"{number((known['driver: MB at the largest size'] * 1e6 + known['driver: bytes a row'] * size) / 1e9)} GB"
    ),
    "`cluster.partitioned`: CPU": lambda size, known: f"{number(cluster_seconds(size, known) / 3600)} h",
    "`cluster.partitioned`: memory besides the vectors": lambda size, known: f"{number(known[HELD] * size / 1e9)} GB",
    "in all, with a month of storage": lambda size, known: f"{number(money(size, known))} $",
}


def listed(values: dict[str, float]) -> str:
    return "\n".join(["| | |", "| --- | ---: |", *(f"| {name} | {number(value)} |" for name, value in values.items()), ""])


def number(value: float) -> str:
    """Return a number with three significant digits, and all those before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


if __name__ == "__main__":
    main()
