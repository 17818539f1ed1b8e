"""Hostile labels and file names as text for people: one line without controls, escaped where Label Studio takes HTML."""

import html
from collections.abc import Sequence

from shoal.text import plain

LONGEST_LABEL, LONGEST_NAME = 200, 80


def shown_label(label: str | None, cluster: int) -> str:
    """Return a cluster's name for people; its number where it has none."""
    return plain(label or "", LONGEST_LABEL) or f"cluster {cluster}"


def member(name: str, address: str, mark: str = "") -> str:
    """Return the HTML of a thumbnail with its file's name below, and what is special about it before that.

    Args:
        name: of the file: hostile text.
        address: of the picture; empty where there is none.
        mark: a word such as `border`.
    """
    text = html.escape(plain(name, LONGEST_NAME))
    picture = f'<img src="{html.escape(address)}" alt="{text}" loading="lazy">' if address else ""
    badge = f"<b>{html.escape(mark)}</b> " if mark else ""
    return f'{picture}<span title="{text}">{badge}{text}</span>'


def candidate(cluster: int, label: str, detail: str = "") -> dict[str, str]:
    """Return a cluster as a choice."""
    said = f"{label} ({detail})" if detail else label
    return {"value": f"cluster:{cluster}", "html": html.escape(f"{cluster} {said}")}


def sentences(parts: Sequence[str]) -> str:
    """Return parts as one text, those that are empty left out."""
    return " · ".join(part for part in parts if part)
