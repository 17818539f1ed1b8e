"""`caption.openai` against a real server on loopback: what it sends, what it makes of any answer, and where the key is."""

import socket
import time
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from shoal.contract import Batch, Context, RowsFailed
from shoal.errors import StageError
from shoal_plugins.caption._endpoint import checked_url, is_loopback, said
from shoal_plugins.caption.openai import OpenAI

from .endpoint import Handler, Server, pixels, serving

KEY = "sk-quite-secret-0123456789"
COLOURS = [(20 * number, 255 - 20 * number, 90) for number in range(12)]


def stage(server: Server, **options: Any) -> OpenAI:
    """Return a captioner that is set up."""
    made = OpenAI(**{"model": "painter", "url": server.url, "longest_side": 64, "retries": 0} | options)
    made.setup(Context())
    return made


def batch(count: int = 4) -> Batch:
    images = [np.full((24, 32, 3), colour, np.uint8) for colour in COLOURS[:count]]
    return Batch(pa.table({"id": [f"{row:064x}" for row in range(count)]}), images)


def captions(made: OpenAI, count: int = 4) -> list[str]:
    return list(made.map(batch(count))["caption"].to_pylist())


def failure(made: OpenAI) -> str:
    """Return why a lone image has no caption."""
    with pytest.raises(RowsFailed) as told:
        made.map(batch(1))
    (reason,) = told.value.failures.values()
    assert isinstance(reason, StageError)
    return str(reason)


def always(server: Server, content: Any, **more: Any) -> None:
    def behave(handler: Handler, body: dict[str, Any], number: int) -> bool:
        handler.say(content, **more)
        return True

    server.behave = behave


def raw(server: Server, body: bytes | str, status: int = 200, kind: str = "application/json", **headers: str) -> None:
    def behave(handler: Handler, request: dict[str, Any], number: int) -> bool:
        handler.send(body, status, kind, **headers)
        return True

    server.behave = behave


