"""What an export needs of a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from shoal.decisions import Readable
from shoal.pipeline import Pipeline, Step
from shoal.reviewing.history import Reviewed


class Exportable(Reviewed, Protocol):
    """A run whose tables can be read, as people left them.

    Attributes:
        pipeline: what was run.
        files: a row a file of the source: path, id, status, step, reason.
        images: a row an image of the result: id, path, paths, item, view, bytes, width, height, format.
        folder: holds `organization_log.txt` once the run was organised.
    """

    @property
    def pipeline(self) -> Pipeline:
        """What was run."""

    @property
    def files(self) -> pa.Table:
        """Every file of the source with what became of it."""

    @property
    def images(self) -> pa.Table:
        """The images of the result, sorted by id."""

    @property
    def folder(self) -> Readable:
        """The run's own files."""

    def table(self, step: str) -> pa.Table:
        """Return what a step made."""

    def current(self, step: str) -> pa.Table:
        """Return the same with the clusters, labels and suggestions of the run's version."""

    def shown(self, step: str, column: str) -> str:
        """Return the name under which `joined` gives a step's column as people left it."""

    def fragments(self, step: str) -> tuple[pa.Table, Path | None]:
        """Return what a step made, and the folder of the files that it left beside it, where there are any."""

    def joined(self, columns: Sequence[str]) -> pa.Table:
        """Return `id` and columns of any steps, a row an image; `step.column` is what was computed."""


def of_kind(run: Exportable, kind: str) -> list[Step]:
    """Return the steps of a kind, in order."""
    return [step for step in run.pipeline.steps if step.stage.kind == kind]


def last(run: Exportable, kind: str) -> Step | None:
    """Return the last step of a kind, or None."""
    found = of_kind(run, kind)
    return found[-1] if found else None


def names_in_review(run: Exportable) -> pa.Table | None:
    """Return the names of a run's clusters that only people gave them: cluster, label, reason, by.

    None where a step names them (`current` then says what people made of that), or nobody reviewed the run.
    """
    return None if run.version is None or last(run, "label") else run.version_table("label")


def clusters_of(run: Exportable, step: Step) -> Step | None:
    """Return the clusterer whose numbers a step speaks of: the one it names, else the last before it."""
    earlier = run.pipeline.steps[: run.pipeline.names.index(step.name)]
    found = [other for other in earlier if other.stage.kind == "cluster"]
    named = [other for other in found if other.name in step.sources]
    return next(reversed(named or found), None)


def name_column(run: Exportable, cluster: Step) -> str | None:
    """Return the column of `joined` that names a clusterer's clusters; None where nothing does."""
    label = last(run, "label")
    if label:
        return run.shown(label.name, "label") if clusters_of(run, label) == cluster else None
    return "label" if run.shown(cluster.name, "cluster") == "cluster" else None
