"""`caption.openai`: a vision-language model behind any OpenAI-compatible endpoint."""

import base64
import io
import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, PrivateAttr, field_validator

from shoal.contract import Context, Resources, Stage
from shoal.errors import StageError
from shoal.hooks import hookimpl
from shoal_plugins.caption._endpoint import Endpoint, Unanswered, checked_url
from shoal_plugins.caption._prompted import Answer, PromptedCaptioner
from shoal_plugins.embed._hub import need

if TYPE_CHECKING:
    from shoal.contract import Pixels

URL = "https://api.openai.com/v1"
LISTED = 12
"""Known models in an error."""


class OpenAI(PromptedCaptioner):
    """Captions images with a vision-language model behind an endpoint that speaks OpenAI's protocol.

    OpenAI's own, and that of a server at home: `vllm serve Qwen/Qwen2.5-VL-7B-Instruct`, then
    `url: http://127.0.0.1:8000/v1`. Each image goes to that address as a JPEG of at most `longest_side` pixels, so mind
    whose server it is. A run begins by asking for the list of models: a server that is down, a wrong key or a misspelt
    model is told at once (servers without such a list are taken as they are).

    Requests that fail in a way that passes (429, 5xx, no connection, no answer in time) are repeated after a growing,
    jittered pause, or the one that the server asks for (`Retry-After`). An image that has no answer in the end stays
    without a caption and is listed by `shoal rejected`; where the endpoint goes away, what is captioned is kept, and the
    same command goes on.

    A caption is kept under model, `revision`, prompt and what the image was shrunk to. The address is not part of that: a
    server that moved captions nothing again. Where two servers give different models one name, say `revision`. Sampling is
    off (temperature 0), as far as the server heeds it.

    The key is read from the environment where the stage runs, on a Ray cluster on every node; it is sent to `url` alone and
    kept nowhere. It is not sent over http:// to another machine.

    Source: https://platform.openai.com/docs/api-reference/chat. Needs `pip install 'shoal[openai]'`.
    """

    name: ClassVar[str] = "openai"
    aside: ClassVar[tuple[str, ...]] = ("url", "key_env", "concurrency", "timeout", "retries")
    resources: ClassVar[Resources] = Resources(cpus=1.0, gpus=0.0, batch=64)

    model: str = Field(min_length=1, max_length=200, description="Name of the model, as the endpoint knows it.")
    revision: str = Field(
        "", max_length=100, description="Any word, to tell apart two models that different servers give one name."
    )
    url: str = Field(URL, description="Address of the endpoint up to `/v1`.")
    key_env: str = Field(
        "OPENAI_API_KEY",
        description="Environment variable that holds the key; where it is not set, or `''`, no key is sent.",
    )
    concurrency: int = Field(
        8, ge=1, le=256, description="Requests under way at once from each worker; `run: {actors: 1}` keeps to one worker."
    )
    timeout: float = Field(60.0, gt=0, le=3600, description="Seconds that a request may take.")
    retries: int = Field(4, ge=0, le=20, description="How often a request that failed in a way that passes is repeated.")
    detail: Literal["auto", "low", "high"] = Field("auto", description="How closely the model shall look, if it knows that.")
    quality: int = Field(90, ge=1, le=100, description="Quality of the JPEG that is sent.")

    _endpoint: Endpoint | None = PrivateAttr(None)

    @field_validator("url")
    @classmethod
    def _checked_url(cls, url: str) -> str:
        return checked_url(url)

    @field_validator("key_env")
    @classmethod
    def _checked_name(cls, name: str) -> str:
        if not re.fullmatch(r"([A-Za-z_][A-Za-z0-9_]*)?", name):
            raise ValueError("must be the name of an environment variable, never the key itself")
        return name

    def needs(self) -> Resources:
        """Return the usual resources, and batches that keep `concurrency` requests under way for some rounds."""
        return Resources(cpus=1.0, gpus=0.0, batch=max(self.resources.batch, 4 * self.concurrency))

    def setup(self, context: Context) -> None:
        """Look whether the endpoint is there, lets us in and knows the model.

        Raises:
            StageError: it does not.
        """
        need("openai", "openai", stage=self.title())
        key = os.environ.get(self.key_env, "").strip() if self.key_env else ""
        self._endpoint = Endpoint(self.url, key, self.key_env, self.timeout, self.retries)
        _check_known(self.model, self._endpoint.models())
        context.note("backend", "openai")
        context.note("endpoint", self.url)

    def generate(self, prompts: Sequence[str], images: "Sequence[Pixels] | None", max_tokens: int) -> list[Answer]:
        """Return the endpoint's answers, `concurrency` requests at a time."""
        asking = _Asking(self, max_tokens)
        pool = ThreadPoolExecutor(min(self.concurrency, len(prompts)), thread_name_prefix="caption")
        try:
            return list(pool.map(asking.answer, prompts, images or [None] * len(prompts)))
        finally:  # also where the user stops the run: what waits is not asked
            pool.shutdown(wait=False, cancel_futures=True)

    def body(self, prompt: str, image: "Pixels | None", max_tokens: int, wishes: Mapping[str, str]) -> dict[str, Any]:
        """Return one request, as the endpoint wishes it."""
        content: Any = prompt
        if image is not None:
            picture = {"url": _data_url(image, self.quality)} | ({} if self.detail == "auto" else {"detail": self.detail})
            content = [{"type": "image_url", "image_url": picture}, {"type": "text", "text": prompt}]
        limit = wishes.get("max_tokens", "max_tokens")
        calm = {} if "temperature" in wishes else {"temperature": 0.0}
        return {"model": self.model, "messages": [{"role": "user", "content": content}], limit: max_tokens, **calm}

    def ask_endpoint(self, prompt: str, image: "Pixels | None", max_tokens: int) -> str:
        """Return one answer.

        OpenAI's newer models call the limit otherwise, or take no temperature: they are asked again, as they wish.

        Raises:
            StageError: there is none.
        """
        endpoint = self._endpoint
        if endpoint is None:
            raise StageError("caption.openai is asked before it is set up")
        while True:
            body = self.body(prompt, image, max_tokens, endpoint.wishes)
            try:
                return endpoint.chat(body)
            except Unanswered as error:
                wish = _wish(str(error), body)
                if not wish:
                    raise
                endpoint.wishes.update(wish)

    @property
    def down(self) -> bool:
        """Whether the endpoint went away."""
        return self._endpoint is not None and self._endpoint.down


