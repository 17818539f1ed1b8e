"""Reads the image that a task names, from allowed places only: task data are hostile, and the backend sees what users don't.

Files lie below the run's source or Label Studio's document root, symbolic links resolved. URLs are those of the Label Studio
server and of hosts that were allowed by name; redirects are followed only there, and the token goes to the server alone.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urljoin, urlsplit

from shoal.errors import ImageError, StoreError, UsageError
from shoal.sources import absolute, is_local, read_bytes
from shoal_ls.errors import ServerError

if TYPE_CHECKING:
    import httpx

LOCAL_FILES = "/data/local-files"
MAX_BYTES = 64 * 2**20
SECONDS = 15.0
HOPS = 3


@dataclass(frozen=True)
class Places:
    """Where images may be read from.

    Attributes:
        roots: folders, or URIs of object stores.
        document_root: of Label Studio's local files; `?d=` is relative to it.
        server: URL of Label Studio; empty: none is asked.
        hosts: other hosts that may be asked, `name` or `name:port`.
        auth: what lets one in at the server.
        seconds, max_bytes: what one image may cost.
    """

    roots: tuple[str, ...] = ()
    document_root: Path | None = None
    server: str = ""
    hosts: frozenset[str] = frozenset()
    auth: "httpx.Auth | None" = field(default=None, repr=False)
    seconds: float = SECONDS
    max_bytes: int = MAX_BYTES

    def path_of(self, reference: str) -> str | None:
        """Return the path or URI that a reference means; None where it has to be asked of a server.

        A path of Label Studio's own (`/data/upload/...`), which looks like one of this machine, has to be asked.
        """
        try:
            parts = urlsplit(reference)
        except ValueError:
            return None
        if parts.path.rstrip("/").endswith(LOCAL_FILES) and parts.scheme in ("", "http", "https"):
            relative = parse_qs(parts.query).get("d", [""])[0]
            return os.path.normpath(self.document_root / relative.lstrip("/")) if self.document_root and relative else None
        if parts.scheme in ("http", "https") or reference.startswith("/data/"):
            return None
        try:
            return absolute(reference)
        except UsageError:  # file://another-machine/...
            return None

    def read(self, reference: str, roots: Sequence[str] = ()) -> bytes:
        """Return the bytes of an image.

        Args:
            reference: as a task says it.
            roots: more folders or URIs that may be read from: the run's source.

        Raises:
            ImageError: the place is not allowed, or can't be read within the limits.
        """
        path = self.path_of(reference)
        if path is None:
            return self._download(urljoin(f"{self.server}/", reference) if reference.startswith("/") else reference)
        allowed = [*self.roots, *roots, *([str(self.document_root)] if self.document_root else [])]
        try:
            return read_bytes(_checked(path, allowed), self.max_bytes)
        except StoreError as error:  # of one picture: others may lie elsewhere
            raise ImageError(str(error)) from error

    def _download(self, url: str) -> bytes:
        import httpx

        ends = time.monotonic() + self.seconds
        plain = {"Accept-Encoding": "identity"}  # nothing that unpacks to a thousand times its size
        with httpx.Client(timeout=min(self.seconds, 5.0), trust_env=False, headers=plain) as client:
            for _ in range(HOPS):
                self._check_url(url)
                auth = self.auth if _origin(url) == _origin(self.server) else None
                try:
                    with client.stream("GET", url, auth=auth) as answer:
                        if not answer.is_redirect:
                            return self._body(answer, ends)
                        url = urljoin(url, answer.headers.get("location", ""))
                except ServerError as error:  # the token is not taken
                    raise ImageError(str(error)) from error
                except (httpx.HTTPError, httpx.InvalidURL) as error:
                    raise ImageError(f"{_shown(url)} can't be fetched: {type(error).__name__}") from error
        raise ImageError(f"{_shown(url)} redirects more than {HOPS} times")

    def _check_url(self, url: str) -> None:
        """Refuse addresses that nobody allowed: a task must not make the backend ask its own network."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError as error:
            raise ImageError("the task's address of the image is none") from error
        if parts.scheme not in ("http", "https") or not host or parts.username or parts.password:
            raise ImageError(f"{_shown(url)} is no http(s) address of an image")
        named = f"{host}:{port or (443 if parts.scheme == 'https' else 80)}"
        if _origin(url) != _origin(self.server) and not {host, named} & self.hosts:
            raise ImageError(f"images are not fetched from {host}; `shoal serve --allow-host {host}` lets it")

    def _body(self, answer: "httpx.Response", ends: float) -> bytes:
        where = _shown(str(answer.url))
        if not answer.is_success:
            raise ImageError(f"{where} answered {answer.status_code}")
        if int(answer.headers.get("content-length") or 0) > self.max_bytes:
            raise ImageError(f"{where} has more than the allowed {self.max_bytes} bytes")
        data = bytearray()
        for chunk in answer.iter_raw():
            data += chunk
            if len(data) > self.max_bytes:
                raise ImageError(f"{where} has more than the allowed {self.max_bytes} bytes")
            if time.monotonic() > ends:
                raise ImageError(f"{where} took longer than {self.seconds:g} seconds")
        return bytes(data)


def _checked(path: str, allowed: Sequence[str]) -> str:
    """Return a path that lies below an allowed folder, links resolved; or a URI below an allowed one."""
    if not is_local(path):
        below = any(not is_local(root) and _below_uri(path, root) for root in allowed)
        if not below:
            raise ImageError("the task's image lies outside the run's source; it is not read")
        return path
    try:
        local = os.path.realpath(path)
    except ValueError as error:  # a zero byte, half a surrogate pair
        raise ImageError("the task's image has a name that no file can have") from error
    for root in allowed:
        if is_local(root) and _below(local, os.path.realpath(absolute(root))):
            return local
    raise ImageError("the task's image lies outside the run's source and the document root; it is not read")


def _below(path: str, root: str) -> bool:
    return path.startswith(root.rstrip(os.sep) + os.sep)


def _below_uri(path: str, root: str) -> bool:
    """Tell whether a URI lies below another; its options are those of the root, or it would name another server."""
    (place, _, options), (base, _, wanted) = path.partition("?"), root.partition("?")
    steps = place.split("/")
    return (
        place.startswith(base.rstrip("/") + "/") and options == wanted and not {"..", "%2e%2e"} & {s.lower() for s in steps}
    )


def _origin(url: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(url)
        default = {"http": 80, "https": 443}.get(parts.scheme)
        return parts.scheme, (parts.hostname or "").lower(), parts.port or default
    except ValueError:
        return "", "", None


def _shown(url: str) -> str:
    """Return an address without its query, which may hold a signature."""
    return url.partition("?")[0][:200]
