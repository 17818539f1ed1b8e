import json
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec

import numpy as np
import pytest

from shoal.contract import Context, ImageSpec
from shoal.errors import StageError
from shoal_plugins.embed.timm import Timm

from .conftest import assert_rows_stand_alone, batch, cosines, fit, vectors

if find_spec("torch") is None or find_spec("timm") is None:
    pytest.skip("the extra timm is not installed", allow_module_level=True)
from tests.models.tiny_timm import SIZES, make_tiny


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Make each tiny model once: name to (folder, model)."""
    made = {}

    def get(name):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            made[name] = (folder, make_tiny(name, folder))
        return made[name]

    return get


def ready(context=None, **options):
    stage = Timm(**options)
    stage.setup(context or Context())
    return stage


@pytest.mark.parametrize("name", sorted(SIZES))
def test_vectors_equal_those_of_timms_own_transform(tiny, name, pictures):
    folder, model = tiny(name)
    import timm
    import torch

    stage = ready(model=str(folder))
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    with torch.inference_mode():
        pixels = torch.stack([transform(picture) for picture in pictures])
        want = model.forward_head(model.forward_features(pixels), pre_logits=True).numpy()
    rows = vectors(stage.map(batch([fit(picture, stage.image) for picture in pictures])))
    assert rows.shape == want.shape == (len(pictures), SIZES[name])
    assert cosines(rows, want).min() >= 0.999
    assert cosines(rows, np.roll(want, 1, axis=0)).min() < 0.999  # the vectors do depend on the image


@pytest.mark.parametrize("name", sorted(SIZES))
def test_a_row_is_the_same_in_every_batch(tiny, name, pictures):
    stage = ready(model=str(tiny(name)[0]))
    assert_rows_stand_alone(stage, [fit(picture, stage.image) for picture in pictures[:5]])


@pytest.mark.parametrize("form", ["safetensors", "pth"])
def test_a_name_with_a_local_file_of_weights(tiny, tmp_path, pictures, form):
    import torch
    from safetensors.torch import load_file

    folder, _ = tiny("test_vit")
    file = folder / "model.safetensors"
    if form == "pth":
        file = tmp_path / "weights.pth"
        torch.save(load_file(folder / "model.safetensors"), file)
    stage, whole = ready(model="test_vit", weights=str(file)), ready(model=str(folder))
    images = batch([fit(picture, whole.image) for picture in pictures])
    assert stage.image == whole.image
    assert stage.map(images).equals(whole.map(images))


def test_a_file_that_holds_code_is_refused(tmp_path):
    import torch

    file = tmp_path / "evil.pth"
    torch.save({"weight": print}, file)
    with pytest.raises(StageError, match=r"evil\.pth does not hold weights of this model \(weights_only=True blocked"):
        ready(model="test_vit", weights=str(file))


def test_weights_of_another_model_are_refused(tiny):
    file = tiny("test_resnet")[0] / "model.safetensors"
    with pytest.raises(StageError, match=r"model\.safetensors has no weights for .*, which would be random"):
        ready(model="test_vit", weights=str(file))


@pytest.mark.parametrize(
    ("model", "size", "spec"),
    [
        ("vit_small_patch14_dinov2.lvd142m", 384, ImageSpec(518, 518)),
        ("resnet50.a1_in1k", 2048, ImageSpec(224, 224, overscan=235 / 224)),
        ("eva02_base_patch14_448", 768, ImageSpec(448, 448, fit="stretch")),
    ],
)
def test_size_and_transform_of_large_models_are_known_without_weights(model, size, spec):
    stage = Timm(model=model)
    assert (stage.size, stage.image) == (size, spec)


def test_the_size_of_the_input_can_be_chosen(tiny):
    assert Timm(image_size=224).image == ImageSpec(224, 224)
    stage = Timm(model="test_resnet", image_size=96)
    assert stage.image == ImageSpec(96, 96, resample="bilinear", overscan=101 / 96)
    assert stage.size == SIZES["test_resnet"]


def test_notes_say_what_ran(tiny, context, notes):
    folder, _ = tiny("test_vit")
    ready(context(), model=str(folder), half="bfloat16")
    assert notes["backend"].startswith("torch ")
    assert (notes["device"], notes["dtype"]) == ("cpu", "mixed bfloat16")
    assert notes["model"] == f"{folder} (64 components)"


def test_identity_of_local_files_is_their_content(tiny, tmp_path):
    folder, _ = tiny("test_vit")
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert Timm(model=str(copy)) == Timm(model=str(folder))
    file = copy / "model.safetensors"
    by_name = Timm(model="test_vit", weights=str(file))
    assert by_name == Timm(model="test_vit", weights=str(folder / file.name))
    before = by_name.identity()
    file.write_bytes(file.read_bytes()[:-1] + b"\x55")
    assert by_name.identity() != before
    assert Timm(model=str(copy)) != Timm(model=str(folder))
    assert Timm(model="test_vit", image_size=64) != Timm(model="test_vit")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("vit_smal_patch14_dinov2", "timm has no model 'vit_smal_patch14_dinov2'; did you mean 'vit_small_patch14_dinov2'"),
        ("vit_small_patch14_dinov2.nobody", "timm can't build .*Invalid pretrained tag"),
        ("timm/vit_small_patch14_dinov2.lvd142m", "a model on the hub is written hf-hub:owner/name"),
        ("zzzzzzzzzzzzzzzz", "`timm.list_models\\(\\)` has all names"),
    ],
)
def test_a_wrong_name_is_said_with_the_nearest(model, message):
    with pytest.raises(StageError, match=message):
        _ = Timm(model=model).size


def test_a_missing_file_of_weights_is_said(tmp_path):
    with pytest.raises(StageError, match=r"none\.safetensors can't be read"):
        Timm(model="test_vit", weights=str(tmp_path / "none.safetensors")).identity()


def test_a_folder_whose_configuration_is_no_model(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "nothing", "pretrained_cfg": {}}))
    with pytest.raises(StageError, match="timm can't build"):
        _ = Timm(model=str(tmp_path)).size


@pytest.mark.parametrize("model", ["test_resnet", "hf-hub:timm/nothing_of_the_kind"])
def test_without_a_network_one_sentence_comes_fast(monkeypatch, tmp_path, model):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # the port that discards; nothing listens there
    start = time.monotonic()
    with pytest.raises(StageError, match=r"are not on this machine and http://127.0.0.1:9 can't be reached; run once where"):
        ready(model=model)
    assert time.monotonic() - start < 15
    assert constants.HF_HUB_OFFLINE is False


def test_a_model_without_weights_is_said():
    with pytest.raises(StageError, match=r"timm has no weights for 'coatnet_0_224'; take one of timm.list_pretrained\(\)"):
        ready(model="coatnet_0_224")


def test_the_module_imports_neither_timm_nor_torch():
    code = "import sys, shoal_plugins.embed.timm; print(sorted({'torch', 'timm', 'huggingface_hub'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
