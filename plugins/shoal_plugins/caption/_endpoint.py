"""A server that speaks OpenAI's protocol: asks, asks again, bounds what comes back, and tells nobody the key."""

import json
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from shoal.errors import StageError
from shoal.text import plain

PROBE_SECONDS = 10.0
MOST_BYTES = 4_000_000
"""Of an answer, decompressed: a caption has some hundred."""
TOLD = 200
"""Characters of a server's own words in an error."""
IN_A_ROW = 3
"""Requests that find nobody, or nobody who answers in time, before the endpoint counts as down: one picture may make a
server hang up, three do not. A server that hangs would else cost each image `retries` times `timeout`: days."""
OPENAI = "api.openai.com"


class Unanswered(StageError):  # noqa: N818  (an outcome, carried with its row)
    """A question has no answer. `everyone`: the next one will have none either (a wrong key, an unknown model)."""

    def __init__(self, message: str, everyone: bool = False) -> None:
        """Keep who it concerns."""
        super().__init__(message)
        self.everyone = everyone


def checked_url(url: str) -> str:
    """Return the address of an endpoint without its last slash.

    Raises:
        ValueError: no http address, or one that holds what would be kept in tables. The message does not repeat it.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an address such as https://api.openai.com/v1 or http://127.0.0.1:8000/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must hold no user, password, `?` or `#`: it is kept with the run; a key goes into `key_env`")
    if parts.path.rstrip("/").endswith(("/chat/completions", "/models")):
        raise ValueError("must end before /chat/completions: that part is added")
    return url.rstrip("/")


def is_loopback(url: str) -> bool:
    """Tell whether an address is this machine's own."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


