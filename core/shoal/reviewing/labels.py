"""The table of labels after a review."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from shoal.decisions.resolve import Verdict
from shoal.reviewing.naming import distinct

LABELS = pa.schema(
    [
        pa.field("cluster", pa.int32(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("reason", pa.string()),
    ]
)
"""What every table of labels has; a labeller may say more."""

BY = pa.field("by", pa.string())


@dataclass(frozen=True)
class Naming:
    """What people did to clusters as such.

    Attributes:
        names: the name that was given to a cluster.
        split: the cluster that a new one was split off from.
        merged: the clusters that were merged into a cluster, each with what says so.
    """

    names: Mapping[int, Verdict]
    split: Mapping[int, int]
    merged: Mapping[int, tuple[tuple[int, Verdict], ...]]


def label_table(before: pa.Table, clusters: Sequence[int], naming: Naming) -> pa.Table:
    """Return a row a cluster that has members: the columns of `before`, and who named it; names are distinct.

    Args:
        before: `LABELS`, and what else the labeller says.
        clusters: numbers of the clusters that have members.
        naming: what people did to them.
    """
    known = {row["cluster"]: row for row in before.to_pylist()}
    rows = {cluster: _row(cluster, known, naming) for cluster in clusters}
    names = distinct({cluster: row["label"] for cluster, row in rows.items()}, naming.names)
    for cluster, row in rows.items():
        if row["label"] != names[cluster]:
            row["reason"] = "; ".join(filter(None, [row["reason"], f"another cluster is called {row['label']}"]))
            row["label"] = names[cluster]
    more = [field.with_nullable(True) for field in before.schema if field.name not in (*LABELS.names, BY.name)]
    schema = pa.schema([*LABELS, *more, BY])
    return pa.Table.from_pylist(list(rows.values()), schema=schema)


def _row(cluster: int, known: Mapping[int, dict[str, Any]], naming: Naming) -> dict[str, Any]:
    row = {"cluster": cluster, "label": None, "reason": None, **known.get(cluster, {})}
    if cluster in naming.split:
        row["label"] = known.get(naming.split[cluster], {}).get("label")
        row["reason"] = f"split off from cluster {naming.split[cluster]}"
    given = naming.names.get(cluster)
    if given is not None:
        old, new = row["label"], str(given.goal)
        row = {"cluster": cluster, "label": new, "reason": row["reason"], "by": given.said.who}
        was = f"; it was {old}" if old and old != new and cluster not in naming.split else ""
        split = f"{row['reason']}, " if cluster in naming.split else ""
        row["reason"] = f"{split}named by {_who(given)} on {given.said.at[:10]}{was}"
    for gone, merge in naming.merged.get(cluster, ()):
        row["reason"] = "; ".join(filter(None, [row["reason"], f"cluster {gone} was merged into it by {_who(merge)}"]))
    return row


def _who(verdict: Verdict) -> str:
    return verdict.said.who or "somebody"
