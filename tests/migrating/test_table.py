"""Every option of the workflow has a home, and an old file that sets it changes that place and no other promise.

`OPTIONS` is the list of the workflow's option tables, in our words: section, option, another value than the default one,
as a file would say it, what else the file must say for it to matter, and what it becomes.
"""

import pytest

from shoal.host import Host
from shoal.migrating import MOOT, TABLES, commands
from shoal.pipeline import parse

from .cases import Case, at, has, nested, row_of, titled
from .conftest import Import

TABLE = TABLES[0]
DBSCAN = {"clustering": {"backend": "dbscan"}}
RANDOM = {"sampling": {"strategy": "random"}}
ENDPOINT = {"vlm": {"source": "endpoint", "model_id": "some-model", "base_url": "http://127.0.0.1:8000/v1"}}


OPTIONS = [
    Case("data", "input directory", "my photos", "run IMAGES", "my photos"),
    Case("data", "formats", "jpg,.PNG", "index.formats", ("jpg", "png")),
    Case("data", "min size in KB", 12, "index.min_kb", 12),
    Case("data", "max size in MB", 40, "index.max_mb", 40),
    Case("data", "excluded folders", "tmp, old", "index.exclude", ("tmp", "old")),
    Case("embedding", "provider", "CLIP", "embed.model", "openai/clip-vit-large-patch14"),
    Case("embedding", "backbone", "dinov2_vits14", "embed.model", "facebook/dinov2-small"),
    Case("embedding", "batch size", 48, "embed.run.batch", 48),
    Case("embedding", "PCA components", 64, "reduce.components", 64),
    Case("embedding", "device", "cpu", "embed.run.gpus", 0),
    Case("embedding", "mixed precision", "off", "embed.mixed_precision", False),
    Case("embedding", "model compile", "on", "embed.compile", True),
    Case("embedding", "embedding cache", "off", "run --force", "embed"),
    Case("embedding", "prefetch", 8, MOOT, "kept supplied"),
    Case("embedding", "workers", 16, MOOT, "embed.run.actors"),
    Case("clustering", "backend", "dbscan", "cluster", "cluster.dbscan"),
    Case("clustering", "GPU (cuML)", True, "cluster.run.gpus", 1),
    Case("clustering", "metric", "cosine", "cluster.metric", "cosine"),
    Case("clustering.dbscan", "eps", 0.9, "cluster.eps", 0.9, DBSCAN),
    Case("clustering.dbscan", "metric", "cosine", "cluster.metric", "cosine", DBSCAN),
    Case("clustering.dbscan", "algorithm", "ball_tree", "cluster.algorithm", "ball_tree", DBSCAN),
    Case("clustering.dbscan", "mode", "noise_control", "cluster.mode", "noise_control", DBSCAN),
    Case("clustering.dbscan", "max noise ratio", "30 %", "cluster.max_noise_ratio", 0.3, DBSCAN),
    Case("clustering.hdbscan", "min samples", 7, "cluster.min_samples", 7),
    Case("clustering.hdbscan", "min cluster size", None, "cluster.min_cluster_size", None),
    Case("clustering.hdbscan", "selection method", "eom", "cluster.selection_method", "eom"),
    Case("clustering.hdbscan", "selection epsilon", 0.1, "cluster.selection_epsilon", 0.1),
    Case("clustering.hdbscan", "selection persistence", 0, "cluster.selection_persistence", 0),
    Case("clustering.hdbscan", "alpha", 1.5, "cluster.alpha", 1.5),
    Case("sampling", "top-K per cluster", 5, "sample.per_cluster", 5),
    Case("sampling", "strategy", "stratified", "sample", "sample.stratified"),
    Case("vlm", "scale", "large", "caption.model", "Qwen/Qwen2-VL-7B-Instruct"),
    Case("vlm", "model id", "owner/some-vlm", "caption.model", "owner/some-vlm"),
    Case("vlm", "source", "ModelScope", "caption.source", "modelscope"),
    Case("vlm", "API key", "${MY_KEY}", "caption.key_env", "MY_KEY", ENDPOINT),
    Case("vlm", "dtype", "float16", "caption.dtype", "float16"),
    Case("vlm", "flash attention", True, MOOT, "fastest attention"),
    Case("vlm", "caption batch", 9, "caption.run.batch", 9),
    Case("vlm", "longest side", 0, "caption.longest_side", 0),
    Case("vlm", "quantisation", "4bit", "caption.quantisation", "int4"),
    Case("vlm", "caption mode", "all", "caption.only", ()),
    Case("language", "caption prompt", "What is it? ({caption_length})", "caption.prompt", "What is it? ({caption_length})"),
    Case("language", "caption length", 20, "caption.caption_length", 20),
    Case("language", "keyword prompt", "Words of: {description}", "distil.prompt", "Words of: {description}"),
    Case("language", "label length", "2 to 4", "label.max_words", 4),
    Case("language", "label cut", 100, "label.max_characters", 100),
    Case("language", "max keywords", 5, "label.max_keywords", 5),
    Case("language", "label prompt", "Name it: {description}", "distil.label_prompt", "Name it: {description}"),
    Case("language.rescue", "rescue threshold", 0.75, "rescue.threshold", 0.75),
    Case("language.rescue", "similarity", "cosine", MOOT, "always the cosine"),
    Case("language", "write caption files", "off", "export --no-caption-files", None),
    Case("language", "write keyword files", "off", "export --no-keyword-files", None),
    Case("output", "map", "t-SNE", "position", "reduce.tsne"),
    Case("output", "thumbnail cache", "off", MOOT, "kept like every other row"),
    Case("output", "seed", 7, "position.seed", 7, RANDOM),
    Case("output", "output root", "results", "run OUTPUT", "results"),
    Case("output", "cache folder", "kept", "run --out", "kept"),
    Case("output", "log level", "WARNING", "run --quiet", None),
    Case("output", "force re-run of index", True, "run --force", "index"),
    Case("output", "force re-run of embedding", True, "run --force", "embed"),
    Case("naming", "rule", "cluster_id@label", "organize --rule", "cluster_id@label"),
]