@dataclass
class Endpoint:
    """A client of one server. Used from several threads.

    Attributes:
        url: address up to `/v1`.
        key: bearer token, or empty; told to nobody but the server.
        key_env: where the key comes from, for messages.
        timeout: seconds of one request, its answer read.
        retries: repetitions of a request that failed in a way that passes.
        wishes: how this server wants a request to be otherwise.
    """

    url: str
    key: str = field(repr=False)
    key_env: str
    timeout: float
    retries: int
    client: Any = field(init=False, repr=False)
    wishes: dict[str, str] = field(default_factory=dict, init=False)
    _lost: int = field(default=0, init=False, repr=False)
    _lock: Any = field(default_factory=Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        """Make the client; nothing is sent yet.

        Raises:
            StageError: the key would travel in the clear, or can't be sent.
        """
        import openai

        self._check_key()
        # Pictures go where the user said: no redirects. A proxy has no way to this machine's own addresses.
        http = openai.DefaultHttpxClient(
            follow_redirects=False,
            trust_env=not is_loopback(self.url),
            event_hooks={"request": [_addressing(self.key, urlsplit(self.url).hostname == OPENAI)]},
        )
        weakref.finalize(self, http.close)  # connections are kept between batches
        self.client = openai.OpenAI(
            api_key="in-the-hook", base_url=self.url, timeout=self.timeout, max_retries=self.retries, http_client=http
        )

    def _check_key(self) -> None:
        if self.key and not (self.key.isascii() and self.key.isprintable() and " " not in self.key):
            raise StageError(f"the key in {self.key_env} holds characters that no key has; set it again")
        if self.key and urlsplit(self.url).scheme == "http" and not is_loopback(self.url):
            raise StageError(
                f"the key in {self.key_env} would travel to {self.url} for all to read; take an https:// address, or say "
                "`key_env: ''` to send none"
            )

    @property
    def down(self) -> bool:
        """Whether the last requests all found nobody."""
        return self._lost >= IN_A_ROW

    def models(self) -> list[str]:
        """Return the names of the server's models; none where it does not tell.

        Raises:
            Unanswered: nobody there, or the key is refused.
        """
        quick = self.client.with_options(timeout=min(self.timeout, PROBE_SECONDS), max_retries=min(self.retries, 1))
        try:
            with quick.models.with_streaming_response.list() as response:
                body = self._read(response, min(self.timeout, PROBE_SECONDS))
        except Exception as error:
            told, status = self._told(error), getattr(error, "status_code", None)
            if status in (None, 502, 503, 504) or (told.everyone and status != 404):
                raise told from None  # what lies behind it may hold the request with its key
            return []
        try:
            return [str(model["id"]) for model in json.loads(body)["data"]]
        except (ValueError, KeyError, TypeError, RecursionError):  # another protocol's page
            return []

    def chat(self, body: dict[str, Any]) -> str:
        """Return the text of the answer to one request.

        Raises:
            Unanswered: there is none, and why.
        """
        for attempt in range(self.retries + 1):
            try:
                answer = self._chat_once(body)
            except Exception as error:  # the library's and its transport's
                told, passing = self._told(error), _broke_off(error)
                if told.everyone or not passing or attempt == self.retries:
                    self._count(_found_nobody(error))
                    raise told from None
                time.sleep(min(0.5 * 2**attempt, 8.0))
                continue
            self._count(False)
            return said(answer)
        raise AssertionError("the loop returns or raises")

    def _chat_once(self, body: dict[str, Any]) -> bytes:
        retries = 0 if self.down else self.retries  # who was down for everyone is asked once, in case it is back
        asking = self.client.with_options(max_retries=retries).chat.completions.with_streaming_response
        with asking.create(**body) as response:
            return self._read(response, self.timeout)

    def _count(self, lost: bool) -> None:
        with self._lock:
            self._lost = self._lost + 1 if lost else 0

    def _read(self, response: Any, seconds: float) -> bytes:
        """Return a body, read piece by piece: a server may drip, or send without end."""
        until, parts, size = time.monotonic() + seconds, [], 0
        for part in response.iter_bytes():
            parts.append(part)
            size += len(part)
            if size > MOST_BYTES:
                raise Unanswered(f"the endpoint answered more than {MOST_BYTES:,} bytes")
            if time.monotonic() > until:
                raise Unanswered(f"the endpoint did not end its answer within {seconds:g} s; raise `timeout` if it is slow")
        return b"".join(parts)

    def _told(self, error: Exception) -> Unanswered:
        """Return an error in words, without the key."""
        import openai

        if isinstance(error, Unanswered):
            return error
        if isinstance(error, openai.APITimeoutError):
            return Unanswered(f"{self.url} did not answer within {self.timeout:g} s; raise `timeout` if it is slow")
        if isinstance(error, openai.APIStatusError):
            return self._refused(error)
        cause = error.__cause__ if isinstance(error, openai.APIConnectionError) else error
        if _broke_off(error):
            return Unanswered(f"the endpoint broke off its answer ({self._words(str(cause) or type(cause).__name__)})")
        return Unanswered(f"nothing answers at {self.url} ({self._words(str(cause))}); start the server, or mend `url`")

    def _refused(self, error: Any) -> Unanswered:
        """Return the error of an HTTP status in words."""
        status, words = error.status_code, self._words(_message(error))
        if status < 400:
            return Unanswered(f"{self.url} leads elsewhere ({status}); give the address itself as `url`", True)
        if status not in (401, 403):
            where = "; does `url` end as the server wants, mostly in /v1?" if status == 404 else ""
            whole = status == 404 or error.code == "insufficient_quota"
            return Unanswered(f"the endpoint answered {status}: {words}{where}", whole)
        if self.key:
            return Unanswered(f"the endpoint refuses the key in {self.key_env} ({words}); set the right one", True)
        mend = f"put it into the environment variable {self.key_env}" if self.key_env else "say in `key_env` where it is"
        return Unanswered(f"the endpoint wants a key ({words}); {mend}", True)

    def _words(self, text: str) -> str:
        """Return what a server said, as harmless text: some repeat the key."""
        return plain(text.replace(self.key, "***") if self.key else text, TOLD) or "without a word"


def _addressing(key: str, openai: bool) -> Callable[[Any], None]:
    """Return what gives each request the key, and takes off what else the library found in the environment."""

    def address(request: Any) -> None:
        request.headers.pop("Authorization", None)
        if key:
            request.headers["Authorization"] = f"Bearer {key}"
        if not openai:
            for name in ("OpenAI-Organization", "OpenAI-Project"):
                request.headers.pop(name, None)

    return address


def _message(error: Any) -> str:
    """Return the server's own words of a status error."""
    body = error.body
    if isinstance(body, dict):
        inner = body.get("error", body)
        body = inner.get("message", inner) if isinstance(inner, dict) else inner
    return str(body) if body else ""


def _broke_off(error: Exception) -> bool:
    """Tell whether an answer began and was not ended: the library repeats only what fails before that."""
    return not isinstance(error, StageError) and type(error).__name__ in ("ReadError", "RemoteProtocolError", "ReadTimeout")


def _found_nobody(error: Exception) -> bool:
    import openai

    return isinstance(error, openai.APIConnectionError)  # no answer in time is one of these


def said(body: bytes) -> str:
    """Return the text of an answer of the protocol.

    Raises:
        Unanswered: it holds none; each way of that is told.
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        begins = plain(body[:80].decode("utf-8", "replace"), 60)
        raise Unanswered(f"the endpoint answered no JSON, but {begins!r}; is `url` its API?") from None
    try:
        choice = answer["choices"][0]
        message = choice["message"]
        content, refusal = message.get("content"), message.get("refusal")
    except (KeyError, IndexError, TypeError, AttributeError):
        error = answer.get("error") if isinstance(answer, dict) else None
        words = error.get("message") if isinstance(error, dict) else error
        why = f": {plain(str(words), TOLD)}" if words else ""
        raise Unanswered(f"the endpoint answered without a choice{why}") from None
    if isinstance(content, list):
        content = _joined(content)
    if isinstance(content, str) and content.strip():
        return content
    if refusal:
        raise Unanswered(f"the model refused: {plain(str(refusal), TOLD)}")
    if content is None or isinstance(content, str):
        raise Unanswered(_why_empty(choice.get("finish_reason") if isinstance(choice, dict) else None))
    raise Unanswered(f"the endpoint answered {type(content).__name__} where text should be")


def _joined(parts: Sequence[Any]) -> str:
    """Return the text of an answer that comes in parts."""
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    return "".join(text for text in texts if isinstance(text, str))


def _why_empty(reason: Any) -> str:
    if reason == "length":
        return "the model used up its tokens before it said anything; raise `max_tokens`"
    if reason == "content_filter":
        return "the endpoint's content filter took the answer away"
    return "the model answered nothing"
