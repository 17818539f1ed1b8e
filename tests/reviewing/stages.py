"""A plugin of small stages, so that runs are made in a blink and their clusters are known."""

import json
from collections import Counter

import pyarrow as pa

from shoal.contract import Context
from shoal.hooks import hookimpl
from shoal.kinds import Labeller, Rescuer, Visualizer
from shoal.schema import columns
from tests.export.stages import Brightest, Folder, Mean

NAMES = ("red", "green", "blue")


class Colour(Labeller):
    """Names a cluster after its colour."""

    name = "colour"

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        numbers = sorted({number for number in rows["cluster"].to_pylist() if number >= 0})
        made = [{"cluster": number, "label": NAMES[number], "reason": "its colour"} for number in numbers]
        return pa.Table.from_pylist(made, schema=pa.schema([("cluster", pa.int32()), *self.produces()]))


class Green(Rescuer):
    """Suggests the first cluster for all noise."""

    name = "first"

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        made = [{"id": row["id"], "suggested": 0, "best": 0} for row in rows.to_pylist() if row["cluster"] < 0]
        return pa.Table.from_pylist(made, schema=pa.schema([("id", pa.string()), *self.produces()]))


class Counts(Visualizer):
    """Draws how many images each label has, and leaves a file."""

    name = "counts"
    consumes = columns(cluster=pa.int32())
    optional = columns(label=pa.string())

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        labels = rows["label"].to_pylist() if "label" in rows.column_names else [None] * rows.num_rows
        found = json.dumps(Counter(str(label) for label in labels), sort_keys=True)
        (context.folder / "counts.json").write_text(found)
        return pa.table(
            {"id": ["counts"], "title": ["Counts"], "html": [found.replace('"', "")], "style": [""], "script": [""]}
        )


@hookimpl
def shoal_stages():
    return (Folder, Mean, Brightest, Colour, Green, Counts)
