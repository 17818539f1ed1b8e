"""`label.keywords`: names clusters from the keywords of their captions."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from shoal.contract import Context, Stage
from shoal.hooks import hookimpl
from shoal.kinds import Captioner, Labeller
from shoal.schema import columns, vector
from shoal_plugins.label._choosing import Rules, choose, led_by, ranked
from shoal_plugins.label._clashes import Names
from shoal_plugins.label._evidence import Evidence, Key, gather
from shoal_plugins.label._file_names import AGREE, NEARLY_ALL, Agreed
from shoal_plugins.label._nouns import digest
from shoal_plugins.label._other_evidence import by_file_names, by_tags
from shoal_plugins.label._reasons import reason
from shoal_plugins.label._terms import key_of
from shoal_plugins.label._words import CLASSES


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

    The captions of a cluster agree when a keyword is in half of them. Where none is, as where a captioner has no word for
    what it sees, other evidence is asked. First file names: the narrowest word that fits those of half of the images, and is
    twice as common there as in the rest of the set, is the label ("planets" for earth.webp, mars.webp, venus.webp). Only
    nouns of a list pass, and broader ones for them; folders, numbers and what cameras write say nothing. Then, unless a
    language model wrote the captions, ImageNet tags where a step makes them: the word of `label.tags` that half of the
    images show ("round objects"). If nothing agrees, the keywords stay.

    Unless a language model wrote the captions, file names may also say more than captions that agree: where no keyword is in
    nine tenths of them, a noun that nine tenths of the file names share, of five or more, and that is ten times as common as
    in the rest of the set, is the label ("windmill" for "towers"). Left out are nouns that may say less as far as the list
    shows ("animal" for "dogs"; "bridge" but for what is wider, as it stands for many kinds) and names of people and places
    that are nouns, too ("turkey"). The reason says what a label rests on; to rename images may change it.

    Take it behind a captioner and a distiller; `label.tags` needs neither.

    Source: class-based TF-IDF is that of Grootendorst, "BERTopic", 2022, here on shares of captions; scikit-learn.
    """

    name: ClassVar[str] = "keywords"
    optional: ClassVar[pa.Schema] = columns(
        keywords=pa.list_(pa.string()), caption=pa.string(), paths=pa.list_(pa.string()), probabilities=vector(CLASSES)
    )

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

    file_names: bool = Field(
        True,
        description="Whether file names are read: where the captions of a cluster do not agree (`earth.jpg`, `mars.jpg` and "
        "`venus.jpg` are planets), and for `file_names_first`.",
    )
    file_names_first: bool | None = Field(
        None,
        description="Whether a noun that nearly all file names of a cluster share, and nearly no others, comes before "
        "keywords that are in most of its captions but not in nearly all: `windmill1.jpg` to `windmill9.jpg` are no towers; "
        "null: only where no language model wrote the captions. It needs `file_names`.",
    )
    tags: bool | None = Field(
        None,
        description="Whether ImageNet tags name a cluster where neither captions nor file names agree, and half of its "
        "images show one thing; null: only where no language model wrote the captions, as its words are the better ones.",
    )

    @model_validator(mode="after")
    def _bounds(self) -> "Keywords":
        if self.min_words > self.max_words:
            raise ValueError(f"min_words ({self.min_words}) is over max_words ({self.max_words}); lower it")
        if self.file_names_first and not self.file_names:
            raise ValueError("file_names_first needs file names: set file_names to true, or leave file_names_first out")
        return self

    def identity(self) -> dict[str, Any]:
        """Return the options, and a hash of the nouns that are looked for in file names."""
        return {**super().identity(), **({"nouns": digest()} if self.file_names else {})}

    def bind(self, makers: Mapping[str, Stage]) -> Stage:
        """Return this stage with `tags` and `file_names_first` decided by who wrote the captions."""
        captioner = makers.get("caption")
        mute = not (isinstance(captioner, Captioner) and captioner.talks)
        decided = {"tags": mute, "file_names_first": mute and self.file_names}
        return self.model_copy(update={name: value for name, value in decided.items() if getattr(self, name) is None})

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
        agreed = self._agreed(rows, evidence, chosen)
        if agreed:
            evidence = evidence.showing(found.word for found in agreed.values())
            chosen = [choose(index, found, evidence, rules) for index, found in enumerate(scores)]  # words may be longer
        for index, found in agreed.items():
            chosen[index] = led_by(key_of(found.word.split()), chosen[index], evidence, rules)
        names = Names(evidence, chosen, rules).give()
        captioned = _captioned(rows)
        made = {
            "cluster": evidence.clusters,
            "label": [name.label for name in names],
            "reason": [
                reason(index, name, ranked(scores[index]), evidence, captioned.get(cluster, 0), agreed.get(index))
                for index, (cluster, name) in enumerate(zip(evidence.clusters, names, strict=True))
            ],
            "first_label": [name.first for name in names],
            "told_apart_from": [list(name.against) if name.first is not None else None for name in names],
        }
        schema = pa.schema([pa.field("cluster", pa.int32()), *self.produces()])
        return pa.table([pa.array(made[field.name], field.type) for field in schema], schema=schema)

    def _agreed(self, rows: pa.Table, evidence: Evidence, chosen: Sequence[Sequence[Key]]) -> dict[int, Agreed]:
        """Return, by place in `evidence`, a word for clusters whose captions agree on none or less, where one fits a label.

        Args:
            rows: the images.
            evidence: what their captions say.
            chosen: the keywords of each cluster's label, the one that tells most first.
        """
        captioned = {cluster: index for index, cluster in enumerate(evidence.clusters) if evidence.captions[index]}
        share = {cluster: evidence.largest_share(index) for cluster, index in captioned.items()}
        doubtful = [cluster for cluster in captioned if share[cluster] < AGREE]
        unsure = {
            cluster: [evidence.shown[key].split() for key in {*chosen[index][:1], *evidence.common(index, AGREE)}]
            for cluster, index in captioned.items()
            if self.file_names_first is not False and AGREE <= share[cluster] < NEARLY_ALL
        }
        found = by_file_names(rows, doubtful, unsure) if self.file_names else {}
        if self.tags is not False:
            found |= by_tags(rows, set(doubtful) - found.keys())
        return {
            captioned[cluster]: agreed
            for cluster, agreed in found.items()
            if len(agreed.word.split()) <= self.max_words and len(agreed.word) <= self.max_characters
        }


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
