"""Every option of the workflow `structural-clusters` has a home; a tuner's ranges become a space file.

`OPTIONS` is the list of the workflow's options, as in `test_table.py`.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from shoal.errors import UsageError
from shoal.host import Host
from shoal.migrating import TABLES, Imported, commands, write
from shoal.pipeline import parse

from .cases import Case, at, has, nested, row_of, titled
from .conftest import Import

TABLE = TABLES[1]
PHASES = {"tuning": {"phases": {"two_phases": True}}}

OPTIONS = [
    Case("data", "input folder", "my scans", "run IMAGES", "my scans"),
    Case("data", "output folder", "results", "run OUTPUT", "results"),
    Case("data", "mode", "Hard Link", "organize --mode", "hardlink"),
    Case("data", "extensions", ["*.TIF", "png"], "index.formats", ("tif", "png")),
    Case("model", "model", "resnet50", "embed.model", "resnet50.tv2_in1k"),
    Case("model", "batch", 8, "embed.run.batch", 8),
    Case("model", "image size", 518, "embed.image_size", 518),
    Case("model", "device", "cpu", "embed.run.gpus", 0),
    Case("preparation.clahe", "CLAHE", "off", "embed.prepare.clahe", False),
    Case("preparation.clahe", "clip limit", 4.5, "embed.prepare.clip", 4.5),
    Case("preparation.clahe", "grid", "16x16", "embed.prepare.grid", 16),
    Case("preparation", "polarity invariance", "off", "embed.prepare.polarity", False),
    Case("preparation", "L2", "off", "embed.l2", False),
    *(Case("preparation.trim", f"trim {edge}", 0.125, f"embed.prepare.trim.{edge}", 0.125)
      for edge in ("top", "bottom", "left", "right")),
    Case("reduction.pca", "PCA", 64, "reduce.pca", 64),
    Case("reduction.umap", "UMAP components", 5, "reduce.components", 5),
    Case("reduction.umap", "neighbours", 30, "reduce.neighbors", 30),
    Case("reduction.umap", "min distance", 0, "reduce.min_dist", 0),
    Case("reduction.umap", "metric", "Euclidean", "reduce.metric", "euclidean"),
    Case("clustering.hdbscan", "min cluster size", 25, "cluster.min_cluster_size", 25),
    Case("clustering.hdbscan", "min samples", 5, "cluster.min_samples", 5),
    Case("clustering.hdbscan", "selection epsilon", 0.25, "cluster.selection_epsilon", 0.25),
    Case("clustering.hdbscan", "selection method", "EOM", "cluster.selection_method", "eom"),
    Case("clustering", "noise", "assign_to_nearest", "cluster.noise", "nearest"),
    Case("purity.thresholds", "max centroid cosine", 0.8, "purity.max_centroid_cosine", 0.8),
    Case("purity.thresholds", "silhouette", 0.3, "purity.min_silhouette", 0.3),
    Case("purity.thresholds", "max NN cross ratio", 0.2, "purity.max_nn_cross_ratio", 0.2),
    Case("plots", "scatter points", 2000, "scatter.most", 2000),
    Case("plots", "grid samples", 25, "grid.samples", 25),
    Case("plots", "preparation samples", 4, "preparation.samples", 4),
    Case("plots", "thumbnails", 120, "scatter.cell", 120),
    Case("yolo", "YOLO labels", "on", "organize --yolo", None),
    Case("yolo", "image folder", "images", "organize --set", "yolo_images=images"),
    Case("yolo", "label folder", "labels", "organize --set", "yolo_labels=labels"),
    Case("yolo", "label extension", "json", "organize --set", "yolo_extension=.json"),
    Case("cache", "feature cache", "off", "run --force", "embed"),
    Case("acceleration", "acceleration", "cuda", "cluster.backend", "cuml"),
    Case("tuning", "search", "evolutionary", "tune --search", "evolution"),
    Case("tuning.phases", "two phases", "on", "tune --two-phases", None),
    Case("tuning.phases", "fraction", "20 %", "tune --fraction", "0.2", PHASES),
    Case("tuning.phases", "budget ratio", 0.7, "tune --ratio", "0.7", PHASES),
    Case("tuning.phases", "top-k seeds", 7, "tune --top", "7", PHASES),
    Case("tuning.stop", "patience", 4, "tune --patience", "4"),
    Case("tuning.stop", "minimum evaluations", 90, "tune --least", "90"),
    Case("tuning", "plots for the top N", 5, "tune --full", "5"),
]  # fmt: skip


@pytest.fixture
def old(imported: Import) -> Import:
    """Import files of this workflow."""
    return lambda given, **options: imported(given, workflow="structural-clusters", **options)


def test_the_table_has_the_options_of_the_workflow_and_no_other() -> None:
    listed = [(row.section, row.name) for row in TABLE.rows if row.listed]
    assert sorted(listed) == sorted((case.section, case.option) for case in OPTIONS)


@pytest.mark.parametrize("case", OPTIONS, ids=titled)
def test_an_old_file_changes_the_promised_place(case: Case, old: Import) -> None:
    before, after = old(case.beside), old(nested(TABLE, case, case.value))
    if " " in case.place:
        assert case.becomes in at(after, case.place)
        assert case.becomes not in at(before, case.place)
    else:
        assert at(after, case.place) == case.becomes
        assert at(before, case.place) != case.becomes


@pytest.mark.parametrize("case", OPTIONS, ids=titled)
def test_every_home_is_a_place_that_exists(case: Case, old: Import) -> None:
    from typer.main import get_command

    from shoal.cli.app import build

    cli = get_command(build(["run"]))
    made = old(nested(TABLE, case, case.value))
    for home in row_of(TABLE, case).home:
        if home.startswith("$"):
            continue
        if home.startswith("shoal "):
            _, command, flag, *_ = home.split()
            parameters = [*cli.params, *cli.commands[command].params]  # type: ignore[attr-defined]
            assert flag in [name for p in parameters for name in (*p.opts, *p.secondary_opts, p.metavar)], home
        else:
            assert has(made.pipeline, home), home


@pytest.mark.parametrize("case", OPTIONS, ids=titled)
def test_the_file_reads_back_as_the_same_pipeline(case: Case, old: Import, host: Host) -> None:
    made = old(nested(TABLE, case, case.value))
    assert parse(made.text, host).steps == made.pipeline.steps


def test_no_key_is_called_twice_the_same() -> None:
    for row in TABLE.rows:
        for name in (row.spelled, *row.keys):
            meant = TABLE.candidates(row.section, name)
            assert row in meant, (row.key, name)
            assert [other for other in meant if other.section == row.section] == [row], (row.key, name)


def test_the_defaults_are_the_workflows(old: Import) -> None:
    made = old({})
    seen = {
        "embed": "embed.timm", "embed.model": "vit_small_patch14_dinov2.lvd142m", "embed.image_size": 224,
        "embed.run.batch": 32, "embed.l2": True, "embed.prepare.grayscale": True, "embed.prepare.clahe": True,
        "embed.prepare.clip": 3.0, "embed.prepare.grid": 8, "embed.prepare.polarity": True,
        "embed.prepare.trim.edges": (0, 0, 0, 0), "reduce.pca": 50, "reduce.components": 10, "reduce.neighbors": 15,
        "reduce.min_dist": 0.1, "reduce.metric": "cosine", "cluster.min_cluster_size": 50, "cluster.min_samples": 10,
        "cluster.selection_epsilon": 0.0, "cluster.selection_method": "leaf", "cluster.noise": "separate",
        "scatter.most": 5000, "grid.samples": 16, "preparation.samples": 8, "thumbnail.size": 80, "scatter.cell": 80,
    }  # fmt: skip
    assert {place: at(made, place) for place in seen} == seen
    assert made.notes == ()
    assert commands(made, "p.yaml") == [
        "shoal run p.yaml photos/ --out out/store",
        "shoal organize out/store --to out/sorted --rule cluster_id",
        "shoal export out/store --as structural --to out/structural",
    ]


def test_the_recipe_itself_has_the_workflows_defaults(old: Import) -> None:
    """But for the embedder, which needs no download."""
    recipe, workflow = old({}, shoal_defaults=True), old({})
    assert at(recipe, "embed") == "embed.lite0"
    assert at(recipe, "embed.prepare") == at(workflow, "embed.prepare")
    for step in ("thumbnail", "reduce", "cluster", "purity", "scatter", "grid", "sizes", "preparation"):
        assert recipe.pipeline.step(step).stage == workflow.pipeline.step(step).stage


@pytest.mark.parametrize(
    ("text", "place", "value"),
    [
        ("preprocessing: {clahe: {enabled: true, clip_limit: 2, grid_size: [4, 4]}}", "embed.prepare.grid", 4),
        ("clahe: {clip_limit: 2}", "embed.prepare.clip", 2),
        ("clahe_clip_limit: 2", "embed.prepare.clip", 2),
        ("trim: {top: 5 %}", "embed.prepare.trim.top", 0.05),
        ("trim_left: 0.2", "embed.prepare.trim.left", 0.2),
        ("umap: {n_components: 4}", "reduce.components", 4),
        ("n_neighbors: 9", "reduce.neighbors", 9),
        ("seed: 7", "reduce.seed", 7),
        ("backbone: ViTB14", "embed.model", "vit_base_patch14_dinov2.lvd142m"),
        ("model: owner/my-dino", "embed.model", "owner/my-dino"),
        ("acceleration: cpu", "purity.run.gpus", 0),
        ("acceleration: {clustering: cuda}", "cluster.backend", "cuml"),
        ("acceleration: {clustering: cuda}", "reduce.backend", "auto"),
        ("noise_handling: nearest_centroid", "cluster.noise", "nearest"),
        ("purity: {max_centroid_cosine: 0.7}", "purity.max_centroid_cosine", 0.7),
    ],
)
def test_spellings(text: str, place: str, value: Any, old: Import) -> None:
    assert at(old(f"{text}\n"), place) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("min_cluster_size: 8\n", "min_samples (10) is over min_cluster_size (8)"),
        ("clustering: {min_samples: 9, min_cluster_size: 8}\n", "min_samples (9) is over min_cluster_size (8)"),
        ("model: vgg16\n", "must be one of dinov2_vits14"),
        ("preparation: {grid: [8, 4]}\n", "as many tiles across as down"),
        ("tuning: {space: {reduction.umap_componets: [2]}}\n", "did you mean `umap_components`"),
        ("tuning: {space: {min_samples: [many]}}\n", "must be a whole number"),
        ("tuning: {space: {min_samples: {min: 2}}}\n", "must be a list of values, or a range"),
        ("tuning: {space: {min_samples: []}}\n", "must have one value at least"),
        ("tuning: {space: {min_samples: [2], clustering.min_samples: [3]}}\n", "is given already"),
        ("tuning: {space: {selection_epsilon: [0.1, 9]}}\n", "`selection_epsilon`"),
        ("tuning: {space: {image_folder: [a, b]}}\n", "can't be tuned"),
        ("tuning: {space: [7]}\n", "one option a line"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, said: str, old: Import) -> None:
    with pytest.raises(UsageError) as told:
        old(f"# one\n{text}")
    assert said in str(told.value)


SPACE = """
tuning:
  max_evaluations: 300
  space:
    reduction.umap_components: [5, 10]
    reduction: {umap: {neighbors: {min: 10, max: 30, step: 10}}}
    min_cluster_size: {type: int, low: 20, high: 80, log: true}
    clustering.min_samples: {values: [5, 10, 30]}
    selection_method: [leaf, EOM]
  selection_epsilon: [0, 0.1]
