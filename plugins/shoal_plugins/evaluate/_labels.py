"""Label files and class names of YOLO sets, read without trust: sizes are bounded, nothing raises, no content is quoted."""

import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from math import isfinite

from shoal.text import plain
from shoal_plugins.organize._yolo import Layout

CLASSES_BYTES = 1 << 18
"""Most bytes of a file of class names: 10,000 names of 25 letters."""

MOST_CLASS = 99_999
"""Highest class number: no known set has as many classes, and the table stays bounded."""

NAME_LETTERS = 80
NAMES_TEXT = "classes.txt"
NAMES_YAML = ("data.yaml", "data.yml", "dataset.yaml")


@dataclass
class Label:
    """What a label file says.

    Attributes:
        boxes: number of boxes by class number; those of lines that could be read.
        problem: what is wrong with the file, in one sentence; None where nothing is.
    """

    boxes: Counter[int] = field(default_factory=Counter)
    problem: str | None = None


def read_label(path: str, most_bytes: int) -> Label:
    """Read a label file: a line a box, a class number and four numbers or more.

    Args:
        path: the file; a pipe, device or folder of that name is a problem, not a wait.
        most_bytes: a larger file is not read.
    """
    text = _text(path, most_bytes)
    if isinstance(text, _Problem):
        return Label(problem=str(text))
    label, bad = Label(), []
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split(None, 5)
        if not words:
            continue
        if _is_box(words):
            label.boxes[int(words[0])] += 1
        else:
            bad.append(number)
    if bad:
        more = f" (and {len(bad) - 1:,} more lines)" if len(bad) > 1 else ""
        label.problem = f"line {bad[0]:,} is no class number and four numbers{more}"
    return label


def _is_box(words: list[str]) -> bool:
    if len(words) < 5 or not (words[0].isascii() and words[0].isdecimal() and len(words[0]) <= len(str(MOST_CLASS))):
        return False
    try:
        return all(isfinite(float(word)) for word in words[1:5])
    except ValueError:
        return False


class _Problem(str):
    """Why a file could not be read, in one sentence."""

    __slots__ = ()


def _text(path: str, most_bytes: int) -> "str | _Problem":
    """Return the text of a regular file of at most so many bytes, or what is wrong with it."""
    data = _data(path, most_bytes)
    if isinstance(data, _Problem):
        return data
    if len(data) > most_bytes:
        return _Problem(f"it is larger than {most_bytes / 1024:,.0f} KB and was not read")
    try:
        return data.decode("utf-8-sig") if b"\0" not in data else _Problem("it is no text")
    except UnicodeDecodeError:
        return _Problem("it is no text in UTF-8")


def _data(path: str, most_bytes: int) -> "bytes | _Problem":
    """Return at most one byte more than that; nobody waits for a pipe."""
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        return _Problem(f"it can't be read: {error.strerror or error}")
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return _Problem("it is no regular file")
        with open(fd, "rb", closefd=False) as file:
            return file.read(most_bytes + 1)
    except OSError as error:
        return _Problem(f"it can't be read: {error.strerror or error}")
    finally:
        os.close(fd)


def class_files(image: str, layout: Layout) -> tuple[str, ...]:
    """Return where the class names of an image's set may lie, the most likely first; the root's parent is the last.

    There, `labels/classes.txt` is what labelling tools write, and `data.yaml` what training reads.
    """
    root = layout.root_of(image)
    if root is None:
        return ()
    above = os.path.dirname(root)
    places = [os.path.join(root, layout.labels), root, *([above] if above != root else [])]
    return tuple(os.path.join(place, name) for place in places for name in (NAMES_TEXT, *NAMES_YAML))


def class_names(files: tuple[str, ...]) -> tuple[dict[int, str], str | None, str]:
    """Return class names by number from the first of the files that has some, what is wrong with it, and the file."""
    for path in files:
        if not os.path.lexists(path):
            continue
        text = _text(path, CLASSES_BYTES)
        if isinstance(text, _Problem):
            return {}, str(text), path
        names = _from_yaml(text) if path.endswith(NAMES_YAML) else dict(enumerate(text.rstrip().split("\n")))
        if names is None:
            return {}, "it is no YAML that can be read", path
        if names:
            return {number: plain(name, NAME_LETTERS) for number, name in names.items() if name.strip()}, None, path
    return {}, None, ""


def _from_yaml(text: str) -> dict[int, str] | None:
    """Return what stands under `names`, a list or a mapping by number; None where the text is no YAML.

    The text is composed, not constructed: no tag, merge or alias makes more of it than there is.
    """
    import yaml

    try:
        top = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    if not isinstance(top, yaml.MappingNode):
        return {}
    said = [value for key, value in top.value if isinstance(key, yaml.ScalarNode) and key.value == "names"]
    if said and isinstance(said[0], yaml.SequenceNode):
        pairs = [(str(number), value) for number, value in enumerate(said[0].value)]
    elif said and isinstance(said[0], yaml.MappingNode):
        pairs = [(key.value, value) for key, value in said[0].value if isinstance(key, yaml.ScalarNode)]
    else:
        pairs = []
    return {
        int(number): value.value
        for number, value in pairs
        if isinstance(value, yaml.ScalarNode) and number.isascii() and number.isdecimal() and len(number) <= 5
    }
