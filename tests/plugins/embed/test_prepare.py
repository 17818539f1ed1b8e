"""`prepare`: what any embedder reads of an image, its own code unchanged."""

import json
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import Field, ValidationError

from shoal import preparing
from shoal.contract import Batch, Context, ImageSpec, RowsFailed
from shoal.docs.markdown import options
from shoal.errors import PipelineError, StageError
from shoal.host import Host
from shoal.images import load
from shoal.kinds import Embedder
from shoal.pipeline import parse
from shoal.preparing import Preparation, Trim
from shoal.schema import columns, vector
from shoal.testing import check_stage
from shoal.vectors import from_numpy, to_numpy
from shoal_plugins.embed.lite0 import Lite0
from tests.contract_cases import CASES

from .conftest import shape_picture

STRUCTURAL = {"grayscale": True, "clahe": True, "polarity": True}
IMAGES = arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3)))


class Plain(Embedder):
    """A third party's embedder, which knows nothing of preparation: a few pixels and means, and one column more."""

    name: ClassVar[str] = "plain"
    l2: bool = Field(False, description="Whether vectors have length 1.")

    @property
    def image(self) -> ImageSpec:
        return ImageSpec(32, 24, fit="stretch", resample="bilinear")

    @property
    def size(self) -> int:
        return 4

    def produces(self) -> pa.Schema:
        return columns(embedding=vector(4), brightest=pa.int32())

    def embed(self, images: "Sequence[Any]") -> np.ndarray:
        found = [
            [image.mean(), (image.astype(np.float64) ** 2).mean(), image[0, 0, 0], image[-1, -1, 2]] for image in images
        ]
        rows = np.array(found, dtype=np.float32).reshape(-1, 4)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True) if self.l2 else rows

    def map(self, batch: Batch) -> pa.Table:
        images = batch.images or []
        if any(not image.size for image in images):
            raise ValueError("no pixels")
        brightest = pa.array([int(image.max()) for image in images], pa.int32())
        return pa.table([from_numpy(self.embed(images)), brightest], schema=self.produces())


def batch_of(images: Sequence[np.ndarray]) -> Batch:
    return Batch(pa.table({"id": [f"{place:064x}" for place in range(len(images))]}), list(images))


def cosines(one: pa.Table, other: pa.Table, column: str = "embedding") -> np.ndarray:
    a, b = (to_numpy(table[column]).astype(np.float64) for table in (one, other))
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def pictures(count: int, side: int = 224) -> list[np.ndarray]:
    return [np.asarray(shape_picture(seed).resize((side, side))) for seed in range(count)]


@pytest.fixture(scope="module")
def lite0_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.getbasetemp() / "cache"


def set_up(lite0_cache: Path, **prepare: Any) -> Lite0:
    stage = Lite0(prepare=prepare)
    stage.setup(Context(cache=lite0_cache))
    return stage


# Rows that are kept stay valid.


@pytest.mark.slow  # PyTorch and two of its libraries are imported
def test_without_preparation_fingerprints_are_what_they_were(tmp_path: Path) -> None:
    torch = ["mixed_precision", "half", "compile", "channels_last", "l2", "model"]
    onnx = ["layout", "width", "height", "fit", "overscan", "resample", "scale", "mean", "std", "channels", "output"]
    said = {
        "embed.lite0": ["fit"],
        "embed.onnx": [*onnx, "pooling", "l2"],
        "embed.timm": [*torch, "weights", "image_size"],
        "embed.transformers": [*torch, "revision", "pooling", "allow_pickle"],
    }
    for title, names in said.items():
        (tmp_path / title).mkdir()
        made = CASES[title](tmp_path / title)[0] if title in CASES else {}
        cls = Host(allow=()).stage(title)
        identity = cls(**made).identity()
        assert list(identity["options"]) == names, title
        assert set(identity) - {"sha256"} == {"kind", "name", "version", "options"}, title
        assert cls(**made, prepare={"clip": 3.0, "trim": {}}).identity() == identity
        assert cls(**made, prepare={"grayscale": True}).identity() != identity
    assert (
        json.dumps(Lite0().identity()) == '{"kind": "embed", "name": "lite0", "version": "1", "options": {"fit": "stretch"}}'
    )


