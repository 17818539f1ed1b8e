"""`evaluate.truth`: clusters against true classes, where they are known."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
from pydantic import Field

from shoal import sources
from shoal.contract import Context, Stage
from shoal.errors import StageError
from shoal.hooks import hookimpl
from shoal.kinds import Evaluator
from shoal.schema import columns
from shoal.text import csv_cell, plain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from shoal_plugins.evaluate._verdict import Bound

CONFUSION = "confusion_matrix.csv"
CELLS = 4_000_000
"""Cells up to which the matrix is written in full."""

LONGEST = 200
"""Characters of a class's name."""


class Truth(Evaluator):
    """Compares the clusters with true classes: the names of the folders, or a table of labels.

    `nmi`, `ari` (adjusted Rand index), `homogeneity`, `completeness` and `v_measure` count noise as one more cluster, since
    leaving it out would reward a clusterer that dares nothing. `purity` is the share of images in clusters that are of their
    cluster's commonest class; `coverage` the share of labelled images that lie in a cluster.

    Images without a true class are left out of all that, and counted (`unlabelled`); so are those whose copies lie in
    folders of different names (`ambiguous`). A row a cluster: its commonest class, and that class's share of the
    cluster's labelled images; equal counts go to the class first in the alphabet. Without any labelled image all figures
    but the counts are left out; with one class or one cluster they are what scikit-learn says.

    File: `confusion_matrix.csv`, a row a class, a column a cluster; of above 4 million cells only those that are not 0, as
    rows of class, cluster and images.

    Source: V-measure: A. Rosenberg, J. Hirschberg, EMNLP 2007; ARI: L. Hubert, P. Arabie, 1985; by scikit-learn.
    """

    name: ClassVar[str] = "truth"
    shorthand: ClassVar[str | None] = "labels"
    consumes: ClassVar[pa.Schema] = columns(cluster=pa.int32(), paths=pa.list_(pa.string()))

    level: int = Field(1, ge=1, le=32, description="Folder that names the class: 1 holds the file, 2 is the one above it.")
    labels: str | None = Field(
        None,
        description="CSV or Parquet file of true classes, by `id` or `path` (relative ones from the file's folder); null "
        "takes the folders.",
    )
    column: str = Field("label", min_length=1, description="Column of that file which holds the class.")
    min_ari: float | None = Field(
        None, ge=-1.0, le=1.0, description="Threshold: the ARI is at least this; null judges nothing."
    )

    def produces(self) -> pa.Schema:
        """Return the cluster's labelled images, its commonest class, and that class's share; null where none is labelled."""
        return columns(labelled=pa.int64(), true_class=pa.string(), true_share=pa.float32())

    def identity(self) -> dict[str, Any]:
        """Return the options, and the hash of the labels' file, whose content may change."""
        if self.labels is None:
            return super().identity()
        try:
            digest = hashlib.sha256(sources.read_bytes(sources.absolute(self.labels))).hexdigest()
        except Exception:  # run says it in a sentence
            digest = "unreadable"
        return {**super().identity(), "labels_sha256": digest}

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        """Return a row a cluster; note the figures; write the confusion matrix.

        Raises:
            StageError: the file of labels can't be read, or lacks a column.
        """
        import numpy as np

        truth = self._truth(rows)
        given = rows["cluster"].to_numpy()
        numbers = np.unique(given[given >= 0])
        known = np.array([isinstance(name, str) for name in truth], dtype=bool)
        names = sorted({name for name in truth if isinstance(name, str)})
        place = {name: number for number, name in enumerate(names)}
        classes = np.array([place[name] for name in truth if isinstance(name, str)], dtype=np.int64)
        table = _Table(classes, np.where(given >= 0, np.searchsorted(numbers, given), len(numbers))[known], names, numbers)
        figures: dict[str, float | None] = {
            "classes": len(names), "labelled": len(classes), "unlabelled": truth.count(None),
            "ambiguous": truth.count(False), **table.figures(),
        }  # fmt: skip
        self._tell(figures, context)
        if context.folder is not None:
            table.write(context.folder / CONFUSION)
        return table.clusters(self.produces())

    def _tell(self, figures: dict[str, float | None], context: Context) -> None:
        from shoal_plugins.evaluate._verdict import judge, tell

        bounds = self._bounds()
        fault = "" if figures["labelled"] else "no image has a true class"
        judged = self.min_ari is not None
        tell(context, figures, bounds, judge(figures, bounds, fault) if judged else None)

    def _bounds(self) -> "tuple[Bound, ...]":
        from shoal_plugins.evaluate._verdict import Bound

        return (Bound("ari", "the ARI against the true classes", self.min_ari, False),)

    def _truth(self, rows: pa.Table) -> "list[str | bool | None]":
        """Return the class of each row; None where it has none, False where its paths say different ones."""
        paths = rows["paths"].to_pylist()
        if self.labels is None:
            return [_one({_folder(path, self.level) for path in own}) for own in paths]
        key, table = self._table(sources.absolute(self.labels))
        if key == "id":
            return [table.get(name) for name in rows["id"].to_pylist()]
        return [_one({table[path] for path in own if path in table}) for own in paths]

    def _table(self, file: str) -> tuple[str, dict[str, str]]:
        """Return the name of the key, and the class by key. A class that is null or empty is none."""
        found = _read(file, self.column)
        key = next((name for name in ("id", "path") if name in found.column_names), None)
        missing = "`id` or `path`" if key is None else f"{self.column!r}" if self.column not in found.column_names else ""
        if key is None or missing:
            have = ", ".join(found.column_names[:20])
            raise StageError(f"evaluate.truth: {file} has no column {missing}; it has {have}; name the class by `column`")
        keys, values = found[key].cast(pa.string()).to_pylist(), found[self.column].cast(pa.string()).to_pylist()
        resolve: Callable[[str], str] = (lambda name: name) if key == "id" else (lambda name: _resolved(name, file))
        return key, {
            resolve(name): plain(value, LONGEST) for name, value in zip(keys, values, strict=True) if name and value
        }


