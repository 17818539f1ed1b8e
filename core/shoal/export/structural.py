"""The files of the workflow `structural-clusters`, so that people with scripts on those files keep them.

| file | holds |
|---|---|
| `purity_report_latest.json`, `centroid_cosine_matrix.npy` | the figures and the verdict; cosines between centroids |
| `yolo_classes.csv`, `yolo_missing.csv`, `yolo_malformed.csv` | boxes by class and cluster; images without one; bad labels |
| `interactive_scatter.html` | the 3-D scatter, a page of its own that opens without a server |
| `cluster_grid.png`, `cluster_sizes.png` | samples of every cluster; how large clusters are |
| `preprocessing_comparison.png` | samples as they are, and as the embedder gets them |
| `image_clusters.csv` | path, cluster (-1 is noise), label, strength: a row a file |
| `run_config.yaml` | the pipeline with every option: `shoal run run_config.yaml IMAGES` makes the run again |

A file is left out where the pipeline has no step that makes it: `evaluate.purity`, `evaluate.yolo`, `visualize.scatter`,
`visualize.grid` and `visualize.sizes` with `png: true`, `visualize.preparation`.
"""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from shoal.export.source import Exportable, last, name_column, of_kind
from shoal.export.writers import write_csv
from shoal.report import Fragment, render_alone

MADE = {
    "evaluate": (
        "purity_report_latest.json",
        "centroid_cosine_matrix.npy",
        "yolo_classes.csv",
        "yolo_missing.csv",
        "yolo_malformed.csv",
    ),
    "visualize": ("cluster_grid.png", "cluster_sizes.png", "preprocessing_comparison.png"),
}
"""Files that steps of a kind leave beside their answers; of several the last one's counts."""

SCATTER = "visualize.scatter"
PAGE = "interactive_scatter.html"
LIST = "image_clusters.csv"


def write_structural(run: Exportable, folder: Path) -> None:
    """Write the workflow's files of a run into an empty folder."""
    for kind, names in MADE.items():
        for step in of_kind(run, kind):
            _, files = run.fragments(step.name)
            for name in names:
                if files is not None and (files / name).is_file():
                    shutil.copyfile(files / name, folder / name)
    scatters = [step for step in of_kind(run, "visualize") if step.stage.title() == SCATTER]
    if scatters:
        (row,) = run.fragments(scatters[-1].name)[0].to_pylist()
        drawn = Fragment(scatters[-1].name, row["title"], row["html"], row["style"], row["script"])
        (folder / PAGE).write_text(render_alone(drawn, run.pipeline.name or "scatter"), encoding="utf-8", newline="\n")
    _list(run, folder)


def _list(run: Exportable, folder: Path) -> None:
    """Write `image_clusters.csv`: images by cluster and path, noise first, as -1 sorts so."""
    cluster = last(run, "cluster")
    if cluster is None:
        return
    wanted = {"cluster": run.shown(cluster.name, "cluster"), "strength": f"{cluster.name}.strength"}
    named = name_column(run, cluster)
    if named:
        wanted["label"] = named
    known = run.joined(list(wanted.values()))
    files = run.files.filter(pc.equal(run.files["status"], "accepted"))
    place = pc.index_in(files["id"], value_set=known["id"].combine_chunks())
    columns = {name: known[column].take(place) for name, column in wanted.items()}
    columns.setdefault("label", pa.nulls(files.num_rows, pa.string()))
    table = pa.table({"path": files["path"], **{name: columns[name] for name in ("cluster", "label", "strength")}})
    write_csv(folder / LIST, table.sort_by([("cluster", "ascending"), ("path", "ascending")]))
