"""Which places a job on a cluster can reach. Pure: nothing is looked up."""

import ipaddress
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from shoal.errors import UsageError
from shoal.sources import absolute, is_local, secret_in


def is_this_machine(host: str) -> bool:
    """Tell whether a host name means the machine that asks: `localhost` or a loopback address."""
    name = host.strip("[]").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def reachable(place: str, what: str, address: str, shared: Sequence[str] = ()) -> str:
    """Return a place as the job shall be told of it.

    Args:
        place: path or URI, as the user typed it.
        what: `IMAGES` or `--out`, for the message.
        address: of the cluster's job server; a loopback address is this machine, whose paths the job can read.
        shared: folders that every node has at the same path.

    Raises:
        UsageError: the cluster can't reach it, or it holds a secret.
    """
    here = is_this_machine(urlsplit(address).hostname or "")
    if not is_local(place):
        _check_uri(place, what, here)
        return place
    path = absolute(place)
    if here or any(Path(path).is_relative_to(absolute(folder)) for folder in shared):
        return path
    raise UsageError(
        f"{what} {place} lies on this machine, where the cluster at {address} can't reach it; copy it to a bucket and name "
        f"that (s3://bucket/folder), or say --shared FOLDER if every node has the folder at the same path"
    )


def _check_uri(place: str, what: str, here: bool) -> None:
    secret = secret_in(place)
    if secret:
        raise UsageError(
            f"{what} holds {secret}, and a job's command is shown to everybody who sees the cluster; give secrets to "
            "the cluster, or pass them by --env AWS_ACCESS_KEY_ID --env AWS_SECRET_ACCESS_KEY"
        )
    for server in parse_qs(place.partition("?")[2]).get("endpoint_override", []):
        host = urlsplit(server if "//" in server else f"//{server}").hostname or ""
        if is_this_machine(host) and not here:
            raise UsageError(
                f"{what} names an object store at {server}, which on the cluster is the cluster's own machine; write the "
                "name or address under which its nodes reach it"
            )
