"""Counts what a reviewer of the photo set has to do: a cluster at a time, against an image at a time.

    SHOAL_LABEL_STUDIO=.venv-label-studio/bin python benchmarks/review_actions.py [--quick] [--out FILE]

Clicks and keys are counted in a real browser on a real Label Studio; a drag is one press of the mouse's button, as a click
is. The reviewer knows the folders that the photos come from: an image is right in a cluster most of whose members are of its
class, else it goes to one. Both ways end with every photo in a right cluster, under the names that shoal proposed.

A cluster at a time: wrong thumbnails are dragged, the verdict changed by a key, the task submitted by a click; then the same
for what is noise, image by image. An image at a time: shoal's own tasks for single images, for all photos, with the right
answer proposed where the run has it, which most tools do not: a click submits, and a wrong one costs a key before.
"""

import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import QUIET, ROOT, Figure, Trial, busy_cores, finish, parser, photo_set, shoal_run

sys.path.insert(0, str(ROOT))

from tests.label_studio.browser import Reviewer, reviewing
from tests.label_studio.runs import make_run
from tests.label_studio.server import EMAIL, PASSWORD, LabelStudio, fresh

import shoal
from shoal.catalogue import Run
from shoal.decisions import Surface
from shoal.reviewing.bases import Numbers
from shoal.runner import Silent
from shoal_ls.client import Server
from shoal_ls.configs import configuration
from shoal_ls.filling import fill
from shoal_ls.picturing import Gallery, Source, addresses, write
from shoal_ls.present import Before
from shoal_ls.projects import Options, open_review
from shoal_ls.tasks import asked_about, image_tasks, read


def main() -> None:
    options = parser(__doc__, "review_actions").parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    os.environ["SHOAL_MLFLOW"] = "off"
    before = busy_cores()
    with tempfile.TemporaryDirectory() as folder:
        studio = fresh(options.cache, Path(folder))
        try:
            trials = measure(studio, None if options.quick else photo_set(options.photos))
        finally:
            studio.stop()
    clusters, singles = trials["clusters"], trials["singles"]
    figures = [
        Figure("a cluster at a time: clicks, drags and keys", clusters["actions"]),
        Figure("an image at a time: clicks and keys", singles["actions"]),
        Figure("times fewer actions, a cluster at a time", singles["actions"] / clusters["actions"], at_least=8),
        Figure("photos in a right cluster before", 100 * trials["before"], "%"),
        Figure("photos in a right cluster after, a cluster at a time", 100 * clusters["right"], "%"),
        Figure("images settled by an action, a cluster at a time", clusters["images"] / clusters["actions"]),
        Figure("images settled by an action, an image at a time", singles["images"] / singles["actions"]),
    ]
    noise = {"quiet": before <= QUIET, "others_median_cores": round(before, 2)}
    finish(options, "What a reviewer of 214 photos has to do", figures, {"trials": trials, **noise})


@dataclass(frozen=True)
class Truth:
    """What the reviewer knows.

    Attributes:
        classes: of each image by its id.
        stands: the class that each cluster stands for.
    """

    classes: Mapping[str, str]
    stands: Mapping[int, str]

    @classmethod
    def of(cls, run: Run, clusters: Mapping[str, int]) -> "Truth":
        """Take the folders of the images as their classes, or of little pictures their clusters but for every tenth."""
        images = run.images
        paths = dict(zip(images["id"].to_pylist(), map(Path, images["path"].to_pylist()), strict=True))
        folders = {image: path.parent.name for image, path in paths.items()}
        if len(set(folders.values())) == 1:
            known = sorted({cluster for cluster in clusters.values() if cluster >= 0})
            folders = {
                image: str(known[(max(clusters[image], 0) + (place % 10 == 0)) % len(known)])
                for place, image in enumerate(sorted(folders))
            }
        votes: defaultdict[int, Counter[str]] = defaultdict(Counter)
        for image, cluster in clusters.items():
            votes[cluster][folders[image]] += 1
        return cls(folders, {cluster: found.most_common(1)[0][0] for cluster, found in votes.items() if cluster >= 0})

    def right(self, image: str, cluster: int | None) -> bool:
        """Tell whether an image is right in a cluster."""
        return cluster is not None and self.stands.get(cluster) == self.classes[image]


