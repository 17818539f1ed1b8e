"""Pictures of images as files that browsers can show, and their addresses in tasks: addresses, never base64."""

import io
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal
from urllib.parse import quote, urlencode, urlsplit

import pyarrow as pa
import pyarrow.compute as pc

from shoal.catalogue import Run
from shoal.contract import ImageSpec
from shoal.errors import ImageError, StoreError, UsageError
from shoal.store import Folder

FOLDER, LARGE = "thumbnails", "large"
LARGE_PIXELS = 1024
"""Longest side of a picture that is looked at alone."""

Way = Literal["local", "http", "presigned"]
WAYS: tuple[Way, ...] = ("local", "http", "presigned")


@dataclass(frozen=True)
class Pictures:
    """The picture files of a store.

    Layout: `thumbnails/ab/<id>.jpg` as the run's thumbnail step made them, `thumbnails/large/ab/<id>.jpg`.
    """

    store: Folder

    @classmethod
    def of(cls, run: Run) -> "Pictures":
        """Return those of a run's store."""
        return cls(run.store.root)

    @property
    def root(self) -> Folder:
        """Their folder."""
        return self.store / FOLDER

    def write_small(self, run: Run, ids: Sequence[str], told: Callable[[int], object] = lambda count: None) -> set[str]:
        """Write the thumbnails that are missing and return the ids of images that have one.

        Args:
            run: with a thumbnail step.
            ids: of images.
            told: hears how many were looked at.

        Raises:
            UsageError: the run has no thumbnails.
            StoreError: a file can't be written.
        """
        if not any("thumbnail" in step.columns for step in run.record.steps):
            raise UsageError(
                f"run {run.id} has no thumbnails for people to look at; "
                "add `- use: thumbnail.jpeg` to its pipeline and run again"
            )
        known = self._known() & set(ids)
        told(len(known))
        if len(known) == len(set(ids)):
            return known
        table = run.joined(["thumbnail"])
        missing = pa.array(sorted(set(ids) - known), pa.string())
        table = table.filter(pc.and_(pc.is_in(table["id"], value_set=missing), pc.is_valid(table["thumbnail"])))
        for batch in table.to_batches(max_chunksize=500):
            for image, data in zip(batch["id"].to_pylist(), batch["thumbnail"], strict=True):
                (self.root / image[:2]).write(f"{image}.jpg", data.as_py())
            told(batch.num_rows)
        return known | set(table["id"].to_pylist())

    def _known(self) -> set[str]:
        """Return the ids that have a file already."""
        parts = [name for name in self.root.names() if len(name) == 2]
        return {name.removesuffix(".jpg") for part in parts for name in (self.root / part).names()}

    def write_large(self, run: Run, ids: Iterable[str], told: Callable[[int], object] = lambda count: None) -> set[str]:
        """Write pictures of 1024 pixels from the images themselves where they are missing; return who has one.

        An image that can't be read any more has none.
        """
        images = run.images
        paths = dict(zip(images["id"].to_pylist(), images["path"].to_pylist(), strict=True))
        wanted = [image for image in dict.fromkeys(ids) if image in paths]

        def write(image: str) -> str:
            done = self._write_one(image, paths[image])
            told(1)
            return image if done else ""

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return set(pool.map(write, wanted)) - {""}

    def _write_one(self, image: str, path: str) -> bool:
        folder = self.root / LARGE / image[:2]
        if folder.exists(f"{image}.jpg"):
            return True
        from PIL import Image

        from shoal.images import load
        from shoal.sources import Unreadable

        try:
            (pixels,) = load(path, [ImageSpec(LARGE_PIXELS, LARGE_PIXELS, fit="inside")]).images
        except (ImageError, Unreadable, UsageError):
            return False
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=85)
        folder.write(f"{image}.jpg", file.getvalue())
        return True

    def read(self, image: str, large: bool = False) -> bytes | None:
        """Return the bytes of a picture; None where there is none.

        Raises:
            StoreError: the store does not answer.
        """
        try:
            return self.root.read(self.relative(image, large))
        except FileNotFoundError:
            return None
        except StoreError as error:  # so does an object store say that it has none
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise
        except OSError as error:
            raise StoreError(f"a picture can't be read from {self.root.uri}: {error.strerror or error}") from error

    def relative(self, image: str, large: bool = False) -> str:
        """Return the path of a picture below the folder of pictures."""
        return f"{LARGE}/{image[:2]}/{image}.jpg" if large else f"{image[:2]}/{image}.jpg"


@dataclass(frozen=True)
class LocalFiles:
    """Addresses that Label Studio answers itself, from a folder that it sees.

    Attributes:
        prefix: path that the server lives under: `/` or `/annotate`.
        place: the folder of pictures as the server sees it, below `root`.
        root: its LOCAL_FILES_DOCUMENT_ROOT.
    """

    prefix: str
    place: PurePosixPath
    root: PurePosixPath

    def address(self, relative: str) -> str:
        """Return the address of a picture, without the server's name: it may be reached by several."""
        path = self.place.relative_to(self.root) / relative
        return f"{self.prefix.rstrip('/')}/data/local-files/?d={quote(str(path))}"


def local_files(url: str, place: str, root: str) -> LocalFiles:
    """Return the addresses for a server.

    Args:
        url: of the server.
        place: the folder of pictures as the server sees it.
        root: its document root.

    Raises:
        UsageError: the folder is not below the root.
    """
    found = LocalFiles(urlsplit(url).path or "/", PurePosixPath(place), PurePosixPath(root))
    if found.root not in found.place.parents:
        raise UsageError(
            f"Label Studio may only show files below {root}, and the pictures lie in {place}; start it with "
            f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={found.place.parent}, tell with --pictures-at where it sees that "
            "folder, or take --images http with a --backend"
        )
    return found


@dataclass(frozen=True)
class Signed:
    """Addresses that shoal's backend answers.

    Attributes:
        backend: its URL as browsers reach it.
        key: that addresses are signed with.
    """

    backend: str
    key: bytes

    def address(self, relative: str) -> str:
        """Return the address of a picture."""
        from shoal_ls.service.pictures import picture_url

        found = picture_url(self.backend, PurePosixPath(relative).stem, self.key)
        return f"{found}&{urlencode({'size': LARGE})}" if relative.startswith(f"{LARGE}/") else found


@dataclass(frozen=True)
class Bucket:
    """Addresses of an object store, which Label Studio signs when it shows a task.

    Attributes:
        uri: of the folder of pictures: `s3://bucket/out/thumbnails`.
    """

    uri: str

    def address(self, relative: str) -> str:
        """Return the URI of a picture."""
        return f"{self.uri}/{relative}"


Addresses = LocalFiles | Signed | Bucket


def signed_key(store: Folder) -> bytes:
    """Return the key of the backend that serves a store.

    Raises:
        UsageError: the store is on no disk of this machine and no key is shared, or that is too short.
    """
    from shoal_ls.service import STATE
    from shoal_ls.service.pictures import VARIABLE, pictures_key, shared_key

    if store.local is not None:
        return pictures_key(store.local / STATE)
    key = shared_key()
    if not key:
        raise UsageError(
            f"{store.uri} holds no key to sign addresses of pictures with; set {VARIABLE} to the same long random text "
            "here and where `shoal serve` runs"
        )
    return key