"""


def test_ranges_become_a_space_that_the_tuner_reads(old: Import, host: Host, tmp_path: Path) -> None:
    from shoal.tuning import space

    made: Imported = old(SPACE)
    assert yaml.safe_load(made.space)["options"] == {
        "reduce.components": [5, 10],
        "reduce.neighbors": {"from": 10, "to": 30, "step": 10},
        "cluster.min_cluster_size": {"from": 20, "to": 80, "log": True},
        "cluster.min_samples": [5, 10, 30],
        "cluster.selection_method": ["leaf", "eom"],
        "cluster.selection_epsilon": [0, 0.1],
    }
    write(made, tmp_path / "p.yaml")
    read = space.load(tmp_path / "p.space.yaml", made.pipeline, host)
    assert [dimension.option for dimension in read.dimensions] == list(yaml.safe_load(made.space)["options"])
    assert commands(made, "p.yaml")[-1] == "shoal tune p.yaml photos/ --out out/store --space p.space.yaml --budget 300"


def test_a_tuner_that_is_off_leaves_no_space(old: Import, tmp_path: Path) -> None:
    made = old(SPACE.replace("tuning:", "tuning:\n  enabled: false"))
    write(made, tmp_path / "p.yaml")
    assert [path.name for path in tmp_path.glob("p.*")] == ["p.yaml"]
    assert len(commands(made, "p.yaml")) == 3
    assert any("tuning is off" in note for note in made.notes)


def test_a_space_file_that_is_there_is_not_replaced(old: Import, tmp_path: Path) -> None:
    (tmp_path / "p.space.yaml").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        write(old(SPACE), tmp_path / "p.yaml")
    assert not (tmp_path / "p.yaml").exists()
    write(old(SPACE), tmp_path / "p.yaml", force=True)
    assert "shoal-space" in (tmp_path / "p.space.yaml").read_text()