def measure(studio: LabelStudio, photos: Path | None) -> dict[str, Any]:
    if photos is None:
        run = make_run(studio.files)
    else:
        shoal_run("semantic-cluster", photos, "--out", studio.files / "out", "--set", "caption=tags", "--on", "local")
        run = shoal.open(studio.files / "out")
    table = run.joined(["cluster"])
    clusters = dict(zip(table["id"].to_pylist(), table["cluster"].to_pylist(), strict=True))
    truth = Truth.of(run, clusters)
    with Server.connect(studio.url, token=studio.token) as server, reviewing(studio.url, EMAIL, PASSWORD) as reviewer:
        opened = {one.surface.kind: int(one.surface.remote) for one in open_review(run, server, Options(), Silent())}
        alone = single_project(run, server)
        began = time.perf_counter()
        after = by_cluster(reviewer, server, opened["clusters"], truth, clusters)
        noise = [image for image, cluster in after.items() if cluster < 0]
        after |= by_image(reviewer, server, single_project(run, server, noise), truth) if noise else {}
        first = told(reviewer, clusters, truth, after, began)
        reviewer.did.clear()
        began = time.perf_counter()
        after = by_image(reviewer, server, alone, truth)
        second = told(reviewer, clusters, truth, after, began)
    before = sum(truth.right(image, cluster) for image, cluster in clusters.items()) / len(clusters)
    return {"before": before, "clusters": first, "singles": second}


def told(reviewer: Reviewer, clusters: Mapping[str, int], truth: Truth, after: Mapping[str, int], began: float) -> Trial:
    right = sum(truth.right(image, after.get(image)) for image in clusters) / len(clusters)
    seconds = time.perf_counter() - began
    return {**reviewer.did, "actions": reviewer.actions, "images": len(clusters), "right": right, "browser seconds": seconds}


def single_project(run: Run, server: Server, images: Sequence[str] | None = None) -> int:
    """Make a project that asks about images one by one; about all where none are named."""
    said = read(asked_about(run))
    chosen = list(images if images is not None else said.ids)
    made = server.create_project({"title": "one by one", "label_config": configuration("images")})
    number = int(made["id"])
    shown = write(run, [], chosen, Silent())
    gallery = Gallery(shown, addresses(server, number, shown.pictures, Source()))
    surface = Surface(key=f"single-{number}", run=run.id, kind="images", place=server.url, remote=str(number))
    drafts = image_tasks(said, chosen, gallery.large)
    fill(server, surface, drafts, "one-by-one", Before(Numbers.shown(run)), lambda done: None)
    server.update_project(number, {"model_version": "one-by-one"})  # else nothing is proposed
    return number


def by_cluster(
    reviewer: Reviewer, server: Server, project: int, truth: Truth, clusters: Mapping[str, int]
) -> dict[str, int]:
    """Review a cluster at a time and return where each image is afterwards."""
    after = dict(clusters)
    tasks = {task["id"]: task["data"] for task in server.tasks(project)}
    for number in stream(reviewer, project, len(tasks)):
        data = tasks[number]
        places = {"alt1": data["alt1"], "alt2": data["alt2"], "noise": -1}
        wrong = [item["id"] for item in data["items"] if not truth.right(item["id"], data["cluster"])]
        for image in wrong:
            bucket = next((name for name, cluster in places.items() if truth.right(image, cluster)), "noise")
            reviewer.drag(image, bucket)
            after[image] = places[bucket]
        if wrong:
            reviewer.press("e")
        reviewer.submit()
    return after


def by_image(reviewer: Reviewer, server: Server, project: int, truth: Truth) -> dict[str, int]:
    """Review an image at a time and return where each is afterwards."""
    after = {}
    tasks = {task["id"]: task["data"] for task in server.tasks(project)}
    for number in stream(reviewer, project, len(tasks)):
        image = tasks[number]["shoal_task"].removeprefix("image:")
        offered = [one["value"] for one in tasks[number]["candidates"]]
        (proposed,) = reviewer.chosen()
        if not truth.right(image, cluster_of(proposed)):
            place = next((place for place, value in enumerate(offered) if truth.right(image, cluster_of(value))), None)
            if place is not None:
                reviewer.press(str(place + 1))
                (proposed,) = reviewer.chosen()
        after[image] = cluster_of(proposed)
        reviewer.submit()
    return after


def cluster_of(value: str) -> int:
    return -1 if value == "noise" else int(value.removeprefix("cluster:"))


def stream(reviewer: Reviewer, project: int, count: int) -> Any:
    """Yield the numbers of the tasks as Label Studio serves them; each is to be submitted."""
    reviewer.label_all(project)
    before = None
    for _ in range(count):
        before = reviewer.see_other(before)
        yield before


if __name__ == "__main__":
    main()
