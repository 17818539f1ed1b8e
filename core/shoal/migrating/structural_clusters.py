"""The options of the workflow `structural-clusters`, section by section, and where each lies now."""

import re
from collections.abc import Mapping
from typing import Any

from shoal.migrating.reads import boolean, choice, number, share, side, text, whole, words
from shoal.migrating.structural_tuning import TUNING
from shoal.migrating.table import MOOT, Effect, Old, Row, Table, Turn, flag, sets, squash

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "data": ("data", "input", "input_output", "io", "dataset", "paths", "output", "run", "general"),
    "model": ("model", "features", "feature_extraction", "embedding", "backbone", "extractor"),
    "preparation": ("preparation", "preprocessing", "preprocess", "prepare"),
    "preparation.clahe": ("clahe",),
    "preparation.trim": ("trim", "crop"),
    "reduction": ("reduction", "dimensionality_reduction", "dim_reduction", "reduce"),
    "reduction.pca": ("pca",),
    "reduction.umap": ("umap",),
    "clustering": ("clustering", "cluster", "hdbscan"),
    "clustering.hdbscan": ("hdbscan",),
    "purity": ("purity", "purity_thresholds", "evaluation", "quality"),
    "purity.thresholds": ("thresholds",),
    "plots": ("plots", "plot", "visualization", "visualisation", "plotting"),
    "yolo": ("yolo", "sidecars", "side_cars", "labels"),
    "cache": ("cache", "caching"),
    "acceleration": ("acceleration", "gpu", "hardware"),
    "tuning": ("tuning", "tune", "tuner", "optimization", "optimisation", "search", "autotune"),
    "tuning.evolution": ("evolution", "evolutionary", "genetic"),
    "tuning.phases": ("two_phase", "two_phases", "phases"),
    "tuning.stop": ("plateau", "early_stopping", "stopping", "stop"),
    "tuning.space": ("space", "search_space", "ranges", "parameters", "params", "grid", "param_grid"),
}

_MODELS = {
    "dinov2_vits14": "vit_small_patch14_dinov2.lvd142m",
    "dinov2_vitb14": "vit_base_patch14_dinov2.lvd142m",
    "dinov2_vitl14": "vit_large_patch14_dinov2.lvd142m",
    "dinov2_vitg14": "vit_giant_patch14_dinov2.lvd142m",
    "resnet50": "resnet50.tv2_in1k",
}
"""The models by their names in timm, which alone takes any size of image."""


def _model(model: str, _: Old) -> Effect:
    if "/" in model:
        return Effect((f"embed=transformers:{model}",))  # an id on the hub, or a folder
    known = {squash(name): timm for name, timm in _MODELS.items()}
    said = squash(model)
    name = known.get(said) or known.get(f"dinov2{said}")
    if name is None:
        raise ValueError(f"must be one of {', '.join(_MODELS)}, an id on the hub or a folder")
    return Effect((f"embed=timm:{name}",))


def _device(device: str, _: Old) -> Effect:
    said = squash(device)
    if said == "cpu":
        return Effect(("embed.run.gpus=0",))
    if said.startswith("cuda") and said != "cuda":
        return Effect(variables={"CUDA_VISIBLE_DEVICES": said.removeprefix("cuda")})
    if said in ("auto", "cuda", "gpu"):
        return Effect(told="no effect, because a step that wants a GPU gets one wherever there is one")
    return Effect(told=f"no effect, because shoal computes on NVIDIA GPUs and CPUs, not on {device!r}")


def _l2(on: bool, _: Old) -> Effect:
    return Effect((f"embed.l2={str(on).lower()}", f"reduce.normalize_input={str(on).lower()}"))


def _without_clahe(old: Old) -> str:
    return "" if old.get("preparation.clahe.clahe") else "CLAHE is off"


_ACCELERATION = choice(
    "auto",
    "cuda",
    "cpu",
    gpu="cuda",
    cuml="cuda",
    rapids="cuda",
    none="cpu",
    **{"true": "auto", "on": "auto", "false": "cpu", "off": "cpu"},
)
_BACKENDS = {"reduce": "cpu", "cluster": "hdbscan", "purity": "cpu"}


def _accelerated(*steps: str) -> Turn:
    """Return what places steps: `cuda` asks for cuML, and is an error where it can't be used; `cpu` keeps off GPUs."""

    def turn(how: str, _: Old) -> Effect:
        if how == "auto":
            return Effect(
                told="no effect, because each step takes the GPU where there is one, and its record says what it took"
            )
        if how == "cuda":
            return Effect(tuple(f"{step}.backend=cuml" for step in steps))
        return Effect(tuple(f"{step}.{said}" for step in steps for said in (f"backend={_BACKENDS[step]}", "run.gpus=0")))

    return turn


