"""Where a vision-language model comes from: a folder, the Hugging Face hub or ModelScope; and whether it is one."""

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from shoal.errors import StageError
from shoal_plugins.embed._files import absolute, file_hash
from shoal_plugins.embed._hub import hub_access, hub_error, read_json
from shoal_plugins.embed._session import first_line

Source = Literal["huggingface", "modelscope"]

ALIASES = {"small": "Qwen/Qwen2-VL-2B-Instruct", "large": "Qwen/Qwen2-VL-7B-Instruct"}
INSTEAD = "take `--set caption=tags`"
_WORDS = ["*.json", "*.jinja", "*.txt", "*.model"]
_WEIGHTS = {False: ["*.safetensors"], True: ["*.safetensors", "*.bin"]}
_PROCESSORS = ("processor_config.json", "preprocessor_config.json")
_TEMPLATES = ("chat_template.jinja", "chat_template.json")


@dataclass(frozen=True)
class Located:
    """A model whose files are on this machine.

    Attributes:
        name: how the user called it.
        folder: where its files are.
        commit: which version; `folder` for a folder of the user's.
    """

    name: str
    folder: Path
    commit: str


def named(model: str) -> str:
    """Return the folder or the id that an option means."""
    return absolute(model) if Path(model).expanduser().is_dir() else ALIASES.get(model, model)


def hashes(model: str) -> dict[str, str]:
    """Return the sha256 of each file of a folder that its answers depend on; empty for a model of a hub."""
    folder = Path(model)
    if not folder.is_dir():
        return {}
    patterns = [*_WORDS, *_WEIGHTS[True]]
    files = sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
    return {path.name: file_hash(path) for path in files}


def locate(model: str, source: Source, revision: str, allow_pickle: bool) -> Located:
    """Return where a model's files are, downloaded if need be, after a look at whether it can caption at all.

    Raises:
        StageError: it can't be had, or it is no vision-language model with a processor and a chat template.
    """
    if Path(model).is_dir():
        found, why = Located(model, Path(model), "folder"), ""
    elif source == "modelscope":
        found, why = _from_modelscope(model, revision, allow_pickle), ""
    else:
        found, why = _from_hub(model, revision, allow_pickle)
    if why and not _has_weights(found.folder, allow_pickle):  # an earlier look left the configuration in the cache
        raise hub_error(model, FileNotFoundError(model), why, INSTEAD)
    _check(found, allow_pickle)
    return found


def _from_hub(model: str, revision: str, allow_pickle: bool) -> tuple[Located, str]:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    wanted = [*_WORDS, *_WEIGHTS[allow_pickle]]
    with hub_access() as why:
        try:
            folder = snapshot_download(
                model, revision=revision, allow_patterns=wanted, ignore_patterns=["*/*"], local_files_only=bool(why)
            )
        except HFValidationError as error:
            raise StageError(f"{model!r} is neither a folder here nor a name that a model on the hub can have") from error
        except Exception as error:  # errors of its transport differ by version
            raise hub_error(model, error, why, INSTEAD) from error
    return Located(model, Path(folder), Path(folder).name), why


def _from_modelscope(model: str, revision: str, allow_pickle: bool) -> Located:
    if find_spec("modelscope") is None:
        raise StageError(
            f"`source: modelscope` needs the package modelscope, not installed here: pip install modelscope, or take "
            f"{model!r} from the Hugging Face hub with `source: huggingface`"
        )
    wanted = [*_WORDS, *_WEIGHTS[allow_pickle]]
    branch = "master" if revision == "main" else revision  # its name for the branch that everybody means
    try:
        from modelscope.hub.snapshot_download import snapshot_download

        folder = snapshot_download(model, revision=branch, allow_patterns=wanted, ignore_patterns=["*/*"])
    except Exception as error:  # its errors share no base but Exception
        raise StageError(
            f"ModelScope did not give the model {model!r} ({first_line(error)[:160]}); correct its name, or run once where "
            f"there is a network, or {INSTEAD}, which needs no download"
        ) from error
    return Located(model, Path(folder), branch)


def _has_weights(folder: Path, allow_pickle: bool) -> bool:
    return any(next(folder.glob(pattern), None) is not None for pattern in _WEIGHTS[allow_pickle])


def _check(found: Located, allow_pickle: bool) -> None:
    """Say what a model lacks before minutes are spent on its weights.

    Raises:
        StageError: the first thing that it lacks.
    """
    name, folder = found.name, found.folder
    config = read_json(str(folder), "main", "config.json")
    if not _sees(config):
        raise StageError(
            f"{name!r} is no vision-language model (its config.json says {config.get('model_type')!r}, and names no part "
            "that sees); take one such as Qwen/Qwen2-VL-2B-Instruct"
        )
    if not any((folder / file).is_file() for file in _PROCESSORS):
        raise StageError(
            f"{name!r} lacks a processor (no {' or '.join(_PROCESSORS)} in {folder}); save it there with "
            "AutoProcessor.from_pretrained(ORIGINAL).save_pretrained(FOLDER)"
        )
    if not _has_template(folder):
        raise StageError(
            f"{name!r} has no chat template, so nobody knows how it is asked; take a model that was tuned to follow "
            "instructions, or put its chat_template.jinja into the folder"
        )
    if _has_weights(folder, allow_pickle):
        return
    if next(folder.glob("*.bin"), None) is not None or not Path(name).is_dir():
        raise StageError(f"{name!r} has no weights as safetensors; take a model that has, or set `allow_pickle: on`")
    raise StageError(f"{folder} holds no weights; copy the model's *.safetensors there")


def _sees(config: dict[str, Any]) -> bool:
    """Tell whether a config names a vision part: families call it by many names, all with these words in them."""
    return any(word in key.lower() for key in config for word in ("vision", "image", "img", "visual"))


def _has_template(folder: Path) -> bool:
    if any((folder / file).is_file() for file in _TEMPLATES):
        return True
    files = [folder / file for file in ("tokenizer_config.json", *_PROCESSORS)]
    return any(_says(file, "chat_template") for file in files if file.is_file())


def _says(file: Path, key: str) -> bool:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StageError(f"{file} can't be read as JSON ({error}); download the model again") from error
    return isinstance(content, dict) and bool(content.get(key))
