"""Hostile labels and file names in Label Studio, in a real browser: text in all three projects, and nothing runs."""

import secrets
from collections.abc import Iterator

import pytest

import shoal
from shoal.builtins import BUILTINS
from shoal.catalogue import Run
from shoal.host import Host
from shoal.pipeline import parse
from shoal.runner import RunOptions, Silent
from shoal.text import plain
from shoal_ls.annotations import read_annotation
from shoal_ls.client import Server
from shoal_ls.projects import Options, open_review
from shoal_ls.tasks import read
from shoal_ls.tasks.markup import LONGEST_LABEL
from tests.browsing import rest
from tests.end_to_end.hostile_stages import LABELS
from tests.label_studio.browser import CHROMIUM, Reviewer, reviewing
from tests.label_studio.runs import HOSTILE, pictures
from tests.label_studio.server import EMAIL, PASSWORD, LabelStudio

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium"),
]
PIPELINE = """shoal: 1
name: hostile
steps:
  - use: index.folder
  - use: thumbnail.jpeg
  - use: embed.lite0
  - use: cluster.dbscan
    with: {mode: noise_control, metric: cosine, min_samples: 3, max_noise_ratio: 0.25}
  - use: label.hostile
  - use: rescue.first
"""
SHOWN = [plain(label, LONGEST_LABEL) for label in LABELS]
MADE = "script, img[src=x], iframe, [onerror], [onload], b"
"""What a text would make if it were taken for HTML; the page's own scripts are not among the task."""


@pytest.fixture(scope="module")
def run(label_studio: LabelStudio, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = label_studio.files / secrets.token_hex(4)
    host = Host(builtins=(*BUILTINS, "tests.end_to_end.hostile_stages"), allow=())
    images = pictures(tmp_path_factory.mktemp("hostile") / "pictures")
    return shoal.run(parse(PIPELINE, host), images, folder / "out", host=host, options=RunOptions(where="local"))


@pytest.fixture(scope="module")
def projects(run: Run, label_studio: LabelStudio) -> dict[str, int]:
    """Numbers of the projects, by what is asked."""
    with Server.connect(label_studio.url, token=label_studio.token) as server:
        opened = open_review(run, server, Options(), Silent())
    return {one.surface.kind: int(one.surface.remote) for one in opened}


@pytest.fixture(scope="module")
def reviewer(label_studio: LabelStudio) -> Iterator[Reviewer]:
    with reviewing(label_studio.url, EMAIL, PASSWORD) as made:
        yield made


@pytest.fixture(autouse=True)
def _nothing_ran(reviewer: Reviewer) -> Iterator[None]:
    yield
    rest(reviewer.page, 500)
    assert reviewer.dialogs == []
    assert reviewer.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def tasks(label_studio: LabelStudio, project: int) -> list[int]:
    with Server.connect(label_studio.url, token=label_studio.token) as server:
        return [task["id"] for task in server.task_list(project)]


def said(reviewer: Reviewer) -> str:
    """Return the text of the task."""
    return str(reviewer.page.locator(".lsf-main-content").inner_text())


def made_of_text(reviewer: Reviewer, part: str) -> int:
    """Return how many elements there are in a part of the page that only a text can have made."""
    return int(reviewer.page.locator(part).locator(MADE).count())


def test_lists_of_tasks(reviewer: Reviewer, projects: dict[str, int]) -> None:
    assert set(projects) == {"clusters", "rescues", "images"}
    for kind, project in projects.items():
        reviewer.list_tasks(project)
        rest(reviewer.page, 500)
        shown = reviewer.page.locator("body").inner_text()
        assert any(text[:20] in shown for text in SHOWN) == (kind != "images"), "the image that is left is noise"
        assert reviewer.page.locator("img[src=x]").count() == 0


def test_names_of_clusters_and_files(
    reviewer: Reviewer, projects: dict[str, int], run: Run, label_studio: LabelStudio
) -> None:
    names: set[str] = set()
    for place, task in enumerate(tasks(label_studio, projects["clusters"])):
        reviewer.open_task(projects["clusters"], task)
        assert sum(text in said(reviewer) for text in SHOWN) == len(SHOWN), "its own name, and those of A and B"
        reviewer.press("m")
        for text in SHOWN:
            if not said(reviewer).startswith(text):
                assert reviewer.page.locator(".lsf-choice", has_text=text).is_visible()
        assert made_of_text(reviewer, ".shoal-head") == 0
        assert made_of_text(reviewer, ".htx-ranker-item span span") == 0
        names |= set(reviewer.page.locator(".htx-ranker-item span").all_inner_texts())
        assert place < len(LABELS)
    shown = {name.removeprefix("far ").removeprefix("border ") for name in names}
    clustered = read(run)
    members = {plain(clustered.names[row], 80) for rows in clustered.members.values() for row in rows}
    assert shown == members
    assert len(members & {plain(name, 80) for name in HOSTILE}) >= 3


def test_suggestions_and_single_images(reviewer: Reviewer, projects: dict[str, int], label_studio: LabelStudio) -> None:
    for kind in ("rescues", "images"):
        for task in tasks(label_studio, projects[kind]):
            reviewer.open_task(projects[kind], task)
            if kind == "rescues":
                reviewer.press("3")
            assert all(text in said(reviewer) for text in SHOWN)
            assert made_of_text(reviewer, ".lsf-choices") == 0
            assert made_of_text(reviewer, ".lsf-richtext") == 0


def test_what_a_reviewer_types(reviewer: Reviewer, projects: dict[str, int], label_studio: LabelStudio) -> None:
    (task, *_) = tasks(label_studio, projects["clusters"])
    reviewer.open_task(projects["clusters"], task)
    reviewer.rename(LABELS[1])
    number = reviewer.submit()
    reviewer.open_task(projects["clusters"], task)
    assert "onerror=alert(2)" in said(reviewer)
    assert made_of_text(reviewer, ".shoal-head") == 0
    there = label_studio.call("GET", f"/api/annotations/{number}/").json()
    data = label_studio.call("GET", f"/api/tasks/{task}/").json()["data"]
    answer = read_annotation(data, there)
    assert answer is not None
    assert [change.label for change in answer.changes if change.kind == "rename"] == [SHOWN[1]]