@pytest.mark.parametrize(
    "prepare",
    [{"trim": {"top": 0.1}}, {"grayscale": True}, {"clahe": True}, {"clahe": True, "clip": 4}, {"polarity": True}],
)
def test_each_option_is_in_the_fingerprint(prepare: dict[str, Any]) -> None:
    stage = Plain(prepare=prepare)
    assert stage.identity()["prepare"]["version"] == preparing.PREPARATION_VERSION
    assert len({json.dumps(s.identity()) for s in (stage, Plain(), Plain(prepare={**prepare, "grid": 9}))}) == 3
    assert pickle.loads(pickle.dumps(stage)) == stage


# The pixels.


@given(IMAGES, st.booleans(), st.booleans(), st.sampled_from([1, 2, 8, 64]), st.sampled_from([1.0, 3.0, 40.0]))
@settings(max_examples=80, deadline=None)
def test_the_negative_is_prepared_as_the_inverse(image: np.ndarray, grey: bool, clahe: bool, grid: int, clip: float) -> None:
    prepare = Preparation(grayscale=grey, clahe=clahe, grid=grid, clip=clip)
    (one,), (inverse,) = prepare.both([image])
    (other,), (back,) = prepare.both([255 - image])
    np.testing.assert_array_equal(other, inverse)
    np.testing.assert_array_equal(back, one)
    np.testing.assert_array_equal(prepare.prepared([image])[0], one)
    assert one.shape == image.shape
    assert one.dtype == np.uint8
    total = one.astype(int) + inverse
    assert ((total == 255) | ((one == 128) & (inverse == 128)) | (not grey)).all()
    if grey:
        assert (one == one[:, :, :1]).all()


def test_greys_are_those_of_bt_601() -> None:
    primaries = np.eye(3, dtype=np.uint8)[None] * 255
    (grey,) = Preparation(grayscale=True).prepared([primaries])
    assert grey[0, :, 0].tolist() == [76, 150, 29]
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    np.testing.assert_array_equal(Preparation(grayscale=True).prepared([ramp])[0], ramp)


def test_clahe_is_opencvs_but_for_the_symmetry() -> None:
    import cv2

    (image,) = pictures(1)
    (grey,) = Preparation(grayscale=True).prepared([image])
    (even,) = Preparation(grayscale=True, clahe=True).prepared([image])
    own = cv2.createCLAHE(clipLimit=3.0, tileGridSize=(8, 8)).apply(np.ascontiguousarray(grey[:, :, 0]))
    assert np.abs(own.astype(int) - even[:, :, 0]).mean() < 12
    assert np.corrcoef(own.ravel(), even[:, :, 0].ravel())[0, 1] > 0.99


def test_clahe_lets_light_matter_less_the_more_the_higher_its_limit() -> None:
    images = pictures(3)
    dark = [(255 * (image / 255.0) ** 2).astype(np.uint8) for image in images]

    def apart(**options: Any) -> float:
        prepare = Preparation(grayscale=True, **options)
        pairs = zip(prepare.prepared(images), prepare.prepared(dark), strict=True)
        return float(np.mean([np.abs(one.astype(float) - other).mean() for one, other in pairs]))

    grey, gentle, strong = apart(), apart(clahe=True), apart(clahe=True, clip=10)
    assert gentle < 0.9 * grey
    assert strong < 0.8 * gentle


def test_colours_keep_their_hue_without_grayscale() -> None:
    (image,) = pictures(1)
    (even,) = Preparation(clahe=True).prepared([image])
    inside = ((even > 0) & (even < 255)).all(axis=2)
    assert inside.mean() > 0.5
    shift = even[inside].astype(int) - image[inside]
    assert (shift == shift[:, :1]).all()
    assert np.abs(shift).max() > 10