@dataclass(frozen=True)
class _Table:
    """Labelled images.

    Attributes:
        classes: class of each, a place in `names`.
        places: cluster of each, a place in `numbers`; noise is the number of clusters.
        names, numbers: of classes and clusters.
    """

    classes: "NDArray[np.int64]"
    places: "NDArray[np.int64]"
    names: list[str]
    numbers: "NDArray[np.int32]"

    def figures(self) -> dict[str, float | None]:
        """Return the figures of the set; none where no image is labelled."""
        from sklearn.metrics import homogeneity_completeness_v_measure, normalized_mutual_info_score

        from shoal_plugins.evaluate._agreement import rand

        if not len(self.classes):
            return {}
        homogeneity, completeness, v_measure = homogeneity_completeness_v_measure(self.classes, self.places)
        found: dict[str, float | None] = {
            "nmi": normalized_mutual_info_score(self.classes, self.places), "ari": rand(self.classes, self.places),
            "homogeneity": homogeneity, "completeness": completeness, "v_measure": v_measure,
        }  # fmt: skip
        _, best, sizes = self.commonest()
        if sizes.sum():
            found["purity"] = float(best.sum() / sizes.sum())
        return found | {"coverage": float(sizes.sum() / len(self.classes))}

    def commonest(self) -> "tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]":
        """Return each cluster's commonest class, its images, and all labelled images."""
        import numpy as np

        from shoal_plugins.evaluate._agreement import cells

        clusters = len(self.numbers)
        place, name, count = cells(self.places, self.classes)
        order = np.lexsort((name, -count, place))
        place, name, count = place[order], name[order], count[order]
        first = np.flatnonzero(np.diff(place, prepend=-1))
        first = first[place[first] < clusters]
        classes, best = np.full(clusters, -1, dtype=np.int64), np.zeros(clusters, dtype=np.int64)
        classes[place[first]], best[place[first]] = name[first], count[first]
        return classes, best, np.bincount(self.places, minlength=clusters + 1)[:clusters]

    def clusters(self, schema: pa.Schema) -> pa.Table:
        """Return a row a cluster."""
        classes, best, sizes = self.commonest()
        shares = [float(b / s) if s else None for b, s in zip(best, sizes, strict=True)]
        arrays = [
            pa.array(self.numbers, pa.int32()), pa.array(sizes, pa.int64()),
            pa.array([self.names[c] if c >= 0 else None for c in classes], pa.string()), pa.array(shares, pa.float32()),
        ]  # fmt: skip
        return pa.table(arrays, schema=pa.schema([pa.field("cluster", pa.int32()), *schema]))

    def write(self, path: Path) -> None:
        """Write the confusion matrix."""
        import csv

        import numpy as np

        from shoal_plugins.evaluate._agreement import cells

        heads = [*(str(number) for number in self.numbers), "noise"]
        name, place, count = cells(self.classes, self.places)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            if len(self.names) * len(heads) > CELLS:
                writer.writerow(("class", "cluster", "images"))
                writer.writerows((csv_cell(self.names[n]), heads[p], c) for n, p, c in zip(name, place, count, strict=True))
                return
            whole = np.zeros((len(self.names), len(heads)), dtype=np.int64)
            whole[name, place] = count
            writer.writerow(("class", *heads))
            writer.writerows((csv_cell(self.names[n]), *row) for n, row in enumerate(whole.tolist()))


def _one(names: "set[str | None]") -> str | bool | None:
    found = names - {None}
    return False if len(found) > 1 else next(iter(found), None)


def _folder(path: str, level: int) -> str | None:
    """Return the name of the folder `level` above a file; None where there is none."""
    above = PurePosixPath(path).parents
    name = above[level - 1].name if level <= len(above) else ""
    return plain(name, LONGEST) or None


def _resolved(name: str, file: str) -> str:
    alone = name.startswith("/") or "://" in name or not sources.is_local(name)
    return sources.absolute(name) if alone else sources.join(sources.parent(file), name)


def _read(file: str, column: str) -> pa.Table:
    import pyarrow.csv
    import pyarrow.parquet

    texts = {name: pa.string() for name in ("id", "path", column)}  # a class `007` stays one
    text = pa.csv.ConvertOptions(column_types=texts, strings_can_be_null=True)
    try:
        with sources.open_file(file) as opened:
            if sources.name_of(file).lower().endswith(".parquet"):
                return pyarrow.parquet.read_table(opened)
            return pyarrow.csv.read_csv(opened, convert_options=text)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise StageError(f"evaluate.truth: {file} is no CSV or Parquet file that can be read: {error}") from error


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (Truth,)
