"""Measures the ML backend: `/predict` from the store, fifty clients at once, the webhook, and events while it is killed.

    python benchmarks/label_studio_backend.py [--quick] [--seconds 60]

Backend and clients are processes of one machine and share its cores, so the figures are those of a backend that is hard up.
Killed is the backend with SIGKILL while events are sent; Label Studio sends an event once, so whatever is answered with 200
must be among the decisions afterwards, exactly once, and what is not answered at most once.
"""

import argparse
import collections
import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from common import QUIET, ROOT, Figure, Trial, busy_cores, finish, parser, rounded, shoal_run
from PIL import Image

sys.path.insert(0, str(ROOT))

from tests.ports import free_port

import shoal
from shoal.decisions import Decisions, Surface

PIPELINE = """shoal: 1
name: served
steps:
  - use: index.folder
  - use: thumbnail.jpeg
  - use: embed.lite0
  - use: cluster.kmeans
    with: {k: 12}
  - use: label.tags
"""
TASKS, MEMBERS = 8, 16
CLIENTS = 50
RATE = 20
CONFIG = """<View><Text name="ctx" value="$context"/><Choices name="verdict" toName="ctx"><Choice value="accept"/>
<Choice value="edit"/></Choices><TextArea name="cluster_label" toName="ctx"/><List name="imgs" value="$items"/>
<Ranker name="assign" toName="imgs"><Bucket name="keep"/><Bucket name="alt1"/><Bucket name="noise"/></Ranker></View>"""


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        out = made(folder, options.images)
        before = busy_cores()
        with serving(out, folder / "serve.log") as backend:
            alone = predictions(backend, out, options.requests)
            crowd = many(backend, out, options.seconds)
            hooks = webhook(backend, out, options.seconds)
        killed = kills(out, folder / "serve.log", options.events, options.kills)
    trials = {"alone": alone, "crowd": crowd, "webhook": hooks, "killed": killed}
    noise = {"quiet": before <= QUIET, "others_median_cores": round(before, 2)}
    finish(options, "The ML backend for Label Studio", figures(trials), {"trials": trials, **noise})


def arguments() -> argparse.Namespace:
    options_of = parser(__doc__, "label_studio_backend")
    options_of.add_argument("--seconds", type=float, default=60, help="of the crowd, and of the webhook")
    options = options_of.parse_args()
    sizes = (24, 20, 60, 2) if options.quick else (600, 400, 1_000, 5)
    options.images, options.requests, options.events, options.kills = sizes
    options.seconds = 2 if options.quick else options.seconds
    return options


def made(folder: Path, count: int) -> Path:
    """Return a store with a run over noise pictures."""
    (folder / "photos").mkdir()
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 255, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((64, 48)).save(folder / "photos" / f"{number:04d}.jpg")
    (folder / "served.yaml").write_text(PIPELINE)
    shoal_run(folder / "served.yaml", folder / "photos", "--out", folder / "out", "--on", "local")
    run = shoal.open(folder / "out")
    Decisions.of(run.store).add_surface(Surface(key="s", run=run.id, kind="clusters", remote="1"))
    return folder / "out"


@dataclass
class Backend:
    """A running `shoal serve`."""

    port: int
    process: "subprocess.Popen[bytes]"

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)


@contextlib.contextmanager
def serving(out: Path, log: Path, port: int = 0) -> Iterator[Backend]:
    """Serve a store until the block ends, or until the process is killed."""
    port = port or free_port()
    command = [sys.executable, "-c", "from shoal.cli import main; main()", "serve", str(out), "--port", str(port)]
    with log.open("ab") as sink:
        backend = Backend(port, subprocess.Popen(command, stdout=sink, stderr=sink, env={**os.environ, "SHOAL_PLUGINS": ""}))
    try:
        wait_for(backend, log)
        yield backend
    finally:
        backend.process.terminate()
        backend.process.wait(30)


