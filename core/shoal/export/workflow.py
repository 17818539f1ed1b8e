"""The files of the step-by-step workflow, so that people with scripts on those files keep them.

| file | holds |
|---|---|
| `S0_image_index.json` | id -> path |
| `S1_embeddings.npy`, `S1_ids.json` | vectors, a row an image; the ids of the rows |
| `S2_clustering.csv` | id, cluster (-1 is noise), strength, outlier, path |
| `S3_sampled_images.json` | cluster -> ids of its representatives, the best first |
| `S4_captions.json`, `caption_txt/<id>.txt` | id -> caption; a file an image |
| `S5_cluster_labels.csv` | cluster, label, size, reason, what else the labeller says, keywords |
| `step5_keywords/cluster_00_keywords.txt` | a line a caption of that cluster: its keywords |
| `S6_rescue_candidates.csv` | noise images: suggested cluster and its label, scores, second opinion, caption |
| `S7_confirmed_moves.json` | images that people put elsewhere: id, path, from, to (-1 is noise), label, by, at, how |
| `S7_user_edits.log` | everything that people decided, made or undid: when, who, what |
| `S8_organization_log.txt` | what became of each file when the run was organised, or what its organise step would do now |
| `run_config.yaml` | the pipeline with every option: `shoal run run_config.yaml IMAGES` makes the run again |

A file is left out where the pipeline has no step for it. Where a run was reviewed, its clusters, labels and suggestions are
those of its version; names that people gave are there also where the pipeline has no step that names clusters.
"""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from shoal.export.language import write_captions, write_decisions, write_keywords, write_labels, write_rescues
from shoal.export.source import Exportable, clusters_of, last, names_in_review, of_kind
from shoal.export.writers import rows, write_csv, write_list, write_mapping, write_vectors
from shoal.pipeline import Step
from shoal.text import terminal

LOG = "organization_log.txt"
"""What `shoal organize` writes down with the run."""


def write_workflow(run: Exportable, folder: Path, *, caption_files: bool = True, keyword_files: bool = True) -> None:
    """Write the workflow's files of a run into a folder.

    Args:
        run: the run.
        folder: an empty folder.
        caption_files: whether to write a file an image into `caption_txt/`.
        keyword_files: whether to write a file a cluster into `step5_keywords/`.
    """
    images = run.images.select(["id", "path"])
    write_mapping(folder / "S0_image_index.json", ((row["id"], row["path"]) for row in rows(images)))
    embed, cluster = embedding_step(run), last(run, "cluster")
    sample, organize = _sampler(run), last(run, "organize")
    caption, distil, label, rescue = (last(run, kind) for kind in ("caption", "distil", "label", "rescue"))
    if embed:
        _embeddings(run, embed, folder)
    if cluster:
        _clustering(run, cluster, folder)
    if sample:
        write_mapping(folder / "S3_sampled_images.json", _samples(run, sample))
    if caption:
        write_captions(run, caption, folder, files=caption_files)
    named = run.current(label.name) if label else names_in_review(run)
    if named is not None:
        write_labels(run, named, clusters_of(run, label) if label else cluster, folder)
    if distil and keyword_files:
        write_keywords(run, distil, folder)
    if rescue:
        write_rescues(run, rescue, folder)
    if cluster:
        write_decisions(run, folder)
    if run.folder.exists(LOG):
        (folder / "S8_organization_log.txt").write_bytes(run.folder.read(LOG))
    elif organize:
        _planned(run.current(organize.name), folder)


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
    table = run.joined([*(run.shown(step.name, name) for name in names), "path"])
    write_csv(folder / "S2_clustering.csv", table.rename_columns(["id", *names, "path"]))


def _sampler(run: Exportable) -> Step | None:
    """Return the last sampler that picks members of clusters: one for the noise alone is none."""
    found = of_kind(run, "sample")
    return next((step for step in reversed(found) if _picked(run, step).num_rows), found[-1] if found else None)


def _picked(run: Exportable, step: Step) -> pa.Table:
    """Return id, cluster and rank of the members of clusters that a sampler picked."""
    cluster = clusters_of(run, step)
    table = run.joined([run.shown(cluster.name, "cluster") if cluster else "cluster", f"{step.name}.rank"])
    table = table.rename_columns(["id", "cluster", "rank"])
    return table.filter(pc.is_valid(table["rank"])).filter(pc.field("cluster") >= 0)


def _samples(run: Exportable, step: Step) -> Iterator[tuple[str, list[str]]]:
    found: dict[int, list[str]] = {}
    order = [("cluster", "ascending"), ("rank", "ascending"), ("id", "ascending")]
    for row in rows(_picked(run, step).sort_by(order)):
        found.setdefault(row["cluster"], []).append(row["id"])
    return ((str(number), ids) for number, ids in found.items())


def _planned(plan: pa.Table, folder: Path) -> None:
    with (folder / "S8_organization_log.txt").open("w", encoding="utf-8") as file:
        for row in rows(plan.select(["source", "target"])):
            file.write(terminal(f"planned: {row['source']} -> {row['target']}") + "\n")
