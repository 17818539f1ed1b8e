"""Measures the report at 50,000 images in headless Chromium, without a GPU: load, frames, hover, sizes.

    python benchmarks/report.py [--images 50000] [--photos DIR] [--out benchmarks/results/report.json]

Pans by drag, zooms by wheel and hovers through the real events of the browser; a frame time is the gap between two
animation frames while that goes on. Hover latency runs from the pointer event to the tooltip with its picture drawn, sprite
sheets read from disk. Needs playwright and Debian's package `chromium`.

With `--plotly FILE` (the `plotly.min.js` of the Python package) the same points are drawn by its `scattergl` for comparison,
under a policy with and without `unsafe-eval`, in software WebGL, since there is no GPU here.
"""

import argparse
import io
import json
import os
import platform
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from shoal.contract import Context
from shoal.report import Fragment, Report, json_literal, write
from shoal.vectors import from_numpy
from shoal_plugins.visualize.grid import Grid
from shoal_plugins.visualize.map import Map
from shoal_plugins.visualize.sizes import Sizes

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SOFTWARE_WEBGL = [
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
]
SIZE = {"width": 1440, "height": 1000}
CLUSTERS = 60
WATCH = """() => {
  window.frames_ = [];
  let last = performance.now();
  (function tick() {
    const now = performance.now();
    window.frames_.push(now - last);
    last = now;
    requestAnimationFrame(tick);
  })();
}"""
# From the pointer event until the tooltip shows the picture of the point under the pointer.
WATCH_HOVER = """() => {
  window.delays = [];
  const tip = document.querySelector(".map-tip"), name = document.querySelector(".map-tip-name");
  const picture = document.querySelector(".map-tip-picture");
  let since = 0, shown = null;
  document.addEventListener("pointermove", () => {
    since = performance.now();
  }, true);
  (function look() {
    if (!tip.hidden && !picture.hidden && name.textContent !== shown) {
      shown = name.textContent;
      window.delays.push(performance.now() - since);
    }
    setTimeout(look, 1);
  })();
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--photos", type=Path, help="folder of photographs for the thumbnails; else coloured noise")
    parser.add_argument("--plotly", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "report.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), options.images, thumbnails(options.photos), options.plotly)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def measure(folder: Path, images: int, pictures: list[bytes], plotly: Path | None) -> dict[str, Any]:
    from playwright.sync_api import sync_playwright

    rows = make_rows(images, pictures)
    result: dict[str, Any] = {"machine": f"{platform.machine()}, {os.cpu_count()} CPUs, no GPU", "images": images}
    page, result["draw"] = draw(folder, rows)
    result["size"] = sizes(page)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        result["browser"] = browser.version
        result["map"] = use_map(browser, page.as_uri())
        browser.close()
        if plotly is not None:
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=SOFTWARE_WEBGL)
            result["plotly"] = {
                policy or "no eval": use_plotly(browser, folder, rows, plotly, policy) for policy in ("", "'unsafe-eval'")
            }
            browser.close()
    return result


def thumbnails(photos: Path | None) -> list[bytes]:
    """Return a few hundred thumbnails of 160 pixels."""
    from PIL import Image

    if photos is None:
        noise = np.random.default_rng(0).integers(0, 255, size=(200, 8, 8, 3), dtype=np.uint8)
        found = [Image.fromarray(pixels).resize((160, 120)) for pixels in noise]
    else:
        found = [Image.open(path).convert("RGB") for path in sorted(photos.rglob("*")) if path.is_file()]
    made = []
    for image in found:
        image.thumbnail((160, 160))
        file = io.BytesIO()
        image.save(file, "JPEG", quality=85)
        made.append(file.getvalue())
    return made


def make_rows(images: int, pictures: list[bytes]) -> pa.Table:
    rng = np.random.default_rng(7)
    cluster = rng.integers(0, CLUSTERS, images)
    centres = rng.uniform(0, 20, size=(CLUSTERS, 2))
    places = centres[cluster] + rng.normal(scale=0.5, size=(images, 2))
    cluster[rng.random(images) < 0.1] = -1
    return pa.table(
        {
            "id": [f"{number:064x}" for number in range(images)],
            "embedding": from_numpy(places.astype(np.float32)),
            "cluster": pa.array(cluster, pa.int32()),
            "path": [f"/photos/folder_{n % 97:02}/IMG_{n:06}.jpg" for n in range(images)],
            "thumbnail": pa.array([pictures[n % len(pictures)] for n in range(images)], pa.binary()),
            "label": [f"a name of cluster {number}" if number >= 0 else None for number in cluster],
        }
    )


def draw(folder: Path, rows: pa.Table) -> tuple[Path, dict[str, float]]:
    seconds: dict[str, float] = {}
    fragments = []
    for stage in (Map(), Grid(), Sizes()):
        files = folder / "src" / stage.name
        files.mkdir(parents=True)
        began = time.perf_counter()
        row = stage.run(rows, Context(folder=files, threads=os.cpu_count() or 1)).to_pylist()[0]
        seconds[f"{stage.name}_seconds"] = round(time.perf_counter() - began, 2)
        fragments.append(Fragment(stage.name, row["title"], row["html"], row["style"], row["script"], files))
    empty = {
        "steps": ("step", "stage", "backend", "seconds", "rows", "computed", "cached", "failed", "rate"),
        "clusters": ("cluster", "label", "size", "reason"),
        "rejected": ("path", "step", "status", "reason"),
    }
    tables = {name: pa.table({column: pa.array([], pa.string()) for column in names}) for name, names in empty.items()}
    began = time.perf_counter()
    page = write(folder / "out", Report("benchmark", "run", "now", (), fragments=fragments, **tables))
    seconds["write_seconds"] = round(time.perf_counter() - began, 2)
    return page, seconds


def sizes(page: Path) -> dict[str, float]:
    files = [path for path in (page.parent / "report_files").rglob("*") if path.is_file()]
    return {
        "page_mb": round(page.stat().st_size / 1e6, 2),
        "files": len(files),
        "files_mb": round(sum(path.stat().st_size for path in files) / 1e6, 1),
    }


def use_map(browser: Any, url: str) -> dict[str, Any]:
    context = browser.new_context(viewport=SIZE)
    page = context.new_page()
    page.goto(url)
    page.wait_for_function(DRAWN)
    timing = "performance.getEntriesByType('navigation')[0]"
    result: dict[str, Any] = {
        "load_ms": round(page.evaluate(f"{timing}.loadEventEnd")),
        "drawn_ms": round(page.evaluate("performance.now()")),
    }
    page.locator(".map-stage").evaluate("element => element.scrollIntoView({ block: 'center' })")
    page.wait_for_timeout(500)
    result |= gestures(page, page.locator(".map-stage").bounding_box())
    page.locator(".map-reset").click()
    page.wait_for_timeout(400)
    page.evaluate(WATCH_HOVER)
    box = page.locator(".map-stage").bounding_box()
    for step in range(150):
        page.mouse.move(box["x"] + 150 + step * 3, box["y"] + 80 + (step * 37) % 400)
        page.wait_for_timeout(60)
    result["hover_ms"] = spread(page.evaluate("delays"))
    began = time.perf_counter()
    page.locator(".map-search").fill("img_0123")
    page.wait_for_function("document.querySelector('.map-found').textContent")
    result["search_ms"] = round(1000 * (time.perf_counter() - began))
    result["heap_mb"] = round(page.evaluate("performance.memory.usedJSHeapSize") / 1e6)
    context.close()
    return result


DRAWN = """() => {
  const canvas = document.querySelector(".map-points");
  if (!canvas || !canvas.width) return false;
  return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value);
}"""


def gestures(page: Any, box: dict[str, float]) -> dict[str, Any]:
    """Drag and zoom in the middle of a box; frame times in milliseconds."""
    page.evaluate(WATCH)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.evaluate("frames_.length = 0")
    for step in range(120):
        page.mouse.move(x + 120 * np.sin(step / 9), y + 90 * np.cos(step / 7))
        page.wait_for_timeout(16)
    pan = page.evaluate("frames_.slice(1)")
    page.mouse.up()
    page.wait_for_timeout(400)
    page.evaluate("frames_.length = 0")
    for step in range(60):
        page.mouse.wheel(0, -60 if step < 30 else 60)
        page.wait_for_timeout(16)
    return {"pan_frame_ms": spread(pan), "zoom_frame_ms": spread(page.evaluate("frames_.slice(1)"))}


def use_plotly(browser: Any, folder: Path, rows: pa.Table, plotly: Path, policy: str) -> dict[str, Any]:
    """Draw the same points by plotly's `scattergl`."""
    places = np.stack(rows["embedding"].to_pylist()).round(4)
    colours = [f"hsl({47 * number % 360} 60% 50%)" for number in rows["cluster"].to_pylist()]
    trace = {
        "type": "scattergl",
        "mode": "markers",
        "x": places[:, 0].tolist(),
        "y": places[:, 1].tolist(),
        "marker": {"size": 4, "color": colours},
    }
    layout = {"dragmode": "pan", "width": 1000, "height": 640}
    shutil.copy(plotly, folder / "plotly.js")
    (folder / "own.js").write_text(
        f'Plotly.newPlot("map", [{json_literal(trace)}], {json_literal(layout)}, {{"scrollZoom": true}})'
        ".then(() => { window.ready = true; });"
    )
    page_file = folder / "plotly.html"
    page_file.write_text(
        f"""<!doctype html><meta http-equiv="Content-Security-Policy" content="script-src 'self' {policy}">"""
        '<meta charset="utf-8"><div id="map"></div><script src="plotly.js"></script><script src="own.js"></script>'
    )
    context = browser.new_context(viewport=SIZE)
    page = context.new_page()
    page.goto(page_file.as_uri())
    try:
        page.wait_for_function("window.ready", timeout=30_000)
        result: dict[str, Any] = {"drawn_ms": round(page.evaluate("performance.now()"))}
        page.wait_for_timeout(500)
        result["coloured_pixels"] = coloured(page.locator("#map").screenshot())
        result |= gestures(page, page.locator("#map").bounding_box())
    except Exception as error:
        result = {"failed": str(error).splitlines()[0]}
    context.close()
    return result


def coloured(png: bytes) -> int:
    """Return how many pixels of a picture are no grey: none where plotly could not draw its points."""
    from PIL import Image

    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    return int((np.ptp(pixels, axis=2) > 60).sum())


def spread(values: list[float]) -> dict[str, float]:
    """Return count, median, 95th percentile and maximum."""
    if not values:
        return {"count": 0}
    ordered = sorted(values)
    return {
        "count": len(values),
        "median": round(statistics.median(values), 1),
        "p95": round(ordered[int(0.95 * (len(ordered) - 1))], 1),
        "max": round(ordered[-1], 1),
    }


if __name__ == "__main__":
    main()
