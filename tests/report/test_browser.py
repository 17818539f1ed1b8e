"""The report in a real browser: nothing hostile runs, the policy is never broken, people can use it."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from shoal.contract import Context
from shoal.report import Fragment, write
from shoal_plugins.visualize.grid import Grid
from shoal_plugins.visualize.labels import Labels
from shoal_plugins.visualize.map import Map
from shoal_plugins.visualize.rescue import Rescue
from shoal_plugins.visualize.sizes import Sizes
from tests.browsing import rest
from tests.hostile import TEXTS
from tests.plugins.visualize.support import answer, jpeg, make_rows
from tests.report.support import make_report

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium"),
]
ALL = (Map(), Grid(), Sizes())
HOSTILE = [
    "</script><script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "a\u202egpj.exe\u2028\u2029",
    "\U0001f98a" * 75,
    "${alert(1)}`+alert(1)+`",
    "<!--<script>",
    "files/x.jpg",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        made = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield made
        made.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page on which any dialog, console message, error or request beyond file: and data: fails the test.

    One message is let through: the browser's advice on how `coloured` reads pixels.
    """
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    made = context.new_page()
    wrong: list[str] = []
    made.on("dialog", lambda dialog: (wrong.append(f"dialog {dialog.message}"), dialog.dismiss()))
    made.on(
        "console", lambda message: None if "willReadFrequently" in message.text else wrong.append(f"console {message.text}")
    )
    made.on("pageerror", lambda error: wrong.append(f"error {error}"))
    made.on("request", lambda asked: None if asked.url.startswith(("file:", "data:")) else wrong.append(asked.url))
    made.on("requestfailed", lambda asked: wrong.append(f"failed {asked.url[:80]}"))
    yield made
    context.close()
    assert not wrong


def draw(folder: Path, rows: Any, stages: Any = ALL, **parts: Any) -> str:
    fragments = []
    for stage in stages:
        files = folder / "src" / stage.name
        files.mkdir(parents=True)
        row = answer(stage, rows, Context(folder=files))
        fragments.append(Fragment(stage.name, row["title"], row["html"], row["style"], row["script"], files))
    return write(folder / "out", make_report(fragments, **parts)).as_uri()


def settle(page: Any) -> None:
    rest(page, 200)  # the map draws anew 140 ms after a move


def coloured(page: Any, selector: str = ".map-points") -> int:
    """Return how many pixels of a canvas are drawn on."""
    return page.locator(selector).evaluate(  # type: ignore[no-any-return]
        """canvas => {
          const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
          let drawn = 0;
          for (let i = 3; i < data.length; i += 4) if (data[i]) drawn++;
          return drawn;
        }"""
    )


