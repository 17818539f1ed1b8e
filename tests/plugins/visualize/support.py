import io
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from PIL import Image

from shoal.contract import Context, TableStage
from shoal.vectors import from_numpy


def jpeg(colour: tuple[int, int, int] = (200, 40, 40), size: tuple[int, int] = (64, 48)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "JPEG", quality=90)
    return file.getvalue()


def make_rows(
    clusters: Sequence[int],
    places: Sequence[Sequence[float]] | None = None,
    paths: Sequence[str] | None = None,
    labels: Sequence[str | None] | None = None,
    thumbnails: Sequence[bytes] | None = None,
) -> pa.Table:
    count = len(clusters)
    points = (
        np.array(places, dtype=np.float32).reshape(count, -1) if places else np.random.default_rng(1).normal(size=(count, 2))
    )
    columns = {
        "id": pa.array([f"{number:064x}" for number in range(count)], pa.string()),
        "embedding": from_numpy(points.astype(np.float32)),
        "cluster": pa.array(clusters, pa.int32()),
        "path": pa.array(paths if paths is not None else [f"/photos/img_{n:04}.jpg" for n in range(count)], pa.string()),
        "thumbnail": pa.array(thumbnails if thumbnails is not None else [jpeg()] * count, pa.binary()),
    }
    if labels is not None:
        columns["label"] = pa.array(labels, pa.string())
    return pa.table(columns)


def answer(stage: TableStage, rows: pa.Table, context: Context | None = None) -> dict[str, str]:
    (row,) = stage.run(rows, context or Context()).to_pylist()
    return row  # type: ignore[no-any-return]
