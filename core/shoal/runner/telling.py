"""Calls the hooks that hear of runs."""

from shoal.host import Host
from shoal.records import RunRecord, RunView, StepRecord
from shoal.store import Store
from shoal.text import without_logins

REPORT = "report.html"
CONFIG = "run_config.yaml"


def view(record: RunRecord, store: Store) -> RunView:
    """Return what hooks see of a run."""
    folder = store.runs / record.id
    kept = tuple(f"{folder.uri}/{name}" for name in (CONFIG, REPORT) if folder.exists(name))
    return RunView(id=record.id, folder=folder.uri, store=store.root.uri, record=record, artefacts=kept)


def tell(
    host: Host, store: Store, record: RunRecord, hook: str, step: StepRecord | None = None, seen: RunView | None = None
) -> None:
    """Call a hook of every plugin; one that raises is noted in the record, and the run goes on.

    Args:
        host: knows the plugins.
        store: that holds the run.
        record: of the run.
        hook: its name.
        step: that ended, for the hook that hears of steps.
        seen: what hooks see, where the run lies elsewhere than a store's runs do.
    """
    for implementation in getattr(host.manager.hook, hook).get_hookimpls():
        arguments = {"run": seen or view(record, store), "record": step}
        try:
            implementation.function(*[arguments[name] for name in implementation.argnames])
        except Exception as error:  # a plugin's trouble is not the run's
            said = without_logins(f"{type(error).__name__}: {error}")
            record.hook_errors.append(f"{implementation.plugin_name}: {hook}: {said}")