def _cache(on: bool, _: Old) -> Effect:
    kept = "features are always kept, by content, model and preparation"
    if on:
        return Effect(told=f"no effect, because {kept}")
    return Effect(flags=(("run", "--force", "embed"),), told=f"{kept}; `--force embed` computes them again")


def _yolo(on: bool, _: Old) -> Effect:
    return Effect(flags=(("organize", "--yolo", None),) if on else ())


def _no_yolo(old: Old) -> str:
    """Labels are used where the file says so, or names a folder of theirs without saying that there are none."""
    if old.given("yolo.yolo_labels"):
        return "" if old.get("yolo.yolo_labels") else "YOLO labels are off"
    return ""


def _layout(option: str) -> Turn:
    """Return what sets an option of the organiser; naming it means that there are labels."""
    return lambda value, old: Effect(flags=(("organize", "--yolo", None), ("organize", "--set", f"{option}={value}")))


def _extension(value: str, old: Old) -> Effect:
    return _layout("yolo_extension")(f".{value.strip().lstrip('*').lstrip('.')}", old)


def _formats(value: list[str], _: Old) -> Effect:
    return sets("index.formats", [part.lstrip("*").lstrip(".").lower() for part in value])


def _thumbnails(side_: int, _: Old) -> Effect:
    return Effect(tuple(f"{home}={side_}" for home in ("thumbnail.size", "scatter.cell", "preparation.thumbnail")))


def _method(said: Any) -> str:
    return choice("nearest", "separate", nearest_centroid="nearest", assign="nearest", noise="separate", keep="separate")(
        re.sub(r"^(assign_?to|to)_?", "", str(said)) if isinstance(said, str) else said
    )


DATA = (
    Row("data", "input folder", text, ("shoal run IMAGES",), turn=flag("run", "IMAGES"), shown="none",
        keys=("input", "input_dir", "input_directory", "input_path", "image_dir", "images_dir", "image_folder", "source",
              "source_dir", "images")),
    Row("data", "output folder", text, ("shoal organize --to", "shoal export --to"), shown="none",
        turn=flag("run", "OUTPUT"),
        keys=("output", "output_dir", "output_directory", "output_path", "output_root", "results_dir", "target_dir"),
        note="Sorted files go to `FOLDER/sorted`, the workflow's files to `FOLDER/structural`."),
    Row("data", "mode", choice("copy", "move", "hardlink", link="hardlink", hard="hardlink"), ("shoal organize --mode",),
        turn=flag("organize", "--mode"), keys=("file_mode", "operation", "file_operation", "transfer_mode"), shown="none",
        note="The command shows the plan and asks first; `shoal undo` takes it back."),
    Row("data", "extensions", words, ("index.formats",), turn=_formats, shown="any image",
        keys=("formats", "image_formats", "image_extensions", "file_types"), note="With or without a dot."),
    Row("data", "recursive", boolean, ("index.recursive",), listed=False),
    Row("data", "seed", whole, ("reduce.seed",), keys=("random_seed", "random_state"), anywhere=True, listed=False,
        note="Of UMAP; that of the tuner stands in its own section."),
)  # fmt: skip

MODEL = (
    Row("model", "model", text, ("embed.model",), "dinov2_vits14", turn=_model,
        keys=("name", "model_name", "backbone", "backbone_name", "architecture", "feature_model", "type"),
        note="`dinov2_vits14`, `dinov2_vitb14` or `resnet50` by `embed.timm`, which takes images of any size; an id on the "
        "hub (`owner/name`) or a folder by `embed.transformers`."),
    Row("model", "batch", whole, ("embed.run.batch",), 32, keys=("batch_size", "feature_batch_size")),
    Row("model", "image size", whole, ("embed.image_size",), 224, keys=("input_size", "img_size", "resolution", "resize"),
        note="For DINOv2 a multiple of 14, as before."),
    Row("model", "device", text, ("embed.run.gpus", "$CUDA_VISIBLE_DEVICES"), "auto", turn=_device,
        note="`cpu` keeps the step off GPUs, `cuda:1` names the GPU for the command; else Ray places it."),
    Row("model", "workers", whole, (MOOT,), keys=("num_workers", "n_workers"), anywhere=True, listed=False,
        note="no effect, because as many workers run as the CPUs or GPUs allow; `--set embed.run.actors=N` gives a number"),
)  # fmt: skip

