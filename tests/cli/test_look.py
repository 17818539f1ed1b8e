"""Looking at runs: `runs`, `show`, `rejected`, `report`."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ..plugins.caption.endpoint import Handler, serving
from .conftest import Made, call

pytestmark = pytest.mark.processes

NOWHERE = "holds no shoal run; make one with `shoal run quickstart IMAGES --out"


def test_a_run_ends_with_a_summary_and_commands_to_type(fresh: Made) -> None:
    answer = call("run", "small.yaml", "my photos", "--out", "my out/", "--on", "local")
    assert answer.code == 0
    *_, last = answer.out.rpartition("next:\n")
    assert [line.strip() for line in last.splitlines()] == [
        "shoal show 'my out/'",
        "shoal rejected 'my out/'",
        "shoal organize 'my out/' --to sorted/ --dry-run",
        "shoal export 'my out/' --as csv --to files/",
    ]
    said = next(line for line in answer.out.splitlines() if line.startswith("RUN "))
    assert "9 images in 3 clusters, 0 noise; 9 of 11 files accepted, 2 rejected" in said
    report = next(line for line in answer.out.splitlines() if line.startswith("report: "))
    assert report.startswith("report: my out/runs/")
    assert (fresh.folder / report.removeprefix("report: ")).is_file()
    assert "thumbnail + embed: 9 to do\n" in answer.err
    assert "9 images found: preset small fits that many; --preset small takes it" in answer.err


def test_a_second_run_computes_nothing_and_json_is_all_that_is_printed(made: Made) -> None:
    answer = call("run", made.pipeline, made.photos, "--out", made.out, "--on", "local", "--json")
    assert answer.code == 0
    assert answer.err == ""
    assert sum(step["computed"] for step in answer.json["steps"]) == 0
    assert answer.json["accepted"] + answer.json["rejected"] == answer.json["files"] == 11


def test_runs_and_show(made: Made) -> None:
    listed = call("runs", made.out, "--json").json
    assert [run["status"] for run in listed] == ["done"] * len(listed)
    assert listed[0]["id"] in call("runs", made.out).out
    shown = call("show", made.out, "--run", listed[0]["id"])
    assert shown.out.startswith(f"RUN {listed[0]['id']} (done): small over {made.photos}\n")
    assert "embed.lite0" in shown.out
    facts = call("show", made.out, "--json").json
    assert sorted(cluster["cluster"] for cluster in facts["clusters"]) == [0, 1, 2]
    assert facts["record"]["id"] == listed[-1]["id"]


def test_rejected_files_are_harmless_text(made: Made) -> None:
    answer = call("rejected", made.out)
    assert answer.out.startswith("2 of 11 files rejected\n")
    assert "\x1b" not in answer.out
    assert "red [bold]x[red] .txt" in answer.out  # one line, and no markup is read
    rows = {row["path"].rpartition("/")[2]: row for row in call("rejected", made.out, "--json").json}
    assert rows["red\x1b[31m [bold]x[red]\n.txt"]["status"] == "filtered"
    assert rows["broken.jpg"]["status"] == "failed"


def test_nothing_rejected_is_a_sentence(fresh: Made) -> None:
    for name in ("broken.jpg", "red\x1b[31m [bold]x[red]\n.txt"):
        (fresh.photos / name).unlink()
    assert call("run", "small.yaml", "my photos", "--on", "local", "--quiet").code == 0
    assert call("rejected", "out").out == "none of the 9 files was rejected; shoal show out shows the result\n"


def test_report_is_written_again_where_the_user_expects_it(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made.folder)
    path = Path(call("report", "out").out.strip())
    assert not path.is_absolute()
    path.unlink()
    assert call("report", "out", "--json").json == {"report": str(path.absolute())}
    assert path.is_file()


@pytest.mark.parametrize("columns", [40, 80])
def test_tables_fit_a_narrow_terminal(made: Made, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for command in ("runs", "show", "rejected"):
        lines = [line for line in call(command, made.out).out.splitlines() if not line.startswith("RUN ")]
        assert max(len(line) for line in lines) <= columns


@pytest.mark.parametrize("command", ["runs", "show", "report", "rejected"])
def test_a_folder_without_runs(tmp_path: Path, command: str) -> None:
    answer = call(command, tmp_path / "none")
    assert answer.code == 2
    assert NOWHERE in answer.sentence
    assert not (tmp_path / "none").exists()


def test_a_run_that_is_unknown_or_not_alone(made: Made) -> None:
    call("run", made.pipeline, made.photos, "--out", made.out, "--on", "local", "--quiet")
    unknown, several = call("show", made.out, "--run", "1999"), call("show", made.out, "--run", "2")
    assert unknown.code == several.code == 2
    assert unknown.sentence.startswith("no run begins with '1999'; the last ones are 2")
    assert "runs begin with '2'; write more of the name: 2" in several.sentence


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return the store and the name of a run that ended before its clusters."""
    folder = tmp_path_factory.mktemp("failed")
    (folder / "photos").mkdir()
    (folder / "photos" / "a.jpg").write_bytes(b"no picture")
    answer = call("run", "quickstart", folder / "photos", "--out", folder / "out", "--on", "local")
    assert answer.code == 1
    assert "a.jpg" not in answer.out
    assert "is an image that can be read" in answer.sentence
    return folder / "out", call("runs", folder / "out", "--json").json[0]["id"]


