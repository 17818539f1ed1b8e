"""What a reviewer does, in a real browser, with a real Label Studio and the backend as a process: from the run to the files.

With SHOAL_SCREENSHOTS=FOLDER the pictures that the docs show are written there.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import shoal as package
from shoal.catalogue import Run
from shoal.decisions import Answer, Decisions
from tests.conftest import Shoal
from tests.label_studio.browser import CHROMIUM, Reviewer, reviewing
from tests.label_studio.server import EMAIL, PASSWORD, LabelStudio
from tests.label_studio.service.conftest import Process, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium"),
]
SETTINGS = ("caption=tags", "cluster.min_cluster_size=10", "rescue.threshold=0.4")
"""Some of the photos are noise then, some of these with a suggestion: there is something to do in all three projects."""

LOGIN = {"SHOAL_BACKEND_USER": "shoal", "SHOAL_BACKEND_PASSWORD": "pass w0rd"}
NAME = "beasts & birds"


@dataclass
class Review:
    """A run under review.

    Attributes:
        out: its store.
        images: the photos.
        projects: Label Studio's numbers by what is asked.
        shoal: runs the command line.
        environment: with the token and the backend's password.
    """

    out: Path
    images: Path
    projects: dict[str, int]
    shoal: Shoal
    environment: dict[str, str]

    def command(self, *words: object) -> Any:
        """Run a command and return what it says as JSON."""
        return json.loads(self.shoal(*words, "--json", env=self.environment).stdout)

    @property
    def run(self) -> Run:
        """The run as it is now."""
        return package.open(self.out)

    def answer(self, key: int) -> Answer:
        """Wait until the backend has recorded an annotation, and return it."""
        found: list[Answer] = []

        def recorded() -> bool:
            found[:] = [one for one in Decisions.of(self.run.store).answers(self.run.id) if one.key == str(key)]
            return bool(found)

        wait_until(recorded, 60)
        return found[0]

    def clusters(self) -> dict[str, int]:
        """Return each image's cluster by its id."""
        table = self.run.joined(["cluster"])
        return dict(zip(table["id"].to_pylist(), table["cluster"].to_pylist(), strict=True))


def places(sorted_: Path) -> dict[str, Path]:
    """Return where each image lies, by its id: the hash of its bytes, however its file is called now."""
    found = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted_.rglob("*.webp")}
    assert len(set(found.values())) == len(found)
    assert {path.parent.parent for path in found} <= {sorted_}, "a name leads out of its folder"
    return {image: path.relative_to(sorted_) for path, image in found.items()}


@pytest.fixture(scope="module")
def review(
    label_studio: LabelStudio, photo_set: Path, shoal: Shoal, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Review]:
    folder = tmp_path_factory.mktemp("review")
    images, out = folder / "photos", label_studio.files / "browser" / "out"
    shutil.copytree(photo_set, images)
    environment = {**LOGIN, "LABEL_STUDIO_API_KEY": label_studio.token}
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    shoal("run", "semantic-cluster", images, "--out", out, *settings, "-q")
    serving = ("--label-studio", label_studio.url, "--document-root", str(label_studio.files))
    backend = Process(out, folder / "serve.log", serving, environment)
    backend.start()
    opening = ("review", "open", out, "--url", label_studio.url, "--backend", backend.url, "--json")
    opened = json.loads(shoal(*opening, env=environment).stdout)
    projects = {one["kind"]: int(one["url"].split("/projects/")[1].split("/")[0]) for one in opened}
    yield Review(out, images, projects, shoal, environment)
    backend.end()


@pytest.fixture(scope="module")
def reviewer(label_studio: LabelStudio) -> Iterator[Reviewer]:
    with reviewing(label_studio.url, EMAIL, PASSWORD) as made:
        yield made
    assert made.dialogs == []


def show(reviewer: Reviewer, name: str, folder: Path) -> None:
    """Take a screenshot."""
    reviewer.screenshot(Path(os.environ.get("SHOAL_SCREENSHOTS", folder)) / f"{name}.png")


