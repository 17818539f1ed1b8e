"""The options of the workflow `semantic-cluster`, section by section, and where each lies now."""

from collections.abc import Mapping
from typing import Any

from shoal.migrating import semantic_words as language
from shoal.migrating.reads import boolean, choice, number, or_none, share, text, whole, words
from shoal.migrating.table import MOOT, Effect, Old, Row, Table, flag, sets, squash

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "data": ("data", "input", "dataset", "index", "images"),
    "embedding": ("embedding", "embeddings", "embed", "features", "feature_extraction", "encoder"),
    "clustering": ("clustering", "cluster"),
    "clustering.dbscan": ("dbscan",),
    "clustering.hdbscan": ("hdbscan",),
    "sampling": ("sampling", "sample", "representatives"),
    "vlm": ("vlm", "caption", "captions", "captioning", "vision_language_model"),
    "language": ("language", "language_model", "llm", "text", "labels", "label", "labelling", "labeling", "distillation"),
    "language.rescue": ("rescue", "noise_rescue"),
    "output": ("output", "outputs", "visualization", "visualisation", "run", "system", "general"),
    "naming": ("naming", "file_naming", "organize", "organise", "organization", "organisation", "rename"),
}

_BACKBONES = {
    **{f"dinov2_vit{size}14": f"dinov2_vit{size}14" for size in "sblg"},
    "clip_vitb32": "clip_vitb32",
    "clip_vitb16": "clip_vitb16",
    "clip_vitl14": "clip_vitl14",
    "clip_vitl14_336": "clip_vitl14_336",
    "convnext_base": "convnext_base",
    "convnext_large": "convnext_large",
    "convnext_b": "convnext_base",
    "convnext_l": "convnext_large",
}
_OF_PROVIDER = {"dinov2": "dinov2_vitl14", "clip": "clip_vitl14", "convnext": "convnext_large"}


def _embedder(_: Any, old: Old) -> Effect:
    """Return the embedder that provider and backbone name together."""
    provider, backbone = old.get("embedding.provider"), old.get("embedding.backbone")
    if not old.given("embedding.backbone"):
        backbone = _OF_PROVIDER[provider]
    if "/" in backbone and not backbone.lower().startswith("vit"):
        return Effect((f"embed=transformers:{backbone}",))  # an id on the hub, or a folder
    said = squash(backbone).removesuffix("px")
    known = {squash(name): alias for name, alias in _BACKBONES.items()}
    alias = known.get(said) or known.get(squash(provider) + said)
    if alias is None:
        raise ValueError(f"must be one of {', '.join(dict.fromkeys(_BACKBONES.values()))}, an id on the hub or a folder")
    if old.given("embedding.provider") and not alias.startswith(provider) and not alias.startswith("convnext"):
        raise ValueError(f"{alias} is not of the provider {provider}; keep one of the two")
    return Effect((f"embed=transformers:{alias}",))


def _pca(components: int, _: Old) -> Effect:
    if not components:
        return Effect(
            ("cluster.from=embed", "embed.l2=true"), told="no PCA: clusters are found in the embeddings themselves"
        )
    return Effect(("reduce=pca", f"reduce.components={components}", "reduce.normalize_input=false"))


def _device(device: str, _: Old) -> Effect:
    said = squash(device)
    if said == "cpu":
        return Effect(("embed.run.gpus=0", "caption.run.gpus=0"))
    if said.startswith("cuda") and said != "cuda":
        return Effect(variables={"CUDA_VISIBLE_DEVICES": said.removeprefix("cuda")})
    if said in ("auto", "cuda", "gpu", ""):
        return Effect(told="no effect, because a step that wants a GPU gets one wherever there is one")
    return Effect(told=f"no effect, because shoal computes on NVIDIA GPUs and CPUs, not on {device!r}")


def _cache(on: bool, _: Old) -> Effect:
    kept = "vectors are always kept, an image and a model are computed once ever"
    if on:
        return Effect(told=f"no effect, because {kept}")
    return Effect(flags=(("run", "--force", "embed"),), told=f"{kept}; `--force embed` computes them again")


def _algorithm(old: Old) -> str:
    return str(old.get("clustering.backend")).partition(" ")[0]


def _not(backend: str) -> Any:
    def reason(old: Old) -> str:
        return "" if _algorithm(old) == backend else f"the clustering backend is {_algorithm(old)}"

    return reason


