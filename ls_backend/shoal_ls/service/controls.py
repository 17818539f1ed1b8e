"""The controls of a labelling configuration: which names a prediction may use, and for which object each speaks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from xml.etree import ElementTree

LONGEST = 1_000_000
"""Characters of a configuration that is read."""


@dataclass(frozen=True)
class Control:
    """A tag that people answer with.

    Attributes:
        name, tag: such as `cls`, `Choices`.
        to_name: the object that it speaks of.
        choices: what it offers: values of choices and labels, names of buckets.
        dynamic: whether the task's data say what it offers.
    """

    name: str
    tag: str
    to_name: str
    choices: tuple[str, ...] = ()
    dynamic: bool = False


@dataclass(frozen=True)
class Config:
    """A labelling configuration.

    Attributes:
        controls: by name, in the order in which they stand.
        objects: tag and key of the task's data (without `$`), by name.
    """

    controls: Mapping[str, Control] = field(default_factory=dict)
    objects: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def first(self, control: str | tuple[str, ...], thing: str | tuple[str, ...]) -> Control | None:
        """Return the first control of one of these tags that speaks of an object of one of those tags."""
        controls, things = _listed(control), _listed(thing)
        for found in self.controls.values():
            tag, _ = self.objects.get(found.to_name, ("", ""))
            if found.tag in controls and tag in things:
                return found
        return None

    def keys(self, tag: str) -> list[str]:
        """Return the keys of task data that objects of a tag show."""
        return [key for found, key in self.objects.values() if found == tag and key]


NONE = Config()

SHOAL = Config(
    controls={
        "verdict": Control("verdict", "Choices", "ctx", ("accept", "edit", "split", "merge")),
        "cluster_label": Control("cluster_label", "TextArea", "ctx"),
        "assign": Control("assign", "Ranker", "imgs", ("keep", "alt1", "alt2", "new", "noise")),
        "rescue": Control("rescue", "Choices", "cand", ("confirm", "reject", "other")),
        "other_cluster": Control("other_cluster", "Choices", "cand", dynamic=True),
        "cls": Control("cls", "Choices", "img", dynamic=True),
    }
)
"""The controls of shoal's own configurations, for requests that carry none."""


@lru_cache(maxsize=64)
def read_config(text: str) -> Config:
    """Return the controls and objects of a configuration; none where it can't be read."""
    if len(text) > LONGEST or "<!" in text.replace("<!--", ""):
        return NONE
    try:
        root = ElementTree.fromstring(text)  # noqa: S314  (no declarations: no entities)
    except (ElementTree.ParseError, ValueError, RecursionError):
        return NONE
    controls: dict[str, Control] = {}
    objects: dict[str, tuple[str, str]] = {}
    for tag in root.iter():
        name, to_name, value = tag.get("name", ""), tag.get("toName", ""), tag.get("value", "")
        if name and to_name:
            controls[name] = Control(name, tag.tag, to_name.split(",")[0], _offers(tag), value.startswith("$"))
        elif name:
            objects[name] = (tag.tag, value.removeprefix("$") if value.startswith("$") else "")
    return Config(controls, objects)


def _offers(tag: ElementTree.Element) -> tuple[str, ...]:
    return tuple(
        child.get("name", "") if child.tag == "Bucket" else child.get("alias", "") or child.get("value", "")
        for child in tag.iter()
        if child is not tag and child.tag in ("Bucket", "Choice", "Label")
    )


def _listed(tags: str | tuple[str, ...]) -> tuple[str, ...]:
    return (tags,) if isinstance(tags, str) else tags
