"""The labelling configurations, checked by Label Studio's own SDK before anything is sent."""

import hashlib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

from shoal_ls.errors import ServerError

Json = dict[str, Any]


def configuration(kind: str) -> str:
    """Return the labelling configuration of `clusters`, `rescues` or `images` tasks."""
    return (files(__name__) / f"{kind}.xml").read_text("utf-8")


def fingerprint(config: str) -> str:
    """Return a hash that white space around lines does not change: the server may store it otherwise."""
    lines = (line.strip() for line in config.strip().splitlines())
    return hashlib.sha256("\n".join(line for line in lines if line).encode()).hexdigest()[:16]


def check(config: str, drafts: Iterable[Mapping[str, Any]]) -> None:
    """Have the SDK check a configuration, and that every task and prediction fits it.

    Args:
        config: XML.
        drafts: each with `data` and `result`.

    Raises:
        ServerError: the first thing that does not fit.
    """
    from label_studio_sdk.label_interface import LabelInterface

    try:
        interface = LabelInterface(config)
        interface.validate()
    except Exception as error:  # the SDK raises many kinds
        raise ServerError(f"the labelling configuration is wrong: {error}") from error
    for draft in drafts:
        wrong = interface.validate_prediction({"result": draft["result"]}, return_errors=True)
        if wrong:
            raise ServerError(f"task {draft['data']['shoal_task']} does not fit the labelling configuration: {wrong[0]}")
