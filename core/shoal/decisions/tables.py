"""The tables of the database of decisions, and their rows."""

import json
from typing import TYPE_CHECKING, Any

from shoal.decisions.model import Answer, Considered, Surface, Version

if TYPE_CHECKING:
    from sqlalchemy import MetaData


def metadata() -> "MetaData":
    """Return the tables."""
    from sqlalchemy import Boolean, Column, Integer, MetaData, String, Table, Text

    made = MetaData()
    Table(
        "surfaces", made, Column("key", String(64), primary_key=True), Column("run", String(64), index=True),
        Column("kind", String(32)), Column("place", Text), Column("remote", String(64)), Column("facts", Text),
    )  # fmt: skip
    Table(
        "answers", made, Column("surface", String(64), primary_key=True), Column("key", String(64), primary_key=True),
        Column("at", String(40), primary_key=True), Column("deleted", Boolean, primary_key=True),
        Column("run", String(64), index=True), Column("task", String(128)), Column("who", Text), Column("changes", Text),
        Column("note", Text), Column("base", String(64)),
    )  # fmt: skip
    Table(
        "versions", made, Column("run", String(64), primary_key=True), Column("number", Integer, primary_key=True),
        Column("kind", String(16)), Column("made", String(40)), Column("by", Text), Column("people", Text),
        Column("undone", Boolean),
        Column("undone_by", Text), Column("undone_at", String(40)), Column("base", Integer), Column("answers", Text),
        Column("summary", Text), Column("came_from", String(64)), Column("parent", Integer), Column("policy", String(16)),
        Column("digest", String(64)), Column("numbers", Text), Column("highest", Integer),
    )  # fmt: skip
    Table(
        "considered", made, Column("run", String(64), primary_key=True), Column("version", Integer, primary_key=True),
        Column("made", String(40), primary_key=True), Column("by", Text), Column("answers", Text),
    )  # fmt: skip
    return made


_JSON = ("facts", "changes", "people", "answers", "summary", "numbers")


def row(value: Surface | Answer | Version | Considered) -> dict[str, Any]:
    """Return a value as a row holds it."""
    fields = value.model_dump(mode="json")
    return {name: json.dumps(field) if name in _JSON else field for name, field in fields.items()}


def value(found: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of what a row holds."""
    return {name: json.loads(field) if name in _JSON else field for name, field in found.items()}
