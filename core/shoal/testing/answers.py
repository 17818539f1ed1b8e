"""What each kind of table stage promises about its answers, as `shoal.kinds` says."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoal.contract import TableStage
from shoal.kinds import Clusterer, Labeller, Organizer, Reducer, Rescuer, Sampler, Visualizer
from shoal.testing.common import fail

Rule = Callable[[TableStage, pa.Table, pa.Table, "Path | None"], str]


def check_answers(stage: TableStage, rows: pa.Table, table: pa.Table, what: str, folder: Path | None) -> None:
    """Check the columns that the kind fixes; a stage of a kind of its own has no more rules."""
    for kind, rule in _RULES.items():
        if isinstance(stage, kind):
            how = rule(stage, rows, table, folder)
            if how:
                fail(stage, f"for {what} {how}")


def _every_row(rows: pa.Table, table: pa.Table) -> str:
    missing = set(rows["id"].to_pylist()) - set(table["id"].to_pylist())
    return f"{len(missing)} rows got no answer; each image needs one" if missing else ""


def _reducer(stage: TableStage, rows: pa.Table, table: pa.Table, folder: Path | None) -> str:
    return _every_row(rows, table) or ("a vector is null" if table["embedding"].null_count else "")


def _clusterer(stage: TableStage, rows: pa.Table, table: pa.Table, folder: Path | None) -> str:
    if any(table[name].null_count for name in ("cluster", "strength", "outlier")):
        return "a cluster, strength or outlier is null; noise is cluster -1 with strength 0"
    cluster = table["cluster"].to_numpy()
    strength, outlier = table["strength"].to_numpy(), table["outlier"].to_numpy()
    if (cluster < -1).any():
        return f"there is a cluster {cluster.min()}; noise is -1"
    sizes = np.bincount(cluster[cluster >= 0]) if (cluster >= 0).any() else np.empty(0, dtype=np.int64)
    if (sizes == 0).any() or (np.diff(sizes) > 0).any():
        return f"clusters 0, 1, ... have sizes {sizes.tolist()}; number them from 0 by falling size"
    for name, values in (("strength", strength), ("outlier", outlier)):
        if ((values < 0) | (values > 1)).any():
            return f"{name} goes from {values.min():g} to {values.max():g}; it must lie in 0 to 1"
    if strength[cluster < 0].any():
        return "a noise row has a strength; it must be 0"
    return _every_row(rows, table)


def _sampler(stage: TableStage, rows: pa.Table, table: pa.Table, folder: Path | None) -> str:
    if table["rank"].null_count:
        return "a rank is null; leave out rows that are not picked"
    cluster_of = dict(zip(rows["id"].to_pylist(), rows["cluster"].to_pylist(), strict=True))
    ranks: dict[int, list[int]] = {}
    for row_id, rank in zip(table["id"].to_pylist(), table["rank"].to_pylist(), strict=True):
        ranks.setdefault(cluster_of[row_id], []).append(rank)
    if -1 in ranks and len(ranks) > 1:
        return "noise has a representative beside the clusters; a sampler picks from clusters, or from the noise alone"
    for cluster, found in sorted(ranks.items()):
        if sorted(found) != list(range(len(found))):
            return f"cluster {cluster} has ranks {sorted(found)}; they count 0, 1, 2, ... without gaps"
    if set(ranks) == ({-1} & set(cluster_of.values())):  # it picks noise, all that there is of it or none
        return ""
    missing = set(cluster_of.values()) - set(ranks) - {-1}
    return f"cluster {min(missing)} has no representative" if missing else ""


def _labeller(stage: TableStage, rows: pa.Table, table: pa.Table, folder: Path | None) -> str:
    labels = table["label"].to_pylist()
    if any(not label for label in labels):
        return "a label is empty"
    if len(set(labels)) != len(labels):
        return f"two clusters are called {max(labels, key=labels.count)!r}; names must be distinct"
    missing = set(pc.unique(rows["cluster"]).to_pylist()) - set(table["cluster"].to_pylist()) - {-1}
    return f"cluster {min(missing)} has no label" if missing else ""


def _rescuer(stage: TableStage, rows: pa.Table, table: pa.Table, folder: Path | None) -> str:
    cluster_of = dict(zip(rows["id"].to_pylist(), rows["cluster"].to_pylist(), strict=True))
    clusters = {*cluster_of.values(), None} - {-1}
    for row in table.to_pylist():
        if cluster_of[row["id"]] != -1:
            return f"image {row['id']} of cluster {cluster_of[row['id']]} has an answer; only noise has"
        for how in _rescue(row, clusters):
            return how
    return ""


def _rescue(row: dict[str, Any], clusters: set[int | None]) -> Iterator[str]:
    """Yield what is wrong with a rescuer's row."""
    for name in ("suggested", "best", "runner_up", "nearest"):
        if row[name] not in clusters:
            yield f"{name} is {row[name]}, and there is no such cluster; null stands for none"
    for name, score in (("best", "score"), ("runner_up", "runner_up_score"), ("nearest", "nearest_score")):
        if (row[name] is None) != (row[score] is None):
            yield f"{name} is {row[name]} and {score} is {row[score]}; both are null, or neither"
        if row[score] is not None and not -1 <= row[score] <= 1:
            yield f"{score} is {row[score]:g}; a cosine lies in -1 to 1"
    if row["suggested"] not in (None, row["best"]):
        yield f"cluster {row['suggested']} is suggested, and the best is {row['best']}"
    if row["runner_up"] is not None and (row["best"] is None or row["runner_up_score"] > row["score"]):
        yield f"the runner-up has {row['runner_up_score']:g}, and the best {row['score'] or 0:g}"


def _organizer(stage: TableStage, rows: pa.Table, table: pa.Table, folder: Path | None) -> str:
    sources, targets = table["source"].to_pylist(), table["target"].to_pylist()
    if None in sources or None in targets:
        return "a source or target is null"
    if len(set(targets)) != len(targets):
        return f"two files go to {max(targets, key=targets.count)!r}"
    for target in targets:
        path = PurePosixPath(target)
        if path.is_absolute() or ".." in path.parts or not path.name or "\\" in target:
            return f"target {target!r} is not a path below the root"
    return ""


def _visualizer(stage: TableStage, rows: pa.Table, table: pa.Table, folder: Path | None) -> str:
    if table.num_rows != 1:
        return f"it returned {table.num_rows} fragments; it must return one"
    for html in table["html"].to_pylist():
        if not html:
            return "its html is empty; say in words that there is nothing to show"
        if re.search(r"<script\b|\son\w+\s*=\s*[\"']", html, flags=re.IGNORECASE):
            return "its html holds a script; give it in the column `script`, which the report allows by its hash"
        for name in re.findall(r"""=["']files/([^"'?#]+)["']""", html):
            if folder is not None and not (folder / name).is_file():
                return f"its html names files/{name}, which it did not write into context.folder"
    return ""


_RULES: dict[type[Any], Rule] = {
    Reducer: _reducer,
    Clusterer: _clusterer,
    Sampler: _sampler,
    Labeller: _labeller,
    Rescuer: _rescuer,
    Organizer: _organizer,
    Visualizer: _visualizer,
}
