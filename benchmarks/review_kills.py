"""Counts what is lost or counted twice where the backend is killed while people review: nothing, after `shoal review sync`.

    SHOAL_LABEL_STUDIO=.venv-label-studio/bin python benchmarks/review_kills.py [--quick] [--out FILE]

A real Label Studio tells of 1,000 annotations that are made, edited and deleted, each by a webhook that it sends once. The
backend is killed by SIGKILL five times meanwhile, and stays away for some of them. Then the project is polled once, and what
the database of decisions says is compared with what Label Studio says, annotation by annotation.
"""

import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from common import QUIET, ROOT, Figure, Trial, busy_cores, finish, parser
from label_studio_backend import drained, serving

sys.path.insert(0, str(ROOT))

from tests.label_studio.runs import make_run
from tests.label_studio.server import LabelStudio, fresh

from shoal.catalogue import Run
from shoal.decisions import Decisions
from shoal.runner import Silent
from shoal_ls.annotations import moment
from shoal_ls.client import Server
from shoal_ls.connecting import BackendLogin, connect
from shoal_ls.projects import Options, open_review
from shoal_ls.sync import sync

EVENTS, KILLS = {False: 1_000, True: 60}, {False: 5, True: 3}
AWAY = 0.2
"""Share of the events that come while the backend is away."""


def main() -> None:
    options = parser(__doc__, "review_kills").parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    os.environ["SHOAL_MLFLOW"] = "off"
    before = busy_cores()
    with tempfile.TemporaryDirectory() as folder:
        studio = fresh(options.cache, Path(folder))
        try:
            trial = measure(studio, EVENTS[options.quick], KILLS[options.quick])
        finally:
            studio.stop()
    what = f"{trial['events']:,} events of Label Studio, {trial['kills']} SIGKILLs, then one sync"
    figures = [
        Figure(f"{what}: decisions lost", trial["lost"], at_most=0),
        Figure(f"{what}: decisions counted twice", trial["twice"], at_most=0),
        Figure(f"{what}: decisions that came by webhook", 100 * trial["heard"] / trial["decisions"], "%"),
        Figure(f"{what}: seconds of the sync", trial["sync"], "s"),
    ]
    noise = {"quiet": before <= QUIET, "others_median_cores": round(before, 2)}
    finish(options, "Decisions while the backend is killed", figures, {"trial": trial, **noise})


def measure(studio: LabelStudio, events: int, kills: int) -> Trial:
    run = make_run(studio.files)
    out = run.store.root.local_or_raise("a benchmark")
    with Server.connect(studio.url, token=studio.token) as server:
        (surface, *_) = (one.surface for one in open_review(run, server, Options(doubtful=0), Silent()))
        project = int(surface.remote)
        tasks = [task["id"] for task in server.task_list(project)]
        downs = review(studio, server, out, project, tasks, events, kills)
        decisions = Decisions.of(run.store)
        heard = len(decisions.answers(run.id))
        began = time.perf_counter()
        synced = sync(run, server, decisions)
        seconds = time.perf_counter() - began
        found = compare(server, project, run, decisions)
    told = {"heard": heard, "found by sync": synced.new, "taken back by sync": synced.deleted, "sync": seconds}
    return {"events": events, "kills": kills, "sent while away": downs, **told, **found}


def review(studio: LabelStudio, server: Server, out: Path, project: int, tasks: list[int], events: int, kills: int) -> int:
    """Have a person review while the backend is killed again and again; return how much was said while it was away."""
    person, port, done, away = Person(studio, tasks), 0, 0, 0
    for turn in range(kills + 1):
        until = events * (turn + 1) // (kills + 1)
        with serving(out, out.parent / "serve.log", port) as backend:
            if not port:
                connect(server, project, BackendLogin(f"http://127.0.0.1:{backend.port}"))
            port = backend.port
            pause = until if turn == kills else until - int(AWAY * events / kills)
            while done < pause:
                person.act()
                done += 1
            if turn == kills:
                drained(backend)
                return away
            threading.Timer(0.03, backend.process.kill).start()  # in the middle of the next ones
            while done < until:
                away += backend.process.poll() is not None
                person.act()
                done += 1
    return away


class Person:
    """Somebody who makes, edits and deletes annotations."""

    def __init__(self, studio: LabelStudio, tasks: list[int]) -> None:
        self.studio, self.tasks, self.random = studio, tasks, random.Random(0)
        self.made: list[int] = []
        self.count = 0

    def act(self) -> None:
        """Do one thing that Label Studio tells the backend of."""
        self.count += 1
        what = self.random.random()
        if what < 0.7 or not self.made:
            self.made.append(self.studio.annotate(self.random.choice(self.tasks), self.said()))
        elif what < 0.9:
            edited = self.random.choice(self.made)
            self.ask("PATCH", f"/api/annotations/{edited}/", json={"result": self.said()})
        else:
            self.ask("DELETE", f"/api/annotations/{self.made.pop(self.random.randrange(len(self.made)))}/")

    def ask(self, method: str, path: str, **more: Any) -> None:
        answer = self.studio.call(method, path, **more)
        if answer.status_code >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text[:300]}")

    def said(self) -> list[dict[str, Any]]:
        """Return an answer that is like no other."""
        verdict = {"from_name": "verdict", "to_name": "ctx", "type": "choices", "value": {"choices": ["accept"]}}
        name = {
            "from_name": "cluster_label",
            "to_name": "ctx",
            "type": "textarea",
            "value": {"text": [f"name {self.count}"]},
        }
        return [verdict, name]


def compare(server: Server, project: int, run: Run, decisions: Decisions) -> dict[str, int]:
    """Compare the decisions with what Label Studio holds."""
    there = {
        str(annotation["id"]): (moment(annotation["updated_at"]), annotation["result"][1]["value"]["text"][0])
        for task in server.tasks(project, answered=True)
        for annotation in task["annotations"]
    }
    known = {
        answer.key: (answer.at, next((change.label for change in answer.changes if change.kind == "rename"), ""))
        for answer in decisions.answers(run.id)
    }
    revisions = decisions.revisions(run.id)
    times = Counter((answer.key, answer.at) for answer in revisions if not answer.deleted)
    ends = Counter(answer.key for answer in revisions if answer.deleted)
    lost = sum(known.get(key) != said for key, said in there.items()) + len(set(known) - set(there))
    twice = sum(count > 1 for count in times.values()) + sum(count > 1 for count in ends.values())
    return {"decisions": len(there), "revisions": len(revisions), "lost": lost, "twice": twice}


if __name__ == "__main__":
    main()
