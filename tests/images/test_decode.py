"""Decoding: shapes, orientation, modes, scaled JPEG."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from shoal.contract import ImageSpec
from shoal.errors import ImageError, UsageError
from shoal.images import Limits, decode, load, probe, read
from tests.images.pictures import chunk, encode, oriented, scene, with_chunks

GUARDED = Limits(isolate="always")


def psnr(a, b):
    error = np.mean((np.asarray(a, float) - np.asarray(b, float)) ** 2)
    return 99.0 if error == 0 else 10 * np.log10(255**2 / error)


@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    kind=st.sampled_from(["JPEG", "PNG"]),
    turn=st.sampled_from([1, 3, 6]),
    fit=st.sampled_from(["stretch", "crop", "inside"]),
    resample=st.sampled_from(["bilinear", "bicubic", "lanczos"]),
    overscan=st.sampled_from([1.0, 256 / 224]),
    target=st.tuples(st.integers(1, 120), st.integers(1, 120)),
)
@settings(max_examples=150, deadline=None)
def test_the_shape_is_what_the_spec_says(width, height, kind, turn, fit, resample, overscan, target):
    data = encode(scene(width, height), kind, exif=oriented(turn))
    spec = ImageSpec(*target, fit=fit, resample=resample, overscan=overscan)
    pixels = decode(data, spec)
    assert pixels.dtype == np.uint8
    assert pixels.flags.writeable
    if fit != "inside":
        assert pixels.shape == (target[1], target[0], 3)
        return
    wide, high = (height, width) if turn == 6 else (width, height)
    scale = min(target[0] / wide, target[1] / high, 1.0)
    assert pixels.shape[1] <= target[0]
    assert pixels.shape[0] <= target[1]
    assert abs(pixels.shape[1] - max(1, wide * scale)) <= 0.5 + 1e-9
    assert abs(pixels.shape[0] - max(1, high * scale)) <= 0.5 + 1e-9


@pytest.mark.parametrize("size", [(1, 1), (10000, 1), (1, 10000), (3, 2000)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
@pytest.mark.parametrize("fit", ["stretch", "crop", "inside"])
def test_extreme_shapes(size, kind, fit):
    pixels = decode(encode(Image.new("RGB", size, (200, 30, 90)), kind), ImageSpec(64, 48, fit=fit))
    assert pixels.shape == (48, 64, 3) if fit != "inside" else max(pixels.shape[:2]) <= 64
    assert np.abs(pixels.reshape(-1, 3).astype(int) - (200, 30, 90)).max() <= 6


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("fit", ["stretch", "crop", "inside"])
def test_every_orientation_equals_the_upright_picture(kind, turn, fit):
    upright = scene(90, 60)
    ways = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transposition that the orientation undoes
    stored = upright.transpose(Image.Transpose(ways[turn])) if turn > 1 else upright
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(stored, kind, exif=oriented(turn), **options)
    spec = ImageSpec(40, 30, fit=fit)
    assert (probe(data).width, probe(data).height) == (90, 60)
    np.testing.assert_array_equal(decode(data, spec), decode(encode(upright, kind, **options), spec))


@pytest.mark.parametrize("turn", range(1, 9))
def test_orientation_of_a_reduced_jpeg(turn):
    upright = scene(640, 480)
    stored = upright.transpose(Image.Transpose({2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[turn])) if turn > 1 else upright
    data = encode(stored, quality=95, exif=oriented(turn))
    assert psnr(decode(data, ImageSpec(80, 60, fit="inside")), upright.resize((80, 60), Image.Resampling.BICUBIC)) > 38


def test_orientation_in_a_png_chunk_behind_the_pixels():
    exif = oriented(6).tobytes().removeprefix(b"Exif\0\0")
    data = with_chunks(encode(scene(40, 20), "PNG"), chunk(b"eXIf", exif), late=True)
    assert (probe(data).width, probe(data).height) == (20, 40)
    assert decode(data, ImageSpec(100, 100, fit="inside")).shape == (40, 20, 3)


@pytest.mark.parametrize("size", [(640, 480), (1000, 700), (333, 517), (449, 449)])
@pytest.mark.parametrize(
    "spec",
    [
        ImageSpec(224, 224),
        ImageSpec(224, 224, overscan=256 / 224),
        ImageSpec(96, 96, fit="inside"),
        ImageSpec(200, 60, fit="stretch"),
        ImageSpec(100, 37),
    ],
)
def test_a_reduced_jpeg_shows_the_same_part_as_a_full_decode(size, spec):
    picture = scene(*size)
    assert psnr(decode(encode(picture, quality=97), spec), decode(encode(picture, "PNG"), spec)) > 36


def test_crop_takes_the_centre():
    marked = Image.new("RGB", (300, 100), "red")
    marked.paste((0, 0, 255), (100, 0, 200, 100))
    assert (decode(encode(marked, "PNG"), ImageSpec(100, 100)) == (0, 0, 255)).all()


def test_overscan_cuts_the_border():
    marked = Image.new("RGB", (256, 256), "red")
    marked.paste((0, 0, 255), (16, 16, 240, 240))
    pixels = decode(encode(marked, "PNG"), ImageSpec(224, 224, overscan=256 / 224))
    assert (pixels == (0, 0, 255)).all()


def test_nothing_is_enlarged_inside_and_pixels_stay_exact():
    picture = scene(50, 30)
    np.testing.assert_array_equal(decode(encode(picture, "PNG"), ImageSpec(96, 96, fit="inside")), np.asarray(picture))


def grey(values, mode=None):
    return Image.fromarray(np.asarray(values), mode) if mode else Image.fromarray(np.asarray(values))


def rgba():
    return Image.new("RGBA", (8, 8), (255, 0, 0, 128))


PALETTE = Image.new("P", (8, 8), 1)
PALETTE.putpalette([0, 0, 0, 10, 200, 30] + [0] * 762)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (encode(Image.new("1", (8, 8), 1), "PNG"), (255, 255, 255)),
        (encode(Image.new("L", (8, 8), 77), "PNG"), (77, 77, 77)),
        (encode(Image.new("LA", (8, 8), (0, 0)), "PNG"), (255, 255, 255)),
        (encode(rgba(), "PNG"), (255, 127, 127)),
        (encode(rgba(), "WEBP", lossless=True), (255, 127, 127)),
        (encode(rgba(), "TIFF"), (255, 127, 127)),
        (encode(PALETTE, "PNG"), (10, 200, 30)),
        (encode(PALETTE, "GIF"), (10, 200, 30)),
        (encode(PALETTE, "PNG", transparency=1), (255, 255, 255)),
        (encode(Image.new("RGB", (8, 8), (9, 8, 7)), "PNG", transparency=(9, 8, 7)), (255, 255, 255)),
        (encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100), (255, 0, 0)),
        (encode(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "TIFF"), (0, 255, 255)),
        (encode(Image.new("YCbCr", (8, 8), (100, 128, 128)), "TIFF"), (100, 100, 100)),
        (encode(Image.new("LAB", (8, 8), (255, 128, 128)), "TIFF"), (255, 255, 255)),
        (encode(grey(np.full((8, 8), 0x8040, np.uint16)), "PNG"), (0x80, 0x80, 0x80)),
        (encode(grey(np.full((8, 8), 0x8040, np.uint16)), "TIFF"), (0x80, 0x80, 0x80)),
        (encode(grey(np.full((8, 8), 0.5, np.float32)), "TIFF"), (128, 128, 128)),
        (encode(grey(np.full((8, 8), np.nan, np.float32)), "TIFF"), (0, 0, 0)),
    ],
)
@pytest.mark.parametrize("limits", [Limits(), GUARDED])
def test_every_mode_has_a_defined_result(data, expected, limits):
    pixels = decode(data, ImageSpec(8, 8), limits)
    assert np.abs(pixels.astype(int) - expected).max() <= 1


def test_wide_numbers_are_stretched():
    ramp = np.linspace(-5, 1000, 64).reshape(8, 8)
    for values in (ramp.astype(np.float32), ramp.astype(np.int32)):
        pixels = decode(encode(grey(values), "TIFF"), ImageSpec(8, 8, fit="stretch"))
        assert pixels.min() == 0
        assert pixels.max() == 255
    broken = ramp.astype(np.float32)
    broken[0, 0] = np.inf
    assert decode(encode(grey(broken), "TIFF"), ImageSpec(8, 8)).max() == 255


@pytest.mark.parametrize(("kind", "options"), [("GIF", {}), ("TIFF", {}), ("WEBP", {"lossless": True}), ("PNG", {})])
def test_the_first_of_several_frames(kind, options):
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue", "lime")]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert probe(data).frames == 3
    assert (decode(data, ImageSpec(20, 20)) == (255, 0, 0)).all()


def test_a_phone_jpeg_with_a_second_picture_is_a_jpeg():
    first, second = scene(64, 48), scene(64, 48, 1)
    data = encode(first, "MPO", save_all=True, append_images=[second], quality=95)
    facts = probe(data)
    assert (facts.format, facts.frames) == ("JPEG", 2)
    np.testing.assert_array_equal(decode(data, ImageSpec(16, 12)), decode(encode(first, quality=95), ImageSpec(16, 12)))


def test_a_spec_does_not_depend_on_the_others():
    data = encode(scene(640, 480))
    specs = [ImageSpec(224, 224), ImageSpec(96, 96, fit="inside"), ImageSpec(224, 224), ImageSpec(500, 500)]
    loaded = read(data, specs)
    assert loaded.probe == probe(data)
    for spec, pixels in zip(specs, loaded.images, strict=True):
        np.testing.assert_array_equal(pixels, decode(data, spec))


@given(
    seed=st.integers(0, 1000),
    size=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    kind=st.sampled_from(["JPEG", "PNG"]),
)
@settings(max_examples=25, deadline=None)
def test_the_child_gives_the_same_pixels(seed, size, kind):
    data = encode(scene(*size, seed), kind)
    spec = ImageSpec(50, 40)
    np.testing.assert_array_equal(decode(data, spec), decode(data, spec, GUARDED))
    assert probe(data) == probe(data, GUARDED)


def test_guarded_pixels_are_writable():
    assert decode(encode(scene(30, 30)), ImageSpec(9, 9), GUARDED).flags.writeable


def test_load_reads_a_path(tmp_path):
    file = tmp_path / "a.jpg"
    file.write_bytes(encode(scene(64, 48)))
    assert load(str(file), [ImageSpec(8, 8)]).images[0].shape == (8, 8, 3)
    with pytest.raises(ImageError, match="does not exist"):
        load(str(tmp_path / "none.jpg"))


@pytest.mark.parametrize("spec", [ImageSpec(0, 5), ImageSpec(5, 5, overscan=0.5), ImageSpec(5, 5, fit="tile")])
def test_an_impossible_spec_is_the_callers_fault(spec):
    with pytest.raises(UsageError, match="can't be made"):
        decode(encode(scene(8, 8)), spec)


def test_limits_travel():
    assert pickle.loads(pickle.dumps(GUARDED)) == GUARDED


@pytest.mark.parametrize("wrong", [{"seconds": 0}, {"seconds": float("inf")}, {"max_pixels": 0}, {"memory": -1}])
def test_limits_bound_something(wrong):
    with pytest.raises(ValueError, match="above zero"):
        Limits(**wrong)
