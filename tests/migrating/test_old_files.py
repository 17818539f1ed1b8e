"""Old files as people wrote them: spellings of keys and values, and files that are wrong or mean harm."""

import time
from pathlib import Path
from typing import Any

import pytest

from shoal.errors import UsageError
from shoal.host import Host
from shoal.migrating import commands, import_config
from shoal.pipeline.plan import plan

from .conftest import Import

SPELLINGS = [
    "clustering:\n  hdbscan:\n    min_cluster_size: 9\n",
    "clustering:\n  hdbscan:\n    min-cluster-size: 9\n",
    "clustering:\n  hdbscan:\n    minClusterSize: 9\n",
    "clustering:\n  HDBSCAN:\n    Min Cluster Size: '9'\n",
    "clustering:\n  min_cluster_size: 9.0\n",
    "hdbscan: {min_cluster_size: 9}\n",
    "min_cluster_size: 9\n",
    "hdbscan_min_cluster_size: 9\n",
    "clusterMinClusterSize: 9\n",
    "config:\n  clustering:\n    hdbscan: {min_cluster_size: 9}\n",
    '{"clustering": {"hdbscan": {"min_cluster_size": 9}}}',
    "# saved on Windows\r\nclustering:\r\n  hdbscan:\r\n    min_cluster_size: 9\r\n",
    "\ufeffmin_cluster_size: 9\n",
]


@pytest.mark.parametrize("text", SPELLINGS)
def test_spellings_of_a_key(text: str, imported: Import) -> None:
    made = imported(text)
    assert made.pipeline.step("cluster").stage.model_dump()["min_cluster_size"] == 9
    assert made.notes == ()


@pytest.mark.parametrize(
    ("old", "step", "option", "value"),
    [
        ({"mixed_precision": "off"}, "embed", "mixed_precision", False),
        ({"mixed_precision": 0}, "embed", "mixed_precision", False),
        ({"embedding": {"provider": "clip", "backbone": "ViT-L/14@336px"}}, "embed", "model", "openai/clip-vit-large-patch14-336"),  # noqa: E501
        ({"embedding": {"provider": "DINOv2", "backbone": "vitb14"}}, "embed", "model", "facebook/dinov2-base"),
        ({"backbone": "convnext-base"}, "embed", "model", "facebook/convnext-base-224-22k"),
        ({"backbone": "owner/my-dino"}, "embed", "model", "owner/my-dino"),
        ({"image_formats": [".TIF", "*.png"]}, "index", "formats", ("tif", "png")),
        ({"clustering": {"backend": "dbscan", "max_noise_ratio": 15}}, "cluster", "max_noise_ratio", 0.15),
        ({"clustering": {"backend": "DBSCAN", "min_samples": 4}}, "cluster", "min_samples", 4),
        ({"clustering": {"backend": "dbscan", "metric": "cosine"}}, "cluster", "metric", "cosine"),
        ({"label_length": [2, 3]}, "label", "max_words", 3),
        ({"label_length": {"min": 2, "max": 3}}, "label", "min_words", 2),
        ({"language": {"label_min_words": 1}}, "label", "min_words", 1),
        ({"label_max_words": 3}, "label", "min_words", 3),
        ({"label_min_words": 12}, "label", "max_words", 12),
        ({"vlm": {"model": "Qwen2-VL-7B"}}, "caption", "model", "Qwen/Qwen2-VL-7B-Instruct"),
        ({"vlm": {"max_pixels": 262144}}, "caption", "longest_side", 512),
        ({"vlm": {"quantisation": False}}, "caption", "quantisation", "none"),
        ({"reducer": "PCA"}, "position", "normalize_output", False),
    ],
)  # fmt: skip
def test_spellings_of_a_value(old: dict[str, Any], step: str, option: str, value: Any, imported: Import) -> None:
    assert getattr(imported(old).pipeline.step(step).stage, option) == value


def test_no_pca_clusters_the_embeddings(imported: Import) -> None:
    made = imported({"pca_components": 0}).pipeline
    assert made.step("cluster").sources == ("embed",)
    assert made.step("embed").stage.model_dump()["l2"] is True
    assert "reduce" not in made.names


@pytest.mark.parametrize(("mode", "only"), [("representative", ("sample", "noise")), ("all", ())])
def test_tags_are_made_where_captions_are(mode: str, only: tuple[str, ...], imported: Import) -> None:
    """They serve `--set caption=tags`, and should cost nothing where a model captions."""
    made = imported({"caption_mode": mode}).pipeline
    assert made.step("tags").only == only
    assert made.names.index("tags") == made.names.index("caption") - 1


