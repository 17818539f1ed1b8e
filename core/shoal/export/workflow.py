"""The files of the step-by-step workflow, so that people with scripts on those files keep them.

| file | holds |
|---|---|
| `S0_image_index.json` | id -> path |
| `S1_embeddings.npy`, `S1_ids.json` | vectors, a row an image; the ids of the rows |
| `S2_clustering.csv` | id, cluster (-1 is noise), strength, outlier, path |
| `S3_sampled_images.json` | cluster -> ids of its representatives, the best first |
| `S5_cluster_labels.csv` | cluster, label, size, reason |
| `S8_organization_log.txt` | what became of each file when the run was organised, or what its organise step planned |
| `run_config.yaml` | the pipeline with every option: `shoal run run_config.yaml IMAGES` makes the run again |

A file is left out where the pipeline has no step for it.
"""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from shoal.export.source import Exportable, last, of_kind
from shoal.export.writers import rows, write_csv, write_list, write_mapping, write_vectors
from shoal.pipeline import Step
from shoal.text import terminal

LOG = "organization_log.txt"
"""What `shoal organize` writes down with the run."""


def write_workflow(run: Exportable, folder: Path) -> None:
    """Write the workflow's files of a run into a folder."""
    images = run.images.select(["id", "path"])
    write_mapping(folder / "S0_image_index.json", ((row["id"], row["path"]) for row in rows(images)))
    embed, cluster = embedding_step(run), last(run, "cluster")
    sample, label, organize = last(run, "sample"), last(run, "label"), last(run, "organize")
    if embed:
        _embeddings(run, embed, folder)
    if cluster:
        _clustering(run, cluster, folder)
    if sample:
        write_mapping(folder / "S3_sampled_images.json", _samples(run, sample))
    if label:
        _labels(run, label, folder)
    if run.folder.exists(LOG):
        (folder / "S8_organization_log.txt").write_bytes(run.folder.read(LOG))
    elif organize:
        _planned(run.table(organize.name), folder)


def embedding_step(run: Exportable) -> Step | None:
    """Return the step whose vectors `S1` holds: the one named `embed`, else the first embedder."""
    found = of_kind(run, "embed")
    return next((step for step in found if step.name == "embed"), found[0] if found else None)


def _embeddings(run: Exportable, step: Step, folder: Path) -> None:
    table = run.table(step.name)
    if table["embedding"].null_count:  # a filter copies: 5 GB for a million vectors
        table = table.filter(pc.is_valid(table["embedding"]))
    write_vectors(folder / "S1_embeddings.npy", table["embedding"])
    write_list(folder / "S1_ids.json", (row["id"] for row in rows(table.select(["id"]))))


def _clustering(run: Exportable, step: Step, folder: Path) -> None:
    names = ["cluster", "strength", "outlier"]
    table = run.joined([*(f"{step.name}.{name}" for name in names), "path"])
    write_csv(folder / "S2_clustering.csv", table.rename_columns(["id", *names, "path"]))


def _samples(run: Exportable, step: Step) -> Iterator[tuple[str, list[str]]]:
    cluster = clusters_of(run, step)
    table = run.joined([f"{cluster.name}.cluster" if cluster else "cluster", f"{step.name}.rank"])
    table = table.rename_columns(["id", "cluster", "rank"]).filter(pc.is_valid(pc.field("rank")))
    found: dict[int, list[str]] = {}
    for row in rows(table.sort_by([("cluster", "ascending"), ("rank", "ascending"), ("id", "ascending")])):
        found.setdefault(row["cluster"], []).append(row["id"])
    return ((str(number), ids) for number, ids in found.items())


def _labels(run: Exportable, step: Step, folder: Path) -> None:
    labels = run.table(step.name)
    cluster = clusters_of(run, step)
    members = run.joined([f"{cluster.name}.cluster" if cluster else "cluster"]).rename_columns(["id", "cluster"])
    sizes = members.group_by("cluster").aggregate([("id", "count")])
    size = sizes["id_count"].take(pc.index_in(labels["cluster"], value_set=sizes["cluster"].combine_chunks()))
    table = pa.table({"cluster": labels["cluster"], "label": labels["label"], "size": size, "reason": labels["reason"]})
    write_csv(folder / "S5_cluster_labels.csv", table.sort_by("cluster"))


def clusters_of(run: Exportable, step: Step) -> Step | None:
    """Return the clusterer whose numbers a step speaks of: the one it names, else the last before it."""
    earlier = run.pipeline.steps[: run.pipeline.names.index(step.name)]
    found = [other for other in earlier if other.stage.kind == "cluster"]
    named = [other for other in found if other.name in step.sources]
    return next(reversed(named or found), None)


def _planned(plan: pa.Table, folder: Path) -> None:
    with (folder / "S8_organization_log.txt").open("w", encoding="utf-8") as file:
        for row in rows(plan.select(["source", "target"])):
            file.write(terminal(f"planned: {row['source']} -> {row['target']}") + "\n")
