"""Runs with `caption.openai`: what is asked again, what a dead endpoint costs, and where the key is not."""

import json
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

from shoal.api import run as run_pipeline
from shoal.catalogue import Run
from shoal.contract import Context, RowsFailed
from shoal.errors import PipelineError, RunFailed, StageError
from shoal.host import Host
from shoal.pipeline import parse
from shoal.runner import RunOptions
from shoal_plugins.caption.openai import OpenAI

from .endpoint import Handler, Server, serving
from .test_openai import batch, captions, stage

pytestmark = pytest.mark.processes

PIPELINE = """
shoal: 1
name: captions
steps:
  - use: index.folder
  - use: caption.openai
    with: {model: painter, url: "URL", longest_side: 64, retries: 0, concurrency: 2}
"""
BUILTINS = ("shoal_plugins.index.folder", "shoal_plugins.caption.openai")
COUNT = 40
KEY = "sk-quite-secret-0123456789"
COLOURS = [(20 * number, 255 - 20 * number, 90) for number in range(12)]


class TestKey:
    def test_it_is_sent_as_bearer_and_nothing_else_of_the_environment(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server.key = KEY
        monkeypatch.setenv("MY_KEY", f"{KEY}\n")
        monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another-place")
        captions(stage(server, key_env="MY_KEY"), 2)
        assert {headers["Authorization"] for headers in server.headers} == {f"Bearer {KEY}"}
        assert "org-secret" not in str(server.headers)
        assert "another-place" not in str(server.headers)

    @pytest.mark.parametrize("key_env", ["", "NOT_SET_ANYWHERE"])
    def test_without_a_key_none_is_sent(self, server: Server, key_env: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_ADMIN_KEY", KEY)
        captions(stage(server, key_env=key_env), 2)
        assert not any("Authorization" in headers for headers in server.headers)

    def test_a_wrong_or_missing_key_is_one_sentence_without_the_key(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server.key = "sk-right"
        with pytest.raises(StageError, match=r"wants a key .*; put it into the environment variable OPENAI_API_KEY"):
            stage(server)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        with pytest.raises(StageError, match=r"refuses the key in OPENAI_API_KEY .*\*\*\*.*; set the right one") as told:
            stage(server)
        assert KEY not in str(told.value)
        assert told.value.__cause__ is None
        assert told.value.__suppress_context__

    def test_a_key_that_no_header_can_carry_is_not_repeated(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\nX-Other: 1")
        with pytest.raises(StageError, match="holds characters that no key has") as told:
            stage(server)
        assert KEY not in str(told.value)

    def test_it_is_not_sent_in_the_clear(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        with pytest.raises(StageError, match="for all to read; take an https:// address"):
            OpenAI(model="painter", url="http://gpu.example:8000/v1").setup(Context())

    def test_neither_pickle_nor_repr_nor_identity_hold_it(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        server.key = KEY
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        made = stage(server)
        assert KEY.encode() not in pickle.dumps(made)
        assert KEY not in repr(made) + repr(made._endpoint) + json.dumps(made.identity()) + made.model_dump_json()

    @pytest.mark.parametrize("wrong", [KEY, "$KEY", "MY KEY", "1KEY"])
    def test_a_key_in_place_of_its_name_is_refused(self, wrong: str) -> None:
        with pytest.raises(ValueError, match="must be the name of an environment variable, never the key itself"):
            OpenAI(model="painter", key_env=wrong)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(COUNT):
        Image.new("RGB", (20, 20), (number * 6, 255 - number * 6, 80)).save(folder / f"{number:02}.png")
    return folder


def go(photos: Path, url: str, *overrides: str) -> Run:
    host = Host(builtins=BUILTINS, allow=())
    made = parse(PIPELINE.replace("URL", url), host, overrides)
    return run_pipeline(made, photos, photos.parent / "out", options=RunOptions(where="local"), host=host)


def test_a_second_run_asks_nothing(server: Server, photos: Path) -> None:
    run = go(photos, server.url)
    assert len(server.asked) == COUNT
    assert len(set(run.table("caption")["caption"].to_pylist())) == COUNT
    again = go(photos, server.url, "caption.concurrency=7", "caption.timeout=9", "caption.url=http://127.0.0.1:9/v1")
    assert (len(server.asked), server.listed) == (COUNT, 1)
    assert again.table("caption").equals(run.table("caption"))


def test_the_key_is_nowhere_in_the_store(server: Server, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.key = KEY
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def echo(handler: Handler, body: dict[str, Any], number: int) -> bool:
        if number == 3:
            handler.refuse(400, f"bad request with {handler.headers['Authorization']}")
        return number == 3

    server.behave = echo
    run = go(photos, server.url, "max_failed=0.5")
    (reason,) = run.unanswered["reason"].to_pylist()
    assert "bad request with Bearer ***" in reason
    files = [path for path in (photos.parent / "out").rglob("*") if path.is_file()]
    assert len(files) > 5
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
    tables = [pa.parquet.read_table(path).to_pylist() for path in files if path.suffix == ".parquet"]  # compressed
    assert tables
    assert KEY not in str(tables)


def test_an_endpoint_that_dies_loses_nothing_and_the_same_command_goes_on(server: Server, photos: Path) -> None:
    alive = 12

    def mortal(handler: Handler, body: dict[str, Any], number: int) -> bool:
        if number == alive:
            server.socket.close()
        if number > alive:  # on a connection that was open already
            handler.close_connection = True
        return number > alive

    server.behave = mortal
    with pytest.raises(RunFailed, match="nothing answers at"):
        go(photos, server.url)
    with serving() as other:
        run = go(photos, other.url)
        assert len(other.asked) == COUNT - alive
        assert run.table("caption")["caption"].null_count == 0
        assert run.unanswered.num_rows == 0


def test_an_endpoint_that_is_down_is_told_before_anything_is_asked(server: Server, photos: Path) -> None:
    with pytest.raises(RunFailed, match=r"nothing answers at http://127\.0\.0\.1:9/v1") as told:
        go(photos, "http://127.0.0.1:9/v1")
    assert len(str(told.value)) < 400


def test_a_server_that_hangs_is_left_after_some_images_and_asked_again_once_a_batch(server: Server) -> None:
    made = stage(server, timeout=0.5, retries=1, concurrency=1)
    server.pause = 30
    with pytest.raises(RowsFailed) as told:
        made.map(batch(10))
    assert len(told.value.failures) == 10
    assert {str(reason) for reason in told.value.failures.values()} == {
        f"{server.url} did not answer within 0.5 s; raise `timeout` if it is slow"
    }
    assert len(server.asked) == 6  # three images, twice
    with pytest.raises(RowsFailed):
        made.map(batch(10))
    assert len(server.asked) == 7
    server.pause = 0.0  # it is back
    assert len(captions(made, 10)) == 10


def test_a_model_must_be_named(photos: Path) -> None:
    host = Host(builtins=BUILTINS, allow=())
    with pytest.raises(PipelineError, match="model"):
        parse(PIPELINE.replace("model: painter, ", ""), host)
