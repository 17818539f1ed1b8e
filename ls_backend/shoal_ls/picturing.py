"""Pictures of a review: written where they are missing, with addresses in the way that was asked for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from shoal.catalogue import Run
from shoal.errors import UsageError
from shoal_ls.client import Server
from shoal_ls.progress import Progress, counted
from shoal_ls.storages import add_bucket, add_local, document_root
from shoal_ls.thumbnails import Addresses, Bucket, Pictures, Signed, Way, local_files, signed_key


@dataclass(frozen=True)
class Source:
    """Where browsers get pictures from.

    Attributes:
        way: `local` files that Label Studio shows, `http` from shoal's backend, `presigned` of an object store.
        place: for `local`, the folder of pictures as Label Studio sees it; empty: as this machine does.
        backend: for `http`, the backend as browsers reach it.
    """

    way: Way = "local"
    place: str = ""
    backend: str = ""


@dataclass(frozen=True)
class Shown:
    """Which images have pictures.

    Attributes:
        pictures: the files.
        with_small, with_large: ids of images that have one.
    """

    pictures: Pictures
    with_small: set[str]
    with_large: set[str]


def write(run: Run, ids: Sequence[str], alone: Iterable[str], progress: Progress) -> Shown:
    """Write the pictures that are missing.

    Args:
        run: with a thumbnail step.
        ids: images that are shown among others.
        alone: images that are looked at alone.
        progress: hears how far it is.

    Raises:
        UsageError: the run has no thumbnails.
        StoreError: a file can't be written.
    """
    pictures, alone = Pictures.of(run), list(dict.fromkeys(alone))
    with counted(progress, "thumbnails", len(ids)) as told:
        small = pictures.write_small(run, ids, told)
    if not alone:
        return Shown(pictures, small, set())
    with counted(progress, "large pictures", len(alone)) as told:
        return Shown(pictures, small, pictures.write_large(run, alone, told))


@dataclass(frozen=True)
class Gallery:
    """Pictures with addresses.

    Attributes:
        shown: which there are.
        addresses: what makes addresses of paths.
    """

    shown: Shown
    addresses: Addresses

    def small(self, image: str) -> str:
        """Return the address of a thumbnail; empty where there is none."""
        return self.addresses.address(self.shown.pictures.relative(image)) if image in self.shown.with_small else ""

    def large(self, image: str) -> str:
        """Return the address of a large picture, else of the thumbnail: the image may be gone."""
        if image in self.shown.with_large:
            return self.addresses.address(self.shown.pictures.relative(image, large=True))
        return self.small(image)


def addresses(server: Server, project: int, pictures: Pictures, source: Source) -> Addresses:
    """Return what makes addresses, and let the project show what they name.

    Args:
        server: Label Studio.
        project: its number.
        pictures: the files.
        source: the way.

    Raises:
        UsageError: that way can't work for this store.
        ServerError: Label Studio refuses it.
    """
    root = pictures.root
    if source.way == "http":
        if not source.backend:
            raise UsageError("--images http shows pictures of shoal's backend; name it with --backend URL")
        return Signed(source.backend, signed_key(pictures.store))
    if source.way == "presigned":
        if not root.uri.startswith("s3://"):
            raise UsageError(f"--images presigned is for stores on S3, and the pictures lie in {root.uri}; leave it out")
        uri = root.uri.partition("?")[0]
        add_bucket(server, project, uri)
        return Bucket(uri)
    place = source.place or str(Path(root.local_or_raise("--images local")).resolve())
    found = local_files(server.url, place, document_root(server, project))
    add_local(server, project, place)
    return found
