"""Random rows and images that fit what a stage consumes, so that an author needs no data of their own."""

import hashlib
import io
from collections.abc import Callable
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoal.contract import MapStage, Stage
from shoal.schema import ID

if TYPE_CHECKING:
    from shoal.contract import Pixels

VECTOR_SIZE = 16
"""Components of a vector whose consumer takes any size."""


def sample_rows(stage: Stage, n: int, seed: int = 0) -> pa.Table:
    """Return `id`, what `stage` consumes and what it takes optionally: `n` rows sorted by id, the same for a seed.

    Columns agree with one another: vectors lie in four groups, and `cluster`, `label` and `rank` follow those groups
    (the last is noise, -1). Optional columns are null where real ones are: noise has no label and no rank.

    Raises:
        ValueError: a column has a type that no random value is known for; pass your own rows then.
    """
    draw = _Draw(n, seed)
    fields, arrays = [ID], [pa.array(draw.ids, type=pa.string())]
    for schema, optional in ((stage.consumes, False), (stage.optional, True)):
        for field in schema:
            if field.name == "id":
                continue
            array = draw.column(field.name, field.type, optional)
            fields.append(pa.field(field.name, array.type))
            arrays.append(array)
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def sample_images(stage: MapStage, n: int, seed: int = 0) -> "list[Pixels]":
    """Return `n` different images as the stage's `image` asks; with `fit="inside"` their sizes differ, too.

    Raises:
        ValueError: the stage asks for no pixels.
    """
    spec = stage.image
    if spec is None:
        raise ValueError(f"{stage.title()} asks for no pixels: its `image` is None")
    images = random_images(n, spec.width, spec.height, seed)
    if spec.fit != "inside":
        return images
    return [
        image if k % 2 == 0 else np.ascontiguousarray(image[: max(1, spec.height // 2)]) for k, image in enumerate(images)
    ]


def random_images(n: int, width: int, height: int, seed: int) -> "list[Pixels]":
    """Return `n` images, each a gradient between two colours with a bright box and a little noise."""
    images: list[Pixels] = []
    across = np.linspace(0.0, 1.0, width)[None, :, None]
    for number in range(n):
        rng = np.random.default_rng([seed, number])
        left, right = rng.uniform(20, 235, size=(2, 3))
        image = left + (right - left) * across + rng.normal(0, 4, size=(height, width, 3))
        top, side = int(rng.integers(0, max(1, height // 2))), int(rng.integers(0, max(1, width // 2)))
        image[top : top + max(1, height // 3), side : side + max(1, width // 3)] = rng.uniform(0, 255, size=3)
        images.append(np.clip(image, 0, 255).astype(np.uint8))
    return images


class _Draw:
    """Draws columns for `n` rows whose groups are of sizes 40, 30, 20 and 10 %; the last group is noise."""

    def __init__(self, n: int, seed: int) -> None:
        self.n, self.seed = n, seed
        self.ids = sorted(hashlib.sha256(f"{seed} {row}".encode()).hexdigest() for row in range(n))
        bounds = np.ceil(np.array([0.4, 0.7, 0.9]) * n)
        group = np.searchsorted(bounds, np.arange(n), side="right")
        group = np.random.default_rng([seed, 0]).permutation(group)
        self.cluster = np.where(group == 3, -1, group).astype(np.int32)
        self.by_name: dict[str, Callable[[], list[Any]]] = {
            "cluster": self.cluster.tolist,
            "label": lambda: [None if c < 0 else f"label {c}" for c in self.cluster.tolist()],
            "reason": lambda: [None if c < 0 else f"because {c}" for c in self.cluster.tolist()],
            "rank": self._ranks,
            "strength": lambda: np.where(self.cluster < 0, 0.0, self._rng("strength").uniform(0.5, 1.0, n)).tolist(),
            "outlier": lambda: self._rng("outlier").uniform(0.0, 1.0, n).tolist(),
            "path": self._paths,
            "paths": lambda: [[path] for path in self._paths()],
            "source": self._paths,
            "format": lambda: ["JPEG"] * n,
            "thumbnail": self._thumbnails,
        }

    def _rng(self, name: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, *name.encode()])

    def column(self, name: str, kind: pa.DataType, optional: bool) -> pa.Array:
        """Return a column; only an optional one may hold null."""
        if _is_vector(kind):
            return self._vectors(name, kind)
        values = self._named(name, kind) if name in self.by_name else None
        if values is None:
            rng = self._rng(name)
            values = pa.array([_value(kind, rng) for _ in range(self.n)], type=kind)
        if not optional and values.null_count:
            filler = pa.array([_value(kind, self._rng(name)) for _ in range(self.n)], type=kind)
            values = pc.coalesce(values, filler)
        return values

    def _named(self, name: str, kind: pa.DataType) -> pa.Array | None:
        try:
            return pa.array(self.by_name[name](), type=kind)
        except (pa.ArrowInvalid, pa.ArrowTypeError):  # a column of that name, but of another kind
            return None

    def _vectors(self, name: str, kind: pa.DataType) -> pa.Array:
        size = kind.list_size if pa.types.is_fixed_size_list(kind) else VECTOR_SIZE
        rng = self._rng(name)
        centres = 3.0 * rng.normal(size=(4, size))
        rows = centres[self.cluster] + rng.normal(scale=0.5, size=(self.n, size))
        if "prob" in name:
            rows = np.exp(rows)
            rows /= rows.sum(axis=1, keepdims=True)
        else:
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        flat = pa.array(rows.reshape(-1).astype(np.float32)).cast(kind.value_type)
        return pa.FixedSizeListArray.from_arrays(flat, size)

    def _paths(self) -> list[str]:
        return [f"/photos/set {cluster + 1}/image_{row:04}.jpg" for row, cluster in enumerate(self.cluster.tolist())]

    def _ranks(self) -> list[int | None]:
        seen: dict[int, int] = {}
        ranks: list[int | None] = []
        for cluster in self.cluster.tolist():
            rank = seen[cluster] = seen.get(cluster, -1) + 1
            ranks.append(rank if cluster >= 0 and rank < 2 else None)
        return ranks

    def _thumbnails(self) -> list[bytes]:
        from PIL import Image

        files = []
        for pixels in random_images(self.n, 32, 24, self.seed):
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "JPEG")
            files.append(file.getvalue())
        return files


def _is_vector(kind: pa.DataType) -> bool:
    listed = pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind)
    return listed and bool(pa.types.is_floating(kind.value_type))


def _value(kind: pa.DataType, rng: np.random.Generator) -> Any:
    types = pa.types
    if types.is_fixed_size_list(kind):
        return [_value(kind.value_type, rng) for _ in range(kind.list_size)]
    if types.is_list(kind) or types.is_large_list(kind):
        return [_value(kind.value_type, rng) for _ in range(int(rng.integers(1, 4)))]
    if types.is_struct(kind):
        return {field.name: _value(field.type, rng) for field in kind}
    for is_kind, draw in _SIMPLE:
        if is_kind(kind):
            return draw(rng)
    raise ValueError(f"no random value is known for columns of type {kind}; pass your own rows to check_stage")


_SIMPLE: tuple[tuple[Callable[[pa.DataType], bool], Callable[[np.random.Generator], Any]], ...] = (
    (pa.types.is_boolean, lambda rng: bool(rng.integers(2))),
    (pa.types.is_integer, lambda rng: int(rng.integers(1, 100))),
    (pa.types.is_floating, lambda rng: float(rng.uniform())),
    (pa.types.is_string, lambda rng: f"text {int(rng.integers(10_000))}"),
    (pa.types.is_large_string, lambda rng: f"text {int(rng.integers(10_000))}"),
    (pa.types.is_binary, lambda rng: rng.bytes(16)),
    (pa.types.is_large_binary, lambda rng: rng.bytes(16)),
    (pa.types.is_date, lambda rng: date.fromordinal(730_000 + int(rng.integers(10_000)))),
    (pa.types.is_timestamp, lambda rng: datetime.fromordinal(730_000 + int(rng.integers(10_000)))),
)