def test_what_a_reviewer_decides_moves_files_and_comes_back(
    review: Review, reviewer: Reviewer, tmp_path: Path, shoal: Shoal
) -> None:
    before = review.clusters()
    reviewer.list_tasks(review.projects["clusters"], "By doubt")
    show(reviewer, "review-list", tmp_path)
    reviewer.label_all(review.projects["clusters"])
    shown = reviewer.buckets()
    assert len(shown["keep"]) >= 10
    assert not any(shown[name] for name in ("alt1", "alt2", "new", "noise"))
    assert reviewer.chosen() == ["accept"]
    to_a, to_noise, to_b = shown["keep"][-1], shown["keep"][2], shown["keep"][4]
    reviewer.press("e")
    reviewer.drag(to_a, "alt1")
    reviewer.drag(to_noise, "noise")
    reviewer.carry(to_b, "alt2")
    reviewer.rename(NAME)
    assert reviewer.buckets() == {
        "keep": [image for image in shown["keep"] if image not in (to_a, to_b, to_noise)],
        "alt1": [to_a], "alt2": [to_b], "new": [], "noise": [to_noise],
    }  # fmt: skip
    show(reviewer, "review-cluster", tmp_path)
    answer = review.answer(reviewer.submit())
    assert answer.who == EMAIL
    cluster = int(answer.task.removeprefix("cluster:"))
    targets = {change.images[0]: change.to for change in answer.changes if change.kind == "move"}
    assert set(targets) == {to_a, to_b}

    synced = review.command("review", "sync", review.out)
    assert (synced["new"], synced["deleted"], synced["unreadable"], synced["version"]) == (0, 0, [], 1)
    again = review.command("review", "sync", review.out)
    assert (again["new"], again["deleted"], again["version"]) == (0, 0, None)
    expected = before | targets | {to_noise: -1}
    assert review.clusters() == expected

    sorted_ = tmp_path / "sorted"
    shoal("organize", review.out, "--to", sorted_, "--yes")
    there = places(sorted_)
    assert set(there) == set(expected)
    together = {(expected[image], place.parent) for image, place in there.items()}
    assert len(together) == len(dict(together)) == len({place.parent for place in there.values()}), "a folder a cluster"
    assert "beasts" in there[shown["keep"][0]].name
    assert there[to_noise].parent.name == "noise"

    shoal("undo", sorted_)
    assert places(sorted_) == {}
    undone = review.command("review", "undo", review.out)
    assert undone["undone"] == 1
    assert review.clusters() == before
    shoal("organize", review.out, "--to", sorted_, "--yes")
    back = places(sorted_)
    assert {back[image].parent for image in shown["keep"]} == {back[to_a].parent}
    history = review.command("review", "history", review.out, "--all")
    assert [version["version"] for version in history["versions"]] == [1]
    assert reviewer.dialogs == []
    assert before[to_a] == cluster


def test_rescues_and_single_images_are_answered_by_keys(review: Review, reviewer: Reviewer, tmp_path: Path) -> None:
    reviewer.label_all(review.projects["rescues"])
    first = reviewer.see_other(None)
    assert reviewer.chosen() == ["confirm"]
    show(reviewer, "review-rescue", tmp_path)
    reviewer.press("2")
    assert reviewer.chosen() == ["reject"]
    rejected = review.answer(reviewer.submit(by_key=True))
    assert [change.kind for change in rejected.changes] == ["reject"]
    reviewer.see_other(first)
    confirmed = review.answer(reviewer.submit(by_key=True))
    assert [change.kind for change in confirmed.changes] == ["confirm"]
    assert confirmed.task != rejected.task

    reviewer.label_all(review.projects["images"])
    (proposed,) = reviewer.chosen()
    show(reviewer, "review-image", tmp_path)
    reviewer.press("2")
    (chosen,) = reviewer.chosen()
    assert chosen != proposed
    moved = review.answer(reviewer.submit(by_key=True))
    (change,) = moved.changes
    assert (change.kind, f"cluster:{change.to}") == ("move", chosen)

    review.command("review", "sync", review.out)
    clusters = review.clusters()
    image = moved.task.removeprefix("image:")
    rescued = confirmed.task.removeprefix("rescue:")
    assert clusters[image] == change.to
    assert clusters[rescued] == confirmed.changes[0].to
    assert clusters[rejected.task.removeprefix("rescue:")] == -1