def _backend(backend: str, _: Old) -> Effect:
    name, _space, gpu = backend.partition(" ")
    return Effect((f"cluster={name}", *(("cluster.run.gpus=1",) if gpu else ())))


def _gpu(on: bool, _: Old) -> Effect:
    return sets("cluster.run.gpus", int(on))


def _strategy(strategy: str, _: Old) -> Effect:
    return Effect((f"sample={strategy}",))


_MAPS = {
    "umap": ("position=umap", "position.components=2", "position.min_dist=0.1"),
    "tsne": ("position=tsne", "position.components=2"),
    "pca": ("position=pca", "position.components=2", "position.normalize_output=false"),
}


def _seed(seed: int, _: Old) -> Effect:
    told = ""
    if seed < 0:
        told = "shoal draws a seed once and keeps what came of it; `--force sample,position` draws again"
    return Effect((f"position.seed={max(seed, -1)}", f"sample.seed={max(seed, -1)}"), told=told)


def _log_level(level: str, _: Old) -> Effect:
    if level == "debug":
        return Effect(flags=(("run", "--debug", None),))
    if level == "warning":
        return Effect(flags=(("run", "--quiet", None),))
    return Effect(told="no effect, because shoal tells the progress of every step unless --quiet is given")


def _force(*steps: str) -> Any:
    def turn(on: bool, _: Old) -> Effect:
        return Effect(flags=tuple(("run", "--force", step) for step in steps if on))

    return turn


DATA = (
    Row("data", "input directory", text, ("shoal run IMAGES",), turn=flag("run", "IMAGES"), shown="none",
        keys=("input_dir", "input_folder", "input_path", "input", "image_dir", "images_dir", "image_folder", "directory",
              "folder", "path")),
    Row("data", "formats", words, ("index.formats",), ["jpg", "jpeg", "png", "webp", "bmp", "tiff"],
        keys=("image_formats", "extensions", "image_extensions", "file_types"),
        turn=lambda value, old: sets("index.formats", [part.lstrip("*").lstrip(".").lower() for part in value]),
        note="With or without a dot. `tif` is another ending than `tiff`: shoal's own default has both."),
    Row("data", "min size in KB", number, ("index.min_kb",), 0,
        keys=("min_size_kb", "min_size", "min_kb", "min_file_size_kb")),
    Row("data", "max size in MB", number, ("index.max_mb",), -1,
        keys=("max_size_mb", "max_size", "max_mb", "max_file_size_mb")),
    Row("data", "excluded folders", words, ("index.exclude",), [],
        keys=("exclude_folders", "exclude", "exclude_dirs", "excluded_dirs", "ignore_folders")),
)  # fmt: skip

EMBEDDING = (
    Row("embedding", "provider", choice("dinov2", "clip", "convnext", dino="dinov2", openclip="clip", openaiclip="clip"),
        ("embed",), "dinov2", keys=("embedding_provider", "family"), turn=_embedder, shown="DINOv2",
        note="Models of `embed.transformers`. Without a backbone, CLIP is `clip_vitl14`, ConvNeXt `convnext_large`."),
    Row("embedding", "backbone", text, ("embed.model",), "dinov2_vitl14", turn=_embedder,
        keys=("backbone_name", "model", "model_name", "embedding_model", "architecture"),
        note="Also as `vitl14` or `ViT-L/14` beside its provider; an id on the hub or a folder stays as it is."),
    Row("embedding", "batch size", whole, ("embed.run.batch",), 16, keys=("embedding_batch_size", "batch")),
    Row("embedding", "PCA components", or_none(whole), ("reduce.components",), 256,
        keys=("pca", "pca_dim", "pca_dims", "n_components"), turn=lambda value, old: _pca(value or 0, old),
        note="`reduce` becomes `reduce.pca`, and vectors are brought to length 1 after it, as before; 0 takes no PCA."),
    Row("embedding", "device", text, ("embed.run.gpus", "caption.run.gpus", "$CUDA_VISIBLE_DEVICES"), "auto", anywhere=True,
        turn=_device, note="`cpu` keeps the steps off GPUs, `cuda:1` names the GPU for the command; else Ray places them."),
    Row("embedding", "mixed precision", boolean, ("embed.mixed_precision",), True, keys=("amp", "fp16", "half_precision")),
    Row("embedding", "model compile", boolean, ("embed.compile",), False,
        keys=("compile", "compile_model", "torch_compile")),
    Row("embedding", "embedding cache", boolean, ("shoal run --force embed",), True, turn=_cache,
        keys=("cache", "cache_embeddings", "use_cache", "enable_cache"),
        note="Always on: an image and a model are computed once ever. `off` becomes `--force embed`."),
    Row("embedding", "prefetch", whole, (MOOT,), 2, keys=("prefetch_factor", "prefetch_batches"),
        note="no effect, because every worker is kept supplied with two lots of images, whatever their size"),
    Row("embedding", "workers", whole, (MOOT,), 4, keys=("num_workers", "n_workers", "max_workers"), anywhere=True,
        note="no effect, because as many workers run as the CPUs or GPUs allow; `--set embed.run.actors=N` gives a number"),
)  # fmt: skip

