"""The labelling configurations, checked by Label Studio's own SDK before anything is sent."""

import hashlib
from collections.abc import Iterable
from importlib.resources import files

from shoal.errors import UsageError
from shoal.text import plain
from shoal_ls.errors import ServerError
from shoal_ls.tasks.drafts import TaskDraft

PUT_BACK = "`shoal review open --force` puts shoal's configuration back"


def configuration(kind: str) -> str:
    """Return the labelling configuration of `clusters`, `rescues` or `images` tasks."""
    return (files(__name__) / f"{kind}.xml").read_text("utf-8")


def fingerprint(config: str) -> str:
    """Return a hash that white space around lines does not change: the server may store it otherwise."""
    lines = (line.strip() for line in config.strip().splitlines())
    return hashlib.sha256("\n".join(line for line in lines if line).encode()).hexdigest()[:16]


def check(config: str, drafts: Iterable[TaskDraft]) -> None:
    """Have the SDK check a configuration, and that every prediction fits it.

    Args:
        config: XML.
        drafts: of tasks.

    Raises:
        UsageError: the SDK is not installed.
        ServerError: the first thing that does not fit.
    """
    try:
        from label_studio_sdk.label_interface import LabelInterface
    except ImportError as error:
        raise UsageError("Label Studio's SDK is not installed; pip install 'shoal[label-studio]'") from error
    try:
        interface = LabelInterface(config)
        interface.validate()
    except Exception as error:  # the SDK raises many kinds
        raise ServerError(f"the labelling configuration is wrong: {plain(str(error), 300)}; {PUT_BACK}") from error
    for draft in drafts:
        wrong = interface.validate_prediction({"result": list(draft.result)}, return_errors=True)
        if wrong:
            why = plain(wrong[0], 300)
            raise ServerError(f"task {draft.key} does not fit the labelling configuration: {why}; {PUT_BACK}")