PREPARATION = (
    Row("preparation.clahe", "CLAHE", boolean, ("embed.prepare.clahe",), True,
        keys=("use_clahe", "clahe_enabled", "enable_clahe", "apply_clahe", "enabled")),
    Row("preparation.clahe", "clip limit", number, ("embed.prepare.clip",), 3.0, unless=_without_clahe,
        keys=("clahe_clip_limit", "clahe_clip", "clip")),
    Row("preparation.clahe", "grid", side, ("embed.prepare.grid",), 8, unless=_without_clahe,
        keys=("clahe_grid", "clahe_grid_size", "grid_size", "tile_grid_size", "clahe_tile_grid_size", "tile_size", "tiles"),
        note="`8`, `8x8` or `[8, 8]`."),
    Row("preparation", "polarity invariance", boolean, ("embed.prepare.polarity",), True,
        keys=("polarity", "polarity_invariant", "invert", "dual_pass", "use_polarity_invariance", "negative_averaging")),
    Row("preparation", "grayscale", boolean, ("embed.prepare.grayscale",), keys=("greyscale", "gray", "grey", "to_gray"),
        listed=False, note="Always on where the file is silent."),
    Row("preparation", "L2", boolean, ("embed.l2", "reduce.normalize_input"), True, turn=_l2,
        keys=("l2_normalize", "l2_norm", "normalize", "normalise", "l2_normalise", "normalize_features"), anywhere=True),
    *(Row("preparation.trim", f"trim {edge}", share, (f"embed.prepare.trim.{edge}",), 0.0,
          keys=(edge, f"{edge}_trim", f"crop_{edge}", f"trim_{edge}_fraction"),
          note="`0.1` and `10 %` are one.") for edge in ("top", "bottom", "left", "right")),
)  # fmt: skip

REDUCTION = (
    Row("reduction.pca", "PCA", whole, ("reduce.pca",), 50,
        keys=("pca_components", "pca_dim", "pca_dims", "n_pca", "pca_n_components", "n_components", "components"),
        note="0 takes no PCA."),
    Row("reduction.umap", "UMAP components", whole, ("reduce.components",), 10,
        keys=("components", "n_components", "umap_n_components", "umap_dim", "umap_dims")),
    Row("reduction.umap", "neighbours", whole, ("reduce.neighbors",), 15,
        keys=("neighbors", "n_neighbors", "umap_neighbors", "umap_neighbours", "umap_n_neighbors", "n_neighbours")),
    Row("reduction.umap", "min distance", number, ("reduce.min_dist",), 0.1,
        keys=("min_dist", "umap_min_dist", "umap_min_distance")),
    Row("reduction.umap", "metric", choice("cosine", "euclidean"), ("reduce.metric",), "cosine",
        keys=("umap_metric", "distance_metric")),
)  # fmt: skip

CLUSTERING = (
    Row("clustering.hdbscan", "min cluster size", whole, ("cluster.min_cluster_size",), 50,
        keys=("hdbscan_min_cluster_size",)),
    Row("clustering.hdbscan", "min samples", whole, ("cluster.min_samples",), 10, keys=("hdbscan_min_samples",),
        note="More than `min cluster size` is refused, as before; shoal takes 2 to 30."),
    Row("clustering.hdbscan", "selection epsilon", number, ("cluster.selection_epsilon",), 0.0,
        keys=("cluster_selection_epsilon", "epsilon", "hdbscan_epsilon")),
    Row("clustering.hdbscan", "selection method", choice("leaf", "eom", excess_of_mass="eom"), ("cluster.selection_method",),
        "leaf", keys=("cluster_selection_method", "method", "hdbscan_method")),
    Row("clustering", "noise", _method, ("cluster.noise",), shown="one of the two",
        keys=("noise_handling", "noise_mode", "noise_strategy", "noise_policy"),
        note="`nearest` is to the nearest centroid, `separate` is the folder `noise/`; separate where it is left out."),
)  # fmt: skip

PURITY = (
    Row("purity.thresholds", "max centroid cosine", number, ("purity.max_centroid_cosine",), shown="shoal's",
        keys=("max_centroid_cosine_threshold", "centroid_cosine", "centroid_cosine_threshold")),
    Row("purity.thresholds", "silhouette", number, ("purity.min_silhouette",), shown="shoal's",
        keys=("min_silhouette", "silhouette_threshold", "silhouette_min")),
    Row("purity.thresholds", "max NN cross ratio", number, ("purity.max_nn_cross_ratio",), shown="shoal's",
        keys=("nn_cross_ratio", "max_nn_cross_ratio_threshold", "cross_ratio")),
    Row("purity", "kNN neighbours", whole, ("purity.neighbors",), keys=("k", "knn", "k_neighbors", "knn_k"),
        listed=False),
    Row("purity", "silhouette sample", whole, ("purity.sample",), keys=("sample_size", "max_samples", "silhouette_samples"),
        listed=False),
)  # fmt: skip