def test_no_captions(imported: Import) -> None:
    made = imported({"vlm": {"scale": "skip", "dtype": "float16"}, "language": {"label_length": "5-10"}})
    assert made.pipeline.step("caption").stage.title() == "caption.skip"
    assert [note.partition(": no effect, ")[2] for note in made.notes] == ["because captions are skipped (scale: skip)"] * 2


def test_an_endpoint(imported: Import) -> None:
    old = {
        "source": "endpoint",
        "base_url": "https://me:hush@example.org/v1",
        "api_key": "sk-hush",
        "model": "m",
        "caption_batch": 9,
    }
    made = imported({"vlm": old})
    stage = made.pipeline.step("caption").stage
    assert stage.title() == "caption.openai"
    assert stage.model_dump()["concurrency"] == 9
    assert "hush" not in repr(made)
    assert any("OPENAI_API_KEY" in note and "never copied" in note for note in made.notes)


@pytest.mark.parametrize("name", ["api_key", "API-Key", "openaiApiKey", "token"])
@pytest.mark.parametrize("value", ["sk-hush", ["sk-hush"], {"value": "sk-hush"}])
def test_no_secret_gets_out(name: str, value: Any, imported: Import) -> None:
    made = imported({"vlm": {name: value}})
    assert "hush" not in repr(made) + "".join(commands(made, "p.yaml"))
    with pytest.raises(UsageError) as told:
        imported({"data": {name: value}, "top": value})
    assert "hush" not in str(told.value)


def test_commands_can_be_pasted(imported: Import) -> None:
    old = {"input_dir": "my photos; rm -rf /", "output_root": "res", "device": "cuda:1", "log_level": "DEBUG",
           "force_index": True, "force_embedding": True, "rule": "label@original", "write_caption_files": "no"}  # fmt: skip
    run, organize, export = commands(imported(old), "p.yaml")
    assert run == (
        "CUDA_VISIBLE_DEVICES=1 shoal run p.yaml 'my photos; rm -rf /' --out res/store --debug --force index,embed"
    )
    assert organize == "shoal organize res/store --to res/sorted --rule label@original --mode move"
    assert export == "shoal export res/store --as workflow --to res/workflow --no-caption-files"


@pytest.mark.parametrize(
    ("root", "cache", "store"),
    [("res", "kept", "kept"), ("res", "res", "res/store"), ("res/a", "res", "res/a/store"), ("res", "res/kept", "res/kept")],
)
def test_files_never_go_into_the_store(root: str, cache: str, store: str, imported: Import) -> None:
    run, organize, _ = commands(imported({"output_root": root, "cache_folder": cache}), "p.yaml")
    assert f"--out {store}" in run
    assert f"--to {root}/sorted" in organize


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sampling: {top_q: 3}", r"old0.yaml:1: unknown option `top_q`; did you mean `top_k`\?"),
        ("\n\nmin_cluster_sizes: 3", r"old0.yaml:3: unknown option `min_cluster_sizes`; did you mean `min_cluster_size`\?"),
        ("vlm: {top_k: 3}", r":1: unknown option `top_k` of `vlm`; it belongs below `sampling:`"),
        ("frobnicate: 3", r":1: unknown option `frobnicate`; take it out, or mend its name"),
        ("frobnicate: {a: 3}", r":1: unknown section `frobnicate`; sections here: data, embedding"),
        ("clustering: {backend: optics}", r":1: `backend` \(backend\) must be hdbscan or dbscan or .*, not 'optics'"),
        ("batch_size: many", r":1: `batch_size` \(batch size\) must be a whole number, not 'many'"),
        ("batch_size: [1, 2]", r":1: `batch_size` .* must be a whole number, not \[1, 2\]"),
        ("batch_size: true", r":1: `batch_size` .* must be a whole number, not true"),
        ("batch_size: 1e400", r":1: `batch_size` .* must be a whole number"),
        ("mixed_precision: maybe", r":1: `mixed_precision` .* must be on or off, not 'maybe'"),
        ("label_length: 10-5", r":1: `label_length` .* must begin with the smaller number"),
        ("label_length: 7", r":1: `label_length` .* must be two numbers such as 5-10, not 7"),
        ("hdbscan: {min_samples: 99}", r"old0.yaml:1: `min_samples`: .*must be at most 30, not 99"),
        ("caption_prompt: 'Say {name}'", r"old0.yaml:1: `caption_prompt`: .*unknown placeholder \{name\}"),
        (
            "embedding: {provider: CLIP, backbone: dinov2_vits14}",
            r":1: `backbone`: dinov2_vits14 is not of the provider clip",
        ),
        ("backbone: resnet50", r":1: `backbone`: must be one of dinov2_vits14, .*, an id on the hub or a folder"),
        ("seed: 1\nrandom_seed: 2", r":2: `random_seed` is given already as `seed` \(.*:1\); keep one"),
        ("seed: 1\nseed: 2", r":2: `seed` is given twice"),
        ("model: x", r":1: `model` may mean backbone \(`embedding: model`\) or model id \(`vlm: model`\); put it"),
        ("sampling: nearest", r":1: `sampling` is a section, so its options stand below it"),
        ("data:\n\tinput_dir: x", r":2: a tab is used for indenting; use spaces"),
        ("- a\n- b", r":1: a configuration is a mapping of options"),
        ("just words", r":1: a configuration is a mapping of options"),
        ("a: [1", r"not YAML"),
        ("a: !!python/object/apply:os.system [x]", r"the tag .* is not allowed"),
        ("base: &b {seed: 1}\noutput:\n  <<: *b\n", r"merge keys .* are not supported"),
        ("shoal: 1\nsteps: []", r"is a pipeline file of shoal already; `shoal run .* IMAGES` runs it"),
        ("seed: 1\n---\nseed: 2", r"a second document starts here"),
        ("a: \x07", r"character U\+0007 is not allowed"),
        (
            "vlm: {source: endpoint}",
            r"`scale`: names no model of an endpoint; add `model:`|option `model` of caption.openai",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, said: str, imported: Import) -> None:
    with pytest.raises(UsageError, match=said):
        imported(text)


