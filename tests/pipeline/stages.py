"""A small plugin with a stage a kind, so that these tests need none of the built-ins."""

from datetime import date
from enum import Enum
from typing import Annotated, ClassVar, Literal

import pyarrow as pa
from pydantic import BaseModel, Field, field_validator, model_validator

from shoal.contract import Context
from shoal.hooks import hookimpl
from shoal.kinds import Clusterer, Embedder, Indexer, Reducer, Visualizer


class Metric(Enum):
    EUCLIDEAN = "euclidean"
    COSINE = "cosine"


class Input(BaseModel, frozen=True, extra="forbid"):
    size: tuple[int, int] = (224, 224)
    mean: float = 0.5


class Listing(Indexer):
    """Lists a folder."""

    name = "folder"
    recursive: bool = Field(True, description="Look into sub-folders.")
    formats: tuple[str, ...] = Field(("jpg", "png"), description="Extensions.")

    def list_files(self, source: str):
        yield self.produces().empty_table()


class Tiny(Embedder):
    """Embeds nothing much.

    The rest of the documentation.
    """

    name = "tiny"
    width: int = Field(4, ge=1, le=64, description="Components.")
    input: Input = Field(Input(), description="What the model wants.")

    @property
    def size(self) -> int:
        return self.width

    def embed(self, images):
        raise NotImplementedError


class Named(Tiny):
    """Embeds by a model's name."""

    name = "named"
    shorthand: ClassVar[str | None] = "model"
    model: str = Field(description="Name of the model.")


class Short(Reducer):
    """Shortens vectors."""

    name = "short"
    shorthand: ClassVar[str | None] = "components"
    components: int = Field(5, ge=1, le=100, description="Components.")
    min_dist: float = Field(0.0, ge=0, description="Least distance.")
    seed: int | None = Field(42, description="Seed.")
    whiten: bool = Field(False, description="Whiten.")

    @property
    def size(self) -> int:
        return self.components

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        return rows


class Groups(Clusterer):
    """Groups vectors."""

    name = "groups"
    min_cluster_size: int = Field(5, ge=2, description="Least size of a cluster.")
    method: Literal["leaf", "eom"] = Field("leaf", description="Method.")
    metric: Metric = Field(Metric.EUCLIDEAN, description="Metric.")
    eps: float | Literal["auto"] = Field("auto", description="Radius.")
    ratio: Annotated[float, Field(gt=0, lt=1)] = 0.2
    weights: dict[str, float] = Field(default_factory=dict, description="Weights.")
    since: date | None = Field(None, description="A day.")
    note: str = Field("", max_length=20, description="A note.")

    @field_validator("note")
    @classmethod
    def _no_shouting(cls, value: str) -> str:
        if "!" in value:
            raise ValueError("no exclamation marks, please")
        if value == "explode":
            raise RuntimeError("boom")
        return value

    @model_validator(mode="after")
    def _fits(self) -> "Groups":
        if self.method == "eom" and self.eps == 0.125:
            raise ValueError("`eps` 0.125 needs `method: leaf`")
        return self

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        return rows


class Chart(Visualizer):
    """Draws."""

    name = "chart"

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        return rows


class Other(Chart):
    """Draws otherwise."""

    name = "other"


@hookimpl
def shoal_stages():
    return (Listing, Tiny, Named, Short, Groups, Chart, Other)
