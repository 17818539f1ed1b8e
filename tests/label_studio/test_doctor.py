"""`shoal doctor --label-studio URL` against real servers, well and not, with a real backend."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from shoal.catalogue import Run
from shoal_ls.client import Server
from shoal_ls.connecting import BackendLogin
from shoal_ls.errors import Blocked, ServerError
from shoal_ls.projects import Options, open_review
from tests.cli.conftest import call
from tests.label_studio.server import LabelStudio, fresh
from tests.label_studio.test_open import Heard, number, open_
from tests.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

USER, PASSWORD = "label-studio", "a-password-of-the-tests"


@pytest.fixture
def token(label_studio: LabelStudio, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.token)
    return label_studio.token


@pytest.fixture
def backend(run: Run, tmp_path: Path) -> Iterator[str]:
    """The address of a real backend of the run, with a password."""
    port = free_port()
    code = (
        "import sys; from shoal_ls.service.serving import Options, serve\n"
        "serve(Options(out=sys.argv[1], port=int(sys.argv[2])))"
    )
    login = {"SHOAL_BACKEND_USER": USER, "SHOAL_BACKEND_PASSWORD": PASSWORD}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", code, run.store.root.uri, str(port)], env={**os.environ, **login}, stdout=log, stderr=log
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _wait(url: str, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx.get(f"{url}/health", timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    pytest.fail("the backend did not start")


def findings(url: str, out: str | None = None) -> dict[str, dict[str, str]]:
    asked = ["doctor", "--label-studio", url, "--json", *(["--out", out] if out else [])]
    return {finding["check"]: finding for finding in call(*asked).json}


def test_all_is_well(run: Run, server: Server, token: str, backend: str) -> None:
    opened = open_(run, server, backend=BackendLogin(backend, USER, PASSWORD))
    found = findings(server.url, run.store.root.uri)
    assert found["label studio"]["found"].startswith("version 1.")
    assert found["token"]["found"].startswith("legacy token of ")
    assert found["token"]["mend"].startswith("new servers have these off by default")
    assert found["protection"]["state"] == "ok"
    for one in opened.values():
        name = f"project {number(one)}"
        for check in ("", " storage", " picture", " backend", " webhook"):
            assert found[f"{name}{check}"]["state"] == "ok", found[f"{name}{check}"]
        assert f"{name} order" not in found
    hooks = server.listed("/api/webhooks/", number(opened["clusters"]), "list webhooks")
    assert [hook["url"] for hook in hooks] == [f"{backend}/webhook"]  # the one that was tried is gone
    assert token not in str(found)


def test_fact_the_webhook_gets_the_password_that_label_studio_leaves_out(run: Run, server: Server, backend: str) -> None:
    login = BackendLogin(backend, USER, PASSWORD)
    one = open_(run, server)["clusters"]
    bare = {"project": number(one), "url": backend, "title": "bare", "auth_method": "BASIC_AUTH"}
    server.ask("POST", "/api/ml/", "add it", {**bare, "basic_auth_user": USER, "basic_auth_pass": PASSWORD})
    (hook,) = server.listed("/api/webhooks/", number(one), "list webhooks")
    assert hook["headers"] == {}  # made by itself, and the backend would not let it in
    for _ in range(2):
        open_(run, server, backend=login)
        (hook,) = server.listed("/api/webhooks/", number(one), "list webhooks")
        assert hook["headers"] == login.headers
        assert "ANNOTATION_CREATED" in hook["actions"]
        assert "TASKS_CREATED" not in hook["actions"]
        (model,) = server.listed("/api/ml/", number(one), "list backends")
        assert model["state"] == "CO"
    assert PASSWORD not in repr(login)


def test_what_is_broken_is_told_with_the_mend(run: Run, server: Server, token: str) -> None:
    opened = open_(run, server)
    clusters, rescues = number(opened["clusters"]), number(opened["rescues"])
    for row in server.listed("/api/storages/localfiles/", clusters, "list"):
        server.ask("DELETE", f"/api/storages/localfiles/{row['id']}", "remove it")
    for row in server.listed("/api/storages/localfiles/", rescues, "list"):
        server.ask("DELETE", f"/api/storages/localfiles/{row['id']}", "remove it")
    server.update_project(clusters, {"model_version": ""})
    found = findings(server.url, run.store.root.uri)
    assert found[f"project {clusters} storage"]["state"] == "bad"
    assert "answered 404" in found[f"project {clusters} picture"]["found"]
    assert found[f"project {clusters} order"]["mend"] == "give `shoal review open` again"
    assert found[f"project {clusters} webhook"]["state"] == "note"
    server.ask("DELETE", f"/api/projects/{rescues}/", "remove it")
    found = findings(server.url, run.store.root.uri)
    assert found[f"project {rescues}"]["found"] == "was deleted there; its answers are kept"


def test_a_backend_that_is_down_is_told(run: Run, server: Server, token: str) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ServerError, match=rf"could not connect project \d+ with the backend {url}"):
        open_review(run, server, Options(backend=BackendLogin(url)), Heard())
    (surface, *_) = [one for one in _surfaces(run) if one.kind == "clusters"]
    assert len(list(server.task_list(int(surface.remote)))) == 3  # what could be done is done
    hook = {"project": int(surface.remote), "url": f"{url}/webhook"}
    server.ask("POST", "/api/webhooks/", "add it", hook)
    found = findings(server.url, run.store.root.uri)[f"project {surface.remote} webhook"]
    assert found["state"] == "bad"
    assert "until then `shoal review sync` brings the answers" in found["mend"]


def _surfaces(run: Run) -> list[object]:
    from shoal.decisions import Decisions

    return list(Decisions.of(run.store).surfaces(run.id))


def test_a_server_that_is_not_there_or_none_is_told(token: str, backend: str) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert findings(url)["label studio"]["found"].startswith(f"nothing answers at {url}")
    told = findings(backend)["label studio"]
    assert told["state"] == "bad"


def test_a_token_that_is_wrong_or_missing_is_told(label_studio: LabelStudio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "0" * 40)
    assert "does not take the token (401" in findings(label_studio.url)["label studio"]["found"]
    monkeypatch.delenv("LABEL_STUDIO_API_KEY")
    assert "there is no token" in findings(label_studio.url)["label studio"]["mend"]


def test_fact_private_addresses_are_blocked_by_default_and_the_switches_are_told(
    made_run: Run, backend: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    import shoal

    guarded = fresh(cache, tmp_path / "guarded", guarded=True)
    try:
        copied = shutil.copytree(made_run.store.root.local_or_raise("a test"), guarded.files / "out")
        run = shoal.open(copied)
        with Server.connect(guarded.url, token=guarded.token) as server:
            with pytest.raises(Blocked, match="SSRF_PROTECTION_ENABLED=false and ML_BLOCK_LOCAL_IP=false"):
                open_(run, server, backend=BackendLogin(backend, USER, PASSWORD))
            monkeypatch.setenv("LABEL_STUDIO_API_KEY", guarded.personal_token())
            found = findings(guarded.url, run.store.root.uri)
        assert found["protection"]["found"] == "private addresses are blocked"
        assert "SSRF_PROTECTION_ENABLED=false" in found["protection"]["mend"]
        assert found["token"]["found"].startswith("personal access token of ")
    finally:
        guarded.stop()