class _Asking:
    """One batch of questions: where one shows that no other can be answered, the others are not asked."""

    def __init__(self, stage: OpenAI, max_tokens: int) -> None:
        self.stage, self.max_tokens = stage, max_tokens
        self.lost: Unanswered | None = None

    def answer(self, prompt: str, image: "Pixels | None") -> Answer:
        if self.lost is not None:
            return self.lost
        try:
            return self.stage.ask_endpoint(prompt, image, self.max_tokens)
        except Unanswered as error:
            if error.everyone or self.stage.down:
                self.lost = error
            return error
        except StageError as error:
            return error


def _data_url(image: "Pixels", quality: int) -> str:
    """Return pixels as the data URL of a JPEG.

    Raises:
        StageError: there are none.
    """
    from PIL import Image

    if not image.size:
        raise StageError("the image has no pixels")
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def _wish(message: str, body: dict[str, Any]) -> dict[str, str]:
    """Return what a refused request should have looked like, if that was the matter."""
    if "answered 400" not in message:
        return {}
    if "max_completion_tokens" in message and "max_tokens" in body:
        return {"max_tokens": "max_completion_tokens"}
    return {"temperature": "none"} if "temperature" in message and "temperature" in body else {}


def _check_known(model: str, known: Sequence[str]) -> None:
    """Check a model against the server's list, which may be short: wildcards, versions and vendors in front of names.

    Raises:
        StageError: the list has no such model.
    """
    for name in known:
        if name == model or name.endswith(f"/{model}") or name.partition(":")[0] == model or fnmatchcase(model, name):
            return
    if known:
        shown = [*get_close_matches(model, known, n=3), *known]
        listed = ", ".join(dict.fromkeys(shown[:LISTED])) + (", ..." if len(known) > LISTED else "")
        raise StageError(f"the endpoint has no model {model!r}; it has {listed}")


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the captioner."""
    return (OpenAI,)
