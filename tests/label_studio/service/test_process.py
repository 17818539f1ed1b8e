"""`shoal serve` as a process: it answers, keeps its secrets, survives SIGKILL, and says in a sentence what is wrong."""

import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from shoal.catalogue import Run
from shoal.decisions import Decisions
from tests.label_studio.service.conftest import (
    Process,
    annotation_event,
    ask,
    image_task,
    members,
    wait_until,
)
from tests.ports import free_port

pytestmark = pytest.mark.slow

SECRETS = {
    "SHOAL_BACKEND_USER": "shoal", "SHOAL_BACKEND_PASSWORD": "s3cret-passw0rd", "LABEL_STUDIO_API_KEY": "0123secret-api-key",
    "SHOAL_PICTURES_KEY": "s3cret-pictures-key",
}  # fmt: skip


def test_it_serves_and_its_log_is_json_without_a_secret(process: Process, run: Run) -> None:
    process.environment = SECRETS
    process.arguments = ("--label-studio", "http://127.0.0.1:1")
    process.start()
    secrets = [value for name, value in SECRETS.items() if name != "SHOAL_BACKEND_USER"]
    with httpx.Client(base_url=process.url, auth=("shoal", SECRETS["SHOAL_BACKEND_PASSWORD"]), trust_env=False) as client:
        assert ask(client, [image_task(members(run)[0][0])])[0]["result"]
        assert not ask(client, [image_task(f"http://127.0.0.1:1/x?token={secrets[1]}")])[0]["result"]
        client.post("/setup", json={"project": "1.1", "access_token": secrets[1]})
        client.post("/webhook", json=annotation_event(1, run))
        client.post("/predict", content=secrets[1].encode())
        client.get(f"/pictures/{'a' * 64}.jpg?signature={secrets[2]}")
        client.get(f"/{secrets[0]}?password={secrets[0]}")
        assert httpx.get(f"{process.url}/metrics", auth=("shoal", "wrong-passw0rd"), trust_env=False).status_code == 401
        wait_until(lambda: 'shoal_inbox_events{state="recorded"} 1.0' in client.get("/metrics").text)
    process.end()
    log = process.log.read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    asked = [(line["method"], line["path"], line["status"]) for line in lines if line["message"] == "request"]
    for line in (("POST", "/predict", 200), ("POST", "/predict", 400), ("GET", "/metrics", 401), ("GET", "other", 404)):
        assert line in asked
    for secret in (*secrets, "wrong-passw0rd"):
        assert secret not in log


def test_what_was_answered_survives_a_sigkill(process: Process, run: Run) -> None:
    process.start()
    answered = set()
    for number in range(1, 31):
        if number == 15:
            assert process.running is not None
            process.running.send_signal(signal.SIGKILL)
        try:
            answer = httpx.post(f"{process.url}/webhook", json=annotation_event(number, run), timeout=5, trust_env=False)
        except httpx.HTTPError:
            process.end(signal.SIGKILL)
            process.start()
            continue
        assert answer.status_code == 200
        answered.add(str(number))
    metrics = lambda: httpx.get(f"{process.url}/metrics", trust_env=False).text  # noqa: E731
    wait_until(lambda: 'shoal_inbox_events{state="new"} 0.0' in metrics())
    known = [answer.key for answer in Decisions.of(run.store).revisions(run.id)]
    assert len(answered) >= 28
    assert answered <= set(known)
    assert len(known) == len(set(known)), "each once"


def test_a_stop_lets_what_came_be_written(process: Process, run: Run) -> None:
    process.start()
    for number in range(5):
        assert httpx.post(f"{process.url}/webhook", json=annotation_event(number, run), trust_env=False).status_code == 200
    process.end(signal.SIGTERM)
    process.start()
    wait_until(lambda: len(Decisions.of(run.store).answers(run.id)) == 5)


def test_small_answers_do_not_wait_for_the_network(process: Process) -> None:
    process.start()
    took = []
    body = b'{"tasks": [' + b'{"data": {}}, ' * 400 + b"null]}"
    with httpx.Client(base_url=process.url, trust_env=False) as client:
        for _ in range(30):
            began = time.perf_counter()
            assert client.post("/predict", content=body).status_code == 200
            took.append(time.perf_counter() - began)
    assert sorted(took)[5] < 0.035, "a delayed ACK takes 40 ms, every time"


def test_it_listens_on_this_machine_only(process: Process) -> None:
    process.start()
    with socket.socket() as probe:
        probe.settimeout(2)
        assert probe.connect_ex(("127.0.0.2", process.port)) != 0, "another address of this machine, of the same network"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--host", "0.0.0.0"), "lets other machines in"),
        (("--port", "{taken}"), "take another --port"),
        (("--run", "nonesuch"), "no run begins with"),
        (("--model", "nonesuch:Model"), "can't be imported"),
        (("--document-root", "/nonexistent"), "is no folder"),
        (("--password-file", "/nonexistent"), "can't be read"),
    ],
)
def test_wrong_use_is_one_sentence(
    shoal: Callable[..., "subprocess.CompletedProcess[str]"], out: Path, arguments: tuple[str, ...], said: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        words: list[Any] = [word.format(taken=taken.getsockname()[1]) for word in arguments]
        done = shoal("serve", out, "--port", free_port(), *words, code=2)
    sentence = [line for line in done.stderr.splitlines() if line.startswith("shoal: ")]
    assert len(sentence) == 1, done.stderr
    assert said in sentence[0]


def test_a_store_that_is_none_is_told(shoal: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path) -> None:
    assert "holds no shoal run" in shoal("serve", tmp_path, code=2).stderr
