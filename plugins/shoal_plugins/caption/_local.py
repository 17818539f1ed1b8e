"""What captioners share that hold a model of their own: which model, how exact, on how many GPUs; loaded once a process."""

import json
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, PrivateAttr

from shoal.contract import Context, Resources
from shoal.errors import StageError
from shoal_plugins.caption._chat import harmless, roomy
from shoal_plugins.caption._memory import Engine, Question, shared
from shoal_plugins.caption._models import Located, Source, hashes, locate, named
from shoal_plugins.caption._prompted import Answer, PromptedCaptioner

if TYPE_CHECKING:
    from shoal.contract import Pixels

Dtype = Literal["auto", "bfloat16", "float16", "float32"]


class LocalCaptioner(PromptedCaptioner):
    """Base of captioners that load a model. A subclass gives `open_engine`.

    Class attributes:
        loads: options of the subclass that its engine is loaded with: stages that agree on them share one.
    """

    aside: ClassVar[tuple[str, ...]] = ("tensor_parallel", "allow_pickle")  # the device is in no key either
    loads: ClassVar[tuple[str, ...]] = ()

    model: Annotated[str, AfterValidator(named)] = Field(
        "small",
        min_length=1,
        description="`small` (Qwen2-VL-2B-Instruct), `large` (Qwen2-VL-7B-Instruct), `owner/name` on a hub, or a folder "
        "written by save_pretrained.",
    )
    source: Source = Field("huggingface", description="The hub that a name is looked up on; a folder needs none.")
    revision: str = Field(
        "main", min_length=1, description="Branch, tag or commit on the hub; name a commit for rows that can be made again."
    )
    dtype: Dtype = Field(
        "auto", description="The type that the model computes with; `auto` is a half precision on a GPU, float32 on a CPU."
    )
    tensor_parallel: int = Field(1, ge=1, le=64, description="GPUs over which one model is spread; a worker gets as many.")
    allow_pickle: bool = Field(
        False,
        description="Whether weights in PyTorch's own format may be read (weights_only) where there are no safetensors.",
    )

    _context: Context | None = PrivateAttr(default=None)

    @abstractmethod
    def open_engine(self, located: Located, context: Context) -> Engine:
        """Load the model.

        Raises:
            StageError: it does not load here.
        """

    @abstractmethod
    def check_installed(self) -> None:
        """Check, before anything is downloaded, that the engine's packages are there.

        Raises:
            StageError: one is missing.
        """

    def needs(self) -> Resources:
        """Return what a worker needs: as many GPUs as the model is spread over."""
        return replace(self.resources, gpus=float(self.tensor_parallel))

    def identity(self) -> dict[str, Any]:
        """Return options; for a folder, the sha256 of its configuration, words and weights in place of its path."""
        identity = super().identity()
        if not Path(self.model).is_dir():
            return identity
        return {**identity, "options": {**identity["options"], "model": "folder"}, "sha256": hashes(self.model)}

    def setup(self, context: Context) -> None:
        """Load the model, or take the one that another stage of this process has loaded."""
        self._context = context
        for key, value in self._engine(context).notes.items():
            context.note(key, value)

    def generate(self, prompts: Sequence[str], images: "Sequence[Pixels] | None", max_tokens: int) -> list[Answer]:
        """Return the model's answers."""
        if self._context is None:
            raise StageError(f"{self.title()} was asked before its setup")
        engine = self._engine(self._context)
        asked = [_question(engine, prompt, None if images is None else images[i]) for i, prompt in enumerate(prompts)]
        good = [question for question in asked if isinstance(question, Question)]
        answers = iter(engine.answer(good, max_tokens) if good else [])
        return [next(answers) if isinstance(question, Question) else question for question in asked]

    def _engine(self, context: Context) -> Engine:
        names = ("model", "source", "revision", "dtype", "tensor_parallel", "allow_pickle", *self.loads)
        options = {name: getattr(self, name) for name in names}
        key = json.dumps([self.title(), context.gpu, context.threads, options, hashes(self.model)], sort_keys=True)
        return shared(key, lambda: self._open(context))

    def _open(self, context: Context) -> Engine:
        self.check_installed()
        located = locate(self.model, self.source, self.revision, self.allow_pickle)
        engine = self.open_engine(located, context)
        engine.notes |= {"model": self.model, "commit": located.commit}
        return engine


def _question(engine: Engine, prompt: str, image: "Pixels | None") -> "Question | Exception":
    try:
        return Question(harmless(prompt, engine.marks), None if image is None else roomy(image))
    except ValueError as error:
        return StageError(str(error))
