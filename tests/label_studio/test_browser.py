"""Tasks in a real browser: they look as they should, work by keys, and nothing hostile runs."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import shoal
from shoal.catalogue import Run
from shoal_ls.client import Server
from shoal_ls.projects import Opened
from tests.browsing import rest
from tests.hostile import MARKUP
from tests.label_studio.runs import make_run
from tests.label_studio.server import EMAIL, PASSWORD, LabelStudio
from tests.label_studio.test_open import number, open_

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium"),
]
LOADING = 120_000
"""Milliseconds that the editor may take to come on a busy machine."""

SHOTS = "SHOAL_SCREENSHOTS"
"""Environment variable with a folder that screenshots are written to, for people to look at."""


@pytest.fixture(scope="module")
def large_run(tmp_path_factory: pytest.TempPathFactory, label_studio: LabelStudio) -> Run:
    """A run whose clusters have more members than a task shows."""
    made = make_run(tmp_path_factory.mktemp("large-run"), each=60)
    copied = shutil.copytree(made.store.root.local_or_raise("a test"), label_studio.files / "large")
    return shoal.open(copied)


@pytest.fixture(scope="module")
def opened(large_run: Run, label_studio: LabelStudio) -> dict[str, Opened]:
    with Server.connect(label_studio.url, token=label_studio.token) as server:
        return open_(large_run, server)


@pytest.fixture(scope="module")
def logged_in(label_studio: LabelStudio) -> Iterator[Any]:
    """A browser in which the reviewer has logged in."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        context = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
        page = context.new_page()
        page.set_default_timeout(LOADING)
        page.goto(f"{label_studio.url}/user/login/")
        page.fill("input[name=email]", EMAIL)
        page.fill("input[name=password]", PASSWORD)
        page.click("button[type=submit]")
        page.wait_for_url(lambda url: "login" not in url)
        page.close()
        yield context
        browser.close()


@pytest.fixture
def page(logged_in: Any) -> Iterator[Any]:
    """A page on which any dialog fails the test."""
    made = logged_in.new_page()
    made.set_default_timeout(LOADING)
    dialogs: list[str] = []
    made.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    yield made
    made.close()
    assert not dialogs


def shoot(page: Any, name: str) -> None:
    if os.environ.get(SHOTS):
        page.screenshot(path=str(Path(os.environ[SHOTS]) / f"{name}.png"))


def task_of(server: Server, opened: Opened, key: str) -> dict[str, Any]:
    return next(task for task in server.tasks(number(opened)) if task["data"]["shoal_task"] == key)


def show(page: Any, server: Server, opened: Opened, task: dict[str, Any], until: str) -> None:
    page.goto(f"{server.url}/projects/{number(opened)}/data?task={task['id']}")
    page.locator(until).first.wait_for()


