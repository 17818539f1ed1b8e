"""The benchmarks run: each with its tiny sizes, in processes of their own; and the docs show the results that are kept."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few pictures with some structure, of several shapes."""
    folder = tmp_path_factory.mktemp("photographs")
    for number, size in enumerate([(320, 240), (240, 320), (400, 200), (300, 300)]):
        rng = np.random.default_rng(number)
        Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)).resize(size).save(folder / f"{number}.webp")
    return folder


def benchmark(name: str, out: Path, *words: str | Path) -> dict[str, object]:
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), "--quick", "--out", str(out), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=590, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(out.read_text())
    assert result["quick"] is True
    assert result["figures"]
    return result


@pytest.mark.slow
@pytest.mark.timeout(450)
@pytest.mark.parametrize("name", ["captions", "embedding", "incremental", "startup", "structural", "tuning"])
def test_benchmarks_with_pictures_run(name: str, photographs: Path, tmp_path: Path) -> None:
    result = benchmark(name, tmp_path / "result.json", "--cache", tmp_path / "cache", "--photos", photographs)
    text = json.dumps(result)
    assert str(tmp_path) not in text
    if name == "embedding":
        assert {trial["embedded"] for trial in result["small"]["trials"]["shoal"]} == {48}
    if name == "incremental":
        (first,), (second,), (more,) = (result["trials"][run] for run in ("first", "second", "more"))
        assert first["image_steps"] == {"index": 40, "thumbnail": 40, "embed": 40}
        assert set(second["computed"].values()) == {0}
        assert not {"onnxruntime", "torch", "ray", "umap", "hdbscan"} & set(second["loaded"])
        assert more["image_steps"] == {"index": 1, "thumbnail": 1, "embed": 1}
    if name == "structural":
        (first,), (second,) = (result["trials"][run] for run in ("first", "second"))
        assert {first["computed"][step] for step in ("index", "thumbnail", "embed", "tags")} == {60}
        assert set(second["computed"].values()) == {0}


