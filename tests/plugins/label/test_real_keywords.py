"""On real photographs of seven kinds the labels from `caption.tags` fit, by all images and by a few of each."""

import pyarrow as pa
import pytest

from shoal.contract import Batch, Context
from shoal.vectors import from_numpy
from shoal_plugins.caption.tags import Tags
from shoal_plugins.distil.words import Words
from shoal_plugins.label.keywords import Keywords

from .fixtures import Floats
from .test_real_photos import probabilities  # noqa: F401  (a fixture)

FITTING = {
    "animal": {"animals"},
    "fishes": {"fish"},
    "monuments": {"monuments", "buildings", "palace"},
    "music": {"stage", "concerts", "musical instruments"},
    "renewable": {"power stations", "solar collector"},
    "tools": {"tools", "hand tools"},
}
"""The first keyword. `caption.tags` has no word for planets: ImageNet has none."""


def labels(photos: dict[str, list[Floats]], few: int | None = None) -> dict[str, str]:
    """Return the label of each class; `few` captions of each, or all."""
    import numpy as np

    images = np.array([row for rows in photos.values() for row in rows], dtype=np.float32)
    clusters = [number for number, rows in enumerate(photos.values()) for _ in rows]
    ids = [f"{row:064x}" for row in range(len(images))]
    captions = Tags().map(Batch(pa.table({"id": ids, "probabilities": from_numpy(images)})))["caption"]
    keywords = Words().map(Batch(pa.table({"id": ids, "caption": captions})))["keywords"].to_pylist()
    if few is not None:
        keywords = [words if clusters[:row].count(clusters[row]) < few else None for row, words in enumerate(keywords)]
    table = pa.table(
        {
            "id": ids,
            "cluster": pa.array(clusters, pa.int32()),
            "keywords": pa.array(keywords, pa.list_(pa.string())),
            "caption": captions,
        }
    )
    return dict(zip(photos, Keywords().run(table, Context())["label"].to_pylist(), strict=True))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_true_class_gets_a_fitting_label(probabilities: dict[str, list[Floats]]) -> None:  # noqa: F811
    given = labels(probabilities)
    first = {folder: label.split(", ")[0] for folder, label in given.items()}
    assert {folder: word for folder, word in first.items() if folder in FITTING and word not in FITTING[folder]} == {}
    assert len(set(given.values())) == len(given)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("few", [2, 5])
def test_a_few_images_give_distinct_labels(probabilities: dict[str, list[Floats]], few: int) -> None:  # noqa: F811
    given = labels(probabilities, few)
    assert len(set(given.values())) == len(given)
    assert not any(label.startswith("cluster_") for label in given.values())