def wait_for(backend: Backend, log: Path, seconds: float = 60) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends and backend.process.poll() is None:
        with contextlib.suppress(OSError):
            if post(backend.connect(), "/health", None)[0] == 200:
                return
        time.sleep(0.05)
    raise RuntimeError(f"the backend did not start: {log.read_text()[-2000:]}")


def post(connection: http.client.HTTPConnection, path: str, value: Any) -> tuple[int, Any]:
    """Return status and JSON of an answer."""
    body = None if value is None else json.dumps(value)
    connection.request("GET" if value is None else "POST", path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def tasks_of(out: Path) -> list[dict[str, Any]]:
    """Return a task for each of eight clusters, as `shoal review open` makes them."""
    run = shoal.open(out)
    table = run.joined(["cluster"])
    members = collections.defaultdict(list)
    for image, cluster in zip(table["id"].to_pylist(), table["cluster"].to_pylist(), strict=True):
        members[cluster].append(image)
    return [
        {
            "id": cluster + 1,
            "data": {
                "shoal_surface": "s", "shoal_run": run.id, "shoal_task": f"cluster:{cluster}", "cluster": cluster,
                "label": "x", "items": [{"id": image, "html": "<img>" * 20} for image in members[cluster][:MEMBERS]],
            },
        }
        for cluster in sorted(members)[:TASKS]
    ]  # fmt: skip


def request_of(out: Path) -> dict[str, Any]:
    return {"tasks": tasks_of(out), "project": "1.1", "label_config": CONFIG, "params": {"context": None}}


def predictions(backend: Backend, out: Path, count: int) -> Trial:
    """Ask for eight predictions, one request after another."""
    asked, connection, seconds = request_of(out), backend.connect(), []
    for _ in range(count):
        began = time.perf_counter()
        status, answer = post(connection, "/predict", asked)
        seconds.append(time.perf_counter() - began)
        check(status == 200 and whole(answer, asked), "an answer is not whole")
    return spread(seconds)


def whole(answer: Any, asked: dict[str, Any]) -> bool:
    """Tell whether every task has its own prediction, in order."""
    results = answer.get("results", [])
    kept = [region["value"]["ranker"] for each in results for region in each["result"] if region["from_name"] == "assign"]
    shown = [[item["id"] for item in task["data"]["items"]] for task in asked["tasks"]]
    return [ranker["keep"] for ranker in kept] == shown


@dataclass
class Crowd:
    """What many clients found."""

    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    lost: int = 0


def many(backend: Backend, out: Path, seconds: float) -> Trial:
    """Let fifty clients ask at once, each as fast as it is answered."""
    asked, found, ends = request_of(out), Crowd(), time.monotonic() + seconds

    def client() -> None:
        connection = backend.connect()
        while time.monotonic() < ends:
            began = time.perf_counter()
            try:
                status, answer = post(connection, "/predict", asked)
            except (OSError, http.client.HTTPException) as error:
                found.errors.append(type(error).__name__)
                connection = backend.connect()
                continue
            found.seconds.append(time.perf_counter() - began)
            if status != 200:
                found.errors.append(str(status))
            elif not whole(answer, asked):
                found.lost += 1

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = {"clients": CLIENTS, "errors": len(found.errors), "lost": found.lost, "rate": len(found.seconds) / seconds}
    return {**spread(found.seconds), **told}


def event(number: int, task: dict[str, Any]) -> dict[str, Any]:
    """Return what Label Studio says of an annotation."""
    result = [{"from_name": "verdict", "to_name": "ctx", "type": "choices", "value": {"choices": ["accept"]}}]
    at = f"2026-01-01T{number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d}.000000Z"
    annotation = {"id": number, "updated_at": at, "result": result, "completed_by": 1, "task": task["id"]}
    return {"action": "ANNOTATION_CREATED", "annotation": annotation, "task": task, "project": {"id": 1}}


def webhook(backend: Backend, out: Path, seconds: float) -> Trial:
    """Send twenty events a second, whatever the answers take, each by a connection of its own as Label Studio does."""
    tasks, took, count = tasks_of(out), [], int(seconds * RATE)
    began = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, began + number / RATE - time.monotonic()))
        start = time.perf_counter()
        status, answer = post(backend.connect(), "/webhook", event(100_000 + number, tasks[number % len(tasks)]))
        took.append(time.perf_counter() - start)
        check(status == 200 and answer["new"] == 1, "an event was not taken as news")
    return {**spread(took), "events": count}


