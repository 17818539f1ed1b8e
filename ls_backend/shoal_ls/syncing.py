"""One round of `shoal review sync`: ask every server, apply what was decided, say what came of it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from shoal.catalogue import Run
from shoal.decisions import Decisions, Policy
from shoal.errors import UsageError
from shoal.reviewing import Made, make_version
from shoal.runner import Progress
from shoal_ls.client import Server
from shoal_ls.sync import Synced, places, sync

SHOWN = 20
"""Lines of a kind that people are shown; `--json` has all."""


@dataclass(frozen=True)
class Applied:
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
        made = self.made
        version = made.version.number if made and made.version else None
        conflicts = [conflict.model_dump() for conflict in made.conflicts] if made else []
        unsettled = [one.model_dump() for one in made.unsettled] if made else []
        trouble = {"conflicts": conflicts, "unsettled": unsettled}
        return {"run": self.run, **self.synced.facts(), "version": version, **trouble}

    def lines(self) -> Iterator[str]:
        """Yield it as lines for people."""
        synced, made = self.synced, self.made
        yield f"{synced.read:,} annotations read: {synced.new:,} new or edited, {synced.deleted:,} taken back"
        yield from _listed("could not be read", synced.unreadable)
        yield from _listed("taken over in part", synced.partly)
        yield from synced.kept[:SHOWN]
        yield from synced.gone
        if made is None:
            return
        yield from _listed("conflict, none applied", [_disagreement(one.subject, one.said) for one in made.conflicts])
        yield from _listed("unsettled", [f"{one.subject}: {one.why}" for one in made.unsettled])
        if made.version is None:
            yield "nothing changes: the current version has it all"
        else:
            counts = ", ".join(f"{count:,} {kind}" for kind, count in made.version.summary.items() if count)
            yield f"VERSION {made.version.number} of run {self.run}: {counts or 'as it was computed'}"


def fetch(run: Run, policy: Policy, apply: bool, token_file: str | None, progress: Progress) -> Applied:
    """Ask every server on which a run is reviewed, and make a version of what was decided.

    Args:
        run: the run.
        policy: how answers of several people about one task are settled.
        apply: whether to make a version.
        token_file: file with the token of Label Studio.
        progress: hears how far it is.

    Raises:
        UsageError: the run is reviewed nowhere, or there is no token.
    """
    decisions = Decisions.found(run.store)
    found = places(run, decisions) if decisions else []
    if decisions is None or not found:
        raise UsageError(f"run {run.id} is reviewed nowhere yet; `shoal review open` puts it into Label Studio")
    synced = Synced()
    for place in found:
        with Server.connect(place, file=token_file) as server:
            sync(run, server, decisions, progress, synced)
    return Applied(run.id, synced, make_version(run, policy, by="shoal review sync") if apply else None)


def repeat(
    once: Callable[[], Applied],
    seconds: float,
    tell: Callable[[Applied], object],
    wait: Callable[[float], object] = time.sleep,
) -> None:
    """Fetch again and again until Ctrl-C; only what is news is told, and trouble when it is new.

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
            state = {**done.facts(), "read": 0, "new": 0, "deleted": 0, "version": None}
            if done.synced.news or state != before:
                tell(done)
            before = state
            wait(seconds)
    except KeyboardInterrupt:
        return


def _listed(what: str, lines: list[Any]) -> Iterator[str]:
    for line in lines[:SHOWN]:
        yield f"{what}: {line}"
    if len(lines) > SHOWN:
        yield f"{what}: {len(lines) - SHOWN:,} more (--json lists them)"


def _disagreement(subject: str, said: tuple[Any, ...]) -> str:
    return f"{subject}: " + "; ".join(f"{one.who} {one.asks} ({one.task})" for one in said)
