"""Who may ask, what is logged and counted of a request, and pictures by signed address."""

import base64
import json
import logging
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from shoal.catalogue import Run
from shoal.errors import UsageError
from shoal_ls.service.auth import Credentials, check_open, credentials
from shoal_ls.service.logs import JsonFormatter
from shoal_ls.service.pictures import picture_url, pictures_key, sign, signed
from shoal_ls.service.serving import Options, application
from shoal_ls.thumbnails import signed_key
from tests.label_studio.service.conftest import ask, image_task, members

PASSWORD = "p:ä s w0rd"  # with a colon, a space and a letter outside ASCII


@pytest.fixture
def locked(out: Path) -> Iterator[TestClient]:
    """A backend that wants credentials."""
    with TestClient(application(Options(str(out)), Credentials("shoal", PASSWORD))) as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/health"])
def test_health_is_open_and_says_up(locked: TestClient, path: str) -> None:
    answer = locked.get(path)
    assert answer.status_code == 200
    assert answer.json()["status"] == "UP"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/predict"),
        ("POST", "/setup"),
        ("POST", "/webhook"),
        ("GET", "/versions"),
        ("GET", "/metrics"),
        ("GET", "/nowhere"),
    ],
)
def test_all_else_wants_name_and_password(locked: TestClient, method: str, path: str) -> None:
    wrong = [
        None,
        "",
        "Basic",
        "Basic !!!",
        "Basic ////",
        "Bearer x",
        _basic("shoal", "no"),
        _basic("x", PASSWORD),
        _basic("", ""),
    ]
    for header in wrong:
        answer = locked.request(method, path, headers={"Authorization": header} if header is not None else {}, content=b"{}")
        assert answer.status_code == 401, header
        assert answer.headers["www-authenticate"].startswith("Basic")
        assert "error" in answer.json()
    right = locked.request(method, path, headers={"Authorization": _basic("shoal", PASSWORD)}, content=b"{}")
    assert right.status_code in (200, 400, 404)


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@given(st.text(max_size=40))
def test_no_header_raises_and_none_but_the_right_one_lets_in(header: str) -> None:
    assert not Credentials("shoal", PASSWORD).allow(header)
    assert Credentials("shoal", PASSWORD).allow(_basic("shoal", PASSWORD))


def test_credentials_come_from_the_environment_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("of the file\n")
    file.chmod(0o600)
    assert credentials({}) is None
    assert credentials({"SHOAL_BACKEND_USER": "u", "SHOAL_BACKEND_PASSWORD": "p"}) == Credentials("u", "p")
    assert credentials({"SHOAL_BACKEND_USER": "u", "SHOAL_BACKEND_PASSWORD_FILE": str(file)}) == Credentials(
        "u", "of the file"
    )
    assert credentials({"SHOAL_BACKEND_USER": "u"}, file) == Credentials("u", "of the file")
    assert "of the file" not in repr(credentials({"SHOAL_BACKEND_USER": "u"}, file))


def test_half_credentials_and_files_that_others_may_read_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("x")
    file.chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        credentials({"SHOAL_BACKEND_USER": "u"}, file)
    file.write_text("")
    file.chmod(0o600)
    with pytest.raises(UsageError, match="empty"):
        credentials({"SHOAL_BACKEND_USER": "u"}, file)
    with pytest.raises(UsageError, match="can't be read"):
        credentials({"SHOAL_BACKEND_USER": "u"}, tmp_path / "missing")
    for half in (
        {"SHOAL_BACKEND_USER": "u"},
        {"SHOAL_BACKEND_PASSWORD": "p"},
        {"SHOAL_BACKEND_USER": "a:b", "SHOAL_BACKEND_PASSWORD": "p"},
    ):
        with pytest.raises(UsageError, match="set both"):
            credentials(half)


def test_other_machines_are_let_in_with_a_password_only() -> None:
    check_open("127.0.0.1", None)
    check_open("0.0.0.0", Credentials("u", "p"))
    for host in ("0.0.0.0", "::", "192.168.0.3"):
        with pytest.raises(UsageError, match="lets other machines in"):
            check_open(host, None)


def test_answers_are_json_also_where_there_is_nothing(client: TestClient) -> None:
    for method, path, status in (
        ("GET", "/nowhere", 404),
        ("GET", "/predict", 405),
        ("POST", "/health", 405),
        ("GET", "/docs", 404),
    ):
        answer = client.request(method, path)
        assert answer.status_code == status
        assert answer.json()


