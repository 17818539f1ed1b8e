import base64
import dataclasses
import hashlib
import re
from pathlib import Path

import pytest

from shoal.errors import StageError, StoreError
from shoal.report import Figure, Fragment, Judgement, render, render_alone, write
from tests.report.support import make_report

HOSTILE = """</script><script>alert(1)</script><img src=x onerror="alert(1)">'&"""


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _policy(page: str) -> str:
    return re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[1].replace("&#39;", "'")  # type: ignore[index]


def test_every_inline_script_and_style_is_allowed_by_its_hash_and_nothing_else() -> None:
    page = render(make_report([Fragment("map", "Map", "<p>x</p>", "p { color: red }", "let a = 1;")]))
    policy = _policy(page)
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    styles = re.findall(r"<style>(.*?)</style>", page, flags=re.DOTALL)
    assert len(scripts) == 3
    assert len(styles) == 2
    assert all(_hash(text) in policy for text in scripts + styles)
    assert policy.count("sha256-") == 5
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "style=" not in re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)


def test_hostile_text_is_escaped_wherever_it_stands() -> None:
    report = make_report(
        [Fragment("map", HOSTILE, "<p>x</p>")],
        steps=[[HOSTILE, HOSTILE, HOSTILE, 1.0, 1, 1, 0, 1, 1.0]],
        clusters=[[0, HOSTILE, 3, HOSTILE]],
        rejected=[[HOSTILE, "index", "filtered", HOSTILE]],
        title=HOSTILE,
        commands=[HOSTILE],
    )
    page = render(report)
    assert "alert(1)</script>" not in page
    assert "<img" not in page
    assert page.count("<script>") == 2  # the theme's and the page's own


def test_windows_line_ends_in_a_script_keep_its_hash_right() -> None:
    page = render(make_report([Fragment("map", "Map", "<p>x</p>", script="let a;\r\nlet b;\r")]))
    assert _hash("let a;\nlet b;\n") in _policy(page)


@pytest.mark.parametrize("text", ["x </ScRipt> y", "<!-- x"])
def test_a_script_that_would_end_early_is_refused(text: str) -> None:
    with pytest.raises(StageError, match="step 'map' made a script"):
        render(make_report([Fragment("map", "Map", "<p>x</p>", script=text)]))


def test_a_style_that_would_end_early_is_refused() -> None:
    with pytest.raises(StageError, match="step 'map' made a style"):
        render(make_report([Fragment("map", "Map", "<p>x</p>", style="</style>")]))


def test_empty_report_says_so_in_words() -> None:
    page = render(make_report())
    for sentence in ("This run made no clusters", "No step ran", "No file was rejected", "Nothing left to do"):
        assert sentence in page


def test_files_are_copied_and_named(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpg").write_bytes(name.encode())
    html = '<img src="files/a.jpg" alt="files/a.jpg">'
    style, script = "i { background: url(files/a.jpg) }", 'load("files/" + "a.jpg");'
    fragments = [Fragment("my map", "M", html, style, script, tmp_path / name) for name in ("one", "two")]
    page = write(tmp_path / "out", make_report(fragments))
    text = page.read_text(encoding="utf-8")
    for folder, content in (("part-my-map", b"one"), ("part-my-map-2", b"two")):
        assert f'src="report_files/{folder}/a.jpg" alt="files/a.jpg"' in text
        assert f"url(report_files/{folder}/a.jpg)" in text
        assert f'load("report_files/{folder}/" + "a.jpg")' in text
        assert (tmp_path / "out" / "report_files" / folder / "a.jpg").read_bytes() == content


def test_writing_again_replaces_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.jpg").write_bytes(b"1")
    write(tmp_path / "out", make_report([Fragment("map", "M", "<p>x</p>", files=tmp_path / "src")]))
    write(tmp_path / "out", make_report(title="second"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.html"]
    assert "second" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_same_report_same_bytes() -> None:
    report = make_report(clusters=[[0, "fish", 3, "why"]], rejected=[["a", "index", "failed", "broken"]])
    assert render(report) == render(report)


def test_a_folder_that_can_not_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="can't be written"):
        write(tmp_path / "file" / "out", make_report())


def test_long_lists_are_cut_and_say_so() -> None:
    page = render(make_report(clusters=[[number, f"c{number}", 1, ""] for number in range(2001)]))
    assert "And 1 more" in page
    assert '<bdi class="long">c1999</bdi>' in page
    assert "c2000" not in page


def test_what_evaluators_found_stands_in_the_page_escaped() -> None:
    figures = [Figure("silhouette", "0.200", "at least 0.1"), Figure(HOSTILE, "3.000", "at most 1", holds=False)]
    judgements = [Judgement("purity", "FAIL", HOSTILE, figures), Judgement("truth", "", "", [])]
    page = render(dataclasses.replace(make_report(), judgements=judgements))
    assert "alert(1)</script>" not in page
    assert '<a href="#quality">' in page
    assert '<span class="badge failed">FAIL</span>' in page
    assert '<td class="number bad">3.000</td><td>at most 1</td>' in page
    assert '<td class="number">0.200</td><td>at least 0.1</td>' in page
    assert "Quality" not in render(make_report())


def test_a_part_can_be_a_page_of_its_own_under_the_same_policy() -> None:
    page = render_alone(Fragment("cloud", HOSTILE, "<p>x</p>", "p { color: red }", "let a = 1;"), HOSTILE)
    policy = _policy(page)
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    styles = re.findall(r"<style>(.*?)</style>", page, flags=re.DOTALL)
    assert [len(scripts), len(styles)] == [2, 2]
    assert all(_hash(text) in policy for text in scripts + styles)
    assert policy.count("sha256-") == 4
    assert "default-src 'none'" in policy
    assert "<img" not in page
    assert "alert(1)</script>" not in page


@pytest.mark.parametrize("parts", [{"html": "<img src='files/a.jpg'>"}, {"style": "p { background: url(files/a.jpg) }"}])
def test_a_part_with_files_is_no_page_of_its_own(parts: dict[str, str]) -> None:
    with pytest.raises(StageError, match="step 'cloud' draws with files beside the page"):
        render_alone(Fragment("cloud", "Cloud", **{"html": "x", **parts}), "t")