def test_hostile_text_shows_as_text_and_never_runs(page: Any, tmp_path: Path) -> None:
    count = len(HOSTILE)
    rows = make_rows(list(range(count)), paths=[f"/x/{text.replace('/', chr(0x2044))}" for text in HOSTILE], labels=HOSTILE)
    page.goto(
        draw(
            tmp_path,
            rows,
            title=HOSTILE[0],
            steps=[[text, text, text, 1.0, 1, 1, 0, 0, 1.0] for text in HOSTILE],
            clusters=[[n, text, 1, text] for n, text in enumerate(HOSTILE)],
            rejected=[[text, text, "failed", text] for text in HOSTILE],
            commands=HOSTILE,
        )
    )
    settle(page)
    for text in (HOSTILE[0], HOSTILE[1], HOSTILE[3], HOSTILE[4], HOSTILE[5], HOSTILE[6]):
        for selector in (
            ".map-legend bdi",
            ".grid-cluster h3 bdi",
            ".sizes-bars bdi",
            "#clusters tbody th",
            "#rejected tbody th",
            "#next code",
        ):
            assert text in page.locator(selector).all_text_contents(), (selector, text)
    assert page.locator("#rejected tbody th", has_text="\\u202egpj.exe").count() == 1
    assert page.locator("h1").text_content() == HOSTILE[0]
    page.locator(".map-search").fill("<script>")
    page.keyboard.press("Enter")
    assert "<script>" in page.locator(".map-file").text_content()
    assert page.locator("script").count() == 3  # theme, map, page: none that a text made
    assert page.locator("img").count() == count  # the samples
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def spoken(texts: list[str]) -> Any:
    """Return rows in which every text is a label, a caption, a keyword, a reason and a file name; every third is noise."""
    clusters = [-1 if place % 3 == 2 else place for place in range(len(texts))]
    labels = [None if number < 0 else text for number, text in zip(clusters, texts, strict=True)]
    rows = make_rows(clusters, paths=[f"/x/{text.replace('/', chr(0x2044))}" for text in texts], labels=labels)
    for name in ("caption", "reason", "first_label"):
        rows = rows.append_column(name, pa.array([f"{text} {name}" for text in texts]))
    rows = rows.append_column("keywords", pa.array([[text] for text in texts], pa.list_(pa.string())))
    noise = [number < 0 for number in clusters]
    for name in ("suggested", "best", "runner_up", "nearest"):
        rows = rows.append_column(
            name, pa.array([place % 2 if lost else None for place, lost in enumerate(noise)], pa.int32())
        )
    for name in ("score", "runner_up_score", "margin", "nearest_score"):
        rows = rows.append_column(name, pa.array([0.5 if lost else None for lost in noise], pa.float32()))
    return rows


