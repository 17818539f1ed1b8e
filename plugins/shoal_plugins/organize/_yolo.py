"""Where the label file of an image lies in a YOLO set."""

import os
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

from shoal.names import file_part, split_name


def _one_folder(name: str) -> str:
    if name != file_part(name):
        raise ValueError(f"{name!r} is no name of one folder; write letters and digits, such as img")
    return name


def _extension(suffix: str) -> str:
    if split_name(f"x{suffix}") != ("x", suffix):
        raise ValueError(f"{suffix!r} is no extension; write a dot and letters or digits, such as .txt")
    return suffix


FolderName = Annotated[str, AfterValidator(_one_folder)]
Extension = Annotated[str, AfterValidator(_extension)]


@dataclass(frozen=True)
class Layout:
    """Names in a YOLO set: `.../img/day 1/a.jpg` has its label in `.../lab/day 1/a.txt`.

    Attributes:
        images: folder of the images; where a path has several of that name, the last one counts.
        labels: the folder that stands in its place in the path of the label.
        extension: of a label file, with its dot.
    """

    images: str = "img"
    labels: str = "lab"
    extension: str = ".txt"

    def label_of(self, path: str) -> str | None:
        """Return where the label of an image belongs, whether or not it is there; None: no folder above is `images`.

        Args:
            path: absolute path of the image; one in an object store (`s3://`) has no label file that could be read.
        """
        if "://" in path:
            return None
        folder, name = os.path.split(path)
        parts = folder.split(os.sep)
        if self.images not in parts:
            return None
        last = len(parts) - 1 - parts[::-1].index(self.images)
        return os.sep.join([*parts[:last], self.labels, *parts[last + 1 :], split_name(name)[0] + self.extension])

    def root_of(self, path: str) -> str | None:
        """Return the folder that holds the folders of images and of labels, None where `label_of` is."""
        label = self.label_of(path)
        if label is None:
            return None
        parts = os.path.dirname(path).split(os.sep)
        return os.sep.join(parts[: len(parts) - 1 - parts[::-1].index(self.images)]) or os.sep
