import json
import os
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec

import numpy as np
import pytest

from shoal.contract import Context, ImageSpec
from shoal.errors import StageError
from shoal_plugins.embed import _hub
from shoal_plugins.embed._families import ALIASES
from shoal_plugins.embed._processor import read_preparation
from shoal_plugins.embed.transformers import Transformers

from .conftest import assert_rows_stand_alone, batch, cosines, fit, vectors

if find_spec("torch") is None or find_spec("transformers") is None:
    pytest.skip("the extra transformers is not installed", allow_module_level=True)
from tests.models.tiny_transformers import make_tiny

ALONE = "SHOAL_TEST_ALONE"
FAMILIES = ["dinov2", "dinov2_reg", "vit", "clip", "siglip", "convnext", "convnextv2", "resnet"]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Make each tiny model once: name to (folder, model, processor)."""
    made = {}

    def get(name):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            made[name] = (folder, *make_tiny(name, folder))
        return made[name]

    return get


def ready(folder, context=None, **options):
    stage = Transformers(model=str(folder), **options)
    stage.setup(context or Context())
    return stage


def reference(name, model, processor, pictures):
    """Return what the model's own processor and its authors' pooling give."""
    import torch

    rows = []
    for picture in pictures:
        with torch.inference_mode():
            pixels = processor(images=picture, return_tensors="pt")["pixel_values"]
            if name == "clip":
                output = model.get_image_features(pixel_values=pixels)
                row = getattr(output, "pooler_output", output)
            elif name == "siglip":
                row = model.vision_model(pixel_values=pixels).pooler_output
            elif name in ("convnext", "convnextv2", "resnet"):
                row = model(pixel_values=pixels).pooler_output.flatten(1)
            else:
                row = model(pixel_values=pixels).last_hidden_state[:, 0]
        rows.append(row.numpy()[0])
    return np.stack(rows)


@pytest.mark.parametrize("name", FAMILIES)
def test_vectors_equal_those_of_the_models_own_processor(tiny, name, pictures):
    folder, model, processor = tiny(name)
    stage = ready(folder)
    rows = vectors(stage.map(batch([fit(picture, stage.image) for picture in pictures])))
    want = reference(name, model, processor, pictures)
    assert rows.shape == want.shape == (len(pictures), stage.size)
    assert cosines(rows, want).min() >= 0.999
    assert cosines(rows, np.roll(want, 1, axis=0)).min() < 0.99  # the vectors do depend on the image


@pytest.mark.parametrize("name", FAMILIES)
def test_a_row_is_the_same_in_every_batch(tiny, name, pictures):
    stage = ready(tiny(name)[0])
    assert_rows_stand_alone(stage, [fit(picture, stage.image) for picture in pictures[:5]])


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("dinov2", ImageSpec(56, 56, overscan=64 / 56)),
        ("vit", ImageSpec(48, 48, fit="stretch", resample="bilinear")),
        ("clip", ImageSpec(32, 32)),
        ("siglip", ImageSpec(32, 32, fit="stretch")),
        ("convnext", ImageSpec(64, 64, overscan=73 / 64)),
        ("convnextv2", ImageSpec(384, 384, fit="stretch")),
    ],
)
def test_the_processors_configuration_becomes_an_image_spec(tiny, name, spec):
    assert Transformers(model=str(tiny(name)[0])).image == spec


@pytest.mark.parametrize(
    ("config", "spec", "mean"),
    [  # as they lie on the hub, where many are older than today's keys
        (
            {
                "feature_extractor_type": "CLIPFeatureExtractor",
                "size": 224,
                "crop_size": 224,
                "do_center_crop": True,
                "resample": 3,
            },
            ImageSpec(224, 224),
            0.48145466,
        ),
        (
            {"feature_extractor_type": "ViTFeatureExtractor", "size": 224, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
            ImageSpec(224, 224, fit="stretch", resample="bilinear"),
            0.5,
        ),
        (
            {"feature_extractor_type": "ConvNextFeatureExtractor", "size": 224, "crop_pct": 0.875, "resample": 3},
            ImageSpec(224, 224, overscan=256 / 224),
            0.5,
        ),
        (
            {
                "image_processor_type": "BitImageProcessor",
                "size": {"shortest_edge": 256},
                "crop_size": {"height": 224, "width": 224},
            },
            ImageSpec(224, 224, overscan=256 / 224),
            0.48145466,
        ),
        (
            {"image_processor_type": "SiglipImageProcessor", "size": {"height": 384, "width": 384}},
            ImageSpec(384, 384, fit="stretch"),
            0.5,
        ),
        ({"image_processor": {"image_processor_type": "ViTImageProcessorFast", "do_normalize": False}}, None, 0.0),
    ],
)
def test_older_configurations_are_read(config, spec, mean):
    found = read_preparation(config)
    assert found.mean[0] == mean
    assert spec is None or found.spec == spec


def test_a_processor_without_a_fixed_size_is_refused():
    with pytest.raises(StageError, match="no fixed size"):
        read_preparation({"image_processor_type": "Qwen2VLImageProcessor", "size": {"longest_edge": 1000}})


@pytest.mark.parametrize(
    ("name", "pooling", "size"),
    [
        ("dinov2_reg", "mean", 48),
        ("clip", "pooler", 48),
        ("clip", "cls", 48),
        ("clip", "mean", 48),
        ("clip", "projection", 24),
        ("siglip", "projection", 48),
        ("siglip", "mean", 48),
        ("convnext", "mean", 32),
        ("resnet", "auto", 32),
        ("vit", "pooler", 48),
    ],
)
def test_other_poolings(tiny, name, pooling, size, pictures):
    stage = ready(tiny(name)[0], pooling=pooling)
    assert stage.size == size
    assert vectors(stage.map(batch([fit(pictures[0], stage.image)]))).shape == (1, size)


def test_registers_are_left_out_of_the_mean(tiny, pictures):
    import torch

    folder, model, processor = tiny("dinov2_reg")
    stage = ready(folder, pooling="mean")
    with torch.inference_mode():
        hidden = model(processor(images=pictures[2], return_tensors="pt")["pixel_values"]).last_hidden_state
    row = vectors(stage.map(batch([fit(pictures[2], stage.image)])))
    assert hidden.shape[1] == 1 + 4 + 16
    assert cosines(row, hidden[:, 5:].mean(1).numpy()).min() >= 0.999


@pytest.mark.parametrize(("name", "pooling"), [("dinov2", "projection"), ("siglip", "cls"), ("resnet", "cls")])
def test_a_pooling_that_the_family_lacks_is_refused_at_plan_time(tiny, name, pooling):
    with pytest.raises(StageError, match=f"has no '{pooling}' output; set `pooling` to auto, "):
        _ = Transformers(model=str(tiny(name)[0]), pooling=pooling).size


def test_weights_that_would_be_random_are_refused(tiny):
    folder = tiny("vit_classifier")[0]
    with pytest.raises(StageError, match=r"has no weights for pooler.*would be random; set another `pooling`"):
        ready(folder, pooling="pooler")


def test_a_classifier_gives_its_first_token(tiny, pictures):
    import torch

    folder, model, processor = tiny("vit_classifier")
    stage = ready(folder)
    with torch.inference_mode():
        want = model.vit(processor(images=pictures[0], return_tensors="pt")["pixel_values"]).last_hidden_state[:, 0]
    assert cosines(vectors(stage.map(batch([fit(pictures[0], stage.image)]))), want.numpy()).min() >= 0.999


def test_half_precision_stays_close_and_is_said(tiny, pictures, context, notes):
    folder = tiny("dinov2")[0]
    plain = ready(folder)
    images = batch([fit(picture, plain.image) for picture in pictures])
    half = ready(folder, context(), half="bfloat16")
    assert notes["dtype"] == "mixed bfloat16"
    assert cosines(vectors(half.map(images)), vectors(plain.map(images))).min() >= 0.99
    exact = ready(folder, context(), half="bfloat16", mixed_precision=False)
    assert notes["dtype"] == "float32"
    assert exact.map(images).equals(plain.map(images))


def test_unit_length_and_channels_last(tiny, pictures):
    folder = tiny("convnext")[0]
    plain, other = ready(folder), ready(folder, l2=True, channels_last=True)
    images = batch([fit(picture, plain.image) for picture in pictures])
    rows = vectors(other.map(images))
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    assert cosines(rows, vectors(plain.map(images))).min() >= 0.99999


@pytest.mark.slow
@pytest.mark.timeout(480)
def test_a_compiled_model_gives_the_same_vectors():
    """In a process of its own: setuptools, by which PyTorch finds the compiler, fails where distutils was imported first."""
    if shutil.which("c++") is None:
        pytest.skip("torch.compile needs a C++ compiler")
    command = [sys.executable, "-W", "ignore", "-m", "pytest", "-q", "-W", "ignore"]
    alone = f"{__file__}::test_compiled_alone"
    done = subprocess.run([*command, alone], env={**os.environ, ALONE: "1"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "1 passed" in done.stdout


@pytest.mark.skipif(ALONE not in os.environ, reason="the test before this one runs it in a process of its own")
@pytest.mark.timeout(480)
def test_compiled_alone(tiny, pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))  # nothing that another environment compiled
    folder = tiny("vit")[0]
    plain, compiled = ready(folder), ready(folder, compile=True)
    images = batch([fit(picture, plain.image) for picture in pictures])
    assert np.allclose(vectors(compiled.map(images)), vectors(plain.map(images)), atol=1e-4)
    assert_rows_stand_alone(compiled, images.images)


def test_a_compiler_that_fails_is_said_in_one_sentence(tiny, monkeypatch):
    import torch

    def broken(function, **_options):
        def call(*_arguments):
            raise RuntimeError("no compiler found\nand many more lines")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(StageError, match=r"does not run here \(no compiler found\); set `compile: off`$"):
        ready(tiny("vit")[0], compile=True)


def test_notes_say_what_ran(tiny, context, notes):
    ready(tiny("clip")[0], context())
    assert notes["backend"].startswith("torch ")
    assert (notes["device"], notes["dtype"], notes["commit"]) == ("cpu", "float32", "folder")
    assert "projection, 24 components" in notes["model"]


def test_a_gpu_that_torch_cannot_use_is_said(tiny, context, notes):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this PyTorch can use a GPU")
    ready(tiny("vit")[0], context(gpu=True))
    assert notes["device"] == "cpu"
    assert "PyTorch with CUDA" in notes["device_reason"]


def test_size_and_image_are_known_without_importing_torch(tiny):
    code = (
        "import sys; from shoal_plugins.embed.transformers import Transformers\n"
        f"s = Transformers(model={str(tiny('clip')[0])!r}); s.produces(); s.image; s.identity()\n"
        "print(s.size, sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "24 []\n"


def test_identity_of_a_folder_is_its_content(tiny, tmp_path):
    folder = tiny("vit")[0]
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert Transformers(model=str(copy)) == Transformers(model=str(folder))
    config = json.loads((copy / "preprocessor_config.json").read_text())
    (copy / "preprocessor_config.json").write_text(json.dumps({**config, "image_mean": [0, 0, 0]}))
    assert Transformers(model=str(copy)) != Transformers(model=str(folder))


def test_an_alias_is_the_model_that_it_names():
    assert Transformers(model="dinov2_vits14") == Transformers(model="facebook/dinov2-small")
    assert Transformers().model == "facebook/dinov2-large"
    assert Transformers(revision="abc") != Transformers()
    wanted = {f"dinov2_vit{size}14" for size in "sblg"} | {"clip_vitb32", "clip_vitb16", "clip_vitl14", "clip_vitl14_336"}
    assert wanted | {"convnext_base", "convnext_large"} <= set(ALIASES)


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """A machine without a network and with an empty cache."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # the port that discards; nothing listens there
    _hub._read_from_hub.cache_clear()


