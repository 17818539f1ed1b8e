"""Photographs of known classes, hidden in noise, come back: the targets of the rescue, on the true classes as clusters."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from shoal.contract import Batch, Context
from shoal.schema import NOTHING
from shoal.vectors import from_numpy, to_numpy
from shoal_plugins.caption.tags import Tags as CaptionTags
from shoal_plugins.embed.lite0 import Lite0
from shoal_plugins.label.tags import Tags
from shoal_plugins.rescue.captions import Captions
from shoal_plugins.sample.nearest import Nearest

HIDDEN = 30


@pytest.fixture(scope="module")
def photos(photo_set: Path, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """Return the photo set: id, class, embedding, probabilities, caption."""
    paths = sorted(photo_set.glob("*/*.webp"))
    stage = Lite0()
    stage.setup(Context(threads=2, cache=tmp_path_factory.getbasetemp() / "cache"))
    made = stage.map(Batch(NOTHING.empty_table(), [pixels(path) for path in paths]))
    rows = pa.table({"id": [f"{place:064x}" for place in range(len(paths))], "probabilities": made["probabilities"]})
    return pa.table(
        {
            "id": rows["id"],
            "class": [path.parent.name for path in paths],
            "embedding": made["embedding"],
            "probabilities": made["probabilities"],
            "caption": CaptionTags().map(Batch(rows))["caption"],
        }
    )


def pixels(path: Path) -> "np.typing.NDArray[np.uint8]":
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR))


def hide(photos: pa.Table, seed: int, everything: bool) -> pa.Table:
    """Return the stage's answer with `class` and `truth`, the number of the class that the image was hidden from."""
    names = sorted(set(photos["class"].to_pylist()))
    truth = np.array([names.index(name) for name in photos["class"].to_pylist()])
    hidden = np.random.default_rng(seed).choice(len(truth), HIDDEN, replace=False)
    clusters = truth.copy()
    clusters[hidden] = -1
    rows = pa.table(
        {
            "id": photos["id"],
            "cluster": pa.array(clusters, pa.int32()),
            "embedding": from_numpy(to_numpy(photos["embedding"])),
            "probabilities": photos["probabilities"],
        }
    )
    labels = dict(zip(*Tags().run(rows, Context()).select(["cluster", "label"]).to_pydict().values(), strict=True))
    picked = {
        *Nearest(per_cluster=5).run(rows, Context())["id"].to_pylist(),
        *photos["id"].take(pa.array(hidden)).to_pylist(),
    }
    captions = [
        caption if everything or key in picked else None
        for key, caption in zip(photos["id"].to_pylist(), photos["caption"].to_pylist(), strict=True)
    ]
    rows = rows.append_column("caption", pa.array(captions, pa.string()))
    rows = rows.append_column("label", pa.array([labels.get(number) for number in clusters.tolist()], pa.string()))
    stage = Captions()
    stage.setup(Context(threads=2))
    answer = stage.run(rows, Context())
    return answer.append_column("truth", pa.array(truth[np.sort(hidden)], pa.int32()))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("everything", [False, True], ids=["representatives", "all"])
def test_hidden_photographs_come_back(photos: pa.Table, everything: bool) -> None:
    answers = pa.concat_tables([hide(photos, seed, everything) for seed in range(5)]).to_pylist()
    given = [row for row in answers if row["suggested"] is not None]
    right = [row for row in given if row["suggested"] == row["truth"]]
    assert len(answers) == 5 * HIDDEN
    assert len(right) / len(given) >= 0.9
    assert len(right) / len(answers) >= 0.6
    assert np.mean([row["nearest"] == row["truth"] for row in answers]) >= 0.85