@pytest.mark.slow
def test_benchmark_of_memory_runs(tmp_path: Path) -> None:
    (size,) = benchmark("memory", tmp_path / "result.json")["sizes"]
    assert size["images"] == 200
    assert 0 < size["idle_mb"] < size["peak_mb"] < size["bound_mb"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_benchmark_of_many_vectors_runs(tmp_path: Path) -> None:
    result = benchmark("partitioned", tmp_path / "result.json")
    assert [size["rows"] for size in result["sizes"]] == [1500, 3000]
    assert all(size["notes"]["sampled"] == 500 for size in result["sizes"])
    assert result["whole"]["rows"] == 1000


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_driver_s_memory_hardly_grows_with_the_rows_of_a_manifest(tmp_path: Path) -> None:
    few, many = benchmark("driver_memory", tmp_path / "result.json")["sizes"]
    assert many["rows"] == 10 * few["rows"] == 200_000
    for size in (few, many):
        assert size["first"]["images"] == size["first"]["accepted"] == size["rows"]
        assert size["first"]["computed"] == {"index": 0, "embed": size["rows"]}
        assert size["again"]["computed"] == {"index": 0, "embed": 0}
    for turn in ("first", "again"):
        assert many[turn]["peak_mb"] <= 1.3 * few[turn]["peak_mb"]


@pytest.mark.slow
def test_benchmark_of_purity_runs(tmp_path: Path) -> None:
    result = benchmark("purity", tmp_path / "result.json")
    (trial,) = result["trials"]["purity"]
    assert trial["notes"]["metrics"]["clusters"] == 20
    assert 0.8 < result["figures"][-1]["value"] <= 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_benchmark_of_rescue_runs(tmp_path: Path) -> None:
    for number, colour in enumerate(["navy", "orange", "white"]):
        (tmp_path / "photos" / colour).mkdir(parents=True)
        for shade in range(9):
            picture = Image.new("RGB", (200, 160), colour)
            picture.paste((25 * shade, 10, 10), (20 * number, 10, 80 + 40 * number, 100 + shade))
            picture.save(tmp_path / "photos" / colour / f"{shade}.webp")
    result = benchmark("rescue", tmp_path / "result.json", "--photos", tmp_path / "photos")
    assert result["photos"] == 27
    assert [len(setting["curve"]) for setting in result["settings"]] == [15] * 4
    assert str(tmp_path) not in json.dumps(result)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_benchmark_of_opening_runs(cache: Path, tmp_path: Path) -> None:
    result = benchmark("label_studio_open", tmp_path / "result.json", "--cache", cache)
    assert result["trials"]["shoal"][0]["seconds"] > 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_benchmark_of_the_backend_runs_without_an_error_or_a_lost_event(tmp_path: Path) -> None:
    trials = benchmark("label_studio_backend", tmp_path / "result.json")["trials"]
    assert trials["crowd"]["count"] >= trials["crowd"]["clients"] == 50
    assert (trials["crowd"]["errors"], trials["crowd"]["lost"]) == (0, 0)
    killed = trials["killed"]
    assert killed["kills"] == 2
    assert killed["unanswered"] >= 1, "it was killed while events were sent"
    assert killed["answered"] + killed["unanswered"] == killed["events"] == 60
    assert (killed["lost"], killed["twice"]) == (0, 0)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_benchmark_of_kills_loses_nothing_and_counts_nothing_twice(cache: Path, tmp_path: Path) -> None:
    trial = benchmark("review_kills", tmp_path / "result.json", "--cache", cache)["trial"]
    assert (trial["events"], trial["kills"]) == (60, 3)
    assert trial["sent while away"] >= 1
    assert trial["found by sync"] >= 1, "webhooks missed some, and polling found them"
    assert trial["decisions"] >= 20
    assert (trial["lost"], trial["twice"]) == (0, 0)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Debian's package chromium")
def test_benchmark_of_a_reviewer_s_actions_runs_and_puts_all_images_right(cache: Path, tmp_path: Path) -> None:
    trials = benchmark("review_actions", tmp_path / "result.json", "--cache", cache)["trials"]
    assert trials["before"] < 1
    assert trials["clusters"]["right"] == trials["singles"]["right"] == 1
    assert trials["clusters"]["drags"] >= 1
    assert trials["clusters"]["actions"] < trials["singles"]["actions"]


@pytest.mark.slow
def test_pictures_are_the_same_every_time_and_all_different(photographs: Path, tmp_path: Path) -> None:
    code = f"""
import sys; sys.path.insert(0, {str(BENCHMARKS)!r})
from pathlib import Path
from pictures import crops, large
for turn in "ab":
    crops(Path({str(photographs)!r}), Path({str(tmp_path)!r}) / turn, 20)
large(Path({str(photographs)!r}), Path({str(tmp_path)!r}) / "a", 1)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)
    first, second = ([path.read_bytes() for path in sorted((tmp_path / turn / "crops-20").rglob("*.jpg"))] for turn in "ab")
    assert first == second
    assert len(set(first)) == 20
    (large,) = (tmp_path / "a" / "large-1").rglob("*.jpg")
    with Image.open(large) as image:
        assert image.size == (4000, 3000)


def test_a_figure_knows_whether_its_target_holds() -> None:
    code = f"""
import sys; sys.path.insert(0, {str(BENCHMARKS)!r})
from common import Figure
print([Figure("x", 0.9, at_least=0.9).plain()["holds"], Figure("x", 0.89, at_least=0.9).plain()["holds"]])
print([Figure("x", 45, "s", at_most=45).plain()["target"], "holds" in Figure("x", 45, "s").plain()])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split("\n")[:2] == ["[True, False]", "['<= 45', False]"]


def test_the_docs_show_the_results_that_are_kept(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    command = [sys.executable, str(BENCHMARKS / "table.py"), "--page", str(page)]
    subprocess.run(command, check=True, timeout=60)
    assert page.read_text() == (ROOT / "docs" / "benchmarks.md").read_text(), "write it by: python benchmarks/table.py"


def test_the_page_about_scaling_shows_the_results_that_are_kept(tmp_path: Path) -> None:
    page = tmp_path / "scaling.md"
    shutil.copy(ROOT / "docs" / "scaling.md", page)
    subprocess.run([sys.executable, str(BENCHMARKS / "scaling.py"), "--page", str(page)], check=True, timeout=60)
    assert page.read_text() == (ROOT / "docs" / "scaling.md").read_text(), "write it by: python benchmarks/scaling.py"


def test_results_come_from_full_sizes_and_name_no_path() -> None:
    for path in (BENCHMARKS / "results").glob("*.json"):
        text = path.read_text()
        assert not json.loads(text).get("quick"), path.name
        assert "/tmp" not in text, path.name
        assert "/home" not in text, path.name


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_benchmark_of_submitting_runs(tmp_path: Path) -> None:
    result = benchmark("submit_overhead", tmp_path / "result.json")
    for side in ("bare", "shoal"):
        (trial,) = result["trials"][side]
        assert 0 < trial["sent"] < trial["first_batch"]
