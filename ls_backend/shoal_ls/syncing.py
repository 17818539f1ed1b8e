"""One round of `shoal review sync`: ask every server, apply what was decided; and rounds without end."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from shoal.catalogue import Run
from shoal.decisions import Decisions, Policy
from shoal.errors import UsageError
from shoal.reviewing import Made, make_version, user
from shoal.runner import Progress
from shoal.text import amount
from shoal_ls.client import Server
from shoal_ls.sync import Synced, places, sync

SHOWN = 20
"""Lines of a kind that people are shown; `--json` has all."""


@dataclass(frozen=True)
class Round:
    """What came of a round.

    Attributes:
        run: name of the run.
        synced: what came from the servers.
        made: what came of the answers; None where they were not to be applied.
    """

    run: str
    synced: Synced
    made: Made | None

    def facts(self) -> dict[str, Any]:
        """Return it as JSON values."""
        version = self.made.version.number if self.made and self.made.version else None
        conflicts = [conflict.model_dump(mode="json") for conflict in self.made.conflicts] if self.made else []
        unsettled = [one.model_dump(mode="json") for one in self.made.unsettled] if self.made else []
        return {
            "run": self.run, **self.synced.facts(), "version": version, "conflicts": conflicts, "unsettled": unsettled,
        }  # fmt: skip

    @property
    def standing(self) -> dict[str, Any]:
        """What stays so while nobody does anything."""
        return {**self.facts(), "read": 0, "new": 0, "deleted": 0, "version": None}

    def lines(self) -> Iterator[str]:
        """Yield what the servers said, for people."""
        found = self.synced
        yield f"{amount(found.read, 'annotation')} read: {found.new:,} new or edited, {found.deleted:,} taken back"
        yield from _listed("could not be read: ", found.unreadable)
        yield from _listed("taken over in part: ", found.partly)
        yield from _listed("", found.kept)
        yield from found.gone


def fetch(
    run: Run, policy: Policy, apply: bool, token_file: str | None, progress: Progress, url: str | None = None
) -> Round:
    """Ask every server on which a run is reviewed, and make a version of what was decided.

    Args:
        run: the run.
        policy: how answers of several people about one task are settled.
        apply: whether to make a version.
        token_file: file with the token of Label Studio.
        progress: hears how far it is.
        url: of the one server to ask; None asks all.

    Raises:
        UsageError: the run is reviewed nowhere, or not there, or there is no token.
    """
    decisions = Decisions.found(run.store)
    found = places(run, decisions) if decisions else []
    if decisions is None or not found:
        raise UsageError(f"run {run.id} is reviewed nowhere yet; `shoal review open` puts it into Label Studio")
    if url is not None and url.rstrip("/") not in found:
        raise UsageError(f"run {run.id} is not reviewed at {url}, but at {', '.join(found)}; leave --url out to ask there")
    synced = Synced()
    for place in [url] if url else found:
        with Server.connect(place, file=token_file) as server:
            sync(run, server, decisions, progress, synced)
    return Round(run.id, synced, make_version(run, policy, user()) if apply else None)


def repeat(
    once: Callable[[], Round], seconds: float, tell: Callable[[Round], object], wait: Callable[[float], object] = time.sleep
) -> None:
    """Fetch again and again until Ctrl-C; told is what is news, and trouble when it is new.

    Args:
        once: one round.
        seconds: between rounds.
        tell: hears of a round.
        wait: sleeps.
    """
    before: object = None
    try:
        while True:
            done = once()
            if done.synced.news or done.standing != before:
                tell(done)
            before = done.standing
            wait(seconds)
    except KeyboardInterrupt:
        return


def _listed(what: str, lines: Sequence[object]) -> Iterator[str]:
    for line in lines[:SHOWN]:
        yield f"{what}{line}"
    if len(lines) > SHOWN:
        yield f"... and {len(lines) - SHOWN:,} more; --json prints all"