class TestAsking:
    def test_each_image_gets_its_own_answer(self, server: Server) -> None:
        for caption, colour in zip(captions(stage(server), 12), COLOURS, strict=True):
            have = [int(part) for part in caption.removeprefix("A picture of mean colour ").rstrip(".").split()]
            assert np.abs(np.array(have) - colour).max() <= 3

    def test_what_is_sent(self, server: Server) -> None:
        stage(server, prompt="Say it in {caption_length} words.", caption_length=7, detail="low", max_tokens=33).map(
            batch(1)
        )
        (body,) = server.asked
        picture, text = body["messages"][0]["content"]
        assert text == {"type": "text", "text": "Say it in 7 words."}
        assert picture["image_url"]["detail"] == "low"
        assert pixels(body).shape == (24, 32, 3)  # type: ignore[union-attr]
        assert (body["model"], body["max_tokens"], body["temperature"]) == ("painter", 33, 0.0)
        assert "stream" not in body

    def test_requests_overlap_as_far_as_asked(self, server: Server) -> None:
        server.pause = 0.1
        assert len(captions(stage(server, concurrency=4), 12)) == 12
        assert server.most == 4
        server.most = 0
        captions(stage(server, concurrency=1), 3)
        assert server.most == 1

    def test_it_talks(self, server: Server) -> None:
        made = stage(server)
        assert made.talks
        assert made.ask(["abc", "def"], 20) == ["cba", "fed"]
        assert [body["max_tokens"] for body in server.asked] == [20, 20]
        assert made.ask([], 20) == []

    def test_models_that_call_the_limit_otherwise_and_take_no_temperature(self, server: Server) -> None:
        def picky(handler: Handler, body: dict[str, Any], number: int) -> bool:
            if "max_tokens" in body:
                handler.refuse(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
            elif "temperature" in body:
                handler.refuse(400, "Unsupported value: 'temperature' does not support 0.0 with this model.")
            else:
                return False
            return True

        server.behave = picky
        made = stage(server, concurrency=2)
        assert len(captions(made, 4)) == 4
        asked = len(server.asked)
        captions(made, 4)
        assert len(server.asked) == asked + 4  # learnt once


class TestWhatPasses:
    def test_retry_after_is_heeded(self, server: Server) -> None:
        times: list[float] = []

        def busy(handler: Handler, body: dict[str, Any], number: int) -> bool:
            times.append(time.monotonic())
            if number == 1:
                handler.refuse(429, "slow down", Retry_After="1")
            return number == 1

        server.behave = busy
        assert len(captions(stage(server, retries=1), 1)) == 1
        assert 0.95 < times[1] - times[0] < 3

    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_a_bad_moment_is_waited_out(self, server: Server, status: int) -> None:
        def moody(handler: Handler, body: dict[str, Any], number: int) -> bool:
            if number == 1:
                handler.refuse(status, "not now")
            return number == 1

        server.behave = moody
        assert len(captions(stage(server, retries=1), 1)) == 1
        assert len(server.asked) == 2

    def test_an_answer_that_breaks_off_is_asked_for_again(self, server: Server) -> None:
        def dying(handler: Handler, body: dict[str, Any], number: int) -> bool:
            if number == 1:
                handler.hang_up()
            return number == 1

        server.behave = dying
        assert len(captions(stage(server, retries=1), 1)) == 1

    def test_what_does_not_pass_is_not_repeated(self, server: Server) -> None:
        raw(server, '{"error": {"message": "image too small"}}', 400)
        assert failure(stage(server, retries=3)) == "the endpoint answered 400: image too small"
        assert len(server.asked) == 1

    def test_one_bad_image_costs_only_itself(self, server: Server) -> None:
        def picky(handler: Handler, body: dict[str, Any], number: int) -> bool:
            dark = pixels(body)[0, 0, 0] > 200  # type: ignore[index]
            if dark:
                handler.hang_up()
            return bool(dark)

        server.behave = picky
        with pytest.raises(RowsFailed) as told:
            stage(server).map(batch(12))
        assert set(told.value.failures) == {11}
        assert told.value.answered.num_rows == 11
        assert "broke off" in str(told.value.failures[11])


class TestRubbish:
    @pytest.mark.parametrize(
        ("content", "caption"),
        [
            ("  A   dog.\n\nOn grass.\t", "A dog. On grass."),
            ([{"type": "text", "text": "A "}, {"type": "image"}, {"type": "text", "text": "dog."}], "A dog."),
            ("../../x", "../../x"),
            ("=cmd()", "=cmd()"),
            ("<script>alert(1)</script>", "<script>alert(1)</script>"),
            ("a\x00b\x1b[31mc\u202egnp.exe", "abcgnp.exe"),
            ("a\ud800b", "a\ufffdb"),
            ("ein Ho\u0308rnchen", "ein H\u00f6rnchen"),
            ("一只狗在草地上", "一只狗在草地上"),
        ],
    )
    def test_hostile_text_is_a_plain_line(self, server: Server, content: Any, caption: str) -> None:
        always(server, content)
        assert captions(stage(server), 1) == [caption]

    def test_ten_thousand_characters_are_cut(self, server: Server) -> None:
        always(server, "word " * 2000)
        (caption,) = captions(stage(server), 1)
        assert len(caption) <= 4000
        assert caption.endswith("word…")

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            ("<html><h1>Welcome to nginx</h1></html>", "answered no JSON, but '<html><h1>Welcome"),
            ("", "answered no JSON"),
            (b'{"choices": [{"message": {"content": "Stra\xdfe"}}]}', "answered no JSON"),
            ("[" * 100_000, "answered no JSON"),
            ('"text"', "without a choice"),
            ("{}", "without a choice"),
            ('{"choices": []}', "without a choice"),
            ('{"choices": [{"message": null}]}', "without a choice"),
            ('{"error": {"message": "no GPU left"}}', "without a choice: no GPU left"),
            ('{"choices": [{"message": {"content": null}}]}', "the model answered nothing"),
            ('{"choices": [{"message": {"content": "  "}}]}', "the model answered nothing"),
            ('{"choices": [{"message": {"content": "\\u200b\\u202e"}}]}', "the model answered nothing"),
            ('{"choices": [{"message": {"content": []}}]}', "the model answered nothing"),
            ('{"choices": [{"message": {"content": 7}}]}', "answered int where text should be"),
            ('{"choices": [{"message": {"content": null, "refusal": "I must not."}}]}', "the model refused: I must not."),
            ('{"choices": [{"finish_reason": "length", "message": {"content": ""}}]}', "raise `max_tokens`"),
            ('{"choices": [{"finish_reason": "content_filter", "message": {}}]}', "content filter"),
        ],
    )
    def test_answers_without_a_text_are_told(self, server: Server, body: bytes | str, reason: str) -> None:
        raw(server, body)
        assert reason in failure(stage(server))

    def test_an_answer_without_end_is_cut_off(self, server: Server) -> None:
        raw(server, b" " * 5_000_000)
        assert "more than 4,000,000 bytes" in failure(stage(server))

    def test_a_slow_server_is_told_so(self, server: Server) -> None:
        server.pause = 60
        began = time.monotonic()
        assert "did not answer within 0.2 s; raise `timeout`" in failure(stage(server, timeout=0.2))
        assert time.monotonic() - began < 30

    def test_a_server_that_drips_is_told_so(self, server: Server) -> None:
        def drip(handler: Handler, body: dict[str, Any], number: int) -> bool:
            handler.send_response(200)
            handler.send_header("Content-Length", "1000")
            handler.end_headers()
            for _ in range(100):
                handler.wfile.write(b" ")
                handler.wfile.flush()
                time.sleep(0.1)
            return True

        server.behave = drip
        assert "did not end its answer within 1 s" in failure(stage(server, timeout=1))

    def test_an_image_without_pixels_fails_alone(self, server: Server) -> None:
        images = [np.zeros((0, 0, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)]
        with pytest.raises(RowsFailed) as told:
            stage(server).map(Batch(pa.table({"id": ["a", "b"]}), images))
        assert list(told.value.failures) == [0]

    def test_any_bytes_are_an_answer_or_a_reason(self) -> None:
        rng = np.random.default_rng(0)
        for size in (0, 1, 10, 200):
            with pytest.raises(StageError):
                said(rng.bytes(size))


class TestSetup:
    def test_nobody_there(self, server: Server) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(StageError, match=r"nothing answers at http://127.*; start the server, or mend `url`") as told:
            stage(server, url=url)
        assert "\n" not in str(told.value)

    def test_an_unknown_model_lists_the_known_ones(self, server: Server) -> None:
        server.models = ["painter", "writer"]
        with pytest.raises(StageError, match="the endpoint has no model 'paintr'; it has painter, writer"):
            stage(server, model="paintr")

    @pytest.mark.parametrize("known", [None, [], ["llava:latest"], ["vendor/llava"], ["*"], ["llava"]])
    def test_servers_with_other_lists_are_taken(self, server: Server, known: list[str] | None) -> None:
        server.models = known
        assert len(captions(stage(server, model="llava"), 2)) == 2

    def test_no_such_path(self, server: Server) -> None:
        made = stage(server, url=server.url.removesuffix("/v1") + "/v2", concurrency=1)
        raw(server, '{"error": {"message": "no such path"}}', 404)
        with pytest.raises(RowsFailed) as told:
            made.map(batch(12))
        assert len(told.value.failures) == 12
        assert "mostly in /v1" in str(told.value.failures[0])
        assert len(server.asked) == 1  # the others would hear the same

    def test_a_redirect_is_not_followed(self, server: Server) -> None:
        with serving() as other:
            raw(server, "", 307, Location=f"{other.url}/chat/completions")
            assert "leads elsewhere (307); give the address itself" in failure(stage(server))
            assert other.asked == []

    def test_a_proxy_of_the_environment_has_no_part_in_loopback(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        assert len(captions(stage(server), 2)) == 2

    def test_it_is_asked_before_it_is_set_up(self) -> None:
        assert "before it is set up" in failure(OpenAI(model="painter"))


def test_what_a_caption_depends_on() -> None:
    made = OpenAI(model="painter")
    aside = {"url": "http://localhost:1/v1", "key_env": "K", "concurrency": 3, "timeout": 5, "retries": 9}
    assert OpenAI(model="painter", **aside) == made
    for change in ({"model": "x"}, {"prompt": "What?"}, {"revision": "2"}, {"quality": 50}, {"detail": "high"}):
        assert OpenAI(**{"model": "painter"} | change) != made
    assert OpenAI(model="painter", concurrency=64).needs().batch == 256


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://x/v1", "must be an address such as"),
        ("localhost:8000", "must be an address such as"),
        ("https://me:secret@x/v1", "must hold no user"),
        ("https://x/v1?key=secret", "must hold no user"),
        ("https://x/v1/chat/completions", "must end before"),
    ],
)
def test_wrong_addresses(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as told:
        checked_url(url)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("http://127.0.0.1:1/v1", True),
        ("http://[::1]:1/v1", True),
        ("http://localhost/v1", True),
        ("http://127.0.0.1.example/v1", False),
        ("http://10.0.0.1/v1", False),
        ("http://localhost.example/v1", False),
    ],
)
def test_loopback(url: str, own: bool) -> None:
    assert is_loopback(url) is own