PLOTS = (
    Row("plots", "scatter points", whole, ("scatter.most",), 5000,
        keys=("max_points", "scatter_max_points", "max_scatter_points", "plot_max_points", "scatter_points_max")),
    Row("plots", "grid samples", whole, ("grid.samples",), 16,
        keys=("samples_per_cluster", "grid_samples_per_cluster", "cluster_grid_samples", "n_grid_samples")),
    Row("plots", "preparation samples", whole, ("preparation.samples",), 8,
        keys=("preprocessing_samples", "comparison_samples", "preprocessing_comparison_samples", "n_preprocessing_samples")),
    Row("plots", "thumbnails", whole, ("thumbnail.size", "scatter.cell", "preparation.thumbnail"), 80, turn=_thumbnails,
        keys=("thumbnail_size", "thumbnail_px", "thumb_size", "thumbnail")),
    Row("plots", "make plots", boolean, (MOOT,), keys=("enabled", "save_plots", "generate_plots", "create_plots"),
        listed=False, note="no effect, because plots take seconds and lie in every report"),
)  # fmt: skip

YOLO = (
    Row("yolo", "YOLO labels", boolean, ("shoal organize --yolo",), False, turn=_yolo, shown="where there are some",
        keys=("yolo", "yolo_mode", "yolo_format", "sidecars", "side_cars", "enabled", "copy_labels", "move_labels")),
    Row("yolo", "image folder", text, ("shoal organize --set yolo_images",), shown="`img`", turn=_layout("yolo_images"),
        keys=("img_folder", "img_dir", "images_folder", "img_dirname", "image_folder_name", "img"), unless=_no_yolo),
    Row("yolo", "label folder", text, ("shoal organize --set yolo_labels",), shown="`lab`", turn=_layout("yolo_labels"),
        keys=("lab_folder", "lab_dir", "labels_folder", "label_dir", "lab_dirname", "label_folder_name", "lab"),
        unless=_no_yolo),
    Row("yolo", "label extension", text, ("shoal organize --set yolo_extension",), shown="`.txt`", turn=_extension,
        keys=("label_ext", "lab_ext", "lab_extension", "sidecar_extension", "extension", "ext"), unless=_no_yolo),
)  # fmt: skip

CACHE = (
    Row("cache", "feature cache", boolean, ("shoal run --force embed",), True, turn=_cache,
        keys=("cache", "use_cache", "enabled", "cache_features", "enable_cache", "cache_enabled"),
        note="Always on: keyed by content, model and preparation. `off` becomes `--force embed`."),
    Row("cache", "cache folder", text, ("shoal run --out",), turn=flag("run", "--out"), shown="none", anywhere=True,
        keys=("cache_dir", "cache_path", "dir"), listed=False,
        note="shoal keeps all that it computes there; `FOLDER/store` of the output where it is left out."),
    Row("cache", "clear cache", boolean, ("shoal run --force embed",), keys=("force", "recompute", "force_recompute"),
        turn=lambda on, old: Effect(flags=(("run", "--force", "embed"),) if on else ()), listed=False),
)  # fmt: skip

ACCELERATION = (
    Row("acceleration", "acceleration", _ACCELERATION, ("reduce.backend", "cluster.backend", "purity.backend"), "auto",
        turn=_accelerated("reduce", "cluster", "purity"),
        keys=("mode", "backend", "accelerator", "use_gpu", "compute_backend"),
        note="`cuda` asks for cuML in all three, and is an error where it can't be used; `cpu` keeps them off GPUs."),
    *(Row("acceleration", part, _ACCELERATION, (f"{step}.backend",), turn=_accelerated(step), listed=False,
          keys=(f"{part}_backend", f"{part}_acceleration", *more))
      for part, step, more in (("reduction", "reduce", ("umap", "umap_backend")),
                               ("clustering", "cluster", ("hdbscan", "hdbscan_backend")),
                               ("purity", "purity", ()))),
)  # fmt: skip

TABLE = Table(
    "structural-clusters",
    "structural-clusters",
    SECTIONS,
    (*DATA, *MODEL, *PREPARATION, *REDUCTION, *CLUSTERING, *PURITY, *PLOTS, *YOLO, *CACHE, *ACCELERATION, *TUNING),
    flags=(("organize", "--rule", "cluster_id"), ("export", "--as", "structural")),
    space="tuning.space",
    tuner="tuning.tuning",
)
