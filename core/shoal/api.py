"""The Python API: the same runs as the command line's, with tables as Arrow."""

from collections.abc import Sequence
from pathlib import Path

from shoal import sources
from shoal.catalogue import Run, open_run
from shoal.errors import UsageError
from shoal.host import Host
from shoal.pipeline import Pipeline, load, override
from shoal.pipeline.plan import plan as make_plan
from shoal.records import RunRecord
from shoal.reporting import write_report
from shoal.runner import Progress, RunOptions, Silent, execute
from shoal.runner.telling import tell
from shoal.store import Store


def run(
    pipeline: str | Path | Pipeline,
    images: str | Path,
    out: str | Path = "out",
    *,
    overrides: Sequence[str] = (),
    options: RunOptions | None = None,
    host: Host | None = None,
    progress: Progress | None = None,
) -> Run:
    """Run a pipeline over images and return the run.

    Args:
        pipeline: name of a recipe, path of a pipeline file, or a `Pipeline`.
        images: folder, file, manifest or URI, as the pipeline's index stage takes it.
        out: folder or URI of the store; what it holds already is not computed again.
        overrides: as `--set` takes them: `cluster.min_cluster_size=15`.
        options: how it runs.
        host: plugins; None discovers them.
        progress: hears how far the run is.

    Raises:
        UsageError: the pipeline, an override, the images or the folder is wrong.
        RunFailed: the run ended without its tables.
    """
    host = host or Host()
    made = override(pipeline, host, overrides) if isinstance(pipeline, Pipeline) else load(pipeline, host, overrides)
    planned = make_plan(made)
    source = source_of(images)
    store = Store.open(out, create=True)
    trouble: list[str] = []

    def settle(record: RunRecord) -> None:
        if record.status == "done":
            try:
                write_report(Run(store, record, host))
            except Exception as error:  # the tables are there; a report can be written again
                trouble.append(f"report: {type(error).__name__}: {error}")
        record.hook_errors.extend(trouble)
        tell(host, store, record, "shoal_run_done")

    record = execute(planned, source, store, host, options or RunOptions(), progress or Silent(), settle)
    return Run(store, record, host)


def open(out: str | Path, run: str | None = None, *, host: Host | None = None) -> Run:
    """Return a run that was made before.

    Args:
        out: folder or URI of the store.
        run: name of the run or its beginning; None takes the last that ended well.
        host: plugins; None discovers them.

    Raises:
        UsageError: there is no such store or run.
    """
    return open_run(Store.open(out), host or Host(), run)


def source_of(images: str | Path) -> str:
    """Return the place of the images, absolute; one that is wrong leaves no failed run behind, nor its credentials."""
    text = str(images)
    sources.refuse_credentials(text, "IMAGES")
    place = text if "://" in text else str(Path(text).expanduser().absolute())
    if sources.is_local(place) and sources.stat(place).kind == "missing":
        raise UsageError(f"{text} does not exist; name a folder of images, a file, or a URI such as s3://bucket/folder")
    return place