def submitted(page: Any, server: Server, task: dict[str, Any]) -> dict[str, Any]:
    """Return the one annotation of a task as soon as it is there."""
    for _ in range(LOADING // 500):
        found = server.annotations(task["id"])
        if found:
            return found[0]
        page.wait_for_timeout(500)
    pytest.fail("nothing was submitted")


def column(page: Any, title: str) -> Any:
    return page.locator(".htx-ranker-column", has=page.locator("h3", has_text=title))


def test_a_cluster_task_shows_48_thumbnails_and_five_buckets_that_keys_fill(
    page: Any, server: Server, label_studio: LabelStudio, opened: dict[str, Opened]
) -> None:
    task = task_of(server, opened["clusters"], "cluster:0")
    show(page, server, opened["clusters"], task, ".htx-ranker-item img")
    page.wait_for_function(
        "[...document.querySelectorAll('.htx-ranker-item img')].every(i => { i.loading = 'eager'; return i.naturalWidth; })"
    )
    assert page.locator(".htx-ranker-item").count() == 48
    titles = page.locator(".htx-ranker-column h3").all_text_contents()
    assert titles == ["Keep", "Move to A", "Move to B", "New cluster", "Noise"]
    boxes = [page.locator(".htx-ranker-column").nth(place).bounding_box() for place in range(5)]
    assert all(box["x"] + box["width"] <= 1440 for box in boxes)  # all of them within the window
    assert min(box["width"] for box in boxes) >= 118
    assert column(page, "Keep").locator(".htx-ranker-item").count() == 48
    first = page.locator(".htx-ranker-item").nth(0).bounding_box()
    beside = page.locator(".htx-ranker-item").nth(1).bounding_box()
    assert beside["y"] == first["y"]  # a grid, not a list
    name = task["data"]["items"][0]["id"]
    shown = page.locator(f'.htx-ranker-item[data-ranker-id="{name}"] span')
    assert shown.is_visible()
    assert shown.bounding_box()["height"] < 20
    assert page.get_by_text("more follow them").is_visible()
    shoot(page, "cluster")
    page.locator(".htx-ranker-item").last.scroll_into_view_if_needed()
    assert page.get_by_text("more follow them").is_visible()  # the head stays
    assert page.locator("input[value=accept], .ant-checkbox-checked, [class*=checked]").first.is_visible()
    moved = page.locator(".htx-ranker-item").first
    moved_id = moved.get_attribute("data-ranker-id")
    moved.focus()
    for key in ("Space", "ArrowRight", "Space"):
        page.keyboard.press(key)
        rest(page, 600)  # the library animates a move
    page.locator("h3", has_text="Move to A").wait_for()
    assert column(page, "Move to A").locator(".htx-ranker-item").get_attribute("data-ranker-id") == moved_id
    page.get_by_role("button", name="Submit").click()
    said = {part["from_name"]: part["value"] for part in submitted(page, server, task)["result"]}
    assert said["assign"]["ranker"]["alt1"] == [moved_id]
    assert len(said["assign"]["ranker"]["keep"]) == 47
    assert said["cluster_label"]["text"] == [task["data"]["label"]]
    assert said["verdict"]["choices"] == ["accept"]


def test_a_split_asks_for_a_name_and_a_merge_for_a_cluster_by_its_name(
    page: Any, server: Server, opened: dict[str, Opened]
) -> None:
    task = task_of(server, opened["clusters"], "cluster:1")
    show(page, server, opened["clusters"], task, ".htx-ranker-item")
    new_name = page.get_by_placeholder("name of the new cluster")
    assert not new_name.is_visible()
    page.get_by_text("split").first.click()
    new_name.wait_for()
    page.get_by_text("merge").first.click()
    new_name.wait_for(state="hidden")
    other = task["data"]["candidates"][0]
    page.locator(".shoal-row").get_by_text(other["html"]).click()
    shoot(page, "merge")
    page.get_by_role("button", name="Submit").click()
    said = {part["from_name"]: part["value"] for part in submitted(page, server, task)["result"]}
    assert said["verdict"]["choices"] == ["merge"]
    assert said["merge_into"]["choices"] == [other["value"]]


def test_hostile_names_and_labels_are_text(page: Any, server: Server, opened: dict[str, Opened]) -> None:
    one = opened["clusters"]
    task = task_of(server, one, "cluster:2")
    hostile = MARKUP[1]
    data = {**task["data"], "context": f"{hostile} {MARKUP[0]}", "label": hostile}
    server.update_task(task["id"], {"data": data})
    show(page, server, one, task, ".htx-ranker-item")
    page.get_by_text(MARKUP[0]).first.wait_for()
    rest(page, 500)
    assert page.locator("img[src=x]").count() == 0
    assert page.locator(".htx-ranker-item script, .shoal-head script").count() == 0
    shoot(page, "hostile")


def test_a_suggestion_shows_both_pictures_and_its_choices(page: Any, server: Server, opened: dict[str, Opened]) -> None:
    one = opened["rescues"]
    task = next(iter(server.tasks(number(one))))
    show(page, server, one, task, ".shoal-pair img")
    page.get_by_text("suggested: ").wait_for()
    assert page.locator(".shoal-pair img").count() >= 2
    for word in ("confirm", "reject", "other"):
        assert page.get_by_text(word, exact=False).first.is_visible()
    shoot(page, "rescue")
