"""The scatter in a real browser, in the report and as a page of its own: it turns, zooms, pans, and shows what is there."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from shoal.report import Fragment, render_alone
from shoal_plugins.visualize.scatter import Scatter
from tests.hostile import TEXTS
from tests.plugins.visualize.support import answer, jpeg, make_rows
from tests.report.test_browser import CHROMIUM, browser, coloured, draw, page, settle  # noqa: F401  (fixtures)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium"),
]
POINTS = ".scatter-points"
CUBE = [[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]
COLOURS = [(230, 20, 20), (20, 200, 20), (30, 30, 240), (240, 220, 20)]


def corners() -> Any:
    """Return eight images at the corners of a cube, two of each colour."""
    rows = make_rows(
        [0, 0, 0, 1, 1, 1, -1, -1],
        CUBE,
        labels=["red & <b>fish</b>"] * 3 + [None] * 5,
        thumbnails=[jpeg(COLOURS[n // 2]) for n in range(8)],
    )
    return rows.append_column("strength", pa.array([n / 10 for n in range(8)], pa.float32()))


def alone(folder: Path, rows: Any, title: str = "a title") -> str:
    row = answer(Scatter(), rows)
    file = folder / "interactive_scatter.html"
    drawn = Fragment("scatter", row["title"], row["html"], row["style"], row["script"])
    file.write_text(render_alone(drawn, title), encoding="utf-8", newline="\n")
    return file.as_uri()


@pytest.fixture(params=["report", "alone"])
def shown(request: pytest.FixtureRequest, page: Any, tmp_path: Path) -> Any:  # noqa: F811
    page.goto(draw(tmp_path, corners(), [Scatter()]) if request.param == "report" else alone(tmp_path, corners()))
    page.locator(".scatter-stage").evaluate("element => element.scrollIntoView({ block: 'center' })")
    settle(page)
    return page


def picture(page: Any) -> bytes:  # noqa: F811
    """Return the scatter as it is drawn, as a PNG."""
    settle(page)
    data: str = page.locator(POINTS).evaluate("canvas => canvas.toDataURL()")
    return base64.b64decode(data.partition(",")[2])


def pixels_of(page: Any) -> tuple[dict[str, float], np.ndarray[Any, Any]]:  # noqa: F811
    """Return where the canvas is, and its pixels: red, green, blue, alpha."""
    with Image.open(io.BytesIO(picture(page))) as image:
        return page.locator(POINTS).bounding_box(), np.asarray(image.convert("RGBA"))


def inked(page: Any) -> dict[tuple[int, int, int], tuple[float, float]]:  # noqa: F811
    """Return the middle of the pixels of each colour that is drawn much, in pixels of the stage."""
    box, pixels = pixels_of(page)
    strong = pixels[..., 3] > 250
    found = {}
    values, counts = np.unique(pixels[strong][:, :3], axis=0, return_counts=True)
    for value, count in zip(values, counts, strict=True):
        if count > 40:
            y, x = np.nonzero(strong & (pixels[..., :3] == value).all(axis=2))
            found[tuple(value.tolist())] = (box["x"] + x.mean(), box["y"] + y.mean())
    return found  # type: ignore[return-value]


def middle(page: Any) -> tuple[float, float]:  # noqa: F811
    box = page.locator(".scatter-stage").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page: Any, dx: float, dy: float, button: str = "left") -> None:  # noqa: F811
    x, y = middle(page)
    page.mouse.move(x, y)
    page.mouse.down(button=button)
    page.mouse.move(x + dx, y + dy, steps=5)
    page.mouse.up(button=button)
    page.mouse.move(5, 5)


def test_dragging_turns_the_wheel_zooms_shift_pans_and_reset_restores(shown: Any) -> None:
    home = picture(shown)
    assert coloured(shown, POINTS) > 300
    drag(shown, 150, 40)
    turned = picture(shown)
    assert turned != home
    shown.mouse.move(*middle(shown))
    shown.mouse.wheel(0, -500)
    shown.mouse.move(5, 5)
    zoomed = picture(shown)
    assert zoomed != turned
    shown.locator(".scatter-reset").click()
    assert picture(shown) == home
    before = inked(shown)
    drag(shown, 80, -8, button="right")
    moved = inked(shown)
    assert before.keys() == moved.keys()  # nothing came nearer or went farther: it was moved, not turned
    for colour, (x, y) in before.items():
        assert moved[colour] == pytest.approx((x + 80, y - 8), abs=1.5)
    shown.keyboard.down("Shift")
    drag(shown, -80, 8)
    shown.keyboard.up("Shift")
    assert picture(shown) == home


def test_zooming_keeps_what_is_under_the_pointer(shown: Any) -> None:
    x, y = next(iter(inked(shown).values()))
    shown.mouse.move(x, y)
    settle(shown)
    name = shown.locator(".scatter-name").text_content()
    shown.mouse.wheel(0, -300)
    settle(shown)
    shown.mouse.move(x + 1, y)
    settle(shown)
    assert shown.locator(".scatter-tip").is_visible()
    assert shown.locator(".scatter-name").text_content() == name


def test_hovering_shows_each_images_own_picture_and_what_is_known_of_it(shown: Any) -> None:
    met = {}
    for x, y in _places(shown):
        shown.mouse.move(x, y)
        settle(shown)
        assert shown.locator(".scatter-tip").is_visible()
        name = shown.locator(".scatter-name").text_content()
        shot = Image.open(io.BytesIO(shown.locator(".scatter-picture").screenshot())).convert("RGB")
        number = int(name[4:8])
        met[number] = name
        assert np.abs(np.subtract(shot.getpixel((shot.width // 2, shot.height // 2)), COLOURS[number // 2])).max() < 25
        assert max(shot.size) == pytest.approx(128, abs=2)  # twice its 64 pixels, as far as that is below 1.6 cells
        assert shown.locator(".scatter-strength").text_content() == f"strength {number / 10:.2f}"
        cluster = shown.locator(".scatter-cluster bdi").text_content()
        assert cluster == (
            "cluster 0 (3 images)" if number < 3 else "cluster 1 (3 images)" if number < 6 else "noise (2 images)"
        )
        assert shown.locator(".scatter-label").is_visible() == (number < 3)
        if number < 3:
            assert shown.locator(".scatter-label").text_content() == "red & <b>fish</b>"
    assert sorted(met) == list(range(8))
    shown.mouse.move(5, 5)
    settle(shown)
    assert shown.locator(".scatter-tip").is_hidden()


def _places(page: Any) -> list[tuple[float, float]]:  # noqa: F811
    """Return where the points are, found by their pixels; the lines of the box are too thin to be taken for any."""
    from scipy import ndimage

    box, pixels = pixels_of(page)
    alpha = pixels[..., 3] > 250
    labels, count = ndimage.label(ndimage.binary_opening(alpha, iterations=2))
    return [(box["x"] + x, box["y"] + y) for y, x in ndimage.center_of_mass(alpha, labels, range(1, count + 1))]


def test_keys_turn_pan_zoom_reset_and_step_through_the_images(shown: Any) -> None:
    home = picture(shown)
    stage = shown.locator(".scatter-stage")
    seen = {home}
    for key in ("ArrowLeft", "ArrowUp", "+", "Shift+ArrowRight", "-", "Shift+ArrowDown"):
        stage.press(key)
        now = picture(shown)
        assert now not in seen, key
        seen.add(now)
    stage.press("0")
    assert picture(shown) == home
    stage.press("n")
    settle(shown)
    assert (
        shown.locator(".scatter-said").text_content()
        == "img_0000.jpg, cluster 0 (3 images), red & <b>fish</b>, strength 0.00"
    )
    stage.press("p")
    settle(shown)
    assert shown.locator(".scatter-name").text_content() == "img_0007.jpg"
    stage.press("Escape")
    assert shown.locator(".scatter-tip").is_hidden()
    reached = set()
    for _ in range(30):
        shown.keyboard.press("Tab")
        reached.add(shown.evaluate("document.activeElement.className.toString().split(' ').pop()"))
    assert {"scatter-in", "scatter-out", "scatter-reset", "scatter-stage", "scatter-all", "theme"} <= reached


def test_it_turns_by_itself_unless_less_motion_is_asked_for(shown: Any) -> None:
    home, button = picture(shown), shown.locator(".scatter-turn")
    assert button.is_disabled()  # this browser's user asks for less motion
    shown.locator(".scatter-stage").press("r")
    assert picture(shown) == home
    shown.emulate_media(reduced_motion="no-preference")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    first, second = picture(shown), picture(shown)
    assert home != first != second
    shown.emulate_media(reduced_motion="reduce")
    assert picture(shown) == picture(shown)  # asked for while it turns
    assert button.is_disabled()
    shown.emulate_media(reduced_motion="no-preference")
    button.click()
    shown.locator(".scatter-reset").click()
    assert picture(shown) == home
    assert button.get_attribute("aria-pressed") == "false"


def test_the_legend_hides_and_shows_clusters(shown: Any) -> None:
    every = coloured(shown, POINTS)
    entries = shown.locator(".scatter-legend button")
    assert entries.all_text_contents() == ["red & <b>fish</b>3", "cluster_013", "noise2"]
    entries.nth(0).focus()
    shown.keyboard.press("Space")
    settle(shown)
    assert entries.nth(0).get_attribute("aria-pressed") == "false"
    some = coloured(shown, POINTS)
    assert some < every
    shown.locator(".scatter-none").click()
    settle(shown)
    assert 0 < coloured(shown, POINTS) < some  # the box
    shown.locator(".scatter-all").click()
    settle(shown)
    assert coloured(shown, POINTS) == every


def test_light_and_dark_are_drawn_with_their_own_paper(shown: Any) -> None:
    shown.emulate_media(color_scheme="light")
    light = picture(shown)
    shown.locator(".theme").click()
    assert picture(shown) != light
    shown.locator(".theme").click()
    assert picture(shown) == light


@pytest.mark.parametrize("width", [1280, 390])
def test_hostile_words_show_as_text(page: Any, tmp_path: Path, width: int) -> None:  # noqa: F811
    page.set_viewport_size({"width": width, "height": 900})
    paths = [f"/x/{text.replace('/', chr(0x2044))}" for text in TEXTS]
    page.goto(alone(tmp_path, make_rows(list(range(len(TEXTS))), paths=paths, labels=TEXTS), TEXTS[11]))
    settle(page)
    legend = page.locator(".scatter-legend bdi").all_text_contents()
    for text in TEXTS:
        if text.isprintable() and text:
            assert text in legend
    stage = page.locator(".scatter-stage")
    for _ in TEXTS:
        stage.press("n")
    settle(page)
    assert page.locator("script").count() == 2
    assert page.locator("img").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("clusters", [[], [0], [-1, -1, -1], [0, 0, 0]])
def test_tiny_sets_and_points_in_one_place(page: Any, tmp_path: Path, clusters: list[int]) -> None:  # noqa: F811
    page.goto(alone(tmp_path, make_rows(clusters, [[1, 1, 1, 1]] * len(clusters))))
    settle(page)
    if clusters:
        assert coloured(page, POINTS) > 20
        page.mouse.move(*middle(page))
        settle(page)
        assert page.locator(".scatter-tip").is_visible()


def test_5000_points_turn_smoothly(page: Any, tmp_path: Path) -> None:  # noqa: F811
    rng = np.random.default_rng(5)
    clusters = rng.integers(-1, 30, 5000)
    places = rng.normal(size=(31, 10))[clusters] * 4 + rng.normal(size=(5000, 10))
    page.emulate_media(reduced_motion="no-preference")
    page.goto(alone(tmp_path, make_rows(clusters.tolist(), places.tolist(), thumbnails=[jpeg()] * 5000)))
    settle(page)
    page.locator(".scatter-turn").click()
    frames = """(count) => new Promise((done) => {
      const next = () => { count-- ? requestAnimationFrame(next) : done(); };
      requestAnimationFrame(next);
    })"""
    meter = page.context.new_cdp_session(page)
    meter.send("Performance.enable", {"timeDomain": "threadTicks"})  # processor time: others may have the cores meanwhile

    def spent() -> float:
        return next(one["value"] for one in meter.send("Performance.getMetrics")["metrics"] if one["name"] == "TaskDuration")

    before = spent()
    page.evaluate(frames, 90)
    assert 0 < (spent() - before) / 90 < 0.016, "seconds of the page's thread a frame; there are 60 frames a second"
