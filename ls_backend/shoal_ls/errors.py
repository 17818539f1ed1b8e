"""What can go wrong between shoal and a Label Studio server, each as one sentence with the mend."""

from typing import Any

from shoal.errors import ShoalError
from shoal.text import plain

HOW_TO_LOG_IN = (
    "make one under Account & Settings and give it in LABEL_STUDIO_API_KEY, or the file that holds it with --token-file"
)
UNPROTECT = (
    "where the backend has a private address, start Label Studio with SSRF_PROTECTION_ENABLED=false and "
    "ML_BLOCK_LOCAL_IP=false, in networks that you trust only"
)
_RESERVED = "reserved network address"
"""What Label Studio says of a private address that it is to ask."""

_SAID = 300
"""Characters of a server's own words that are passed on."""


class ServerError(ShoalError):
    """Label Studio did not do what was asked.

    Attributes:
        status: HTTP status; 0 where no answer came.
        said: the server's own words, whole: hostile text.
    """

    def __init__(self, message: str, status: int = 0, said: str = "") -> None:
        """Take the sentence."""
        super().__init__(message)
        self.status = status
        self.said = said


class Gone(ServerError):  # noqa: N818  (an outcome: "the project is gone")
    """What was asked for is not there: a deleted project or task."""


class Blocked(ServerError):  # noqa: N818  (an outcome)
    """Label Studio may not ask a private address."""


def refused(url: str, status: int, body: Any, what: str) -> ServerError:
    """Return the error of an answer that is none.

    Args:
        url: of the server.
        status: HTTP status.
        body: the answer, JSON where it was some: hostile text.
        what: what was being done, as an infinitive: `read project 3`.
    """
    said = _words(body)
    if status == 404:
        return Gone(f"{url} could not {what}: it is not there (any more), or the token's user can't see it (404)", status)
    if status == 401:
        return ServerError(f"{url} does not take the token (401{said}); {HOW_TO_LOG_IN}", status)
    if _RESERVED in said:
        return Blocked(f"{url} could not {what}: it blocks private addresses; {UNPROTECT}", status)
    if status == 403:
        return ServerError(f"the token's user may not {what} on {url} (403{said}); use the token of a user who may", status)
    mend = _MENDS.get(status, "its log says why; then give the same command again" if status >= 500 else "")
    return ServerError(f"{url} could not {what} ({status}{said}){f'; {mend}' if mend else ''}", status, str(body or ""))


_MENDS = {
    413: "that is too large for it or for a proxy before it: raise their limit",
    429: "it asks for fewer requests: wait and give the same command again",
}


def unreachable(url: str, what: str, error: Exception) -> ServerError:
    """Return the error of a server that does not answer: stopped, not there, too slow.

    Args:
        url: of the server.
        what: what was being done.
        error: an exception of httpx.
    """
    import httpx

    if isinstance(error, httpx.ConnectTimeout | httpx.ConnectError):
        return ServerError(f"nothing answers at {url} ({_reason(error)}); start Label Studio there, or name another --url")
    if isinstance(error, httpx.TimeoutException):
        return ServerError(f"{url} took too long to {what}; give the same command again: what is done is kept")
    return ServerError(
        f"the connection to {url} broke while it was to {what} ({_reason(error)}); "
        "give the same command again: what is done is kept"
    )


def no_json(url: str, what: str) -> ServerError:
    """Return the error of a page where an answer should be: another server, a proxy, a login page."""
    return ServerError(f"{url} did not answer as Label Studio does when asked to {what}; is that its address?")


def _words(body: Any) -> str:
    """Return what a server says went wrong, as one line of plain text after a colon; empty where it says nothing."""
    if isinstance(body, dict):
        details = body.get("validation_errors") or body.get("detail") or ""
        body = "; ".join(f"{key}: {value}" for key, value in details.items()) if isinstance(details, dict) else details
    return f": {plain(str(body), _SAID)}" if body else ""


def _reason(error: Exception) -> str:
    return plain(str(error) or type(error).__name__, 120)