def kills(out: Path, log: Path, count: int, times: int) -> Trial:
    """Send events once each while the backend is killed again and again; then look at what became of them."""
    tasks, answered, silent = tasks_of(out), set(), set()
    port, number = 0, 0
    for turn in range(times + 1):
        until = count * (turn + 1) // (times + 1)
        with serving(out, log, port) as backend:
            port, kept, last = backend.port, True, turn == times
            while number < count and (kept or last):
                if number == until and not last:
                    threading.Timer(0.02, backend.process.kill).start()  # while the next ones are sent
                kept = send(backend, number, tasks[number % len(tasks)])
                (answered if kept else silent).add(str(number))
                number += 1
            if last:
                drained(backend)
    revisions = Decisions.of(shoal.open(out).store).revisions(shoal.open(out).id)
    known = collections.Counter(answer.key for answer in revisions if int(answer.key) < 100_000)
    return {
        "events": count, "kills": times, "answered": len(answered), "unanswered": len(silent),
        "lost": len(answered - set(known)), "twice": sum(1 for times_known in known.values() if times_known > 1),
        "of the unanswered kept": len(silent & set(known)),
    }  # fmt: skip


def send(backend: Backend, number: int, task: dict[str, Any]) -> bool:
    """Tell of an event once, as Label Studio does: no second try."""
    try:
        status, _ = post(backend.connect(), "/webhook", event(number, task))
    except (OSError, http.client.HTTPException):
        return False
    return status == 200


def drained(backend: Backend, seconds: float = 60) -> None:
    """Wait until the inbox is empty."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        connection = backend.connect()
        connection.request("GET", "/metrics")
        if 'shoal_inbox_events{state="new"} 0.0' in connection.getresponse().read().decode():
            return
        time.sleep(0.1)
    raise RuntimeError("the inbox was not emptied")


def check(holds: bool, why: str) -> None:
    if not holds:
        raise RuntimeError(why)


def spread(seconds: Sequence[float]) -> Trial:
    """Return percentiles in milliseconds."""
    values = np.array(seconds or [0.0]) * 1000
    found = {f"p{percent}": float(np.percentile(values, percent)) for percent in (50, 95, 99)}
    return {"count": len(seconds), **rounded(found), "max": float(values.max())}


def figures(trials: dict[str, Trial]) -> list[Figure]:
    alone, crowd, hooks, killed = (trials[name] for name in ("alone", "crowd", "webhook", "killed"))
    return [
        Figure("/predict from the store, 8 tasks, p95", alone["p95"], "ms", at_most=50),
        Figure(f"{CLIENTS} clients at once: requests a second", crowd["rate"], "a second"),
        Figure(f"{CLIENTS} clients at once: p95", crowd["p95"], "ms"),
        Figure(f"{CLIENTS} clients at once: errors", crowd["errors"], "", at_most=0),
        Figure(f"{CLIENTS} clients at once: lost answers", crowd["lost"], "", at_most=0),
        Figure(f"/webhook at {RATE} events a second, p99", hooks["p99"], "ms", at_most=200),
        Figure(
            f"{killed['events']:,} events, {killed['kills']} SIGKILLs: answered and not recorded",
            killed["lost"],
            "",
            at_most=0,
        ),
        Figure(f"{killed['events']:,} events, {killed['kills']} SIGKILLs: recorded twice", killed["twice"], "", at_most=0),
    ]


if __name__ == "__main__":
    main()
