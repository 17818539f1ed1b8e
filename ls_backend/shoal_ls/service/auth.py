"""Basic authentication: who may ask the backend. `/health` is open to everybody, pictures are by their signature."""

import base64
import binascii
import hmac
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shoal.errors import UsageError

USER, PASSWORD, PASSWORD_FILE = "SHOAL_BACKEND_USER", "SHOAL_BACKEND_PASSWORD", "SHOAL_BACKEND_PASSWORD_FILE"
CHALLENGE = 'Basic realm="shoal", charset="UTF-8"'
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Credentials:
    """A user and a password.

    Attributes:
        user: name.
        password: never printed.
    """

    user: str
    password: str = field(repr=False)

    def allow(self, header: str | None) -> bool:
        """Tell whether an `Authorization` header has them; the time that it takes says nothing of how near it was."""
        user, password = _basic(header)
        right_user = hmac.compare_digest(user.encode(), self.user.encode())
        right_password = hmac.compare_digest(password.encode(), self.password.encode())
        return right_user and right_password


def credentials(environment: Mapping[str, str] = os.environ, password_file: Path | None = None) -> Credentials | None:
    """Return the credentials that the environment or a file gives; None where there are none.

    Args:
        environment: with SHOAL_BACKEND_USER, and SHOAL_BACKEND_PASSWORD or SHOAL_BACKEND_PASSWORD_FILE.
        password_file: holds the password in its first line; counts more than the environment.

    Raises:
        UsageError: there is a user without a password or the other way round, or the file can't be read.
    """
    user, password = environment.get(USER, ""), environment.get(PASSWORD, "")
    named = password_file or (Path(environment[PASSWORD_FILE]) if environment.get(PASSWORD_FILE) else None)
    if named is not None:
        password = secret_of(named)
    if not user and not password:
        return None
    if not user or not password or ":" in user:
        raise UsageError(f"set both {USER} (without a colon) and {PASSWORD} or {PASSWORD_FILE}, or none of them")
    return Credentials(user, password)


def secret_of(path: Path) -> str:
    """Return the first line of a file that nobody but its owner may read.

    Raises:
        UsageError: it can't be read, is empty, or others may read it.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} can't be read; name a text file that holds the secret") from error
    if stat.S_IMODE(mode) & 0o077:
        raise UsageError(f"others may read the secret in {path}; give `chmod 600 {path}`")
    if not text:
        raise UsageError(f"{path} is empty; write the secret into its first line")
    return text.splitlines()[0].strip()


def check_open(host: str, found: Credentials | None) -> None:
    """Refuse to serve other machines without a password.

    Raises:
        UsageError: the host is not this machine, and there are no credentials.
    """
    if found is None and host not in LOOPBACK:
        raise UsageError(
            f"--host {host} lets other machines in; set {USER} and {PASSWORD_FILE} first, or serve on 127.0.0.1"
        )


def _basic(header: str | None) -> tuple[str, str]:
    scheme, _, coded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(coded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return "", ""
    return user, password
