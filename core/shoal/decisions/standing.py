"""Which version stands, which one answers are applied to, and which answers count. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from shoal.decisions.model import COMPUTED, Answer, Considered, Version

Revision = tuple[str, str, str]
"""(surface, key, at) of an answer."""


def revision(answer: Answer) -> Revision:
    """Return what names a revision of an answer."""
    return answer.surface, answer.key, answer.at


def current(versions: Iterable[Version]) -> Version | None:
    """Return the last version that is not undone."""
    return next((version for version in reversed(list(versions)) if not version.undone), None)


def base_of(versions: Iterable[Version]) -> Version | None:
    """Return the version that answers are applied to: the last one that was carried; None: what was computed."""
    return current(version for version in versions if version.kind == "carried")


def base_under(version: Version | None, versions: Iterable[Version]) -> Version | None:
    """Return the base of a version: the one whose numbers of clusters it has; None: what was computed."""
    if version is None or version.kind == "carried":
        return version
    return next((one for one in versions if one.number == version.base), None)


def base_name(base: Version | None) -> str:
    """Return the name of a base, as answers and tasks say it."""
    return base.name if base else COMPUTED


@dataclass(frozen=True)
class Standing:
    """What was said about a run, and what became of it.

    Attributes:
        revisions: every revision of every answer, in the order in which they were made.
        versions: every version, the oldest first.
        considered: answers that were applied and changed nothing.
    """

    revisions: Sequence[Answer]
    versions: Sequence[Version]
    considered: Sequence[Considered] = ()

    @cached_property
    def current(self) -> Version | None:
        """The version that stands; None: what was computed."""
        return current(self.versions)

    @cached_property
    def base(self) -> Version | None:
        """The version that answers are applied to; None: what was computed."""
        return base_of(self.versions)

    @cached_property
    def held(self) -> frozenset[Revision]:
        """Revisions that the version that stands considered, with effect or without."""
        return self._considered(self.current.number if self.current else 0, self.current)

    @cached_property
    def withdrawn(self) -> frozenset[Revision]:
        """Revisions that undone versions considered, but not the one that stands."""
        undone = (self._considered(version.number, version) for version in self.versions if version.undone)
        return frozenset[Revision]().union(*undone) - self.held

    def _considered(self, number: int, version: Version | None) -> frozenset[Revision]:
        without_effect = (one.answers for one in self.considered if one.version == number)
        return frozenset(version.answers if version else ()).union(*without_effect)

    @cached_property
    def counting(self) -> tuple[Answer, ...]:
        """The revision of each answer that counts, those that take it back too.

        That is the newest one, if undo did not withdraw it. Behind a withdrawn one, an older revision counts again where the
        version that stands considered it: what was replaced before it was ever applied went with what replaced it.
        """
        newest: dict[tuple[str, str], Answer] = {}
        for answer in self.revisions:
            name = answer.surface, answer.key
            if revision(answer) not in self.withdrawn:
                newest[name] = answer
            elif name in newest and revision(newest[name]) not in self.held:
                del newest[name]
        return tuple(newest.values())

    @cached_property
    def waiting(self) -> tuple[Answer, ...]:
        """Those of `counting` that the version that stands did not consider."""
        return tuple(answer for answer in self.counting if revision(answer) not in self.held)
