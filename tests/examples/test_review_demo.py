"""`make review-demo`: secrets that only their owner reads, servers that are there, and nothing left behind when it ends."""

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from tests.label_studio.runs import pictures
from tests.label_studio.server import binaries
from tests.ports import free_port

from .conftest import SCRIPT, load_script

pytestmark = pytest.mark.processes

DEMO = SCRIPT.with_name("review_demo.py")
PIPELINE = """shoal: 1
name: demo
steps:
  - use: index.folder
  - use: thumbnail.jpeg
  - use: embed.lite0
  - use: cluster.kmeans
    with: {k: 3}
"""


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    return load_script(DEMO)


def test_a_secret_is_made_once_and_only_its_owner_may_read_it(demo: ModuleType, tmp_path: Path) -> None:
    made = demo.secret(tmp_path / "token")
    assert re.fullmatch("[0-9a-f]{40}", made)
    assert demo.secret(tmp_path / "token") == made
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    assert demo.secret(tmp_path / "other") != made
    (tmp_path / "token").chmod(0o644)
    with pytest.raises(demo.DemoError, match="others may read it"):
        demo.secret(tmp_path / "token")


def test_a_port_that_is_taken_is_one_sentence_and_nothing_is_started(
    demo: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = {sign: signal.getsignal(sign) for sign in demo.SIGNALS}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        state = tmp_path / "state"
        assert demo.main([str(tmp_path), "--out", str(tmp_path / "out"), "--state", str(state), "--port", str(port)]) == 1
    for sign, handler in kept.items():
        signal.signal(sign, handler)
    told = capsys.readouterr().err
    assert f"error: port {port} is taken" in told
    assert told.count("\n") == 1
    assert not state.exists()


def test_a_server_that_ends_is_told_with_its_last_words(demo: ModuleType, tmp_path: Path) -> None:
    made = demo.Demo(tmp_path)
    words = [sys.executable, "-c", "print('begun'); print('no such database')"]
    with pytest.raises(demo.DemoError, match="the thing ended: no such database"):
        made.serve("the thing", words, os.environ, f"http://127.0.0.1:{free_port()}/")
    made.end()
    assert made.programs == []


def test_what_was_started_ends_with_what_it_started_even_if_it_does_not_want_to(
    demo: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "PATIENCE", 1)
    port = free_port()
    stubborn = (
        "import signal, subprocess, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"subprocess.run([sys.executable, '-m', 'http.server', '{port}', '--bind', '127.0.0.1'])"
    )
    made = demo.Demo(tmp_path)
    made.serve("the thing", [sys.executable, "-c", stubborn], os.environ, f"http://127.0.0.1:{port}/")
    made.end()
    demo.check_free(port, "--port")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_demo_starts_answers_and_ends_cleanly_and_goes_on_where_it_was(tmp_path: Path) -> None:
    (tmp_path / "demo.yaml").write_text(PIPELINE)
    pictures(tmp_path / "photos")
    ports = [free_port(), free_port()]
    first = _show(tmp_path, ports, signal.SIGINT)
    second = _show(tmp_path, ports, signal.SIGTERM)
    assert first == second, "the same login, the same projects"
    modes = {name: stat.S_IMODE((tmp_path / "state" / name).stat().st_mode) for name in ("password", "token")}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def _show(folder: Path, ports: list[int], how: signal.Signals) -> tuple[str, int]:
    """Run the demo, look at what it shows, end it, and return its password and the number of projects."""
    words = [folder / "photos", "--recipe", folder / "demo.yaml", "--out", folder / "out", "--state", folder / "state"]
    words += ["--label-studio", binaries(), "--port", ports[0], "--backend-port", ports[1]]
    log = folder / f"{how.name}.log"
    with log.open("w") as said:
        process = subprocess.Popen(
            [sys.executable, str(DEMO), *map(str, words)], stdout=said, stderr=said, stdin=subprocess.DEVNULL,
            env={**os.environ, "SHOAL_MLFLOW": "off"},
        )  # fmt: skip
    try:
        ends = time.monotonic() + 600
        while "Ctrl-C ends the demo" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < ends, log.read_text()
            time.sleep(0.2)
        url, backend = (f"http://127.0.0.1:{port}" for port in ports)
        assert f"Label Studio:  {url}\n" in log.read_text()
        assert httpx.get(f"{backend}/health").json()["status"] == "UP"
        assert httpx.get(f"{backend}/versions").status_code == 401, "the backend wants its password"
        token = (folder / "state" / "token").read_text().strip()
        projects = httpx.get(f"{url}/api/projects/", headers={"Authorization": f"Token {token}"}).json()["results"]
        password = re.findall(r"password: +(\w+)", log.read_text())[0]
        assert "reviewer@example.com" in _log_in(url, password)
    finally:
        process.send_signal(how)
        code = process.wait(60)
    assert code == 0, log.read_text()
    assert "Traceback" not in log.read_text()
    for port in ports:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0, "something still listens"
    return password, len(projects)


def _log_in(url: str, password: str) -> str:
    """Log in as a browser does and return who one is."""
    with httpx.Client(base_url=url, follow_redirects=True) as client:
        client.get("/user/login/")
        form = {"email": "reviewer@example.com", "password": password, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
        client.post("/user/login/", data=form, headers={"Referer": f"{url}/user/login/"})
        return client.get("/api/current-user/whoami").text