def test_a_failed_run_is_no_default(failed: tuple[Path, str]) -> None:
    answer = call("show", failed[0])
    assert answer.code == 2
    assert "holds no run that ended well; `shoal runs" in answer.sentence


def test_a_failed_run_can_be_shown_with_its_reason(failed: tuple[Path, str]) -> None:
    answer = call("show", failed[0], "--run", failed[1])
    assert answer.code == 0
    assert answer.out.startswith(f"RUN {failed[1]} (failed): quickstart")
    assert answer.err.startswith("the run failed: ")
    assert "the last run failed: " in call("runs", failed[0]).err


def test_the_rejected_files_of_a_failed_run_are_told(failed: tuple[Path, str]) -> None:
    assert [row["status"] for row in call("rejected", failed[0], "--run", failed[1], "--json").json] == ["failed"]


def test_nothing_else_is_made_of_a_failed_run(failed: tuple[Path, str], tmp_path: Path) -> None:
    organized = call("organize", failed[0], "--run", failed[1], "--to", tmp_path / "sorted", "--yes")
    exported = call("export", failed[0], "--run", failed[1], "--to", tmp_path / "files")
    for answer in (organized, exported):
        assert answer.code == 2
        assert f"run {failed[1]} ended before" in answer.sentence
        assert answer.sentence.endswith("give the same `shoal run` again to go on")
    assert not (tmp_path / "sorted").exists()


CAPTIONED = """shoal: 1
name: captioned
max_failed: 0.5
steps:
  - use: index.folder
  - use: caption.openai
    with: {model: painter, url: "URL", retries: 0, longest_side: 64}
"""


def test_answers_that_are_missing_are_listed_beside_the_rejected_files(tmp_path: Path) -> None:
    def mute(handler: Handler, body: dict[str, Any], number: int) -> bool:
        if number == 2:
            handler.refuse(400, "\x1b[31mnot [bold]this one")
        return number == 2

    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(3):
        Image.new("RGB", (8, 8), (number * 80, 0, 0)).save(photos / f"{number}.png")
    (photos / "broken.jpg").write_bytes(b"no picture")
    with serving() as server:
        server.behave = mute
        (tmp_path / "captioned.yaml").write_text(CAPTIONED.replace("URL", server.url))
        made = call("run", tmp_path / "captioned.yaml", photos, "--out", tmp_path / "out", "--on", "local")
    assert made.code == 0, made.err
    answer = call("rejected", tmp_path / "out")
    assert answer.out.startswith("1 of 4 files rejected\n")
    assert "1 answer missing, its image is in the result\n" in answer.out
    assert "the endpoint answered 400: not [bold]this one" in answer.out
    assert "\x1b" not in answer.out
    failed, missed = call("rejected", tmp_path / "out", "--json").json
    assert failed["path"].endswith("broken.jpg")
    assert failed["status"] == "failed"
    assert set(missed) == set(failed) == {"path", "step", "status", "reason"}
    assert (missed["step"], missed["status"]) == ("caption", "unanswered")
