"""`evaluate.yolo`: which classes of a YOLO set lie in which clusters."""

import csv
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
from pydantic import Field

from shoal.contract import Context, Stage
from shoal.hooks import hookimpl
from shoal.kinds import Evaluator
from shoal.schema import columns
from shoal.text import csv_cell
from shoal_plugins.evaluate._labels import class_files, class_names, read_label
from shoal_plugins.organize._yolo import Extension, FolderName, Layout

TABLE = "yolo_classes.csv"
MISSING = "yolo_missing.csv"
MALFORMED = "yolo_malformed.csv"
TOLD = 20
"""Paths that the run's record names; the files name all."""

Class = tuple[int, str]
"""Number and name, empty where the set gives none: sets that are clustered together may number their classes otherwise."""

COUNTS = pa.list_(pa.struct([("class", pa.int32()), ("name", pa.string()), ("boxes", pa.int64()), ("images", pa.int64())]))


class Yolo(Evaluator):
    """Counts the classes of a YOLO set by cluster: a table of classes and clusters, images without a label, bad labels.

    For `.../img/a.jpg` the label is `.../lab/a.txt`; the first number of each line is the class, of boxes, polygons and
    poses alike. Names come from the first that is there of `classes.txt`, `data.yaml`, `data.yml` and `dataset.yaml` in the
    folder of labels, in the one that holds it, and in the one above. An image at several paths is counted by the first that
    has a label. An empty label file is a label without boxes: background.

    A row a cluster: images with and without label, labels with something wrong, boxes, and boxes and images by class. Files:
    `yolo_classes.csv` (a line a class, a column a cluster, noise first; cells are boxes), `yolo_missing.csv` (images without
    a label file, and which was looked for) and `yolo_malformed.csv` (label files and what is wrong; the lines of such a file
    that are right are counted). Nothing in a label file can make the stage fail: a file is read up to `max_kb`.

    Take it where clusters of labelled images shall be told apart by what is labelled in them, and beside `organize.folders`
    with `yolo`. It reads labels anew whenever one of them has another size or time.
    """

    name: ClassVar[str] = "yolo"
    consumes: ClassVar[pa.Schema] = columns(paths=pa.list_(pa.string()), cluster=pa.int32())

    images: FolderName = Field(
        "img", description="Name of the folder of images; where a path has several of that name, the last one counts."
    )
    labels: FolderName = Field("lab", description="Name of the folder of labels that stands in its place, such as `labels`.")
    extension: Extension = Field(".txt", description="Extension of a label file, with its dot.")
    max_kb: int = Field(
        1024, ge=1, le=2**20, description="Largest label file in KB of 1024 bytes that is read; a larger one is malformed."
    )

    def produces(self) -> pa.Schema:
        """Return what is counted of a cluster; `classes` has the classes by falling number of boxes."""
        return columns(
            images_with_label=pa.int64(), images_without_label=pa.int64(), malformed_labels=pa.int64(), boxes=pa.int64(),
            classes=COUNTS,
        )  # fmt: skip

    def outside(self, rows: pa.Table) -> str:
        """Return a digest of sizes and times of all label files and files of class names."""
        digest, seen = hashlib.sha256(), set[str]()
        for paths in rows["paths"].to_pylist():
            for path in sorted(paths):
                files = [self._layout.label_of(path), *class_files(path, self._layout)]
                for file in files:
                    if file is not None and file not in seen:
                        seen.add(file)
                        digest.update(f"{file}\0{_state(file)}\n".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        """Return the counts by cluster."""
        clusters = rows["cluster"].to_pylist()
        found = {cluster: _Counts() for cluster in sorted(set(clusters))}
        reader = _Reader(self._layout, self.max_kb * 1024)
        for paths, cluster in zip(rows["paths"].to_pylist(), clusters, strict=True):
            reader.count(sorted(paths), found[cluster])
        _note(context, found, reader)
        if context.folder is not None:
            _write(context.folder, found, reader)
        kept = {cluster: counts for cluster, counts in found.items() if cluster >= 0}
        made = {
            "images_with_label": [counts.labelled for counts in kept.values()],
            "images_without_label": [counts.unlabelled for counts in kept.values()],
            "malformed_labels": [counts.malformed for counts in kept.values()],
            "boxes": [counts.boxes.total() for counts in kept.values()],
            "classes": [counts.by_class() for counts in kept.values()],
        }
        schema = self.produces()
        arrays = [pa.array(made[name], schema.field(name).type) for name in schema.names]
        return pa.table([pa.array(list(kept), pa.int32()), *arrays], names=["cluster", *schema.names])

    @property
    def _layout(self) -> Layout:
        return Layout(self.images, self.labels, self.extension)


def _state(path: str) -> str:
    try:
        state = os.stat(path)
    except OSError as error:
        return type(error).__name__
    return f"{state.st_size} {state.st_mtime_ns} {state.st_ino}"


@dataclass
class _Counts:
    """What was counted in a cluster, or in the noise."""

    labelled: int = 0
    unlabelled: int = 0
    malformed: int = 0
    boxes: Counter[Class] = field(default_factory=Counter)
    images: Counter[Class] = field(default_factory=Counter)

    def by_class(self) -> list[dict[str, object]]:
        """Return the counts of each class, the one with most boxes first."""
        order = sorted(self.boxes, key=lambda key: (-self.boxes[key], key))
        return [{"class": key[0], "name": key[1], "boxes": self.boxes[key], "images": self.images[key]} for key in order]


@dataclass
class _Reader:
    """Reads the labels of images, each set's class names once."""

    layout: Layout
    most_bytes: int
    missing: list[tuple[str, str]] = field(default_factory=list)
    malformed: dict[str, str] = field(default_factory=dict)
    names: dict[tuple[str, ...], dict[int, str]] = field(default_factory=dict)

    def count(self, paths: Sequence[str], counts: _Counts) -> None:
        """Add an image to the counts of its cluster."""
        labels = [(path, self.layout.label_of(path)) for path in paths]
        path, label = next(((path, label) for path, label in labels if label and os.path.lexists(label)), labels[0])
        if label is None or not os.path.lexists(label):
            counts.unlabelled += 1
            self.missing.append((path, label or f"no folder {self.layout.images!r} in its path"))
            return
        counts.labelled += 1
        said, names = read_label(label, self.most_bytes), self._names(path)
        for number, boxes in said.boxes.items():
            key = number, names.get(number, "")
            counts.boxes[key] += boxes
            counts.images[key] += 1
        if said.problem is not None:
            counts.malformed += 1
            self.malformed[label] = said.problem

    def _names(self, path: str) -> dict[int, str]:
        files = class_files(path, self.layout)
        if files not in self.names:
            self.names[files], problem, where = class_names(files)
            if problem is not None:
                self.malformed[where] = problem
        return self.names[files]


def _note(context: Context, found: dict[int, _Counts], reader: _Reader) -> None:
    metrics = {
        "images_with_label": sum(counts.labelled for counts in found.values()),
        "images_without_label": sum(counts.unlabelled for counts in found.values()),
        "malformed_labels": sum(counts.malformed for counts in found.values()),
        "boxes": sum(counts.boxes.total() for counts in found.values()),
        "classes": len({key for counts in found.values() for key in counts.boxes}),
    }
    context.note("metrics", metrics)
    if reader.missing:
        context.note("missing", [path for path, _ in reader.missing[:TOLD]])
    if reader.malformed:
        context.note("malformed", dict(list(reader.malformed.items())[:TOLD]))


def _write(folder: Path, found: dict[int, _Counts], reader: _Reader) -> None:
    total: Counter[Class] = sum((counts.boxes for counts in found.values()), Counter[Class]())
    images: Counter[Class] = sum((counts.images for counts in found.values()), Counter[Class]())
    heads = ["noise" if cluster < 0 else str(cluster) for cluster in found]
    lines = (
        [key[0], csv_cell(key[1]), total[key], images[key], *(counts.boxes[key] for counts in found.values())]
        for key in sorted(total)
    )
    _write_csv(folder / TABLE, ["class", "name", "boxes", "images", *heads], lines)
    _write_csv(folder / MISSING, ["image", "label"], ([csv_cell(text) for text in pair] for pair in reader.missing))
    bad = sorted(reader.malformed.items())
    _write_csv(folder / MALFORMED, ["label", "reason"], ([csv_cell(text) for text in pair] for pair in bad))


def _write_csv(path: Path, head: list[str], lines: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(lines)


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (Yolo,)