CLUSTERING = (
    Row("clustering", "backend",
        choice("hdbscan", "dbscan", "hdbscan on a GPU", cuml="hdbscan on a GPU", hdbscan_gpu="hdbscan on a GPU",
               gpu="hdbscan on a GPU", cuml_hdbscan="hdbscan on a GPU"),
        ("cluster",), "hdbscan", keys=("algorithm_name", "method", "clusterer", "cluster_backend", "clustering_method"),
        turn=_backend, note="`cluster.hdbscan` or `cluster.dbscan`."),
    Row("clustering", "GPU (cuML)", boolean, ("cluster.run.gpus",), turn=_gpu, shown="where there is one",
        keys=("gpu", "use_gpu", "cuml", "use_cuml", "gpu_clustering"),
        note="Asked for, HDBSCAN runs on a GPU where there is one and the options allow it: cuML knows no persistence."),
    Row("clustering", "metric", choice("euclidean", "cosine"), ("cluster.metric",), "euclidean", unless=_not("hdbscan"),
        keys=("distance_metric", "distance", "hdbscan_metric")),
    Row("clustering.dbscan", "eps", number, ("cluster.eps",), 0.5, keys=("epsilon", "dbscan_eps"), unless=_not("dbscan")),
    Row("clustering.dbscan", "metric", choice("euclidean", "cosine"), ("cluster.metric",), "euclidean",
        keys=("distance_metric", "distance"), unless=_not("dbscan")),
    Row("clustering.dbscan", "algorithm", choice("auto", "ball_tree", "kd_tree", "brute"), ("cluster.algorithm",), "auto",
        unless=_not("dbscan")),
    Row("clustering.dbscan", "mode", choice("fixed_eps", "noise_control", fixed="fixed_eps", noise="noise_control"),
        ("cluster.mode",), "fixed_eps", keys=("dbscan_mode", "eps_mode"), unless=_not("dbscan"),
        note="`noise_control` finds the smallest eps exactly, without a search."),
    Row("clustering.dbscan", "max noise ratio", share, ("cluster.max_noise_ratio",), 0.2, shown="20 %",
        keys=("max_noise", "max_noise_percent", "noise_ratio", "max_noise_pct"), unless=_not("dbscan"),
        note="`20`, `20 %` and `0.2` are one: below 1 a number is a share, from 1 on per cent."),
    Row("clustering.dbscan", "min samples", whole, ("cluster.min_samples",), keys=("dbscan_min_samples", "min_pts"),
        unless=_not("dbscan"), listed=False, note="shoal's default, 5, where it is left out."),
    Row("clustering.hdbscan", "min samples", whole, ("cluster.min_samples",), 2, unless=_not("hdbscan"),
        keys=("hdbscan_min_samples",)),
    Row("clustering.hdbscan", "min cluster size", or_none(whole), ("cluster.min_cluster_size",), 5, unless=_not("hdbscan"),
        note="`null` is min samples, as before."),
    Row("clustering.hdbscan", "selection method", choice("leaf", "eom", excess_of_mass="eom"), ("cluster.selection_method",),
        "leaf", keys=("cluster_selection_method",), unless=_not("hdbscan")),
    Row("clustering.hdbscan", "selection epsilon", number, ("cluster.selection_epsilon",), 0.0,
        keys=("cluster_selection_epsilon",), unless=_not("hdbscan")),
    Row("clustering.hdbscan", "selection persistence", number, ("cluster.selection_persistence",), 0.4,
        keys=("cluster_selection_persistence", "persistence"), unless=_not("hdbscan")),
    Row("clustering.hdbscan", "alpha", number, ("cluster.alpha",), 1.0, unless=_not("hdbscan")),
)  # fmt: skip

