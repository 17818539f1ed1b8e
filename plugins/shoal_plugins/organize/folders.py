"""`organize.folders`: one folder a cluster, file names by rule."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal, NamedTuple

import pyarrow as pa
from pydantic import BeforeValidator, Field, model_validator

from shoal.contract import Context, Stage
from shoal.hooks import hookimpl
from shoal.kinds import Organizer
from shoal.names import collision_key, file_part, split_name, with_counter
from shoal.schema import ID, columns
from shoal_plugins.organize._yolo import Extension, FolderName
from shoal_plugins.organize._yolo import Layout as YoloLayout

Rule = Literal["id@label@original", "label@original", "cluster_id@label", "cluster_id@label@original", "cluster_id"]

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
    | `cluster_id` | `cluster_000/IMG_1234.jpg` |

    A cluster without a label is called `cluster_00`. Images in no cluster go to `noise/` and keep their name. Numbers
    have as many digits as the largest cluster number needs, at least two, with `cluster_id` three. Names that collide,
    whatever their case, get `_1`, `_2` in the order of id and path; so do two clusters whose labels make one folder name.
    Every part passes `shoal.names.file_part`, so no label or file name leads out of the target folder.

    With `yolo`, every cluster's folder holds `img/` and `lab/`: the label of `.../img/a.jpg` is `.../lab/a.txt`, and goes
    along under the name that its image gets. Images of one stem (`a.jpg`, `a.png`) share a label; each gets a copy of it.
    An image without a label file goes alone, and the plan's column `missing` says which file was looked for. Label files
    without an image in the run stay where they are.

    Take it whenever files are to lie by cluster; `shoal organize` carries the plan out, `shoal undo` takes it back.
    Source: the file naming rules of the workflows `semantic-cluster` and `structural-clusters`.
    """

    name: ClassVar[str] = "folders"
    version: ClassVar[str] = "2"
    shorthand: ClassVar[str | None] = "rule"

    rule: Rule = Field("id@label@original", description="How folders and files are named, see the table above.")
    duplicates: Literal["all", "first"] = Field(
        "all",
        description="What happens to an image that was found at several paths: `all` organises every file, `first` only the "
        "first path, the others stay where they are.",
    )
    sidecars: Annotated[tuple[Extension, ...], BeforeValidator(_split)] = Field(
        (),
        description="Extensions of files beside an image that go with it and follow its name, as a list or comma-separated: "
        "`.txt,.json,.xmp` takes `IMG_1.txt` and `IMG_1.jpg.xmp` along with `IMG_1.jpg`.",
    )
    yolo: bool = Field(
        False,
        description="Whether the images are a YOLO set, whose label files lie in a folder of their own, `img/a.jpg` and "
        "`lab/a.txt`: labels then go with their images, and a cluster's folder holds the same two folders.",
    )
    yolo_images: FolderName = Field(
        "img", description="With `yolo`, name of the folder of images; where a path has several, the last one counts."
    )
    yolo_labels: FolderName = Field("lab", description="With `yolo`, name of the folder of labels, such as `labels`.")
    yolo_extension: Extension = Field(".txt", description="With `yolo`, extension of a label file, with its dot.")

    @model_validator(mode="after")
    def _check_folders(self) -> "Folders":
        if collision_key(self.yolo_images) == collision_key(self.yolo_labels):
            raise ValueError(f"yolo_images and yolo_labels are both {self.yolo_images!r}; take two names that differ")
        return self

    def produces(self) -> pa.Schema:
        """Return `source`, `target`, `sidecar` and `missing`.

        `sidecar` is true for a file that goes with an image, whose bytes are not those of the id; `missing` is the label
        file that an image of a YOLO set should have and has not, or a sentence where its path can't have one.
        """
        return columns(source=pa.string(), target=pa.string(), sidecar=pa.bool_(), missing=pa.string())

    def outside(self, rows: pa.Table) -> str:
        """Return a digest of the names of the side-cars that are there, where it looks for any."""
        if not (self.sidecars or self.yolo):
            return ""
        digest = hashlib.sha256()
        for paths in rows["paths"].to_pylist():
            for path in paths:
                found = [sidecar.tail for sidecar in find_sidecars(path, self.sidecars)]
                label = self._label_of(path) if self.yolo else None
                there = [os.path.lexists(file) for file in (path, label) if file is not None]
                digest.update(f"{path}\0{found}\0{there}\n".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        """Return the plan: a row a file, ordered by id and path, side-cars behind their image."""
        labels = rows.column("label").to_pylist() if "label" in rows.column_names else [None] * rows.num_rows
        clusters = rows.column("cluster").to_pylist()
        stems = bool(self.sidecars) or self.yolo
        layout = _Layout(self.rule, dict(zip(clusters, labels, strict=True)), stems, self.yolo_images if self.yolo else "")
        images = rows.column("id").to_pylist(), rows.column("paths").to_pylist(), clusters
        order = sorted(zip(*images, strict=True), key=lambda image: image[0])
        known = {path for _, paths, _ in order for path in paths}
        schema = pa.schema([ID, *self.produces()])
        planned = [
            (key, *row)
            for key, paths, cluster in order
            for path in (sorted(paths) if self.duplicates == "all" else paths[:1])
            for row in self._files(path, layout.place(cluster, path), known)
        ]
        context.note("files", len(planned))
        if self.yolo:
            context.note("labels", {"missing": sum(row[-1] is not None for row in planned)})
        return pa.table([list(column) for column in zip(*planned, strict=True)] or [[]] * len(schema), schema=schema)

    def _label_of(self, path: str) -> str | None:
        return YoloLayout(self.yolo_images, self.yolo_labels, self.yolo_extension).label_of(path)

    def _files(self, path: str, target: str, images: set[str]) -> Iterator[tuple[str, str, bool, str | None]]:
        """Yield source, target, whether it is a side-car, and what is missing, of an image and the files that go with it."""
        folder, _, name = target.rpartition("/")
        stem = split_name(name)[0]
        beside = [(sidecar.source, f"{folder}/{stem}{sidecar.tail}") for sidecar in find_sidecars(path, self.sidecars)]
        missing = None
        if self.yolo:
            label = self._label_of(path)
            if label is None:
                missing = f"no folder {self.yolo_images!r} in its path"
            elif os.path.lexists(label):  # also a link that leads nowhere, or a folder: the journal gives the reason
                cluster = folder.removesuffix(f"/{self.yolo_images}")
                beside.append((label, f"{cluster}/{self.yolo_labels}/{stem}{self.yolo_extension}"))
            elif os.path.lexists(path):  # an image that was moved away took its label along
                missing = label
        yield path, target, False, missing
        for source, place in beside:
            if source not in images:
                yield source, place, True, None


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


@dataclass
class _Layout:
    """Gives every image its folder and a name that nothing else has.

    Attributes:
        rule: the naming rule.
        labels: cluster number to label or None; noise is -1.
        stems: whether names must differ in their stems, so that side-cars can't collide either.
        below: folder within a cluster's folder that the images go to; empty: the cluster's folder itself.
    """

    rule: Rule
    labels: dict[int, str | None]
    stems: bool
    below: str = ""
    numbers: dict[int, str] = field(init=False)
    names: dict[int, str] = field(init=False)
    folders: dict[int, str] = field(init=False)
    taken: set[tuple[str, str]] = field(default_factory=set)
    counters: dict[tuple[str, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        clusters = sorted(cluster for cluster in self.labels if cluster >= 0)
        width = max(3 if self.rule == "cluster_id" else 2, len(str(max(clusters, default=0))))
        self.numbers = {cluster: f"{cluster:0{width}d}" for cluster in clusters}
        self.names = {cluster: self._label(cluster) for cluster in clusters}
        self.folders = self.numbers if self.rule == "id@label@original" else self._distinct()

    def _label(self, cluster: int) -> str:
        label = None if self.rule == "cluster_id" else self.labels[cluster]
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
        if cluster < 0 or self.rule == "cluster_id":
            return self._free(NOISE if cluster < 0 else self.folders[cluster], file_part(stem), extension)
        fields = {
            "id": self.numbers[cluster],
            "cluster_id": self.numbers[cluster],
            "label": self.names[cluster],
            "original": file_part(stem),
        }
        return self._free(self.folders[cluster], "@".join(fields[word] for word in self.rule.split("@")), extension)

    def _free(self, cluster: str, stem: str, extension: str) -> str:
        folder = f"{cluster}/{self.below}" if self.below else cluster
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
