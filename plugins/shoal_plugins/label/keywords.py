"""`label.keywords`: names clusters from the keywords of their captions."""

from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from shoal.contract import Context, Stage
from shoal.hooks import hookimpl
from shoal.kinds import Labeller
from shoal.schema import columns
from shoal_plugins.label._choosing import Rules, choose, ranked
from shoal_plugins.label._clashes import Name, Names
from shoal_plugins.label._evidence import Evidence, Key, gather


class Keywords(Labeller):
    """Name a cluster by the keywords that its captions share and other clusters' captions lack: "dogs", "castle, palace".

    The keywords of a cluster's captions are merged (one case, one number) and weighed by a class-based TF-IDF: the share of
    the cluster's captions that hold a keyword, a caption counted once however long it is, times how few clusters hold it. A
    keyword at the end of a longer one counts with it: a coho salmon is a salmon. The one that tells most names the cluster,
    a longer one in its place where it tells nearly as much; others follow while they tell enough and are new to a fifth of
    their captions. Labels are therefore short where captions agree, and list two or three things where they differ.

    Clusters with the same or nearly the same label are compared with one another, and what only one of them shows is added:
    "fish (eel)". Where nothing tells them apart they are numbered: "fish", "fish 2". `first_label` is what such a label was
    before, `told_apart_from` lists clusters it clashed with, ten at most, and `reason` says what the label rests on.
    Clusters without keywords (no captions, no image that could be read) are called `cluster_00`, `cluster_01` and so on.

    Take it behind a captioner and a distiller; `label.tags` needs neither.

    Source: class-based TF-IDF is that of Grootendorst, "BERTopic", 2022, here on shares of captions; scikit-learn.
    """

    name: ClassVar[str] = "keywords"
    optional: ClassVar[pa.Schema] = columns(keywords=pa.list_(pa.string()), caption=pa.string())

    min_words: int = Field(
        1, ge=1, le=50, description="Words that a label has at least, as far as there are keywords; 5 gives longer labels."
    )
    max_words: int = Field(10, ge=1, le=50, description="Words that a label has at most; a number behind it is not counted.")
    max_keywords: int = Field(
        3,
        ge=1,
        le=50,
        description="Keywords of a label at most. Three read well as a name of a folder; 8 tell more of a cluster.",
    )
    max_characters: int = Field(512, ge=8, le=4096, description="Characters of a label at most.")
    enough: float = Field(
        0.6,
        ge=0,
        le=1,
        description="Part of what the first keyword tells that each further one must tell; 1 gives labels of one keyword.",
    )

    @model_validator(mode="after")
    def _bounds(self) -> "Keywords":
        if self.min_words > self.max_words:
            raise ValueError(f"min_words ({self.min_words}) is over max_words ({self.max_words}); lower it")
        return self

    def produces(self) -> pa.Schema:
        """Return `label`, `reason`, and for a label that was told apart `first_label` and `told_apart_from` (else null)."""
        return columns(label=pa.string(), reason=pa.string(), first_label=pa.string(), told_apart_from=pa.list_(pa.int32()))

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        """Return a row a cluster by rising number; no cluster, no row."""
        clusters = rows["cluster"].to_pylist()
        lists = rows["keywords"].to_pylist() if "keywords" in rows.column_names else [None] * len(clusters)
        evidence = gather(clusters, lists, self.max_words)
        scores = evidence.scores(range(len(evidence.clusters)))
        rules = Rules(self.min_words, self.max_words, self.max_keywords, self.max_characters, self.enough)
        chosen = [choose(index, found, evidence, rules) for index, found in enumerate(scores)]
        names = Names(evidence, chosen, rules).give()
        captioned = _captioned(rows)
        made = {
            "cluster": evidence.clusters,
            "label": [name.label for name in names],
            "reason": [
                reason(index, name, ranked(scores[index]), evidence, captioned.get(evidence.clusters[index], 0))
                for index, name in enumerate(names)
            ],
            "first_label": [name.first for name in names],
            "told_apart_from": [list(name.against) if name.first is not None else None for name in names],
        }
        schema = pa.schema([pa.field("cluster", pa.int32()), *self.produces()])
        return pa.table([pa.array(made[field.name], field.type) for field in schema], schema=schema)


def reason(index: int, name: Name, order: list[Key], evidence: Evidence, captioned: int) -> str:
    """Return the sentence that says what a label rests on.

    Args:
        index: place of the cluster in `evidence`.
        name: what it is called.
        order: its keywords, the one that tells most first.
        evidence: which captions hold them.
        captioned: how many of its images have a caption.
    """
    if not name.keys:
        many = "its only caption holds no keyword" if captioned == 1 else f"none of its {captioned} captions holds a keyword"
        why = many if captioned else "none of its images has a caption"
        return f"Numbered: {why}."
    others = [other for other in range(len(evidence.clusters)) if other != index]
    rest = f" and {_holding(others, name.keys[0], evidence)} of other clusters" if others else ""
    parts = [f"{_quoted(name.keys[0], evidence)} is in {_holding([index], name.keys[0], evidence)}{rest}"]
    further = [f"{_quoted(key, evidence)} in {len(evidence.holders[index][key])}" for key in name.keys[1:]]
    parts += [", ".join(further)] if further else []
    known = {word for key in (*name.keys, name.told or ()) for word in key}
    next_best = [_quoted(key, evidence) for key in order if known.isdisjoint(key)][:2]
    parts += [f"next best: {', '.join(next_best)}"] if next_best else []
    return "; ".join([*parts, *_change(index, name, evidence)]) + "."


def _change(index: int, name: Name, evidence: Evidence) -> list[str]:
    """Return how a label was changed, and why."""
    if name.first is None:
        return []
    more = name.clashes - len(name.against)
    others = f" and {more:,} more" if more else ""
    clash = f" like cluster{'s' if name.clashes > 1 else ''} {', '.join(map(str, name.against))}{others}"
    before = f'it was "{name.first}"{clash if name.against else ""}'
    if name.told is None:
        why = "and no keyword within the limits tells them apart" if name.against else "a name that is taken"
        return [f"{before}, {why}"]
    held, captions = name.there
    here = _holding([index], name.told, evidence)
    return [f"{before}, and {_quoted(name.told, evidence)} tells it apart ({here}, there {held} of {captions} captions)"]


def _holding(indices: list[int], key: Key, evidence: Evidence) -> str:
    held = sum(len(evidence.holders[index].get(key, ())) for index in indices)
    return f"{held} of {sum(evidence.captions[index] for index in indices)} captions"


def _quoted(key: Key, evidence: Evidence) -> str:
    return f'"{evidence.shown[key]}"'


def _captioned(rows: pa.Table) -> dict[int, int]:
    """Return how many images of each cluster have a caption."""
    if "caption" not in rows.column_names:
        return {}
    counts = rows.filter(pc.is_valid(rows["caption"]))["cluster"].value_counts().to_pylist()
    return {row["values"]: row["counts"] for row in counts}


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the labeller."""
    return (Keywords,)