@pytest.mark.parametrize("shape", [(1, 1), (1, 90), (7, 1), (2, 3)])
def test_tiny_images_are_prepared(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    for grid in (1, 8, 64):
        assert Preparation(clahe=True, grid=grid).prepared([image])[0].shape == (*shape, 3)


def test_the_given_pixels_stay() -> None:
    image = pictures(1)[0].copy()
    before = image.copy()
    Preparation(**STRUCTURAL).both([image])
    np.testing.assert_array_equal(image, before)


def test_without_opencv_one_sentence_before_any_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    preparing._opencv.cache_clear()
    with pytest.raises(StageError, match=r"needs OpenCV; run: pip install 'shoal\[structural\]'"):
        _ = Plain(prepare={"clahe": True}).pixels
    assert Plain(prepare={"grayscale": True, "polarity": True}).pixels == Plain().image
    preparing._opencv.cache_clear()


# The vectors.


@given(st.lists(arrays(np.uint8, (24, 32, 3)), min_size=1, max_size=3), st.booleans(), st.booleans(), st.booleans())
@settings(max_examples=30, deadline=None)
def test_an_image_and_its_negative_get_the_same_vector(images: list[np.ndarray], l2: bool, grey: bool, clahe: bool) -> None:
    stage = Plain(l2=l2, prepare={"grayscale": grey, "clahe": clahe, "polarity": True})
    one, other = stage.answer(batch_of(images)), stage.answer(batch_of([255 - image for image in images]))
    assert one["embedding"].equals(other["embedding"])
    if l2:
        np.testing.assert_allclose(np.linalg.norm(to_numpy(one["embedding"]), axis=1), 1, atol=1e-6)


def test_lite0_sees_no_polarity_where_asked_and_sees_it_else(lite0_cache: Path) -> None:
    images = pictures(4)
    images.append(np.random.default_rng(5).integers(0, 256, images[0].shape, dtype=np.uint8))
    negatives = [255 - image for image in images]
    alike, prepared, plain = (set_up(lite0_cache, **p) for p in (STRUCTURAL, {"grayscale": True, "clahe": True}, {}))
    one, other = alike.answer(batch_of(images)), alike.answer(batch_of(negatives))
    assert cosines(one, other).min() >= 0.9999
    assert cosines(one, other, "probabilities").min() >= 0.9999
    assert one.equals(other), "the pair is the same two images, so bits are the same"
    np.testing.assert_allclose(to_numpy(one["probabilities"]).sum(axis=1), 1, atol=1e-4)
    for stage in (prepared, plain):
        assert np.median(cosines(stage.answer(batch_of(images)), stage.answer(batch_of(negatives)))) < 0.98


def test_the_vector_is_the_mean_of_the_two(lite0_cache: Path) -> None:
    images = pictures(2)
    stage = set_up(lite0_cache, **STRUCTURAL)
    first, second = (stage.map(batch_of(which)) for which in stage.prepare.both(images))
    for name in ("embedding", "probabilities"):
        mean = (to_numpy(first[name]) + to_numpy(second[name])) / 2
        np.testing.assert_array_equal(to_numpy(stage.answer(batch_of(images))[name]), mean)


def test_other_columns_are_of_the_image_itself() -> None:
    images = [np.full((24, 32, 3), 10, np.uint8), np.full((24, 32, 3), 200, np.uint8)]
    answer = Plain(prepare={"polarity": True}).answer(batch_of(images))
    assert answer["brightest"].to_pylist() == [10, 200]
    assert answer.schema.equals(Plain().produces())


def test_a_row_is_the_same_bit_for_bit_in_every_batch(lite0_cache: Path) -> None:
    images = pictures(5)
    stage = set_up(lite0_cache, **STRUCTURAL)
    whole = stage.answer(batch_of(images))
    alone = pa.concat_tables([stage.answer(batch_of([image])) for image in images])
    assert whole.equals(alone)


@pytest.mark.parametrize("prepare", [STRUCTURAL, {"clahe": True}, {"trim": {"top": 0.2, "right": 0.5}, "polarity": True}])
def test_third_parties_keep_the_contract_with_it(prepare: dict[str, Any]) -> None:
    check_stage(Plain(prepare=prepare))


def test_lite0_keeps_the_contract_with_it(lite0_cache: Path) -> None:
    check_stage(Lite0(prepare=STRUCTURAL), context=Context(cache=lite0_cache))


def test_no_mean_is_taken_of_some_rows() -> None:
    class Picky(Plain):
        def map(self, batch: Batch) -> pa.Table:
            bad = {place: ValueError("too dark") for place, image in enumerate(batch.images or []) if image.mean() < 20}
            if bad:
                raise RowsFailed(super().map(Batch(batch.rows.slice(0, 0), [])), bad)
            return super().map(batch)

    bright, grey = np.full((24, 32, 3), 250, np.uint8), np.full((24, 32, 3), 100, np.uint8)
    stage = Picky(prepare={"polarity": True})
    assert stage.answer(batch_of([grey])).num_rows == 1
    with pytest.raises(ValueError, match="too dark"):
        stage.answer(batch_of([grey, bright]))


def test_an_embedder_without_pixels_has_nothing_to_prepare() -> None:
    class Words(Plain):
        @property
        def image(self) -> None:  # type: ignore[override]
            return None

    assert Words().pixels is None
    with pytest.raises(StageError, match="leave `prepare` out"):
        _ = Words(prepare={"grayscale": True}).pixels


# What users write.


def test_trim_is_cut_from_the_file() -> None:
    stage = Plain(prepare={"trim": {"top": 0.1, "left": 0.2}})
    assert stage.pixels == ImageSpec(32, 24, fit="stretch", resample="bilinear", trim=(0.1, 0.0, 0.2, 0.0))
    assert Plain(prepare={"grayscale": True}).pixels == Plain().image


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        ({"trim": {"top": 0.6, "bottom": 0.4}}, "top and bottom together cut off everything"),
        ({"trim": {"left": 0.5, "right": 0.5}}, "left and right together"),
        ({"trim": {"top": 1.0}}, "less than 1"),
        ({"trim": {"top": -0.1}}, "greater than or equal to 0"),
        ({"clip": 0.5}, "greater than or equal to 1"),
        ({"clip": 41}, "less than or equal to 40"),
        ({"grid": 0}, "greater than or equal to 1"),
        ({"grid": 65}, "less than or equal to 64"),
        ({"clache": True}, "not permitted"),
    ],
)
def test_wrong_options_are_refused(prepare: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Lite0(prepare=prepare)


PIPELINE = """\
shoal: 1
name: structural
steps:
  - use: index.folder
  - use: embed.lite0
    with: {prepare: {grayscale: true, trim: {bottom: 0.2}}}
"""


def test_overrides_reach_nested_options() -> None:
    host = Host(allow=())
    bare = PIPELINE.replace("    with: {prepare: {grayscale: true, trim: {bottom: 0.2}}}\n", "")
    overrides = ["embed.prepare.clahe=true", "embed.prepare.trim.top=0.1"]
    made = [parse(text, host, overrides).step("embed").stage for text in (bare, PIPELINE)]
    assert made[0] == Lite0(prepare={"clahe": True, "trim": {"top": 0.1}})
    assert made[1] == Lite0(prepare={"clahe": True, "grayscale": True, "trim": {"top": 0.1, "bottom": 0.2}})
    with pytest.raises(PipelineError, match=r"prepare\.grid.*must be at most 64, not 99"):
        parse(bare, host, ["embed.prepare.grid=99"])
    with pytest.raises(PipelineError, match="together cut off everything"):
        parse(bare, host, ["embed.prepare.trim.top=0.6", "embed.prepare.trim.bottom=0.5"])
    with pytest.raises(PipelineError, match=r"prepare\.clache.* does not exist; did you mean 'clahe'"):
        parse(bare, host, ["embed.prepare.clache=true"])
    with pytest.raises(PipelineError, match=r"prepare\.trim\.top` of embed\.lite0 must be a number, not true"):
        parse(bare, host, ["embed.prepare.trim.top=true"])


def test_the_reference_shows_each_nested_option() -> None:
    lines = {line.split(" | ")[0].strip("| `"): line for line in options(Lite0).splitlines()}
    assert lines["prepare.trim.top"].startswith("| `prepare.trim.top` | number, >= 0, < 1 | `0` | ")
    assert lines["prepare"].startswith("| `prepare` | mapping | `{}` | ")
    assert {"prepare.trim", "prepare.clahe", "prepare.polarity", "fit"} <= set(lines)


@pytest.mark.slow
def test_photos_and_their_negatives(photo_set: Path, lite0_cache: Path) -> None:
    paths = sorted(photo_set.rglob("*.webp"))[::9]
    trim = {"top": 0.05}
    stage, plain = set_up(lite0_cache, **STRUCTURAL, trim=trim), set_up(lite0_cache, trim=trim)
    images = [load(str(path), [stage.pixels]).images[0] for path in paths]
    negatives = [255 - image for image in images]
    assert cosines(stage.answer(batch_of(images)), stage.answer(batch_of(negatives))).min() >= 0.9999
    assert np.quantile(cosines(plain.answer(batch_of(images)), plain.answer(batch_of(negatives))), 0.9) < 0.99


def test_defaults_are_nothing() -> None:
    assert not Preparation().touches_pixels
    assert Trim().edges == (0.0, 0.0, 0.0, 0.0)
