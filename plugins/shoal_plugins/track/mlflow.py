"""Logs every run to MLflow: metrics of a step as it ends, where a server is named; at the end parameters, artefacts, tags.

Where: `MLFLOW_TRACKING_URI`, else a SQLite file `mlflow.db` beside the runs. Look with
`mlflow ui --backend-store-uri sqlite:///out/mlflow.db` (the package `mlflow`; shoal itself needs only `mlflow-skinny`).
`SHOAL_MLFLOW=off` leaves it out. MLflow being down never fails a run and never holds it up for long.
"""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoal.hooks import hookimpl
from shoal.text import terminal

if TYPE_CHECKING:
    from shoal.records import RunRecord, RunView, StepRecord

EXPERIMENT = "shoal"
SWITCH = "SHOAL_MLFLOW"
URI = "MLFLOW_TRACKING_URI"
PARAMETER_LENGTH = 500
NAME_LENGTH = 100
_UNKNOWN = re.compile(r"[^\w./ -]", re.ASCII)  # what a name of a metric can't hold
# A server that is down must cost seconds, not MLflow's default of minutes. The caller's own settings win.
PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
}
GIVEN_UP: set[str] = set()
"""Runs whose steps a server did not take: it is asked once more, when they end."""

SECRET = re.compile(r"(^|_)(key|token|secret|password|credential)s?($|_)", re.IGNORECASE)


@hookimpl
def shoal_stage_done(run: "RunView", record: "StepRecord") -> None:
    """Write a step's metrics where a server is named, which others may be looking at; an embedded file waits for the end."""
    client = _client(run) if os.environ.get(URI) and not run.record.tuning and run.id not in GIVEN_UP else None
    if client is None:
        return
    try:
        experiment = _experiment(client, run)
        made = _known(client, experiment, run.id) or _made(client, experiment, run.record)
        client.log_batch(made, _logged(_of_step(record)))
    except Exception:
        GIVEN_UP.add(run.id)
        raise


@hookimpl
def shoal_run_done(run: "RunView") -> None:
    """Write one MLflow run with all that the record says."""
    client = _client(run)
    if client is not None:
        _log(client, run)


def _client(run: "RunView") -> Any:
    """Return MLflow's client; None where nothing is to be logged."""
    if os.environ.get(SWITCH, "").lower() in ("off", "0", "false", "no"):
        return None
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    uri = os.environ.get(URI) or _beside(run.store)
    if uri is None:
        return None
    import logging

    from mlflow import MlflowClient

    for name in ("alembic", "mlflow"):  # the first run creates the tables, which would be told line by line
        logging.getLogger(name).setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri)


def _beside(store: str) -> str | None:
    """Return the embedded database of a store on a local disk; an object store has none."""
    return None if "://" in store else f"sqlite:///{Path(store).absolute() / 'mlflow.db'}"


def _log(client: Any, run: "RunView") -> None:
    from mlflow.entities import Param, RunTag

    record = run.record
    made = _begun(client, _experiment(client, run), record)
    if made is None:
        return
    try:
        tags = {
            "shoal.run": record.id,
            "shoal.status": record.status,
            "mlflow.source.git.commit": record.commit,
            "shoal.source": terminal(record.source),
            "shoal.job": terminal(record.job),
        }
        tags |= {f"version.{name}": version for name, version in record.versions.items()}
        metrics = _logged(_metrics(run))
        params = [Param(name, value) for name, value in _parameters(run).items()]
        client.log_batch(made, metrics, params[:100], [RunTag(name, value) for name, value in tags.items() if value])
        for start in range(100, len(params), 100):  # a batch takes a hundred
            client.log_batch(made, params=params[start : start + 100])
        for path in run.artefacts:
            if "://" not in path:
                client.log_artifact(made, path)
    finally:
        client.set_terminated(made, "FINISHED" if record.status == "done" else "FAILED")


def _logged(values: dict[str, float]) -> list[Any]:
    """Return metrics without a time: what is logged again is the same, and stands there once."""
    from mlflow.entities import Metric

    return [Metric(name, value, 0, 0) for name, value in values.items()]


def _made(client: Any, experiment: str, record: "RunRecord") -> str:
    return str(client.create_run(experiment, run_name=record.id, tags={"shoal.run": record.id}).info.run_id)


def _begun(client: Any, experiment: str, record: "RunRecord") -> str | None:
    """Return the MLflow run to fill; None for a candidate of a tuning that was logged before the tuning went on.

    A tuning is one MLflow run, whose candidates are nested in it: the first one that comes makes it.
    """
    if not record.tuning:
        return _known(client, experiment, record.id) or _made(client, experiment, record)
    parent = _known(client, experiment, record.tuning)
    if parent is None:
        tags = {"shoal.run": record.tuning}
        parent = str(client.create_run(experiment, run_name=f"tuning {record.tuning}", tags=tags).info.run_id)
    if record.id == record.tuning:
        return parent
    if _known(client, experiment, record.id):
        return None
    return str(client.create_run(experiment, run_name=record.id, tags={"mlflow.parentRunId": parent}).info.run_id)


def _known(client: Any, experiment: str, name: str) -> str | None:
    """Return the MLflow run of a run of shoal, if there is one."""
    found = client.search_runs([experiment], filter_string=f"tags.`shoal.run` = '{name}'", max_results=1)
    return str(found[0].info.run_id) if found else None


def _experiment(client: Any, run: "RunView") -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return str(found.experiment_id)
    local = None if os.environ.get(URI) else (Path(run.store).absolute() / "mlartifacts").as_uri()
    return str(client.create_experiment(EXPERIMENT, artifact_location=local))


def _parameters(run: "RunView") -> dict[str, str]:
    values = {"pipeline": _text(run.record.pipeline)}
    for step in run.record.steps:
        values[f"{step.step}.stage"] = step.stage
        for name, value in step.options.items():
            values[f"{step.step}.{name}"] = "***" if SECRET.search(name) else _text(value)
    return values


def _text(value: Any) -> str:
    """Return an option as one line that can't steer a terminal and that every tracking server takes."""
    return terminal(str(value))[:PARAMETER_LENGTH]


def _metrics(run: "RunView") -> dict[str, float]:
    record = run.record
    names = ("files", "accepted", "rejected", "images", "clusters", "noise", "seconds")
    values = {name: float(getattr(record, name)) for name in names} | record.scores
    for step in record.steps:
        values |= _of_step(step)
    return values


def _of_step(step: "StepRecord") -> dict[str, float]:
    counts = {name: getattr(step, name) for name in ("seconds", "computed", "cached", "failed")}
    noted = {_UNKNOWN.sub("_", name)[:NAME_LENGTH]: value for name, value in step.metrics.items()}
    found = {**noted, **counts, "rows_per_second": step.rate}
    return {f"{step.step}.{name}": float(value) for name, value in found.items()}
