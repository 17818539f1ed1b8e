"""`organize.folders`: one folder a cluster, file names by rule."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal, NamedTuple

import pyarrow as pa
from pydantic import BeforeValidator, Field, field_validator

from shoal.contract import Context, Stage
from shoal.hooks import hookimpl
from shoal.kinds import Organizer
from shoal.names import collision_key, file_part, split_name, with_counter
from shoal.schema import ID, columns

Rule = Literal["id@label@original", "label@original", "cluster_id@label", "cluster_id@label@original"]

NOISE = "noise"
LABEL_BYTES = 80


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


class Folders(Organizer):
    """Puts each cluster into a folder and names the files by a rule.

    With cluster 0 named "Mountain Landscape" and the file `IMG_1234.jpg`, the rules give

    | rule | folder and file |
    |---|---|
    | `id@label@original` | `00/00@Mountain_Landscape@IMG_1234.jpg` |
    | `label@original` | `Mountain_Landscape/Mountain_Landscape@IMG_1234.jpg` |
    | `cluster_id@label` | `Mountain_Landscape/00@Mountain_Landscape.jpg` |
    | `cluster_id@label@original` | `Mountain_Landscape/00@Mountain_Landscape@IMG_1234.jpg` |

    A cluster without a label is called `cluster_00`. Images in no cluster go to `noise/` and keep their name. Numbers
    have as many digits as the largest cluster number needs, at least two. Names that collide, whatever their case, get
    `_1`, `_2` in the order of id and path; so do two clusters whose labels make one folder name. Every part passes
    `shoal.names.file_part`, so no label or file name leads out of the target folder.

    Take it whenever files are to lie by cluster; `shoal organize` carries the plan out, `shoal undo` takes it back.
    Source: the file naming rules of the workflow `semantic-cluster`.
    """

    name: ClassVar[str] = "folders"
    version: ClassVar[str] = "1"
    shorthand: ClassVar[str | None] = "rule"

    rule: Rule = Field("id@label@original", description="How folders and files are named, see the table above.")
    duplicates: Literal["all", "first"] = Field(
        "all",
        description="What happens to an image that was found at several paths: `all` organises every file, `first` only the "
        "first path, the others stay where they are.",
    )
    sidecars: Annotated[tuple[str, ...], BeforeValidator(_split)] = Field(
        (),
        description="Extensions of files beside an image that go with it and follow its name, as a list or comma-separated: "
        "`.txt,.json,.xmp` takes `IMG_1.txt` and `IMG_1.jpg.xmp` along with `IMG_1.jpg`.",
    )

    @field_validator("sidecars")
    @classmethod
    def _check_sidecars(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for suffix in value:
            if split_name(f"x{suffix}") != ("x", suffix):
                raise ValueError(f"{suffix!r} is no extension; write a dot and letters or digits, such as .txt")
        return value

    def produces(self) -> pa.Schema:
        """Return `source`, `target` and `sidecar`: true for a file beside the image, whose bytes are not those of the id."""
        return columns(source=pa.string(), target=pa.string(), sidecar=pa.bool_())

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        """Return the plan: a row a file, ordered by id and path, side-cars behind their image."""
        labels = rows.column("label").to_pylist() if "label" in rows.column_names else [None] * rows.num_rows
        clusters = rows.column("cluster").to_pylist()
        layout = _Layout(self.rule, dict(zip(clusters, labels, strict=True)), stems=bool(self.sidecars))
        images = rows.column("id").to_pylist(), rows.column("paths").to_pylist(), clusters
        order = sorted(zip(*images, strict=True), key=lambda image: image[0])
        known = {path for _, paths, _ in order for path in paths}
        schema = pa.schema([ID, *self.produces()])
        planned = [
            (key, *row)
            for key, paths, cluster in order
            for path in (sorted(paths) if self.duplicates == "all" else paths[:1])
            for row in _with_sidecars(path, layout.place(cluster, path), self.sidecars, known)
        ]
        context.note("files", len(planned))
        return pa.table([list(column) for column in zip(*planned, strict=True)] or [[]] * len(schema), schema=schema)


class Sidecar(NamedTuple):
    """A file that belongs to an image: its path, and what follows the stem of the image's name in its own (`.jpg.xmp`)."""

    source: str
    tail: str