def test_everything_wrong_is_told_at_once(imported: Import) -> None:
    with pytest.raises(UsageError) as told:
        imported("seed: x\nfoo: 1\nbatch_size: y\n")
    assert [line.rpartition(".yaml:")[2].partition(":")[0] for line in str(told.value).splitlines()] == ["1", "3", "2"]


def test_thousands_of_mistakes_are_cut_short(imported: Import) -> None:
    with pytest.raises(UsageError) as told:
        imported("".join(f"foo{number}: 1\n" for number in range(5000)))
    assert len(str(told.value).splitlines()) == 31
    assert str(told.value).endswith("... and 4970 more")


def test_bombs_end_at_once(imported: Import) -> None:
    laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
    )
    began = time.process_time()
    for text in (laughs, "[" * 10_000, "{a: " * 5000, "x: " + "y" * 300_000, "seed: " + "9" * 5000):
        with pytest.raises(UsageError):
            imported(text)
    assert time.process_time() - began < 5


def test_files_that_cannot_be_read(host: Host, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be read: No such file"):
        import_config(tmp_path / "none.yaml", host)
    with pytest.raises(UsageError, match="can't be read: Is a directory"):
        import_config(tmp_path, host)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"a: \xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8 text"):
        import_config(binary, host)
    with pytest.raises(UsageError, match="no workflow is called 'x'; known: semantic-cluster"):
        import_config(binary, host, workflow="x")


def test_unknown_keys_can_be_left_out(imported: Import) -> None:
    made = imported("foo: 1\nseed: 7\n", ignore_unknown=True)
    assert [note.partition(".yaml")[2] for note in made.notes] == [
        ":1: unknown option `foo`; take it out, or mend its name (left out)"
    ]
    assert made.pipeline.step("position").stage.model_dump()["seed"] == 7


@pytest.mark.parametrize(
    ("old", "changed"),
    [
        ({}, set()),
        ({"num_workers": 9, "output_root": "x", "batch_size": 3, "device": "cpu"}, set()),
        ({"rescue_threshold": 0.8}, {"rescue"}),
        ({"sampling": {"top_k": 3}}, {"sample"}),
        ({"label_length": "1-3"}, {"label", "rescue"}),
    ],
)
def test_only_what_an_option_changes_is_computed_again(old: dict[str, Any], changed: set[str], imported: Import) -> None:
    """By the fingerprints that rows are kept by; shoal's own embedder needs no download to plan."""
    first, second = (_fingerprints(imported(said, shoal_defaults=True)) for said in ({}, old))
    assert {name for name in first if first[name] != second[name]} == changed


def _fingerprints(made: Any) -> dict[str, str]:
    steps = plan(made.pipeline).steps
    return {step.name: step.fingerprint for step in steps if step.stage.kind != "visualize"}
