"""How a run tells how far it is."""

from typing import Protocol


class Progress(Protocol):
    """Hears of the steps of a run. The command line draws it; a program may pass its own."""

    def start(self, step: str, total: int) -> None:
        """A step began; `total` rows are to be computed."""

    def advance(self, step: str, rows: int) -> None:
        """So many more rows are done."""

    def finish(self, step: str, note: str) -> None:
        """A step ended; `note` says in a few words how."""

    def tell(self, message: str) -> None:
        """Something is worth a sentence: what the run waits for."""


class Silent:
    """A progress that says nothing."""

    def start(self, step: str, total: int) -> None:
        """Do nothing."""

    def advance(self, step: str, rows: int) -> None:
        """Do nothing."""

    def finish(self, step: str, note: str) -> None:
        """Do nothing."""

    def tell(self, message: str) -> None:
        """Do nothing."""
