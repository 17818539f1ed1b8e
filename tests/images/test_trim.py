"""Edges that are cut off before an image is scaled."""

import io

import numpy as np
import pytest
from PIL import Image

from shoal.contract import ImageSpec
from shoal.errors import UsageError
from shoal.images import Limits, decode
from tests.images.pictures import encode, scene

WHOLE = (0.0, 0.0, 0.0, 0.0)
FITS = ("stretch", "crop", "inside")


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    error = float(((one.astype(np.float64) - other) ** 2).mean())
    return 99.0 if error == 0 else 10 * np.log10(255**2 / error)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("trim", [(0.1, 0.0, 0.0, 0.0), (0.0, 0.3, 0.2, 0.0), (0.25, 0.25, 0.25, 0.25)])
def test_it_is_the_image_cut_beforehand(fit: str, trim: tuple[float, float, float, float]) -> None:
    picture = scene(200, 160)
    top, bottom, left, right = trim
    cut = picture.crop((round(left * 200), round(top * 160), 200 - round(right * 200), 160 - round(bottom * 160)))
    want = decode(encode(cut, "PNG"), ImageSpec(64, 48, fit=fit))
    have = decode(encode(picture, "PNG"), ImageSpec(64, 48, fit=fit, trim=trim))
    np.testing.assert_array_equal(have, want)


@pytest.mark.parametrize("fit", FITS)
def test_jpegs_are_decoded_small_and_lie_the_same(fit: str) -> None:
    picture = scene(1203, 901)
    data = encode(picture, "JPEG", quality=95)
    trim = (0.13, 0.07, 0.21, 0.02)
    cut = Image.open(io.BytesIO(data)).crop((round(0.21 * 1203), round(0.13 * 901), 1203 - round(0.02 * 1203), 838))
    want = decode(encode(cut, "PNG"), ImageSpec(96, 96, fit=fit))
    assert psnr(decode(data, ImageSpec(96, 96, fit=fit, trim=trim)), want) > 35


def test_nothing_of_what_is_cut_off_comes_through() -> None:
    picture = Image.new("RGB", (640, 480), "black")
    picture.paste("white", (0, 0, 640, 48))
    for kind in ("PNG", "JPEG"):
        pixels = decode(encode(picture, kind), ImageSpec(64, 64, resample="lanczos", trim=(0.1, 0, 0, 0)))
        assert pixels.max() <= (0 if kind == "PNG" else 6), kind


def test_it_is_the_upright_image_that_is_trimmed() -> None:
    picture = Image.new("RGB", (80, 40), "blue")
    picture.paste("red", (0, 0, 20, 40))  # at the left as stored, and at the top once it is turned
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    picture.save(file, "PNG", exif=exif)
    pixels = decode(file.getvalue(), ImageSpec(40, 60, fit="inside", trim=(0.25, 0, 0, 0)))
    assert pixels.shape == (60, 40, 3)
    assert (pixels == (0, 0, 255)).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (3, 2), (2000, 1)])
@pytest.mark.parametrize("fit", FITS)
def test_a_pixel_always_stays(size: tuple[int, int], fit: str) -> None:
    trim = (0.5, 0.49, 0.98, 0.01)
    pixels = decode(encode(Image.new("RGB", size, (9, 99, 199)), "PNG"), ImageSpec(12, 10, fit=fit, trim=trim))
    assert pixels.shape[0] <= 10
    assert pixels.shape[1] <= 12
    assert (pixels == (9, 99, 199)).all()


def test_the_guarded_child_trims_the_same() -> None:
    data = encode(scene(300, 200), "JPEG", quality=90)
    spec = ImageSpec(50, 40, trim=(0.1, 0.2, 0.05, 0.3))
    np.testing.assert_array_equal(decode(data, spec, Limits(isolate="always")), decode(data, spec))


@pytest.mark.parametrize(
    "trim", [(1.0, 0, 0, 0), (0.5, 0.5, 0, 0), (0, 0, 0.7, 0.3), (-0.1, 0, 0, 0), (float("nan"), 0, 0, 0)]
)
def test_what_leaves_nothing_is_refused(trim: tuple[float, float, float, float]) -> None:
    with pytest.raises(UsageError, match="can't be made"):
        decode(encode(scene(30, 20), "PNG"), ImageSpec(8, 8, trim=trim))


def test_no_trim_is_what_it_was() -> None:
    assert ImageSpec(8, 8) == ImageSpec(8, 8, trim=WHOLE)
