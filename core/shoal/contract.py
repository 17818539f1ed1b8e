"""The contract of a stage: its options are its identity, its columns are Arrow schemas, its weights come in `setup`.

A plugin author subclasses a kind of `shoal.kinds` (`Embedder`, `Clusterer`, ...), which subclass the two shapes here:
`MapStage` (rows in, the same rows out, kept for ever by content) and `TableStage` (sees all rows at once).
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict
from pydantic_core import to_jsonable_python

from shoal.schema import NOTHING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

Fit = Literal["stretch", "crop", "inside"]
Resample = Literal["bilinear", "bicubic", "lanczos"]


@dataclass(frozen=True)
class ImageSpec:
    """The pixels that a map stage wants: uint8 RGB of shape (height, width, 3), orientation applied.

    Attributes:
        width, height: target size in pixels.
        fit: `stretch` ignores the aspect ratio; `crop` scales so that the image covers the target (times `overscan`)
            and cuts the centre; `inside` scales so that the longest sides fit, and never enlarges.
        resample: filter of the last scaling step.
        overscan: with `crop`, scale the shorter side to this multiple of the target before cutting: 256 / 224 for the
            usual "resize 256, centre-crop 224".
        trim: fractions of the upright image that are cut off first: of its height at the top and bottom, of its width at
            the left and right. What is left counts as the whole image for `fit`.
    """

    width: int
    height: int
    fit: Fit = "crop"
    resample: Resample = "bicubic"
    overscan: float = 1.0
    trim: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Resources:
    """What one worker of a stage needs. A pipeline's step may say otherwise under `run:`.

    Attributes:
        cpus: logical CPUs of one worker.
        gpus: GPUs of one worker where the cluster has any; on a cluster without, the stage runs on CPUs and says so.
        batch: rows that one call of `map` gets.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    batch: int = 32


@dataclass(frozen=True)
class Batch:
    """Rows for one call of `MapStage.map`.

    Attributes:
        rows: `id` and the columns that the stage consumes.
        images: one uint8 array (height, width, 3) a row, as the stage's `image` asks; None where it asks for none.
    """

    rows: pa.Table
    images: "Sequence[Pixels] | None" = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.rows.num_rows)


@dataclass(frozen=True)
class Context:
    """What a stage may use besides its rows.

    Attributes:
        gpu: whether this worker was given a GPU.
        threads: threads that native libraries may use in this worker.
        cache: folder for things made once a machine (converted weights, compiled code).
        folder: where a visualiser puts files that its fragment refers to; None for other stages.
        note: `note("backend", "hdbscan")` puts a fact into the run's record.
    """

    gpu: bool = False
    threads: int = 1
    cache: Path = field(default_factory=lambda: Path.home() / ".cache" / "shoal")
    folder: Path | None = None
    note: Callable[[str, Any], None] = lambda key, value: None


class RowsFailed(Exception):  # noqa: N818  (an outcome: "some rows failed")
    """Some rows of a batch could not be answered, and asking for the others again would be dear.

    Attributes:
        answered: the rows that were, in order.
        failures: the reason, by place in the batch, of each of the others.
    """

    def __init__(self, answered: pa.Table, failures: Mapping[int, Exception]) -> None:
        """Keep what there is."""
        super().__init__(f"{len(failures)} rows failed; the first: {next(iter(failures.values()), None)}")
        self.answered, self.failures = answered, dict(failures)


