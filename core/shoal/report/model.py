"""What a report shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa


@dataclass(frozen=True)
class Fragment:
    """A part of the report that a visualiser drew.

    Attributes:
        name: name of the step; it becomes the anchor of the section.
        title: heading of the section.
        html: the fragment, already escaped; no script, no event attribute, no `style` attribute (the page forbids them).
        style: CSS for it.
        script: JavaScript for it, run once the fragment is there; `document.currentScript.parentElement` is its section.
        files: folder of the files that `html`, `style` and `script` name as `files/...`; None where there are none.
    """

    name: str
    title: str
    html: str
    style: str = ""
    script: str = ""
    files: Path | None = None


@dataclass(frozen=True)
class Figure:
    """A figure of an evaluation as people read it: name, value, threshold ("" without), and whether it keeps to that."""

    name: str
    value: str
    threshold: str = ""
    holds: bool = True


@dataclass(frozen=True)
class Judgement:
    """What an evaluator found.

    Attributes:
        step: its name.
        verdict: `PASS` or `FAIL`; empty where it judges nothing.
        reason: of the verdict, in one sentence.
        figures: of the whole set.
    """

    step: str
    verdict: str
    reason: str
    figures: Sequence[Figure]


@dataclass(frozen=True)
class Report:
    """A run as people see it.

    Attributes:
        title: heading.
        run_id: id of the run.
        created: when it started, as people read it.
        summary: figures of the run, (name, value) in the order to show.
        steps: a row a step: step, stage, backend, seconds, rows, computed, cached, failed, rate (rows/s).
        clusters: a row a cluster: cluster (-1 is noise), label, size, reason; `first_label`, where there is that column, is
            the label that was changed to tell clusters apart.
        rejected: a row a file that is not in the result: path, step, status (`filtered` or `failed`), reason.
        fragments: what the visualisers drew, in order.
        next_commands: what the user may want to type next.
        judgements: what the evaluators found, in order.
        reviewed: which version this is, as people read it; empty where nobody reviewed the run.
        history: a row a version, the newest first: version, state, made, by, people, changes, what; None: none.
    """

    title: str
    run_id: str
    created: str
    summary: Sequence[tuple[str, str]]
    steps: pa.Table
    clusters: pa.Table
    rejected: pa.Table
    fragments: Sequence[Fragment] = ()
    next_commands: Sequence[str] = ()
    judgements: Sequence[Judgement] = ()
    reviewed: str = ""
    history: pa.Table | None = None
