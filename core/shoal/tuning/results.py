"""What a tuning leaves behind: its table, its summary, a folder a candidate, the best as pipeline files.

`OUT/tuning/` holds the files of the last tuning (`tuning_summary_latest.json`, `tuning_results_all.csv`) and a folder for
each: `<name>/trials/0017/` (`pipeline.yaml`, `trial.json`), `<name>/top/01.yaml` and so on to 20, `best.yaml`.
"""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from shoal.errors import UsageError
from shoal.records import RunRecord, RunView, Status
from shoal.store import Folder, Store
from shoal.text import terminal
from shoal.tuning.trials import Trial

FOLDER = "tuning"
SUMMARY = "tuning_summary_latest.json"
TABLE = "tuning_results_all.csv"
TRIAL = "trial.json"
PIPELINE = "pipeline.yaml"
BEST = "best.yaml"
TOP = 20
SCORES = ("score", "modularity", "stability", "ari", "nmi", "largest")
COLUMNS = (
    "number", "phase", "generation", "status", "score", "modularity", "stability", "images", "clusters", "noise", "largest",
    "ari", "nmi", "seconds", "reason",
)  # fmt: skip


@dataclass(frozen=True)
class Results:
    """The files of one tuning.

    Attributes:
        store: that holds them.
        name: of the tuning: the same for the same command, whatever its budget.
        yaml: gives the whole pipeline of a candidate's options as a file.
    """

    store: Store
    name: str
    yaml: Callable[[Trial], str]

    @property
    def home(self) -> Folder:
        """Folder of all tunings."""
        return self.store.root / FOLDER

    @property
    def folder(self) -> Folder:
        """Folder of this one."""
        return self.home / self.name

    def trial(self, number: int) -> Folder:
        """Return the folder of a candidate."""
        return trial_folder(self.folder, number)

    def write(self, trials: Sequence[Trial], fresh: Sequence[Trial], summary: dict[str, Any]) -> None:
        """Write what is known: folders of the `fresh` candidates, the table, the best, the summary."""
        for trial in fresh:
            folder = self.trial(trial.number)
            folder.write(PIPELINE, self._text(trial).encode())
            folder.write_json(TRIAL, trial.facts())
        data = table(trials).encode()
        best = ranked(trials)
        for place, trial in enumerate(best[:TOP], 1):
            (self.folder / "top").write(f"{place:02d}.yaml", self._text(trial).encode())
        if best:
            self.folder.write(BEST, self._text(best[0]).encode())
        whole = {**summary, "name": self.name, "top": [trial.facts() for trial in best[:TOP]]}
        for folder in (self.folder, self.home):
            folder.write(TABLE, data)
            folder.write_json(SUMMARY, whole)

    def view(self, trial: Trial, summary: dict[str, Any]) -> RunView:
        """Return what hooks see of a candidate: a run of the tuning."""
        scores = {name: getattr(trial, name) for name in SCORES}
        record = RunRecord(
            id=f"{self.name}-{trial.number}",
            pipeline=summary["pipeline"],
            source=summary["source"],
            started=summary["started"],
            status=trial.status,
            error=trial.reason,
            seconds=trial.seconds,
            images=trial.images,
            clusters=trial.clusters,
            noise=trial.noise,
            tuning=self.name,
            scores={name: value for name, value in scores.items() if value is not None},
            steps=trial.records,
        )
        return self._view(record, self.trial(trial.number), (PIPELINE,))

    def view_all(self, summary: dict[str, Any], status: Status) -> RunView:
        """Return what hooks see of the tuning itself."""
        best = summary["best"] or {}
        record = RunRecord(
            id=self.name,
            pipeline=summary["pipeline"],
            source=summary["source"],
            started=summary["started"],
            status=status,
            seconds=summary["seconds"],
            tuning=self.name,
            scores={f"best_{name}": best[name] for name in SCORES if best.get(name) is not None}
            | {"evaluated": summary["evaluated"], "failed": summary["failed"]},
        )
        return self._view(record, self.folder, (SUMMARY, TABLE, BEST))

    def _view(self, record: RunRecord, folder: Folder, files: Sequence[str]) -> RunView:
        kept = tuple(f"{folder.uri}/{name}" for name in files if folder.exists(name))
        return RunView(id=record.id, folder=folder.uri, store=self.store.root.uri, record=record, artefacts=kept)

    def _text(self, trial: Trial) -> str:
        told = f", score {trial.score:.4f}" if trial.score is not None else f", failed: {terminal(trial.reason)}"
        return f"# candidate {trial.number} of tuning {self.name}{told}\n{self.yaml(trial)}"


def trial_folder(tuning: Folder, number: int) -> Folder:
    """Return the folder of a candidate."""
    return tuning / "trials" / f"{number:04d}"


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Return the candidates that were scored on the most images, the best first: scores of a part are for the search only.

    Where only a first phase ended, these are its candidates.
    """
    scored = [trial for trial in trials if trial.score is not None]
    last = max((trial.phase for trial in scored), default=1)
    return sorted((t for t in scored if t.phase == last), key=lambda trial: (-(trial.score or 0.0), trial.number))


def table(trials: Sequence[Trial]) -> str:
    """Return all candidates as CSV, an option a column."""
    options = list(dict.fromkeys(option for trial in trials for option in trial.options))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS[:2], *options, *COLUMNS[2:]])
    for trial in trials:
        facts = [_cell(getattr(trial, name)) for name in COLUMNS]
        writer.writerow([*facts[:2], *(_cell(trial.options.get(option)) for option in options), *facts[2:]])
    return text.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value)


def from_trial(out: str, named: str) -> tuple[str, str]:
    """Return (path of a candidate's pipeline file on this machine, its images).

    Args:
        out: folder or URI of the store.
        named: number of the candidate in the last tuning, or `TUNING/NUMBER`.

    Raises:
        UsageError: there is no such candidate.
    """
    store = Store.open(out)
    home = store.root / FOLDER
    name, _, number = named.rpartition("/")
    folder = home / name if name else home
    if not folder.exists(SUMMARY):
        raise UsageError(
            f"{out} holds no tuning{f' {name!r}' if name else ''}; make one with `shoal tune RECIPE IMAGES --out {out}`"
        )
    summary = folder.read_json(SUMMARY)
    known = number.isascii() and number.isdigit() and 1 <= int(number) <= summary["evaluated"]
    place = trial_folder(home / summary["name"], int(number)) if known else None
    if place is None or not place.exists(PIPELINE):
        raise UsageError(f"tuning {summary['name']} has no candidate {number!r}; they go from 1 to {summary['evaluated']}")
    return str(place.fetched() / PIPELINE), str(summary["source"])