def test_metrics_count_requests_predictions_and_events_as_prometheus_reads_them(client: TestClient, run: Run) -> None:
    ask(client, [image_task(members(run)[0][0]), {"data": {}}])
    client.get("/some/random/path")
    client.post("/webhook", json={})
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    for line in (
        'shoal_requests_total{path="/predict",status="200"} 1.0', 'shoal_requests_total{path="other",status="404"} 1.0',
        'shoal_predictions_total{source="store"} 1.0', 'shoal_predictions_total{source="none"} 1.0',
        'shoal_webhook_events_total{kind="ignored"} 1.0', 'shoal_inbox_events{state="new"} 0.0',
    ):  # fmt: skip
        assert line in answer.text, line


def test_a_log_line_is_json_without_secrets_and_without_control_characters() -> None:
    record = logging.makeLogRecord({"name": "n", "levelname": "ERROR", "msg": "of %s\n\x1b[31m", "args": ("hunter2",)})
    record.reason = "because of hunter2 and 12"
    try:
        raise ValueError("hunter2")
    except ValueError as error:
        record.exc_info = (type(error), error, error.__traceback__)
    text = JsonFormatter(["hunter2", ""]).format(record)
    assert "hunter2" not in text
    assert "\n" not in text
    line = json.loads(text)
    assert (line["message"], line["reason"], line["error"]) == ("of *** ", "because of *** and 12", "ValueError: ***")


def test_the_key_of_pictures_is_made_once_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    key = pictures_key(tmp_path / "state")
    path = tmp_path / "state" / "pictures.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert pictures_key(tmp_path / "state") == key
    assert len(key) >= 32
    path.chmod(0o640)
    with pytest.raises(UsageError, match="chmod 600"):
        pictures_key(tmp_path / "state")


def test_the_key_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_PICTURES_KEY", "shared by all backends\n")  # as a file of a secret ends
    assert pictures_key(tmp_path) == b"shared by all backends"
    assert os.listdir(tmp_path) == []
    for short in (" ", "shared"):  # could be guessed by whoever sees one address
        monkeypatch.setenv("SHOAL_PICTURES_KEY", short)
        with pytest.raises(UsageError, match=r"SHOAL_PICTURES_KEY has fewer than 16 characters; .*openssl rand -hex 32"):
            pictures_key(tmp_path)


def test_addresses_are_those_of_the_store_wherever_the_inbox_lies(out: Path, run: Run, tmp_path: Path) -> None:
    image = members(run)[0][0]
    with TestClient(application(Options(str(out), state=tmp_path / "inbox"))) as client:
        given_out = picture_url("", image, signed_key(run.store.root))  # as `shoal review open` does
        assert client.get(given_out).status_code == 404  # nobody wrote the picture


def test_who_asks_for_the_key_at_once_gets_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: pictures_key(tmp_path / "state"), range(32)))
    assert len(keys) == 1
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["pictures.key"], "nothing half made is left"


def test_a_picture_is_given_by_its_signed_address_only(locked: TestClient, out: Path, run: Run) -> None:
    first, second = members(run)[0][:2]
    folder = out / "thumbnails" / first[:2]
    folder.mkdir(parents=True)
    (folder / f"{first}.jpg").write_bytes(b"\xff\xd8 picture")
    key = pictures_key(out / "backend")
    url = picture_url("", first, key)
    answer = locked.get(url)
    assert (answer.status_code, answer.content) == (200, b"\xff\xd8 picture")
    assert answer.headers["content-type"] == "image/jpeg"
    assert locked.get(picture_url("", second, key)).status_code == 404
    assert locked.get(f"{url}&size=large").status_code == 404
    (out / "thumbnails" / "large" / first[:2]).mkdir(parents=True)
    (out / "thumbnails" / "large" / first[:2] / f"{first}.jpg").write_bytes(b"\xff\xd8 large")
    assert locked.get(f"{url}&size=large").content == b"\xff\xd8 large"
    for wrong in (
        url.replace(first, second), url.partition("?")[0], url[:-1], url + "0", picture_url("", first, b"another key"),
        picture_url("", "../../decisions", key), picture_url("", "..%2f..%2fshoal", key),
        f"/pictures/{first}.jpg?signature=é",
    ):  # fmt: skip
        assert locked.get(wrong).status_code in (401, 403, 404), wrong


@given(st.text(max_size=80), st.text(max_size=40))
def test_no_address_that_was_not_given_out_is_signed(image: str, signature: str) -> None:
    assert not signed(image, signature, b"key")
    known = "a" * 64
    assert signed(known, sign(known, b"key"), b"key")
    assert not signed(known, sign(known, b"other"), b"key")