SAMPLING = (
    Row("sampling", "top-K per cluster", whole, ("sample.per_cluster",), 2,
        keys=("top_k", "k", "samples_per_cluster", "per_cluster", "num_samples")),
    Row("sampling", "strategy", choice("nearest", "farthest", "random", "stratified", furthest="farthest"), ("sample",),
        "nearest", turn=_strategy, keys=("sampling_strategy", "sampling_method")),
)  # fmt: skip

OUTPUT = (
    Row("output", "map", choice("umap", "tsne", "pca", t_sne="tsne"), ("position",), "umap", shown="UMAP",
        keys=("reducer", "map_reducer", "map_method", "projection", "dim_reduction", "reduction"),
        turn=lambda value, old: Effect(_MAPS[value]),
        note="`reduce.umap`, `reduce.tsne` or `reduce.pca` with two components."),
    Row("output", "thumbnail cache", boolean, (MOOT,), True, keys=("cache_thumbnails", "thumbnails"),
        note="no effect, because thumbnails are made once an image and kept like every other row"),
    Row("output", "seed", whole, ("position.seed", "sample.seed"), 42, keys=("random_seed", "random_state"), anywhere=True,
        turn=_seed, note="For the map, and for `sample.random`. -1 draws a seed, once: the run's record names it, and what "
        "came of it is kept until `--force`."),
    Row("output", "output root", text, ("shoal organize --to", "shoal export --to"), shown="none",
        keys=("output_dir", "output_folder", "output_path", "root", "results_dir", "output"), turn=flag("run", "OUTPUT"),
        note="Sorted files go to `ROOT/sorted`, the workflow's files to `ROOT/workflow`."),
    Row("output", "cache folder", text, ("shoal run --out",), shown="none", keys=("cache_dir", "cache_path"), anywhere=True,
        turn=flag("run", "--out"),
        note="shoal keeps all that it computes there; `ROOT/store` where it is left out or holds the files."),
    Row("output", "log level", choice("debug", "info", "warning", warn="warning", error="warning", critical="warning"),
        ("shoal run --debug", "shoal run --quiet"), "info", turn=_log_level, keys=("logging", "verbosity"), anywhere=True,
        note="`debug` is `--debug`; `warning` and above are `--quiet`."),
    Row("output", "force re-run of index", boolean, ("shoal run --force index",), False, turn=_force("index"), anywhere=True,
        keys=("force_index", "force_reindex", "rerun_index", "force_rerun_index")),
    Row("output", "force re-run of embedding", boolean, ("shoal run --force embed",), False, turn=_force("embed"),
        anywhere=True,
        keys=("force_embedding", "force_embeddings", "force_embed", "rerun_embedding", "force_rerun_embedding")),
    Row("output", "force re-run", boolean, ("shoal run --force index,embed",), turn=_force("index", "embed"), anywhere=True,
        keys=("force", "force_all"), listed=False, note="Both of the above."),
)  # fmt: skip

NAMING = (
    Row("naming", "rule", choice("id@label@original", "label@original", "cluster_id@label", "cluster_id@label@original"),
        ("shoal organize --rule",), "id@label@original", turn=flag("organize", "--rule"),
        keys=("naming_rule", "file_naming_rule", "rename_rule", "pattern", "template", "naming", "file_naming")),
    Row("naming", "moves", choice("copy", "move", "hardlink", link="hardlink"), ("shoal organize --mode",), "move",
        turn=flag("organize", "--mode"), keys=("mode", "operation", "file_mode", "organize_mode", "file_operation"),
        listed=False, note="The command shows the plan and asks first; `shoal undo` takes it back."),
)  # fmt: skip

TABLE = Table(
    "semantic-cluster",
    "semantic-cluster",
    SECTIONS,
    (*DATA, *EMBEDDING, *CLUSTERING, *SAMPLING, *language.VLM, *language.LANGUAGE, *OUTPUT, *NAMING),
    spare=("reduce",),
    only_for={"tags": "caption"},
    flags=(("export", "--as", "workflow"),),
)
