"""Presets by size: lists of overrides that suit a number of images, found in the source tree and in an installed package."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from shoal.errors import PipelineError, UsageError
from shoal.host import Host
from shoal.pipeline import load
from shoal.pipeline.messages import nearest


class Preset(BaseModel):
    """Overrides that suit sets of a size.

    Attributes:
        name: what `--preset` takes.
        up_to: it suits sets below this number of images; None for any number.
        description: what it chooses, in one line.
        overrides: as `--set` takes them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    up_to: int | None
    description: str
    overrides: tuple[str, ...] = Field(alias="set")


def path() -> Path:
    """Return the file of the presets: in an installed package, or in `configs` of a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "presets.yaml"
    return installed if installed.is_file() else package.parents[1] / "configs" / "presets.yaml"


@cache
def presets() -> tuple[Preset, ...]:
    """Return every preset, from small sets to large ones."""
    import yaml

    entries = yaml.safe_load(path().read_text(encoding="utf-8"))
    return tuple(Preset(name=name, **entry) for name, entry in entries.items())


def find(name: str) -> Preset:
    """Return a preset by name.

    Raises:
        UsageError: there is none; the message names the nearest.
    """
    for preset in presets():
        if preset.name == name:
            return preset
    raise UsageError(f"there is no preset {name!r}; {nearest(name, [preset.name for preset in presets()], 'presets')}")


def fitting(images: int) -> Preset:
    """Return the preset that suits a number of images."""
    return next(preset for preset in presets() if preset.up_to is None or images < preset.up_to)


def with_preset(name: str | None, pipeline: str | Path, host: Host, overrides: Sequence[str]) -> list[str]:
    """Return the overrides of a preset with the user's after them, which win.

    Where the user gives a step another stage (`embed=lite0`), the preset says only how that step runs.

    Raises:
        UsageError: there is no such preset, or it does not fit the pipeline.
    """
    if name is None:
        return list(overrides)
    chosen = find(name)
    load(pipeline, host)  # what is wrong with the pipeline itself is told as such
    try:
        load(pipeline, host, chosen.overrides)
    except PipelineError as error:
        first = str(error).splitlines()[0]
        raise UsageError(f"preset {name!r} does not fit {pipeline} ({first}); take its options singly with --set") from error
    replaced = {key.strip() for key, equals, _ in (text.partition("=") for text in overrides) if equals and "." not in key}
    return [*(text for text in chosen.overrides if _step(text) not in replaced or ".run." in text), *overrides]


def _step(override: str) -> str:
    return override.partition("=")[0].partition(".")[0]
