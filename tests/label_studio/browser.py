"""A reviewer in front of Label Studio: a real browser, driven by mouse and keys, which are counted."""

import io
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.browsing import rest

CHROMIUM = shutil.which("chromium")
SIZE = {"width": 1400, "height": 900}
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
WAIT = 90_000
"""Milliseconds; a loaded machine is slow to draw."""

ITEM, BUCKET = '[data-ranker-id="{}"]', '[data-rbd-droppable-id="{}"]'
FOCUSED = "document.activeElement.getAttribute('data-ranker-id')"
BUCKETS = ("keep", "alt1", "alt2", "new", "noise")
TASK = "window.Htx?.task?.id"
"""The task that is open."""

SAID = "said => [...document.querySelectorAll('[id^=rbd-announcement]')].some(place => place.textContent.includes(said))"
"""What Label Studio tells screen readers."""

LARGEST = 240_000
"""Bytes of a screenshot."""


@dataclass
class Reviewer:
    """A person who is logged in. A drag is one press of the mouse's button, as a click is.

    Attributes:
        page: of the browser.
        url: of the server.
        did: how many clicks, drags and keys.
        dialogs: what dialogs said; one would be a script of somebody else's.
    """

    page: Any
    url: str
    did: "Counter[str]" = field(default_factory=Counter)
    dialogs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(WAIT)
        self.page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))

    @property
    def actions(self) -> int:
        """Clicks, drags and keys together."""
        return self.did.total()

    def log_in(self, email: str, password: str) -> None:
        """Log in; nothing is counted."""
        self.page.goto(f"{self.url}/user/login/")
        self.page.fill("input[name=email]", email)
        self.page.fill("input[name=password]", password)
        self.page.click("button[type=submit]")
        self.page.wait_for_url(lambda url: "/login" not in url)

    def list_tasks(self, project: int, tab: str = "") -> None:
        """Open a project: the list of its tasks, or one of its tabs."""
        self.page.goto(f"{self.url}/projects/{project}/data")
        self.page.get_by_text("Label All Tasks").wait_for()
        if tab:
            self.page.get_by_text(tab, exact=True).click()
        self.page.wait_for_load_state("networkidle")

    def label_all(self, project: int) -> None:
        """Open the first task of a project that waits."""
        self.list_tasks(project)
        self.page.get_by_text("Label All Tasks").click()
        self.see_task()

    def open_task(self, project: int, task: int) -> None:
        """Open one task of a project."""
        self.page.goto(f"{self.url}/projects/{project}/data?task={task}")
        self.see_task()

    def see_task(self) -> None:
        """Wait until a task, what is proposed, and its pictures are drawn."""
        self.page.locator(".lsf-choices input:checked").first.wait_for(state="attached")
        self.page.wait_for_function(
            "[...document.querySelectorAll('.lsf-main-content img, .htx-ranker-item img')]"
            ".every(image => image.loading === 'lazy' || (image.complete && image.naturalWidth > 0))"
        )

    def see_other(self, before: int | None) -> int:
        """Wait until another task than the one of a number is drawn, and return its number."""
        self.page.wait_for_function(f"before => {TASK} && {TASK} !== before", arg=before)
        self.see_task()
        return int(self.page.evaluate(TASK))

    def click(self, target: Any) -> None:
        """Click on something."""
        target.click()
        self.did["clicks"] += 1

    def press(self, *keys: str) -> None:
        """Press keys; those that are held down together count each."""
        for key in keys:
            self.page.keyboard.press(key)
            self.did["keys"] += 1 + key.count("+")

    def type(self, text: str) -> None:
        """Type a text."""
        self.page.keyboard.insert_text(text)
        self.did["keys"] += len(text)

    def drag(self, image: str, bucket: str) -> None:
        """Drag a thumbnail into a bucket."""
        mouse, item = self.page.mouse, self.page.locator(ITEM.format(image))
        item.evaluate("item => item.scrollIntoView({ block: 'center' })")  # the head stays at the top, above thumbnails
        here, there = item.bounding_box(), self.page.locator(BUCKET.format(bucket)).bounding_box()
        left, top = here["x"] + here["width"] / 2, here["y"] + here["height"] / 2
        mouse.move(left, top)
        mouse.down()
        mouse.move(left + 10, top, steps=4)
        mouse.move(there["x"] + there["width"] / 2, top, steps=12)  # buckets are as high as the highest: straight across
        rest(self.page, 150)
        mouse.up()
        self._see(image, bucket)
        self.did["drags"] += 1

    def carry(self, image: str, bucket: str) -> None:
        """Move a thumbnail from `keep` into a bucket by keys: Tab to it, Space, arrows, Space."""
        self.page.locator(".htx-ranker-item").first.focus()
        while self.page.evaluate(FOCUSED) != image:
            self.press("Tab")
            assert self.page.evaluate(FOCUSED), f"the keyboard does not reach {image}"
        self.press("Space")
        for name in BUCKETS[1 : BUCKETS.index(bucket) + 1]:
            self.press("ArrowRight")
            self.page.wait_for_function(SAID, arg=f"to list {name}")  # keys are not heard while the thumbnail glides
        self.press("Space")
        self._see(image, bucket)

    def rename(self, label: str) -> None:
        """Give the cluster another name."""
        self.page.get_by_test_id("htx-textbox-view").first.hover(force=True)
        self.click(self.page.get_by_test_id("htx-textbox-edit-button").first)
        self.press("Control+A")
        self.type(label)
        self.press("Enter")

    def submit(self, by_key: bool = False) -> int:
        """Submit and return the annotation's number."""
        with self.page.expect_response(lambda it: it.request.method == "POST" and "/annotations" in it.url) as answer:
            if by_key:
                self.press("Control+Enter")
            else:
                self.click(self.page.get_by_label("Submit current annotation"))
        assert answer.value.status == 201, answer.value.text()
        return int(answer.value.json()["id"])

    def buckets(self) -> dict[str, list[str]]:
        """Return the ids of the thumbnails in each bucket."""
        found = "(bucket) => [...bucket.querySelectorAll('[data-ranker-id]')].map(item => item.dataset.rankerId)"
        return {name: self.page.locator(BUCKET.format(name)).evaluate(found) for name in BUCKETS}

    def chosen(self, control: int = 0) -> list[str]:
        """Return what is chosen in one of the task's groups of choices."""
        boxes = self.page.locator(".lsf-choices").nth(control).locator("input:checked")
        return list(boxes.evaluate_all("boxes => boxes.map(box => box.name)"))

    def screenshot(self, file: Path) -> None:
        """Write what is seen as a PNG of few colours, small enough for a repository."""
        from PIL import Image

        rest(self.page, 500)
        seen = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        file.parent.mkdir(parents=True, exist_ok=True)
        for colours in (256, 128, 64, 32):
            seen.quantize(colours, dither=Image.Dither.NONE).save(file, optimize=True)
            if file.stat().st_size <= LARGEST:
                return

    def _see(self, image: str, bucket: str) -> None:
        self.page.locator(f"{BUCKET.format(bucket)} {ITEM.format(image)}").wait_for()


@contextmanager
def reviewing(url: str, email: str, password: str) -> Iterator[Reviewer]:
    """Give a browser in which somebody is logged in."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_context(viewport=SIZE, reduced_motion="reduce").new_page()
        reviewer = Reviewer(page, url)
        reviewer.log_in(email, password)
        yield reviewer
        browser.close()
