"""Exports: a run's tables as files for people and their scripts."""

from collections import Counter
from difflib import get_close_matches
from itertools import chain, count
from pathlib import Path

from shoal.errors import UsageError
from shoal.export.publish import OURS, publishing
from shoal.export.source import Exportable, names_in_review
from shoal.export.structural import write_structural
from shoal.export.workflow import write_workflow
from shoal.export.writers import flat, plain, write_csv, write_parquet
from shoal.pipeline import Step

__all__ = ["FORMATS", "OURS", "Exportable", "export"]

FORMATS = ("workflow", "structural", "csv", "parquet")
CONFIG = "run_config.yaml"


def export(
    run: Exportable,
    how: str,
    folder: str | Path,
    *,
    force: bool = False,
    caption_files: bool = True,
    keyword_files: bool = True,
) -> list[Path]:
    """Write a run's tables into a folder and return what lies in it, by name: files, and folders of files.

    - `workflow`: the files of the step-by-step workflow, see `shoal.export.workflow`.
    - `structural`: the files of the workflow `structural-clusters`, see `shoal.export.structural`.
    - `csv`: `images.csv` (a row an image with every plain column of every step, keywords joined), `files.csv` (a row a file
      with what became of it), and one file for each step whose rows are no images (`label.csv`).
    - `parquet`: `images.parquet`, `files.parquet` and one file a step, vectors and pictures too.

    Names that people gave the clusters of a run without a label step are in each of them as a label step's are.

    Each holds `run_config.yaml`. Files appear whole; exporting again replaces what the last export wrote, nothing else.

    Args:
        run: the run.
        how: `workflow`, `structural`, `csv` or `parquet`.
        folder: is made where it does not exist.
        force: replace files that something else wrote, or that were changed since.
        caption_files: with `workflow`, also a text file a caption.
        keyword_files: with `workflow`, also a file of keywords a cluster.

    Raises:
        UsageError: `how` is unknown, the run has no such tables yet, or a file in the way is not an earlier export's.
        StoreError: the folder can't be written.
    """
    if how not in FORMATS:
        near = get_close_matches(how, FORMATS, n=1)
        raise UsageError(
            f"there is no export {how!r}; {f'did you mean {near[0]!r}?' if near else 'take ' + ', '.join(FORMATS)}"
        )
    place = Path(folder).expanduser()
    with publishing(place, how, force) as new:
        if how == "workflow":
            write_workflow(run, new, caption_files=caption_files, keyword_files=keyword_files)
        elif how == "structural":
            write_structural(run, new)
        elif how == "csv":
            _csv(run, new)
        else:
            _parquet(run, new)
        (new / CONFIG).write_text(run.pipeline.to_yaml(), encoding="utf-8")
        names = sorted(path.name for path in new.iterdir())
    return [place / name for name in names]


def _csv(run: Exportable, folder: Path) -> None:
    plain_images = plain(run.images).column_names
    made = {"id": "id"} | {name: name for name in plain_images if name != "id"}
    apart: list[Step] = []
    for step in run.pipeline.steps[1:]:
        if step.stage.kind == "visualize":
            continue
        by_image = step.stage.key == "id" and step.stage.kind != "organize"  # an organiser has a row a file
        names = flat(step.stage.produces().empty_table()).column_names if by_image else []
        made |= {f"{step.name}.{name}": name for name in names}
        if step.stage.kind == "label":
            made[f"{step.name}.label"] = "label"
        if not by_image:
            apart.append(step)
    named = names_in_review(run)
    if named is not None:
        made["label"] = "label"
    often = Counter(made.values())
    sources = {source: run.shown(*source.rsplit(".", 1)) if "." in source else source for source in made}
    table = flat(run.joined([source for name, source in sources.items() if name != "id"]))
    write_csv(
        folder / "images.csv", table.rename_columns([name if often[name] == 1 else source for source, name in made.items()])
    )
    write_csv(folder / "files.csv", plain(run.files))
    for step in apart:
        write_csv(folder / f"{_stem(step)}.csv", flat(run.current(step.name)))
    if named is not None:
        write_csv(folder / f"{_stem_of_names(run)}.csv", flat(named))


def _parquet(run: Exportable, folder: Path) -> None:
    write_parquet(folder / "images.parquet", run.images)
    write_parquet(folder / "files.parquet", run.files)
    for step in run.pipeline.steps[1:]:
        if step.stage.kind != "visualize":
            write_parquet(folder / f"{_stem(step)}.parquet", run.current(step.name))
    named = names_in_review(run)
    if named is not None:
        write_parquet(folder / f"{_stem_of_names(run)}.parquet", named)


def _stem(step: Step) -> str:
    return f"step_{step.name}" if step.name.lower() in ("images", "files") else step.name


def _stem_of_names(run: Exportable) -> str:
    """Return what the file of names is called that only people gave: as that of a label step, where no step is called so."""
    taken = {_stem(step).casefold() for step in run.pipeline.steps}
    return next(stem for stem in chain(["label"], (f"label_{number}" for number in count(2))) if stem not in taken)
