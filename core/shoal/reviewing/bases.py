"""What answers about a run are applied to, and answers that were given to something else in the numbers of that."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from shoal.catalogue import Run
from shoal.decisions import COMPUTED, Answer, Unsettled, Version
from shoal.decisions.standing import Revision, base_name, base_under, revision
from shoal.errors import UsageError
from shoal.records import clustering, labelling
from shoal.reviewing.apply import Base
from shoal.reviewing.labels import LABELS
from shoal.reviewing.translating import AGAIN, Crossing, Translated, all_said, translate


@dataclass(frozen=True)
class Told:
    """Answers in the numbers of one base.

    Attributes:
        answers: what they ask for there.
        unsettled: what does not carry over, and why.
        partly: revisions of the answers that don't carry over as a whole.
    """

    answers: tuple[Answer, ...]
    unsettled: tuple[Unsettled, ...]
    partly: frozenset[Revision]


class Numbers:
    """Tells in the numbers of one base of a run what was said in those of others; tables are read when they are needed."""

    def __init__(self, run: Run, base: Version | None, versions: Sequence[Version]) -> None:
        """Take a run, the base whose numbers are spoken, and all versions of the run."""
        self._run, self._base = run, base
        self._others = {base_name(one): one for one in versions if one.kind == "carried"}
        self._ways: dict[str, Crossing | None] = {}

    @classmethod
    def shown(cls, run: Run) -> "Numbers":
        """Return what speaks the numbers that a run shows."""
        versions = run.versions
        return cls(run, base_under(run.version, versions), versions)

    @property
    def base(self) -> str:
        """Name of the base whose numbers are spoken."""
        return base_name(self._base)

    def task(self, base: str, key: str) -> str | None:
        """Return the task that asks here what a task of another base asks; None where there is none."""
        if base == self.base:
            return key
        way = self._way(base)
        return way.task(key) if way else None

    def tell(self, answers: Iterable[Answer]) -> Told:
        """Return answers in the numbers that are spoken; those that don't say theirs have them."""
        told = {answer: self._tell(answer) for answer in answers}
        latest: dict[str, str] = {}  # when somebody who saw these numbers spoke last of an image
        for answer in told:
            if answer.base in ("", self.base):
                images = {f"image:{image}" for change in answer.changes for image in change.images}
                latest |= {image: max(answer.at, latest.get(image, "")) for image in images}
        left = [one for each in told.values() for one in each.unsettled if latest.get(one.subject, "") < one.said[0].at]
        return Told(
            tuple(each.answer for each in told.values() if each.answer), tuple(left),
            frozenset(revision(answer) for answer, each in told.items() if each.unsettled),
        )  # fmt: skip

    def _tell(self, answer: Answer) -> Translated:
        if answer.base in ("", self.base):
            return Translated(answer)
        way = self._way(answer.base)
        if way is not None:
            return translate(answer, way)
        if not answer.changes:
            return Translated(None)
        why = f"it means numbers of clusters that the run does not have (base {answer.base}); {AGAIN}"
        return Translated(None, (Unsettled(subject=answer.task, why=why, said=(all_said(answer),)),))

    def _way(self, base: str) -> Crossing | None:
        if base not in self._ways:
            known = base == COMPUTED or base in self._others
            there = self._clusters(self._others.get(base)) if known else None
            names = (words(self._others.get(base)), words(self._base))
            self._ways[base] = None if there is None else Crossing.between(there, self._here, *names)
        return self._ways[base]

    @cached_property
    def _here(self) -> Mapping[str, int]:
        return self._clusters(self._base)

    def _clusters(self, base: Version | None) -> Mapping[str, int]:
        table = clusters_of(self._run, base)
        return dict(zip(table["id"].to_pylist(), table["cluster"].to_pylist(), strict=True))


def words(base: Version | None) -> str:
    """Return a base as people call it."""
    return f"version {base.number}" if base else "what was computed"


def clusters_of(run: Run, base: Version | None) -> pa.Table:
    """Return the clusters of a base: `id`, `cluster` and, of one that was carried, the rest of `CLUSTERS`."""
    return run.look(base.number).version_table("cluster") if base else computed(run)[0]


def base_tables(run: Run, start: Version | None, versions: Sequence[Version]) -> Base:
    """Return what answers about a run are applied to.

    Args:
        run: the run.
        start: a version that was carried; None: what was computed.
        versions: all of the run: no number that a cluster of one of them had is given to another.

    Raises:
        UsageError: the run has no clusters.
    """
    begun = start.number if start else 0
    same = [version for version in versions if version.base == begun]
    numbers = {new: number for version in same for new, number in version.numbers.items()}
    if start is not None:
        clusters, labels = clusters_of(run, start), run.look(start.number).version_table("label")
    else:
        clusters, labels = computed(run)
    tops = [pc.max(table["cluster"]).as_py() for table in (clusters, labels) if table.num_rows]
    return Base(clusters, labels, numbers, max([-1, *(version.highest for version in versions), *tops]))


def computed(run: Run) -> tuple[pa.Table, pa.Table]:
    """Return the clusters (`id`, `cluster`) and the labels that a run computed.

    Raises:
        UsageError: it has no clusters.
    """
    step, named = clustering(run.record), labelling(run.record)
    if step is None or not run.done(step):
        raise UsageError(f"run {run.id} has no clusters to review; add a cluster step to its pipeline")
    clusters = run.joined([f"{step}.cluster"]).rename_columns(["id", "cluster"])
    clusters = clusters.filter(pc.is_valid(clusters["cluster"]))
    return clusters, run.table(named) if named else LABELS.empty_table()
