"""The folder that holds everything of a set: stage rows, stage tables, the index and the runs."""

from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from shoal.errors import StoreError, UsageError
from shoal.sources import refuse_credentials
from shoal.store.files import Folder
from shoal.store.rows import RowStore
from shoal.store.tables import TableStore

MARKER = "shoal.json"
FORMAT = 1


@dataclass(frozen=True)
class Store:
    """A store, by its path or URI.

    Layout: `shoal.json` (format), `index/` (files seen), `rows/<kind.name>/<fingerprint>/`,
    `tables/<kind.name>/<fingerprint>/<digest>/`, `runs/<run>/`.

    Attributes:
        root: its folder.
    """

    root: Folder

    @classmethod
    def open(cls, where: str | Path, create: bool = False) -> "Store":
        """Open the store in a folder.

        Args:
            where: path or URI.
            create: make it where there is none.

        Raises:
            UsageError: there is no store and `create` is off, the folder holds other things, or it can't be reached.
            StoreError: the store has a format that this version does not read.
        """
        refuse_credentials(str(where), "--out")
        text = str(where).removeprefix("file://").rstrip("/") or "/"
        if "://" in text:
            base, question, query = text.partition("?")
            folder = Folder(f"{base.rstrip('/')}{question}{query}")
        else:
            folder = Folder(str(Path(text).expanduser().absolute()))
        try:
            if not folder.exists(MARKER):
                _refuse_or_make(folder, create)
            found = folder.read_json(MARKER).get("format")
        except (OSError, pa.ArrowInvalid, StoreError) as error:
            if isinstance(error, StoreError) and (folder.local is not None or not isinstance(error.__cause__, OSError)):
                raise
            reason = str(error.__cause__ or error).partition(". Detail")[0]
            raise UsageError(f"{where} can't be reached ({reason}); is the place right, and are you let in?") from error
        if found != FORMAT:
            raise StoreError(f"{where} has store format {found}, and this shoal reads {FORMAT}; choose another --out")
        return cls(folder if folder.local is None else replace(folder, marker=folder.place(MARKER)))

    @property
    def index(self) -> Folder:
        """Folder of what is known of files by path, size and time of change."""
        return self.root / "index"

    @property
    def runs(self) -> Folder:
        """Folder of the runs."""
        return self.root / "runs"

    def rows(self, title: str, fingerprint: str) -> RowStore:
        """Return the rows of a map stage."""
        return RowStore(self.root / "rows" / title / fingerprint[:20])

    def tables(self, title: str, fingerprint: str, digest: str) -> TableStore:
        """Return an answer of a table stage.

        Args:
            title: `kind.name`.
            fingerprint: of the stage and its inputs.
            digest: of what it saw; `-` and a number behind it name one of several answers that were forced.
        """
        saw, _, epoch = digest.partition("-")
        return TableStore(self.root / "tables" / title / fingerprint[:20] / saw[:20] / (epoch or "0"))

    def newest(self, title: str, fingerprint: str, digest: str, force: bool = False) -> str:
        """Return the digest with the number of the newest answer behind it; with `force`, the number of one to be made."""
        saw = digest.partition("-")[0]
        folder = self.root / "tables" / title / fingerprint[:20] / saw[:20]
        done = [
            int(name) for name in folder.names() if name.isdigit() and self.tables(title, fingerprint, f"{saw}-{name}").done
        ]
        return f"{saw}-{max(done, default=-1) + 1 if force else max(done, default=0)}"


def _refuse_or_make(folder: Folder, create: bool) -> None:
    if not create:
        raise UsageError(f"{folder.uri} holds no shoal run; make one with `shoal run quickstart IMAGES --out {folder.uri}`")
    if folder.local is not None and folder.local.exists() and not folder.local.is_dir():
        raise UsageError(f"{folder.uri} is a file; --out names a folder")
    visible = [name for name in folder.names() if not name.startswith(".")]
    if visible:
        raise UsageError(f"{folder.uri} holds other things ({visible[0]} ...); --out names a new folder or one of shoal's")
    try:
        folder.write_json(MARKER, {"format": FORMAT})
    except StoreError as error:
        if folder.local is None:  # no bucket, or no right to it: a wrong place, not a store in trouble
            raise UsageError(str(error)) from error
        raise
