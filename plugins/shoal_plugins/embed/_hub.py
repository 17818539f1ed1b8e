"""Gets model files from the Hugging Face hub, and fails fast, in one sentence, where it can't be reached."""

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from shoal.errors import StageError

PROBE_SECONDS = 5.0


def need(extra: str, *modules: str, stage: str = "") -> None:
    """Check that optional packages are installed.

    Args:
        extra: the extra that brings them.
        modules: the packages.
        stage: who needs them; None named: the embedder that is called like the extra.

    Raises:
        StageError: one is missing; the message names the extra.
    """
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        who = stage or f"embed.{extra}"
        raise StageError(f"{who} needs {' and '.join(missing)}, not installed here: pip install 'shoal[{extra}]'")


def hub_is_reached(endpoint: str) -> bool:
    """Tell within seconds whether the hub answers: its own client retries for half a minute before it gives up."""
    if not endpoint.startswith(("https://", "http://")):
        return False
    request = urllib.request.Request(endpoint, method="HEAD")  # noqa: S310  (the scheme is checked above)
    try:
        urllib.request.urlopen(request, timeout=PROBE_SECONDS).close()  # noqa: S310
    except urllib.error.HTTPError:
        return True  # it answered
    except urllib.error.URLError as error:
        return isinstance(error.reason, ssl.SSLError)  # reached; the hub's client has certificate settings of its own
    except OSError:
        return False
    return True


@contextmanager
def hub_access(wanted: bool = True) -> Iterator[str]:
    """Keep the hub's client from retrying where the hub can't be reached: it then takes only what lies in its cache.

    Args:
        wanted: false where nothing of the hub is needed, so that nobody is asked.

    Yields:
        Why the hub can't be reached, as a clause; empty if it can.
    """
    if not wanted:
        yield ""
        return
    from huggingface_hub import constants

    before, why = constants.HF_HUB_OFFLINE, ""
    if before:
        why = "HF_HUB_OFFLINE is set"
    elif not hub_is_reached(str(constants.ENDPOINT)):
        why = f"{constants.ENDPOINT} can't be reached"
    constants.HF_HUB_OFFLINE = bool(why)
    try:
        yield why
    finally:
        constants.HF_HUB_OFFLINE = before


def hub_error(model: str, error: BaseException, why: str, instead: str = "take embed.lite0") -> StageError:
    """Return the error to raise when the files of `model` could not be had: one sentence that says what to do.

    Args:
        model: its name on the hub.
        error: what was raised.
        why: why the hub can't be reached, as a clause; empty if it can.
        instead: what needs no download.
    """
    if why:
        return StageError(
            f"the files of {model!r} are not on this machine and {why}; run once where there is a network, or copy the "
            f"model's folder here and give its path as `model`, or {instead}, which needs no download"
        )
    names = {type(link).__name__ for link in _chain(error)}
    if "GatedRepoError" in names:
        return StageError(f"the model {model!r} asks for consent: accept its terms on the hub and set HF_TOKEN")
    if names & {"RepositoryNotFoundError", "HfHubHTTPError"}:
        return StageError(
            f"the hub has no model {model!r} that may be read; correct its name, or set HF_TOKEN if it is private"
        )
    if "RevisionNotFoundError" in names:
        return StageError(f"the model {model!r} has no such revision on the hub; correct `revision`")
    from shoal_plugins.embed._session import first_line

    return StageError(f"the model {model!r} could not be loaded: {first_line(error)}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def read_json(model: str, revision: str, *names: str) -> dict[str, Any]:
    """Return the first of several JSON files of a model that exists; imports neither PyTorch nor transformers.

    Args:
        model: a folder, or the id of a model on the hub; what lies in the hub's cache is taken from there.
        revision: branch, tag or commit on the hub.
        names: file names, in order of preference.

    Raises:
        StageError: there is none, or it can't be had.
    """
    folder = Path(model)
    if not folder.is_dir():
        return _read_from_hub(model, revision, names)
    for name in names:
        if (folder / name).is_file():
            return _parse(folder / name)
    raise StageError(f"{folder} holds no {' or '.join(names)}; give a folder written by save_pretrained")


def commit_of(model: str, revision: str) -> str:
    """Return the commit of a model in the hub's cache, which a branch or tag meant; `folder` for a folder."""
    from huggingface_hub import try_to_load_from_cache

    if Path(model).is_dir():
        return "folder"
    cached = try_to_load_from_cache(model, "config.json", revision=revision)
    return Path(cached).parent.name if isinstance(cached, str) else revision


@lru_cache(maxsize=64)
def _read_from_hub(model: str, revision: str, names: tuple[str, ...]) -> dict[str, Any]:
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError

    try:
        for name in names:
            cached = try_to_load_from_cache(model, name, revision=revision)
            if isinstance(cached, str):
                return _parse(Path(cached))
    except HFValidationError as error:
        raise StageError(f"{model!r} is neither a folder here nor a name that a model on the hub can have") from error
    with hub_access() as why:
        for name in names:
            try:
                return _parse(Path(hf_hub_download(model, name, revision=revision)))
            except LocalEntryNotFoundError as error:
                raise hub_error(model, error, why) from error
            except EntryNotFoundError:
                continue
            except Exception as error:  # errors of its transport differ by version
                raise hub_error(model, error, why) from error
    raise StageError(
        f"the model {model!r} on the hub has no {' or '.join(names)}; take one that has, or a folder of your own"
    )


def _parse(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StageError(f"{path} can't be read as JSON ({error}); download the model again") from error
    if not isinstance(content, dict):
        raise StageError(f"{path} holds no JSON object; download the model again")
    return content


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence the bars, the advice and the tables of unused weights that transformers prints while it loads."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
