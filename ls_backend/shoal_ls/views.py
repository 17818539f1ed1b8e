"""Tabs of the Data Manager: by reason, by size, by doubt. Filters and orders of numbers say that they are numbers."""

from collections.abc import Sequence
from typing import Any

from shoal_ls.client import Server
from shoal_ls.tasks.clusters import DOUBTFUL, REASONS, SMALL
from shoal_ls.tasks.sampling import MOST

Json = dict[str, Any]

HIDDEN = (
    "data.context", "data.items", "data.candidates", "data.why", "data.image", "data.master", "data.alt1", "data.alt2",
    "data.shoal_surface", "data.shoal_run", "data.shoal_digest", "data.shoal_base", "data.shoal_changed", "inner_id",
    "annotations_results", "annotations_ids", "predictions_results", "predictions_score", "predictions_model_versions",
    "total_predictions", "file_upload", "storage_filename", "created_at", "updated_at", "updated_by", "avg_lead_time",
    "draft_exists",
)  # fmt: skip
"""Columns that say nothing in a list; what is left: answers, name, reason, size, doubt."""

NUMBERS = ("size", "shown", "cluster", "doubt", "score")


def number(column: str, operator: str, value: float) -> Json:
    """Return a filter on a number of the task's data: of another type it would find nothing."""
    return {"filter": f"filter:tasks:data.{column}", "operator": operator, "type": "Number", "value": value}


def word(column: str, value: str) -> Json:
    """Return a filter on a word of the task's data."""
    return {"filter": f"filter:tasks:data.{column}", "operator": "equal", "type": "String", "value": value}


def view(title: str, order: str = "", filters: Sequence[Json] = ()) -> Json:
    """Return a tab.

    Args:
        title: on the tab.
        order: column to sort by, `-` before it for the largest first.
        filters: all of them hold.
    """
    hidden = [f"tasks:{name}" for name in HIDDEN]
    made: Json = {
        "title": title, "type": "list", "target": "tasks",
        "columnsDisplayType": {f"tasks:data.{name}": "Number" for name in NUMBERS},
        "hiddenColumns": {"explore": hidden, "labeling": hidden},
        "filters": {"conjunction": "and", "items": list(filters)},
    }  # fmt: skip
    if order:
        sign, name = ("-", order[1:]) if order.startswith("-") else ("", order)
        made["ordering"] = [f"{sign}tasks:data.{name}"]
    return made


def views(kind: str) -> list[Json]:
    """Return the tabs of a project of `clusters`, `rescues` or `images`."""
    doubt = view("By doubt", "-doubt")
    if kind != "clusters":
        return [view("All"), doubt, view("Doubtful", "-doubt", [number("doubt", "greater_or_equal", DOUBTFUL)])]
    sizes = [
        view("By size", "-size"),
        view("Large", "-size", [number("size", "greater", MOST)]),
        view("Small", "size", [number("size", "less_or_equal", SMALL)]),
    ]
    reasons = [view(f"Reason: {reason}", "-doubt", [word("reason", reason)]) for reason in REASONS]
    return [view("All"), doubt, *sizes, *reasons]


def add_views(server: Server, project: int, kind: str, made: Sequence[str] = ()) -> list[str]:
    """Add the tabs that a project lacks and return the titles of all of shoal's.

    Args:
        server: the server.
        project: its number.
        kind: what is asked there.
        made: titles that were added before: one that a person removed stays away.
    """
    what = f"add tabs to project {project}"
    there = {tab["data"].get("title") for tab in server.listed("/api/dm/views/", project, what)}
    for tab in views(kind):
        if tab["title"] not in there and tab["title"] not in made:
            server.ask("POST", "/api/dm/views/", what, {"project": project, "data": tab})
    return [tab["title"] for tab in views(kind)]