def test_without_a_network_one_sentence_comes_fast(offline):
    import transformers  # noqa: F401  (takes seconds that are not meant)

    start = time.monotonic()
    with pytest.raises(StageError, match=r"are not on this machine and http://127.0.0.1:9 can't be reached; run once where"):
        _ = Transformers(model="dinov2_vits14").size
    assert time.monotonic() - start < 20, "the hub's own retries take longer"


def test_offline_mode_is_said(offline, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(StageError, match="not on this machine and HF_HUB_OFFLINE is set"):
        _ = Transformers(model="facebook/dinov2-small").size
    assert constants.HF_HUB_OFFLINE is True


def test_a_model_in_the_hubs_cache_needs_no_network(offline, tiny, tmp_path, pictures):
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "hub" / "models--somebody--tiny"
    shutil.copytree(tiny("vit")[0], cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    stage = ready("somebody/tiny")
    folder = ready(tiny("vit")[0])
    images = batch([fit(picture, stage.image) for picture in pictures])
    assert stage.map(images).equals(folder.map(images))


def test_what_is_wrong_with_a_model_is_said(tiny, tmp_path, offline):
    def saved(name, **config):
        folder = tmp_path / name
        folder.mkdir()
        for file, content in config.items():
            (folder / f"{file}.json").write_text(content if isinstance(content, str) else json.dumps(content))
        return str(folder)

    cases = {
        saved("empty"): "holds no config.json; give a folder written by save_pretrained",
        saved("odd", config={"model_type": "llama"}): "family 'llama', which embed.transformers does not know",
        saved("naflex", config={"model_type": "siglip2"}): "take a SigLIP 2 of fixed size",
        saved("broken", config="{"): "can't be read as JSON",
        saved("list", config="[]"): "holds no JSON object",
        "no such/name here": "is neither a folder here nor a name",
    }
    for model, message in cases.items():
        with pytest.raises(StageError, match=message):
            _ = Transformers(model=model).size


def test_a_folder_without_safetensors_asks_for_leave(tiny, tmp_path, pictures):
    import torch
    from safetensors.torch import load_file

    folder = shutil.copytree(tiny("vit")[0], tmp_path / "old")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(StageError, match=r"has no weights as safetensors .*`allow_pickle: on`"):
        ready(folder)
    allowed, plain = ready(folder, allow_pickle=True), ready(tiny("vit")[0])
    images = batch([fit(picture, plain.image) for picture in pictures])
    assert allowed.map(images).equals(plain.map(images))


def test_values_that_are_not_numbers_are_refused(tiny, pictures):
    import torch

    stage = ready(tiny("vit")[0])
    stage._runner.forward = lambda pixels: torch.full((len(pixels), stage.size), float("nan"))
    with pytest.raises(StageError, match="not numbers; set `mixed_precision: off`"):
        stage.map(batch([fit(pictures[0], stage.image)]))


def test_a_missing_package_is_said_with_the_extra():
    with pytest.raises(StageError, match=r"needs torch_of_nobody, not installed here: pip install 'shoal\[transformers\]'"):
        _hub.need("transformers", "json", "torch_of_nobody")
