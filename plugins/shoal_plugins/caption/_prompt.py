"""Prompt templates: text with placeholders in braces, checked when the options are read."""

from collections.abc import Iterable
from string import Formatter


def check_template(text: str, allowed: Iterable[str], required: Iterable[str] = ()) -> str:
    """Return a template, or say what is wrong with it.

    Args:
        text: the template; `{{` and `}}` are braces themselves.
        allowed: placeholders that it may hold.
        required: those that it must hold.

    Raises:
        ValueError: an unknown, formatted or missing placeholder, or a brace without its twin.
    """
    known = ", ".join(f"{{{name}}}" for name in allowed) or "none"
    if not text.strip():
        raise ValueError("the prompt is empty; leave the option out to take the default")
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise ValueError(f"a brace has no twin ({error}); write {{{{ and }}}} for braces that are text") from error
    found = {name for _, name, _, _ in parts if name is not None}
    for _, name, form, conversion in parts:
        if name is not None and (name not in allowed or form or conversion):
            raise ValueError(
                f"unknown placeholder {{{name or ''}}}; known here: {known}; write {{{{ and }}}} for braces that are text"
            )
    lacking = [name for name in required if name not in found]
    if lacking:
        raise ValueError(f"the placeholder {{{lacking[0]}}} is missing: without it the model is told nothing of the image")
    return text


def fill(template: str, **values: object) -> str:
    """Return a checked template with its placeholders filled; a value is never read as a template."""
    return Formatter().vformat(template, (), values)
