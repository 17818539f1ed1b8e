"""`thumbnail.jpeg`: small, of the same shape, the same bytes every time."""

import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pydantic import ValidationError

from shoal.contract import Batch, ImageSpec
from shoal.images import decode
from shoal_plugins.thumbnail.jpeg import JpegThumbnailer
from tests.images.pictures import encode, scene


def thumbnails(stage, *pictures):
    pixels = [decode(encode(picture, "PNG"), stage.image) for picture in pictures]
    rows = pa.table({"id": [f"{n:064x}" for n in range(len(pixels))]})
    return stage.map(Batch(rows, pixels))


def test_longest_side_and_shape():
    stage = JpegThumbnailer()
    assert stage.image == ImageSpec(96, 96, fit="inside")
    table = thumbnails(stage, scene(640, 480), scene(300, 900), scene(20, 10))
    assert table.schema == stage.produces()
    opened = [Image.open(io.BytesIO(data)) for data in table["thumbnail"].to_pylist()]
    assert [(image.size, image.format) for image in opened] == [((96, 72), "JPEG"), ((32, 96), "JPEG"), ((20, 10), "JPEG")]


def test_it_looks_like_the_picture():
    picture = scene(640, 480)
    shown = np.asarray(Image.open(io.BytesIO(thumbnails(JpegThumbnailer(), picture)["thumbnail"][0].as_py())), float)
    wanted = np.asarray(picture.resize((96, 72), Image.Resampling.BICUBIC), float)
    assert np.abs(shown - wanted).mean() < 4


def test_the_same_pixels_give_the_same_bytes_in_any_batch():
    stage = JpegThumbnailer()
    both = thumbnails(stage, scene(100, 80), scene(90, 90, 1))["thumbnail"].to_pylist()
    assert both == [thumbnails(stage, p)["thumbnail"][0].as_py() for p in (scene(100, 80), scene(90, 90, 1))]


def test_quality_and_size_are_options():
    small, large = (len(thumbnails(JpegThumbnailer(quality=q), scene(640, 480))["thumbnail"][0].as_py()) for q in (30, 95))
    assert small < large
    for options in ({"size": 0}, {"quality": 101}, {"sise": 96}):
        with pytest.raises(ValidationError):
            JpegThumbnailer(**options)


def test_no_rows():
    stage = JpegThumbnailer()
    assert stage.map(Batch(pa.table({"id": pa.array([], pa.string())}), [])).num_rows == 0