def test_the_table_has_the_options_of_the_workflow_and_no_other() -> None:
    listed = [(row.section, row.name) for row in TABLE.rows if row.listed]
    assert sorted(listed) == sorted((case.section, case.option) for case in OPTIONS)


@pytest.mark.parametrize("case", OPTIONS, ids=titled)
def test_an_old_file_changes_the_promised_place(case: Case, imported: Import) -> None:
    before, after = imported(case.beside), imported(nested(TABLE, case, case.value))
    if case.place == MOOT:
        assert row_of(TABLE, case).moot
        assert len(after.notes) == 1 + len(before.notes)
        assert any("no effect" in note and case.becomes in note for note in after.notes)
        assert after.pipeline == before.pipeline
        return
    home = case.place.removeprefix("run OUTPUT") or "shoal export --to"
    spoken = {"run IMAGES": "shoal run IMAGES", "embed.model": "embed"}.get(home, home)
    assert any(spoken in promised or home in promised for promised in row_of(TABLE, case).home), row_of(TABLE, case).home
    if " " in case.place:
        assert at(after, case.place) == [case.becomes]
        assert at(before, case.place) != [case.becomes]
    else:
        assert at(after, case.place) == case.becomes
        assert not has(before.pipeline, case.place) or at(before, case.place) != case.becomes


@pytest.mark.parametrize("case", OPTIONS, ids=titled)
def test_every_home_is_a_place_that_exists(case: Case, imported: Import, host: Host) -> None:
    """The table promises no option that a stage lacks and no flag that a command lacks."""
    from typer.main import get_command

    from shoal.cli.app import build

    cli = get_command(build(["run"]))
    made = imported(nested(TABLE, case, case.value))
    for home in row_of(TABLE, case).home:
        if home == MOOT or home.startswith("$"):
            continue
        if home.startswith("shoal "):
            _, command, flag, *_ = home.split()
            parameters = [*cli.params, *cli.commands[command].params]  # type: ignore[attr-defined]
            names = [name for p in parameters for name in (*p.opts, *p.secondary_opts, p.metavar)]
            assert flag in names, home
        else:
            assert has(made.pipeline, home), home


@pytest.mark.parametrize("case", [case for case in OPTIONS if case.place != MOOT], ids=titled)
def test_the_file_reads_back_as_the_same_pipeline(case: Case, imported: Import, host: Host) -> None:
    made = imported(nested(TABLE, case, case.value))
    assert parse(made.text, host).steps == made.pipeline.steps
    assert commands(made, "pipeline.yaml")


def test_no_option_is_called_twice_the_same() -> None:
    from shoal.migrating.table import squash

    for one in TABLE.rows:
        names = [squash(name) for name in (one.spelled, *one.keys)]
        assert len(set(names)) == len(names), one.key
        for name in (one.spelled, *one.keys):
            assert one in TABLE.candidates(one.section, name) or one.unless is not TABLE.rows[0].unless, (one.key, name)


def test_the_defaults_are_the_workflows(imported: Import) -> None:
    made = imported({})
    seen = {
        "embed.model": "facebook/dinov2-large", "embed.run.batch": 16, "reduce": "reduce.pca", "reduce.components": 256,
        "cluster": "cluster.hdbscan", "cluster.selection_method": "leaf", "cluster.min_samples": 2,
        "cluster.min_cluster_size": 5, "cluster.selection_persistence": 0.4, "sample": "sample.nearest",
        "sample.per_cluster": 2, "caption.model": "Qwen/Qwen2-VL-2B-Instruct", "caption.caption_length": 50,
        "caption.longest_side": 512, "label.min_words": 5, "label.max_words": 10, "label.max_keywords": 8,
        "label.max_characters": 512, "rescue.threshold": 0.6, "position": "reduce.umap", "position.seed": 42,
        "index.formats": ("jpg", "jpeg", "png", "webp", "bmp", "tiff"), "caption.only": ("sample", "noise"),
    }  # fmt: skip
    assert {place: at(made, place) for place in seen} == seen
    assert made.notes == ()


def test_shoals_own_defaults_on_request(imported: Import) -> None:
    made = imported({"clustering": {"hdbscan": {"min_samples": 9}}}, shoal_defaults=True)
    assert at(made, "embed") == "embed.lite0"
    assert at(made, "reduce") == "reduce.umap"
    assert at(made, "cluster.min_samples") == 9
