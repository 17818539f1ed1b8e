import numpy as np
import pytest
from pydantic import ValidationError

from shoal.contract import ImageSpec
from shoal.errors import StageError
from shoal_plugins.embed.onnx import Onnx
from tests.models.onnx_models import FILTERS, expected, make_conv

from .conftest import assert_rows_stand_alone, batch, fit, vectors

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture
def model(tmp_path):
    return tmp_path / "model.onnx"


def run(stage, images, context):
    stage.setup(context())
    return vectors(stage.map(batch(images)))


@pytest.fixture
def images(pictures):
    return [fit(picture, ImageSpec(32, 32)) for picture in pictures]


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize(("head", "pooling"), [("vector", "none"), ("tokens", "mean"), ("tokens", "cls"), ("map", "mean")])
def test_vectors_are_those_of_the_graph(model, images, context, layout, head, pooling):
    stage = Onnx(path=str(make_conv(model, head=head, layout=layout)), layout=layout, pooling=pooling, mean=MEAN, std=STD)
    maps = [expected(image, 1 / 255, np.array(MEAN), np.array(STD)) for image in images]
    want = [one[:, 0, 0] if pooling == "cls" else one.mean((1, 2)) for one in maps]
    assert stage.size == FILTERS
    assert stage.image == ImageSpec(32, 32)
    assert np.allclose(run(stage, images, context), want, atol=1e-4)


def test_channels_in_bgr_order(model, images, context):
    stage = Onnx(path=str(make_conv(model)), channels="bgr", scale=1.0, mean=(1, 2, 3), std=(4, 5, 6))
    want = [expected(image[:, :, ::-1], 1.0, np.array([1, 2, 3]), np.array([4, 5, 6])).mean((1, 2)) for image in images]
    assert np.allclose(run(stage, images, context), want, atol=1e-3)


def test_a_uint8_model_gets_pixels_as_they_are(model, images, context):
    stage = Onnx(path=str(make_conv(model, dtype="uint8")))
    want = [expected(image, 1.0, np.zeros(3), np.ones(3)).mean((1, 2)) for image in images]
    assert np.allclose(run(stage, images, context), want, rtol=1e-4)


def test_a_half_precision_model(model, images, context):
    stage = Onnx(path=str(make_conv(model, dtype="float16")))
    want = [expected(image, 1 / 255, np.zeros(3), np.ones(3)).mean((1, 2)) for image in images]
    assert np.allclose(run(stage, images, context), want, atol=1e-2)


@pytest.mark.parametrize("size", ["n", 1, 4])
def test_a_row_is_the_same_in_every_batch_also_where_the_graph_fixes_its_size(model, images, context, size):
    stage = Onnx(path=str(make_conv(model, batch=size)))
    stage.setup(context())
    assert_rows_stand_alone(stage, images)


def test_unit_length(model, images, context):
    rows = run(Onnx(path=str(make_conv(model)), l2=True), [*images, np.zeros_like(images[0])], context)
    assert np.allclose(np.linalg.norm(rows, axis=1), [1] * len(images) + [0], atol=1e-6)


@pytest.mark.parametrize("head", ["vector", "tokens", "map"])
def test_a_size_that_the_file_leaves_open_is_worked_out(model, head):
    stage = Onnx(path=str(make_conv(model, head=head, stated=False)), pooling="none" if head == "vector" else "mean")
    assert stage.size == FILTERS


def test_a_size_that_inference_cannot_find_is_seen_in_one_run(model, monkeypatch):
    import onnx

    def fail(*_arguments, **_options):
        raise RuntimeError("an operator of somebody's own")

    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", fail)
    assert Onnx(path=str(make_conv(model, stated=False, side=40))).size == FILTERS


def test_open_sides_are_taken_from_the_options(model):
    path = str(make_conv(model, side=None))
    assert Onnx(path=path, width=64, height=48, overscan=1.25).image == ImageSpec(64, 48, overscan=1.25)
    with pytest.raises(StageError, match="leaves the height of its input open; give `height`"):
        _ = Onnx(path=path).image
    with pytest.raises(StageError, match="takes a width of 32 px only, not 64"):
        _ = Onnx(path=str(make_conv(model)), width=64).image


@pytest.mark.parametrize(
    ("made", "options", "message"),
    [
        ({"head": "two"}, {}, r"several outputs \(vector, tokens\); say which with `output`"),
        ({"head": "two"}, {"output": "vectr"}, "has no output 'vectr'; it has vector, tokens"),
        ({"head": "tokens"}, {}, r"pooling 'none' does not fit .*; set `pooling` to mean or cls"),
        ({"head": "vector"}, {"pooling": "cls"}, "set `pooling` to none"),
        ({}, {"layout": "nhwc"}, "not an RGB image in nhwc"),
    ],
)
def test_what_does_not_fit_is_said(model, made, options, message):
    stage = Onnx(path=str(make_conv(model, **made)), **options)
    with pytest.raises(StageError, match=message):
        _ = stage.image, stage.size


def test_one_of_several_outputs(model, images, context):
    path = str(make_conv(model, head="two"))
    one = run(Onnx(path=path, output="vector"), images, context)
    other = run(Onnx(path=path, output="tokens", pooling="mean"), images, context)
    assert np.allclose(one, other, atol=1e-5)


def test_a_missing_file_and_a_file_of_another_kind(tmp_path):
    with pytest.raises(StageError, match=r"none\.onnx can't be read \(No such file or directory\); correct the path"):
        _ = Onnx(path=str(tmp_path / "none.onnx")).size
    other = tmp_path / "other.onnx"
    other.write_bytes(b"not a graph at all")
    with pytest.raises(StageError, match="is not an ONNX file"):
        _ = Onnx(path=str(other)).size


def test_another_file_is_another_stage_and_a_moved_one_is_not(tmp_path):
    first, second = make_conv(tmp_path / "a.onnx"), make_conv(tmp_path / "b.onnx")
    assert Onnx(path=str(first)) == Onnx(path=str(second))
    before = Onnx(path=str(first)).identity()
    make_conv(first, head="map")
    assert Onnx(path=str(first)).identity() != before


def test_weights_beside_the_file_count_too(tmp_path, images, context):
    path = make_conv(tmp_path / "a.onnx", external=True)
    stage = Onnx(path=str(path))
    before, rows = stage.identity(), run(stage, images, context)
    assert np.abs(rows).max() > 0
    data = tmp_path / "a.onnx.data"
    data.write_bytes(data.read_bytes()[::-1])
    assert stage.identity() != before


def test_a_relative_path_means_the_same_in_every_folder(tmp_path, monkeypatch):
    make_conv(tmp_path / "a.onnx")
    monkeypatch.chdir(tmp_path)
    stage = Onnx(path="a.onnx")
    monkeypatch.chdir("/")
    assert stage.size == FILTERS


@pytest.mark.parametrize("wrong", [{"std": (1, 0, 1)}, {"width": 0}, {"scale": 0}, {"path": ""}, {"pooling": "max"}])
def test_wrong_options_are_refused(wrong):
    with pytest.raises(ValidationError):
        Onnx(**{"path": "a.onnx", **wrong})
