"""Small sets of images as `rescue.captions` gets them: a cluster, a caption, a label and a vector each."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from shoal.contract import Context
from shoal.vectors import from_numpy
from shoal_plugins.rescue._minilm import MiniLm
from shoal_plugins.rescue.captions import Captions

FISH, TOOLS, CASTLES = 0, 1, 2
SAID = {
    FISH: ["a goldfish in an aquarium", "a shark swims in the sea", "an eel, a long fish"],
    TOOLS: ["a hammer and pliers on a bench", "a screwdriver with a red handle", "a steel wrench"],
    CASTLES: ["an old castle on a hill", "the palace of a king", "a stone fortress"],
}
LABELS = {FISH: "fish", TOOLS: "hand tools", CASTLES: "castles"}


@cache
def minilm() -> MiniLm:
    """Return the real text model, opened once."""
    return MiniLm(Context())


def image(cluster: int, caption: str | None, seed: int = 0, like: int | None = None) -> dict[str, Any]:
    """Return an image; its vector lies near the axis of its cluster, or of the cluster `like`."""
    axis = cluster if like is None else like
    vector = np.zeros(8, dtype=np.float32)
    vector[axis] = 1
    vector += np.random.default_rng([seed, cluster + 1]).normal(scale=0.05, size=8).astype(np.float32)
    return {"cluster": cluster, "caption": caption, "vector": vector}


def clusters(captioned: bool = True) -> list[dict[str, Any]]:
    """Return the members of three clusters."""
    return [
        image(cluster, text if captioned else None, seed)
        for cluster, texts in SAID.items()
        for seed, text in enumerate(texts)
    ]


def table(images: Sequence[dict[str, Any]], labels: dict[int, str] | None = None) -> pa.Table:
    """Return images as rows; `labels` {} leaves that column out."""
    found = LABELS if labels is None else labels
    made: dict[str, Any] = {
        "id": [f"{place:064x}" for place in range(len(images))],
        "cluster": pa.array([each["cluster"] for each in images], pa.int32()),
        "embedding": from_numpy(np.array([each["vector"] for each in images], dtype=np.float32).reshape(-1, 8)),
        "caption": pa.array([each["caption"] for each in images], pa.string()),
    }
    if found:
        made["label"] = pa.array([found.get(each["cluster"]) for each in images], pa.string())
    return pa.table(made)


def rescue(
    rows: pa.Table, note: Callable[[str, Any], None] = lambda key, value: None, model: Any = None, **options: Any
) -> list[dict[str, Any]]:
    """Return the stage's answer as dictionaries."""
    stage = Captions(**options)
    stage._model = model or minilm()
    answer = stage.run(rows, Context(note=note))
    assert answer.schema.names == ["id", *stage.produces().names]
    found: list[dict[str, Any]] = answer.to_pylist()
    return found


def one(noise: dict[str, Any], labels: dict[int, str] | None = None, **options: Any) -> dict[str, Any]:
    """Return the answer for one noise image beside the three clusters."""
    (answer,) = rescue(table([*clusters(), noise], labels), **options)
    return answer