def find_sidecars(path: str, suffixes: Iterable[str]) -> Iterator[Sidecar]:
    """Yield the files beside an image that have its stem, or its whole name, and one of `suffixes`."""
    folder, name = os.path.split(path)
    stem, extension = split_name(name)
    for suffix in suffixes:
        for tail in dict.fromkeys((suffix, f"{extension}{suffix}")):
            source = os.path.join(folder, stem + tail)
            if source != path and os.path.isfile(source):
                yield Sidecar(source, tail)


def _with_sidecars(path: str, target: str, suffixes: tuple[str, ...], images: set[str]) -> Iterator[tuple[str, str, bool]]:
    yield path, target, False
    folder, _, name = target.rpartition("/")
    stem = split_name(name)[0]
    for sidecar in find_sidecars(path, suffixes):
        if sidecar.source not in images:
            yield sidecar.source, f"{folder}/{stem}{sidecar.tail}", True


@dataclass
class _Layout:
    """Gives every image its folder and a name that nothing else has.

    Attributes:
        rule: the naming rule.
        labels: cluster number to label or None; noise is -1.
        stems: whether names must differ in their stems, so that side-cars can't collide either.
    """

    rule: Rule
    labels: dict[int, str | None]
    stems: bool
    numbers: dict[int, str] = field(init=False)
    names: dict[int, str] = field(init=False)
    folders: dict[int, str] = field(init=False)
    taken: set[tuple[str, str]] = field(default_factory=set)
    counters: dict[tuple[str, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        clusters = sorted(cluster for cluster in self.labels if cluster >= 0)
        width = max(2, len(str(max(clusters, default=0))))
        self.numbers = {cluster: f"{cluster:0{width}d}" for cluster in clusters}
        self.names = {cluster: self._label(cluster) for cluster in clusters}
        self.folders = self.numbers if self.rule == "id@label@original" else self._distinct()

    def _label(self, cluster: int) -> str:
        label = self.labels[cluster]
        return file_part(label, LABEL_BYTES) if label and label.strip() else f"cluster_{self.numbers[cluster]}"

    def _distinct(self) -> dict[int, str]:
        """Return a folder a cluster; labels that make one name, or that of the noise folder, are told apart by a counter."""
        taken, folders = {NOISE}, {}
        for cluster, name in self.names.items():
            n = 0
            while collision_key(folder := f"{name}_{n}" if n else name) in taken:
                n += 1
            taken.add(collision_key(folder))
            folders[cluster] = folder
        return folders

    def place(self, cluster: int, path: str) -> str:
        """Return the target of one file, relative to the root."""
        stem, extension = split_name(path.replace("\\", "/").rpartition("/")[2])
        if cluster < 0:
            return self._free(NOISE, file_part(stem), extension)
        fields = {
            "id": self.numbers[cluster],
            "cluster_id": self.numbers[cluster],
            "label": self.names[cluster],
            "original": file_part(stem),
        }
        return self._free(self.folders[cluster], "@".join(fields[word] for word in self.rule.split("@")), extension)

    def _free(self, folder: str, stem: str, extension: str) -> str:
        first = (folder, collision_key(stem if self.stems else stem + extension))
        n = self.counters.get(first, 0)
        while True:
            name = with_counter(stem + extension, n)
            key = (folder, collision_key(split_name(name)[0] if self.stems else name))
            n += 1
            if key not in self.taken:
                break
        self.taken.add(key)
        self.counters[first] = n
        return f"{folder}/{name}"


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (Folders,)
