"""Thumbnails by signed address: whoever has the address sees that one picture, and nobody can make up another."""

import hashlib
import hmac
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlencode

from shoal.errors import StoreError, UsageError
from shoal_ls.service.auth import secret_of

KEY_FILE = "pictures.key"
VARIABLE = "SHOAL_PICTURES_KEY"
"""Environment variable with the key; backends of several machines share one."""

SHORTEST = 16
"""Characters of a shared key: who sees one address may try keys on it for as long as they like."""

_ID = re.compile(r"[0-9a-f]{64}")
_SIGNATURE = 32
"""Hexadecimal digits of a signature: 128 bits."""


def shared_key() -> bytes:
    """Return the key that SHOAL_PICTURES_KEY holds; empty without.

    Raises:
        UsageError: it is so short that it can be guessed.
    """
    if not os.environ.get(VARIABLE):
        return b""
    key = os.fsencode(os.environ[VARIABLE].strip())
    if len(key) < SHORTEST:
        raise UsageError(f"{VARIABLE} has fewer than {SHORTEST} characters; take what `openssl rand -hex 32` prints")
    return key


def pictures_key(folder: Path) -> bytes:
    """Return the key that addresses are signed with: of SHOAL_PICTURES_KEY, else of a file, made where there is none.

    Whoever replaces the file makes every address that was given out invalid.

    Args:
        folder: of the store, or another that is kept.

    Raises:
        UsageError: others may read the file, or it is empty; SHOAL_PICTURES_KEY is too short.
        StoreError: it can't be made.
    """
    key = shared_key()
    if key:
        return key
    path = folder / KEY_FILE
    if not path.exists():
        _make_key(path)
    return secret_of(path).encode()


def _make_key(path: Path) -> None:
    """Make a key's file, whole before it has its name: a service and a command may ask for it at once."""
    new = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(new, path)
    except OSError as error:
        raise StoreError(f"{path} can't be made ({error.strerror}); set {VARIABLE} instead") from error
    finally:
        new.unlink(missing_ok=True)


def picture_url(base: str, image: str, key: bytes) -> str:
    """Return the address of an image's thumbnail.

    Args:
        base: URL of the backend, as browsers reach it.
        image: id.
        key: of `pictures_key`.
    """
    return f"{base.rstrip('/')}/pictures/{image}.jpg?{urlencode({'signature': sign(image, key)})}"


def sign(image: str, key: bytes) -> str:
    """Return the signature of an image's address."""
    return hmac.new(key, f"picture/{image}".encode(), hashlib.sha256).hexdigest()[:_SIGNATURE]


def signed(image: str, signature: str, key: bytes) -> bool:
    """Tell whether an address is one that was given out; the time that it takes says nothing of how near it was."""
    right = hmac.compare_digest(signature.encode(), sign(image, key).encode())
    return right and _ID.fullmatch(image) is not None
