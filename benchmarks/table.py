"""Writes docs/benchmarks.md from benchmarks/results/*.json."""

import argparse
import json
from pathlib import Path
from typing import Any

from common import RESULTS, ROOT, Figure

PAGE = ROOT / "docs" / "benchmarks.md"
ORDER = (
    "embedding", "incremental", "structural", "clustering", "partitioned", "driver_memory", "purity", "tuning", "captions",
    "rescue", "memory", "startup", "report", "label_studio_open", "label_studio_backend", "review_actions", "review_kills",
    "submit_overhead", "faults",
)  # fmt: skip
HEAD = """\
# Benchmarks

`make bench` measures again and writes this page from `benchmarks/results/*.json`, which hold each trial; what is measured
and how stands at the head of each program in `benchmarks/`. Programs that are compared take turns in fresh processes, so
that a noisy minute hurts all alike, and figures are medians. Where other programs ran meanwhile it says how many cores they
used; a "quiet machine" had nothing else to do. "shoal / another" says how many times faster shoal is, where it does not say
otherwise.
"""


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--results", type=Path, default=RESULTS)
    made.add_argument("--page", type=Path, default=PAGE)
    options = made.parse_args()
    options.page.write_text(page(options.results))


def page(results: Path) -> str:
    """Return the page of all results of a folder."""
    names = sorted((path.stem for path in results.glob("*.json")), key=place)
    parts = [HEAD, *(section(name, json.loads((results / f"{name}.json").read_text())) for name in names)]
    return "\n".join(parts)


def place(name: str) -> tuple[int, str]:
    return (ORDER.index(name) if name in ORDER else len(ORDER), name)


def section(name: str, result: dict[str, Any]) -> str:
    """Return a result's part of the page: a table of its figures, and where they were measured."""
    title, find = OWN_SHAPE.get(name, (str(result.get("title", name)), lambda found: found["figures"]))
    lines = [f"## {title}", "", f"`benchmarks/{name}.py`, on {where(result)}.", ""]
    lines += ["| | measured | target | |", "| --- | ---: | ---: | --- |"]
    lines += [line(figure) for figure in find(result)]
    return "\n".join([*lines, ""])


def line(figure: dict[str, Any]) -> str:
    held = "" if "holds" not in figure else "holds" if figure["holds"] else "missed"
    value = f"{number(figure['value'])} {figure.get('unit', '')}".strip()
    target = str(figure.get("target", "")).replace(">=", "≥").replace("<=", "≤")
    return f"| {figure['what']} | {value} | {target} | {held} |"


def number(value: float) -> str:
    """Return a number with three significant digits, and all those before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def where(result: dict[str, Any]) -> str:
    """Say on what machine, and whether it had other work."""
    facts = result["machine"]
    if isinstance(facts, str):
        return facts
    parts = [f"{facts.get('cores', facts.get('cpus'))} cores", f"Python {facts['python']}"]
    if "memory_gib" in facts:
        parts[1:1] = [str(facts["architecture"]), f"{facts['memory_gib']:g} GiB"]
    said = ", ".join(parts)
    kinds = [part for part in (result, *result.values()) if isinstance(part, dict) and "quiet" in part]
    if kinds and all(part["quiet"] for part in kinds):
        said += ", a quiet machine"
    elif kinds:
        said += f"; others used {max(part['others_median_cores'] for part in kinds):g} cores meanwhile"
    return said


def clustering_figures(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the figures of `clustering.py`: seconds of whole cold processes against the fastest library called plainly."""
    found = []
    for race in result.get("cluster", []):
        what = f"clustering {race['rows']:,} x {race['components']} ({race['data']})"
        found += against(race, what, Figure("", race["ratio"], at_most=1.2), f"fastest other ({race['fastest_other']})")
        found.append(Figure(f"{what}: agreement of the clusters (ARI)", race["ari_with_fastest"]).plain())
    if race := result.get("reduce"):
        what = f"reduction and clustering of {race['rows']:,} x {race['components']}"
        found += against(race, what, Figure("", race["ratio"], at_most=0.6), "umap-learn and hdbscan called plainly")
    if (peak := result.get("memory", {})) and "peak_mb" in peak:
        what = f"peak memory, {peak['rows']:,} x 1280, through UMAP and clustering"
        found.append(Figure(what, peak["peak_mb"], "MiB", at_most=peak["limit_mb"]).plain())
    return found


def against(race: dict[str, Any], what: str, ratio: Figure, other: str) -> list[dict[str, Any]]:
    shoal, rival = race["seconds"]["shoal"], race["seconds"][race["fastest_other"]]
    return [
        Figure(f"{what}: shoal", shoal, "s").plain(),
        Figure(f"{what}: {other}", rival, "s").plain(),
        {**ratio.plain(), "what": f"{what}: shoal's seconds / the other's"},
    ]


def report_figures(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the figures of `report.py`: how a page with many images does in a browser."""
    what, used = f"report of {result['images']:,} images", result["map"]
    return [
        Figure(f"{what}: drawing the map", result["draw"]["map_seconds"], "s").plain(),
        Figure(f"{what}: page loaded and drawn", float(used["drawn_ms"]), "ms").plain(),
        Figure(f"{what}: frame while panning, 95th percentile", used["pan_frame_ms"]["p95"], "ms", at_most=33.4).plain(),
        Figure(f"{what}: frame while zooming, 95th percentile", used["zoom_frame_ms"]["p95"], "ms", at_most=33.4).plain(),
        Figure(f"{what}: picture under the pointer, 95th percentile", used["hover_ms"]["p95"], "ms").plain(),
        Figure(f"{what}: search", float(used["search_ms"]), "ms").plain(),
    ]


OWN_SHAPE = {
    "clustering": ("Reduction and clustering, whole cold processes", clustering_figures),
    "report": ("The report in a browser without a GPU", report_figures),
}


if __name__ == "__main__":
    main()
