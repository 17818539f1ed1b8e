"""From a plan to rows of the journal: names, present files, space and devices are settled before anything is touched."""

import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from shoal.errors import JournalError, UsageError
from shoal.journal.files import RefusedError, holds, same_entry, sha256_of
from shoal.journal.records import Mode, Row
from shoal.names import collision_key, inside, split_name

if TYPE_CHECKING:
    import pyarrow as pa

Earlier = Mapping[tuple[str, str], tuple[str, str]]

_BLOCK = 4096
_MOST_NAMES = 1_000_000


def digest_of(plan: "pa.Table", mode: Mode) -> str:
    """Return a hash of mode and plan: the same call, made again, has the same."""
    digest = hashlib.sha256(mode.encode())
    for name in ("id", "source", "target"):
        for value in plan.column(name).to_pylist():
            digest.update(f"\0{value}".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def check_plan(plan: "pa.Table") -> None:
    """Make sure that a plan has its columns.

    Raises:
        UsageError: a column is missing or holds a null.
    """
    for name in ("id", "source", "target"):
        if name not in plan.column_names or plan.column(name).null_count:
            raise UsageError(
                f"the plan's column {name!r} is missing or has a null; an organiser gives id, source and target"
            )


def prepare(plan: "pa.Table", root: Path, mode: Mode, *, fallback: bool, earlier: Callable[[], Earlier] = dict) -> list[Row]:
    """Return the rows of an operation, in the plan's order, with final names. Touches nothing.

    A name that is taken by other bytes gets the next free `_n`; side-cars follow their image. Bytes that
    are there already are not written again. A row that can't be carried out is in the state `failed`, with its reason.

    Args:
        plan: `id`, `source`, `target`; where there is a true `sidecar`, the row's hash is measured, else it is the id.
        root: where targets lie; resolved.
        mode: copy, move or hardlink.
        fallback: whether files that can't be linked (another device) may be copied.
        earlier: source and id to target and hash, of files organised under this root before: one that was moved is present.

    Raises:
        JournalError: hard links were asked for across devices, or the copies do not fit.
    """
    rows = _read(plan, mode)
    groups = list(_groups(rows))
    devices = [_look(row) for row in rows]
    asked = {row.seq: row.target for row in rows}
    _find_moved(rows, root, earlier)
    for group in groups:
        _follow(group, asked[group[0].seq])
    _copy_before_last_move(rows)
    names = _Names(root, _real_paths(rows) if mode == "move" else set())
    for group in groups:
        names.settle(group)
    _check_room(rows, devices, root, fallback=fallback)
    return rows


def _read(plan: "pa.Table", mode: Mode) -> list[Row]:
    ids, sources, targets = (plan.column(name).to_pylist() for name in ("id", "source", "target"))
    sidecars = plan.column("sidecar").to_pylist() if "sidecar" in plan.column_names else [False] * len(ids)
    return [
        Row(seq, key, "" if sidecar else key, source, target, mode, 0, 0, 0)
        for seq, (key, source, target, sidecar) in enumerate(zip(ids, sources, targets, sidecars, strict=True))
    ]


def _look(row: Row) -> int:
    """Fill in size, mtime and a side-car's hash, and return the source's device; a source of no use is a failed row."""
    if not os.path.isabs(row.source):
        _fail(row, "the source is no absolute local path; organise works on local files")
        return -1
    try:
        state = os.stat(row.source)
        row.note(state)
        if not stat.S_ISREG(state.st_mode):
            _fail(row, "the source is no regular file")
            return -1
        row.sha256 = row.sha256 or sha256_of(row.source)
        if row.action == "move" and os.path.islink(row.source):
            _fail(row, "the source is a symbolic link, which is not moved; take copy or hardlink")
        return state.st_dev
    except FileNotFoundError:
        if not row.sha256:
            _fail(row, "the source vanished")
    except (OSError, RefusedError) as error:
        _fail(row, f"the source can't be read: {_why(error)}")
    return -1


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _fail(row: Row, reason: str) -> None:
    row.state, row.reason = "failed", reason


def _find_moved(rows: list[Row], root: Path, earlier: Callable[[], Earlier]) -> None:
    """Find files whose source is gone because an earlier operation moved it."""
    gone = [row for row in rows if not os.path.lexists(row.source)]
    targets = earlier() if gone else {}
    for row in gone:
        known = targets.get((row.source, row.id))
        if known is not None and holds(root / known[0], known[1]):
            row.target, row.sha256 = known
            row.state, row.made, row.reason, row.action = "planned", False, None, "none"


def _follow(group: list[Row], asked: str) -> None:
    """Where an image was moved earlier, to another name than is asked for now, send its side-cars to where it lies.

    Args:
        group: an image and its side-cars.
        asked: the target of the image as the plan says it.
    """
    leader = group[0]
    if leader.target == asked:
        return
    (folder, stem), (now, new) = _place(asked), _place(leader.target)
    for row in group[1:]:
        if row.action == "none":
            continue  # it was moved earlier, too
        place, _, name = row.target.rpartition("/")
        own = place.split("/")
        shared = next(
            (n for n, pair in enumerate(zip(folder, own, strict=False)) if pair[0] != pair[1]), min(len(folder), len(own))
        )
        between = len(folder) - shared  # folders that the image has of its own: `img`
        if now[len(now) - between :] == folder[shared:]:
            row.target = "/".join([*now[: len(now) - between], *own[shared:], new + name[len(stem) :]])


def _place(target: str) -> tuple[list[str], str]:
    """Return the folders of a target and the stem of its name."""
    folder, _, name = target.rpartition("/")
    return folder.split("/"), split_name(name)[0]


def _copy_before_last_move(rows: list[Row]) -> None:
    """Where several rows move one source (a side-car of two images), all but the last one copy it."""
    last = {row.source: row.seq for row in rows if row.state != "failed"}
    for row in rows:
        if row.action == "move" and last.get(row.source, row.seq) != row.seq:
            row.action = "copy"


def _real_paths(rows: list[Row]) -> set[str]:
    folders = {folder: os.path.realpath(folder) for folder in {os.path.dirname(row.source) for row in rows}}
    return {os.path.join(folders[os.path.dirname(row.source)], os.path.basename(row.source)) for row in rows}


def _groups(rows: list[Row]) -> Iterator[list[Row]]:
    """Yield an image's row with those of its side-cars behind it: the same id, a name that begins with the image's stem."""
    group: list[Row] = []
    for row in rows:
        leader = group[0] if group else None
        if leader is not None and row.id == leader.id and _tail(leader, row) is not None:
            group.append(row)
            continue
        if group:
            yield group
        group = [row]
    if group:
        yield group


def _tail(leader: Row, row: Row) -> str | None:
    """Return what follows the leader's stem (`a.jpg`: `.jpg.xmp` and `.txt`), None where the row does not belong to it."""
    stem = split_name(leader.target.rpartition("/")[2])[0]
    name = row.target.rpartition("/")[2]
    tail = name[len(stem) :]
    return tail if name.startswith(stem) and tail.startswith(".") else None


class _Names:
    """Names that are taken under the root, on disk or by rows settled before."""

    def __init__(self, root: Path, moving: set[str]) -> None:
        """Start with no folder listed; files of `moving` are about to leave, so they are nobody's finished copy."""
        self.root = root
        self.moving = moving
        self.listed: dict[str, dict[str, str]] = {}
        self.claimed: dict[str, set[str]] = {}
        self.next: dict[str, int] = {}

    def settle(self, group: list[Row]) -> None:
        """Give the rows of a group the first counter at which every one is free or present."""
        for row in group:
            try:
                inside(self.root, row.target)
            except JournalError as error:
                _fail(row, str(error))
        live = [row for row in group if row.state != "failed" and row.action != "none"]
        if not live:
            return
        leader = split_name(group[0].target.rpartition("/")[2])[0]
        asked = group[0].target
        for n in range(self.next.get(asked, 0), _MOST_NAMES):
            targets = [_renamed(row.target, leader, n) for row in live]
            found = [self._state(row, target) for row, target in zip(live, targets, strict=True)]
            if "taken" not in found:
                break
        else:
            raise JournalError(f"{asked} and a million names like it are taken; choose another naming rule or folder")
        if n:
            self.next[asked] = n
        for row, target, state in zip(live, targets, found, strict=True):
            self._settle_row(row, target, state)

    def _settle_row(self, row: Row, target: str, state: str) -> None:
        row.target, row.made = target, state == "free"
        if not row.made and (row.action != "move" or not os.path.lexists(row.source)):
            row.action = "none"
        folder, _, name = target.rpartition("/")
        self.claimed.setdefault(collision_key(folder), set()).add(collision_key(name))
        if row.made and row.mtime_ns == 0 and not os.path.lexists(row.source):
            _fail(row, "the source vanished")

    def _state(self, row: Row, target: str) -> str:
        """Return free, present (the same bytes lie there) or taken."""
        folder, _, name = target.rpartition("/")
        key = collision_key(name)
        if key in self.claimed.get(collision_key(folder), ()):
            return "taken"
        there = self._listing(folder).get(key)
        if there is None:
            return "free"
        place = self.root / folder / there
        if same_entry(place, Path(row.source)):
            return "present"
        if str(place) in self.moving or there != name:
            return "taken"
        return "present" if holds(place, row.sha256) else "taken"

    def _listing(self, folder: str) -> dict[str, str]:
        if folder not in self.listed:
            try:
                self.listed[folder] = {collision_key(name): name for name in os.listdir(self.root / folder)}
            except (FileNotFoundError, NotADirectoryError):
                self.listed[folder] = {}
        return self.listed[folder]


def _renamed(target: str, stem: str, n: int) -> str:
    folder, slash, name = target.rpartition("/")
    return f"{folder}{slash}{stem}_{n}{name[len(stem) :]}" if n else target


def _check_room(rows: list[Row], devices: list[int], root: Path, *, fallback: bool) -> None:
    place = next(folder for folder in (root, *root.parents) if folder.is_dir())
    here = os.stat(place).st_dev
    need = 0
    for row, device in zip(rows, devices, strict=True):
        if row.state == "failed" or not row.made or (row.action != "copy" and device == here):
            continue
        if row.action == "hardlink" and not fallback:
            raise JournalError(
                f"{row.source} and {root} are on different devices, and hard links can't cross them; take copy or move, "
                "or allow copies where no link is possible"
            )
        need += -(-row.size // _BLOCK) * _BLOCK
    free = shutil.disk_usage(place).free
    if need > free:
        raise JournalError(
            f"{root} has {_size(free)} free and the plan needs {_size(need)}; free some space or choose another folder"
        )


def _size(count: float) -> str:
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
