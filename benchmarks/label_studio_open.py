"""Measures how long opening 2,000 tasks with predictions takes, against the bare calls of Label Studio's API.

    SHOAL_LABEL_STUDIO=.venv-label-studio/bin python benchmarks/label_studio_open.py [--rounds 3] [--quick] [--out FILE]

Both put the same tasks of 48 thumbnails and their predictions into a new project of a real server. The bare side has its
tasks made before and only sends them, 500 a request; shoal's seconds count from the clusters on: it makes the tasks, has the
SDK check each prediction, looks what is there, sends, and compares what was made with what was sent.
"""

import sys
import tempfile
import time
from pathlib import Path

import httpx
from common import ROOT, Figure, Trial, finish, median, parser, quiet, take_turns

sys.path.insert(0, str(ROOT))

from tests.label_studio.runs import make_run, said
from tests.label_studio.server import LabelStudio, fresh

from shoal.decisions import Surface
from shoal.reviewing.bases import Numbers
from shoal_ls.client import BATCH, Server
from shoal_ls.configs import check, configuration
from shoal_ls.filling import fill
from shoal_ls.present import Before
from shoal_ls.tasks import TaskDraft, cluster_tasks

TASKS = {False: 2_000, True: 20}
MEMBERS = 48


def main() -> None:
    made = parser(__doc__, "label_studio_open")
    made.add_argument("--rounds", type=int, default=3)
    options = made.parse_args()
    count, rounds = TASKS[options.quick], 1 if options.quick else options.rounds
    options.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        studio = fresh(options.cache, Path(folder))
        try:
            before = Before(Numbers.shown(make_run(Path(folder))))
            trials = take_turns({"bare": lambda: bare(studio, count), "shoal": lambda: whole(studio, count, before)}, rounds)
        finally:
            studio.stop()
    what = f"opening {count:,} tasks with predictions"
    mine, theirs = median(trials["shoal"], "seconds"), median(trials["bare"], "seconds")
    figures = [
        Figure(f"{what}: shoal", mine, "s"),
        Figure(f"{what}: bare API calls", theirs, "s"),
        Figure(f"{what}: shoal's seconds / bare calls", mine / theirs, at_most=2.0),
    ]
    finish(options, "Opening a review in Label Studio", figures, {**quiet(trials), "trials": trials})


def address(image: str) -> str:
    return f"/data/local-files/?d=out/thumbnails/{image[:2]}/{image}.jpg"


def project(studio: LabelStudio) -> int:
    made = studio.call("POST", "/api/projects/", json={"title": "benchmark", "label_config": configuration("clusters")})
    return int(made.json()["id"])


def bare(studio: LabelStudio, count: int) -> Trial:
    """Send what was made before: two calls for each 500, and nothing else."""
    drafts, number = cluster_tasks(said(count, each=MEMBERS), address), project(studio)
    with httpx.Client(base_url=studio.url, headers={"Authorization": f"Token {studio.token}"}, timeout=600) as client:
        began = time.perf_counter()
        for start in range(0, count, BATCH):
            _send(client, number, drafts[start : start + BATCH])
        return {"seconds": time.perf_counter() - began}


def _send(client: httpx.Client, number: int, drafts: list[TaskDraft]) -> None:
    tasks = [draft.task("surface", "run", "0") for draft in drafts]
    made = client.post(f"/api/projects/{number}/import?return_task_ids=true", json=tasks).raise_for_status().json()
    predictions = [draft.prediction(task, "v") for draft, task in zip(drafts, made["task_ids"], strict=True)]
    client.post(f"/api/projects/{number}/import/predictions", json=predictions).raise_for_status()


def whole(studio: LabelStudio, count: int, before: Before) -> Trial:
    """Do all that `shoal review open` does for a project's tasks."""
    one, number = said(count, each=MEMBERS), project(studio)
    surface = Surface(key="surface", run="run", kind="clusters", remote=str(number))
    with Server.connect(studio.url, token=studio.token) as server:
        began = time.perf_counter()
        drafts = cluster_tasks(one, address)
        check(configuration("clusters"), drafts)
        filled = fill(server, surface, drafts, "v", before, lambda done: None)
        seconds = time.perf_counter() - began
    if not filled.created == filled.predictions == count:
        raise RuntimeError(f"{count} tasks were to be made, and {filled} were")
    return {"seconds": seconds}


if __name__ == "__main__":
    main()