@pytest.mark.parametrize("width", [1280, 390])
def test_what_models_said_shows_as_text_and_never_runs(page: Any, tmp_path: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    rows = spoken(TEXTS)
    page.goto(draw(tmp_path, rows, [Labels(), Rescue()]))
    settle(page)
    named = [text for text in rows["label"].to_pylist() if text and text.isprintable()]
    assert any("<" in text for text in named)
    for text in named:
        for selector, shown in ((".labels-why > bdi", "reason"), (".labels-captions bdi", "caption")):
            assert f"{text} {shown}" in page.locator(selector).all_text_contents(), (selector, text)
        assert text in page.locator(".labels-words bdi").all_text_contents(), text
    lost = [text for text, number in zip(TEXTS, rows["cluster"].to_pylist(), strict=True) if number < 0]
    assert page.locator(".rescue tbody tr").count() == len(lost)
    assert page.locator(".rescue-caption", has_text="alert(1)").count() == sum("alert(1)" in text for text in lost)
    assert page.locator("img").count() == len(TEXTS)
    assert page.locator("script").count() == 2  # theme and page
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_policy_really_stops_scripts(browser: Any, tmp_path: Path) -> None:
    """A fragment that does not escape: the page's policy is the second wall."""
    context = browser.new_context()
    page = context.new_page()
    dialogs: list[str] = []
    blocked: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.on("console", lambda message: blocked.append(message.text))
    html = '<script>alert(1)</script><img src="data:," onerror="alert(2)"><a id="go" href="javascript:alert(3)">x</a>'
    script = "try { (0, eval)('alert(4)') } catch (error) { document.title = error.name }"
    page.goto(write(tmp_path, make_report([Fragment("bad", "Bad", html, script=script)])).as_uri())
    page.locator("#go").click()
    settle(page)
    assert page.title() == "EvalError"
    context.close()
    assert not dialogs
    assert sum("Content Security Policy" in text for text in blocked) >= 3


def test_map_hovers_pins_zooms_pans_resets(page: Any, tmp_path: Path) -> None:
    rows = make_rows([0, 1, -1, 1], [[0, 0], [10, 0], [0, 10], [10, 10]], labels=["fish", "birds", None, "birds"])
    page.goto(draw(tmp_path, rows, [Map()]))
    page.locator(".map-pictures").click()
    settle(page)
    before = coloured(page)
    assert before > 100
    stage = page.locator(".map-stage")
    stage.evaluate("element => element.scrollIntoView({ block: 'center' })")
    box = stage.bounding_box()
    side = box["height"] - 72 - 2
    left, top = box["x"] + box["width"] / 2 - side / 2, box["y"] + box["height"] / 2 - side / 2
    page.mouse.move(left, top + side)  # the point (0, 0): lower left
    settle(page)
    assert page.locator(".map-tip").is_visible()
    assert page.locator(".map-tip-name").text_content() == "img_0000.jpg"
    assert page.locator(".map-tip-cluster bdi").text_content() == "fish (1)"
    assert coloured(page, ".map-tip-picture") > 1000
    page.mouse.click(left + side, top)
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    settle(page)
    assert page.locator(".map-tip").is_hidden()
    assert page.locator(".map-file").text_content() == "img_0003.jpg"
    assert page.locator(".map-folder").text_content() == "/photos/"
    assert page.locator(".map-cluster bdi").text_content() == "birds"
    assert page.locator(".map-size").text_content() == "2"
    page.mouse.move(left, top + side)
    page.mouse.wheel(0, -600)
    settle(page)
    page.mouse.move(left + 1, top + side)
    settle(page)
    assert page.locator(".map-tip-name").text_content() == "img_0000.jpg"  # zoom keeps what is under the pointer
    page.mouse.down()
    page.mouse.move(left + 120, top + side - 80, steps=6)
    page.mouse.up()
    settle(page)
    page.mouse.move(left + 121, top + side - 80)
    settle(page)
    assert page.locator(".map-tip-name").text_content() == "img_0000.jpg"  # a drag takes it along
    page.locator(".map-reset").click()
    settle(page)
    assert coloured(page) == before


def test_map_search_counts_matches_and_keys_walk_through_them(page: Any, tmp_path: Path) -> None:
    paths = [f"/p/{'Whale' if n % 10 == 0 else 'ant'}_{n}.jpg" for n in range(100)]
    page.goto(draw(tmp_path, make_rows([n % 3 for n in range(100)], paths=paths), [Map()]))
    search = page.locator(".map-search")
    search.fill("WHALE")
    assert page.locator(".map-found").text_content() == "10 matches"
    search.press("Enter")
    first = page.locator(".map-file").text_content()
    search.press("Enter")
    assert first.startswith("Whale_")
    assert page.locator(".map-file").text_content() not in (first, "")
    search.fill("nothing like it")
    assert page.locator(".map-found").text_content() == "0 matches"
    search.fill("")
    assert page.locator(".map-found").text_content() == ""
    page.locator(".map-stage").focus()
    page.keyboard.press("Escape")
    assert page.locator(".map-details").is_hidden()
    page.keyboard.press("n")
    assert page.locator(".map-details").is_visible()


def test_map_legend_hides_and_shows_clusters(page: Any, tmp_path: Path) -> None:
    page.goto(draw(tmp_path, make_rows([0] * 30 + [1] * 20 + [-1] * 10), [Map()]))
    page.locator(".map-pictures").click()
    page.mouse.move(1, 1)
    settle(page)
    all_drawn = coloured(page)
    entries = page.locator(".map-legend button")
    assert entries.all_text_contents() == ["cluster_0030", "cluster_0120", "noise10"]
    entries.nth(0).focus()
    page.keyboard.press("Space")
    settle(page)
    assert entries.nth(0).get_attribute("aria-pressed") == "false"
    assert coloured(page) < all_drawn
    page.locator(".map-none").click()
    settle(page)
    assert coloured(page) == 0
    page.locator(".map-all").click()
    settle(page)
    assert coloured(page) == all_drawn


def test_pictures_come_from_sheets_beside_the_page(page: Any, tmp_path: Path) -> None:
    rows = make_rows(
        [0] * 230, np.indices((23, 10)).reshape(2, -1).T.astype(float).tolist(), thumbnails=[jpeg((250, 10, 10))] * 230
    )
    page.goto(draw(tmp_path, rows, [Map(inline=0), Grid(inline=0)]))
    settle(page)
    page.locator(".map-stage").focus()
    page.keyboard.press("n")
    picture = page.locator(".map-pinned-picture")
    picture.wait_for(state="visible")
    shot = Image.open(io.BytesIO(picture.screenshot())).convert("RGB")
    red, green, _ = shot.getpixel((shot.width // 2, shot.height // 2))
    assert red > 200
    assert green < 60
    page.locator(".grid-cluster").scroll_into_view_if_needed()
    page.wait_for_function(
        "[...document.querySelectorAll('.grid-cluster img')].every(i => i.complete && i.naturalWidth === 64)"
    )


def test_grid_shows_more_clusters(page: Any, tmp_path: Path) -> None:
    page.goto(draw(tmp_path, make_rows([*range(12), -1]), [Grid(page=5)]))
    shown = page.locator(".grid-cluster:visible")
    assert shown.count() == 6  # five and the noise
    page.locator(".grid-more").click()
    assert shown.count() == 11
    page.locator(".grid-more").click()
    assert shown.count() == 13
    assert page.locator(".grid-more").is_hidden()


def test_rejected_files_are_filtered_and_paged(page: Any, tmp_path: Path) -> None:
    rejected = [
        [f"/p/{n}.jpg", "index", "failed" if n < 30 else "filtered", "too small" if n % 2 else "broken"] for n in range(250)
    ]
    page.goto(draw(tmp_path, make_rows([]), [], rejected=rejected))
    rows, count = page.locator(".rejected-rows tr"), page.locator(".rejected-count")
    assert rows.count() == 100
    assert count.text_content() == "250 of 250"
    page.locator(".rejected-more").click()
    assert rows.count() == 200
    page.locator(".rejected-status").select_option("failed")
    page.locator(".rejected-search").fill("Too Small")
    assert rows.count() == 15
    assert count.text_content() == "15 of 250"


@pytest.mark.parametrize("clusters", [[], [0], [-1, -1, -1], [0, 0, 0]])
@pytest.mark.parametrize("width", [1280, 768, 390])
def test_tiny_sets_and_narrow_screens(page: Any, tmp_path: Path, clusters: list[int], width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(draw(tmp_path, make_rows(clusters, [[1, 1]] * len(clusters))))
    settle(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("section").count() == 7


@pytest.mark.parametrize("width", [1280, 390])
def test_a_short_label_beside_a_long_reason_is_in_one_line(page: Any, tmp_path: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(draw(tmp_path, make_rows([0], [[1, 1]]), clusters=[(0, "monuments", 82, "palace, monastery, castle " * 20)]))
    label = page.locator("#clusters tbody th bdi")
    assert label.bounding_box()["height"] < 1.5 * label.evaluate("node => parseFloat(getComputedStyle(node).lineHeight)")


def test_the_theme_button_turns_the_scheme_round_and_it_is_kept(page: Any, tmp_path: Path) -> None:
    page.emulate_media(color_scheme="light")
    page.goto(draw(tmp_path, make_rows([0, 1])))
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.locator(".theme").click()
    dark = page.evaluate(paper)
    assert light != dark
    page.reload()
    assert page.evaluate(paper) == dark


def test_every_control_has_a_name_and_is_reached_by_the_tab_key(page: Any, tmp_path: Path) -> None:
    page.goto(draw(tmp_path, make_rows([0, 0, 1]), rejected=[["a", "b", "failed", "c"]], commands=["shoal show out/"]))
    nameless = page.evaluate("""() => [...document.querySelectorAll("button, input, select, img")].filter(e => !(e.ariaLabel
      || e.textContent.trim() || e.alt || e.labels?.length)).map(e => e.outerHTML)""")  # fmt: skip
    assert nameless == []
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.className.toString().split(' ').pop()"))
    assert {
        "skip",
        "theme",
        "map-search",
        "map-stage",
        "map-reset",
        "map-all",
        "rejected-search",
        "rejected-status",
        "copy",
    } <= reached