class Stage(BaseModel, ABC):
    """A stage is its options: frozen, hashable, picklable; two stages with the same options are the same stage.

    Class attributes:
        kind: the slot that it fills (`embed`, `cluster`, ...), fixed by its base class in `shoal.kinds`.
        name: what a pipeline file says after the dot: `use: embed.lite0`.
        version: raise it when the same options would give other rows, so that kept rows are not taken for these.
        consumes: columns that it must get besides `id`; a vector of any size is `vector()`.
        optional: columns that it takes when some earlier step makes them.
        key: `id` when it makes a row an image, `cluster` when it makes a row a cluster.
        shorthand: the option that `--set embed=timm:NAME` sets.
        aside: options that change how its rows are had, never what they hold (requests at once, time limits).
        resources: what a worker needs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, protected_namespaces=())

    kind: ClassVar[str]
    name: ClassVar[str]
    version: ClassVar[str] = "1"
    consumes: ClassVar[pa.Schema] = NOTHING
    optional: ClassVar[pa.Schema] = NOTHING
    key: ClassVar[Literal["id", "cluster"]] = "id"
    shorthand: ClassVar[str | None] = None
    aside: ClassVar[tuple[str, ...]] = ()
    resources: ClassVar[Resources] = Resources()

    @abstractmethod
    def produces(self) -> pa.Schema:
        """Return the columns that it makes, without its key column. Called on the driver: load no weights here."""

    def needs(self) -> Resources:
        """Return what one worker needs: `resources`, unless the options change it (a model spread over GPUs)."""
        return self.resources

    def bind(self, makers: "Mapping[str, Stage]") -> "Stage":
        """Return the stage that runs, once it is known which stage makes each column that this one reads.

        Called on the driver when a pipeline is planned; most stages are what they are. A stage that borrows something of
        the stage before it (the language model that wrote the captions) returns itself completed, or another stage of its
        kind that does the work without.

        Args:
            makers: stage by the name of the column that it makes for this one; columns of the index have none. From a
                pipeline's plan these are `Makers`, which know what the stages were made from in turn.
        """
        return self

    def setup(self, context: Context) -> None:
        """Load weights and heavy libraries into private attributes, once a worker."""

    def identity(self) -> dict[str, Any]:
        """Return what its rows depend on, as JSON values: kind, name, version, and the options but those that are `aside`.

        A stage whose options point at something that may change (a weights file) adds that thing's hash.
        """
        options = to_jsonable_python(_ordered(self.model_dump(exclude=set(self.aside))))
        return {"kind": self.kind, "name": self.name, "version": self.version, "options": options}

    @classmethod
    def title(cls) -> str:
        """Return `kind.name`, as a pipeline file says it."""
        return f"{cls.kind}.{cls.name}"

    def __getstate__(self) -> dict[Any, Any]:
        """Leave loaded weights behind: a stage travels as its options and is set up again where it lands."""
        state = super().__getstate__()
        return {**state, "__pydantic_private__": _fresh_private(type(self))}

    def __eq__(self, other: object) -> bool:
        """Compare options only; what `setup` loaded is not part of a stage."""
        return type(self) is type(other) and isinstance(other, Stage) and self.identity() == other.identity()

    def __hash__(self) -> int:
        """Hash what `identity` says."""
        return hash(json.dumps(self.identity(), sort_keys=True))


class Makers(dict[str, Stage]):
    """The stages that make the columns which a stage reads, by column, and through `of` those that they read in turn.

    `makers["cluster"]` is the clusterer, `makers.of["cluster"]["embedding"]` the stage whose vectors it saw. A stage that
    does two steps again (`evaluate.stability`) finds them so.

    Attributes:
        of: the makers of each of these stages, by the same columns.
    """

    def __init__(self, stages: Mapping[str, Stage] | None = None, of: "Mapping[str, Makers] | None" = None) -> None:
        """Keep both."""
        super().__init__(stages or {})
        self.of = dict(of or {})


def _ordered(value: Any) -> Any:
    """Return options with sets as sorted lists: a set's own order is another one in every process."""
    if isinstance(value, dict):
        return {key: _ordered(inner) for key, inner in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted((_ordered(inner) for inner in value), key=repr)
    return [_ordered(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _fresh_private(cls: type[BaseModel]) -> dict[str, Any] | None:
    """Return private attributes as they are before `setup`, each default made anew."""
    found: dict[str, Any] = {}
    for name, attribute in cls.__private_attributes__.items():
        factory: Callable[[], Any] | None = attribute.default_factory  # type: ignore[assignment]
        found[name] = factory() if factory else attribute.get_default()
    return found or None


class MapStage(Stage):
    """A stage that answers row by row: the same rows out, in order; a row's answer never depends on its batch.

    Its rows are kept by (fingerprint, id) for ever, so it may read pixels and columns made from them, but no path.

    Class attributes:
        essential: whether an image that it can't answer is rejected; where it is false, or the step is done for some images
            only, the image stays in the result, without this stage's columns, and the reason is told (`shoal rejected`).
    """

    essential: ClassVar[bool] = True

    @property
    def image(self) -> ImageSpec | None:
        """The pixels that it wants, or None."""
        return None

    @property
    def pixels(self) -> ImageSpec | None:
        """The pixels that it is given: `image`, unless a kind changes what is cut from the file (`Embedder.prepare`)."""
        return self.image

    def answer(self, batch: Batch) -> pa.Table:
        """Return what the runner keeps: `map` of the batch, unless a kind changes what `map` gets (`Embedder.prepare`)."""
        return self.map(batch)

    @abstractmethod
    def map(self, batch: Batch) -> pa.Table:
        """Return a table of `produces()`, one row for each row of `batch`, in order.

        A row that can't be answered raises: the runner repeats the batch row by row and keeps the reason with the row.
        A stage for which repeating is dear raises `RowsFailed` instead, with the rows that it did answer.
        """


class TableStage(Stage):
    """A stage that sees all rows at once, sorted by id. Kept by its fingerprint and the digest of what it saw."""

    @abstractmethod
    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        """Return a table of the key column and `produces()`.

        Args:
            rows: `id`, every column of `consumes`, and those of `optional` that exist; no null in a consumed column.
                May have no row.
            context: backend, folders and notes.
        """

    def outside(self, rows: pa.Table) -> str:
        """Return what tells the files that it reads besides its rows from what they were; empty where it reads none.

        A kept answer is taken only where this is the same. Called on the driver at every run: look at sizes and times.

        Args:
            rows: `id`, and those of its columns that the index makes, such as `paths`.
        """
        return ""
