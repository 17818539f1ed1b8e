"""Names clusters from the ImageNet probabilities of their members."""

from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
from pydantic import Field

from shoal.contract import Context, Stage
from shoal.hooks import hookimpl
from shoal.kinds import Labeller
from shoal.schema import columns, vector
from shoal_plugins.label._file_names import NEARLY_ALL, Agreed
from shoal_plugins.label._nouns import digest
from shoal_plugins.label._other_evidence import by_file_names
from shoal_plugins.label._terms import key_of
from shoal_plugins.label._words import CLASSES, best_class_name

if TYPE_CHECKING:
    from shoal_plugins.label._naming import Choice, Evidence


class Tags(Labeller):
    """Name a cluster by what is more probable in it than in the whole set: "fish", "tools", "castle".

    Every member comes with 1000 ImageNet probabilities (`embed.lite0` makes them). A word gathers the probability of the
    classes that it covers: one class ("hammer", in the singular) or several ("tools", in the plural; broader words follow
    WordNet's noun tree, cut down to those that people say). The word that tells most about a cluster against the whole
    set names it, provided that enough members show it: specific where members agree, broad where they differ. Names are
    distinct: of two clusters with the same word the second takes its next best word that sets it apart, else it is
    qualified ("fish (eel)") or numbered. A cluster whose members share too little is called "mixed (hats)", or "mixed".

    Take it when no vision-language model is at hand: it costs a second. It knows no word outside ImageNet's thousand classes
    (there is no wind turbine and no planet among them) and names such images by what they look like. Noise has no name.

    Where a cluster is "mixed", or its word is one for want of a better ("round objects", "containers"), the file names are
    asked: the narrowest word that fits those of half of the images, of no fewer than show the other word, and is twice as
    common there as in the rest of the set, is the label ("planets" for earth.webp, mars.webp, venus.webp), and the reason
    says so. Only nouns of a list pass, and broader ones for them; folders, numbers and what cameras write say nothing. Where
    fewer than nine tenths of a cluster show its word, a noun that nine tenths of the file names share, of five or more, and
    that is ten times as common as in the rest of the set, is the label ("windmill" for "towers"). Left out are nouns that
    may say less as far as the list shows ("animal" for "dogs"; "bridge" but for what is wider, as it stands for many kinds)
    and names of people and places that are nouns, too ("turkey"). To rename images may change a label.

    Source: the trade of accuracy against specificity over a class hierarchy is that of Deng et al., "Hedging Your Bets",
    CVPR 2012; WordNet 3.0 (Princeton University).
    """

    name: ClassVar[str] = "tags"
    version: ClassVar[str] = "2"
    consumes: ClassVar[pa.Schema] = columns(cluster=pa.int32(), probabilities=vector(CLASSES))
    optional: ClassVar[pa.Schema] = columns(paths=pa.list_(pa.string()))

    max_words: int = Field(
        3, ge=1, le=8, description="Longest label, in words; the number of a repeated label is not counted."
    )
    alternatives: int = Field(2, ge=0, le=20, description="How many of the next best words the reason tells, too.")
    min_support: float = Field(0.4, ge=0, le=1, description="Share of a cluster's members that must show a word.")
    evidence: float = Field(
        0.2,
        gt=0,
        le=1,
        description="Probability from which on a member shows a word; at least 1.25 times the word's share of ImageNet's "
        "classes, so 0.5 for animals.",
    )
    file_names: bool = Field(
        True,
        description="Whether file names are read where the images themselves give no word or only a makeshift one "
        "(`earth.jpg`, `mars.jpg` and `venus.jpg` are planets), or where nearly all of a cluster share a noun and fewer "
        "show its word (`windmill1.jpg` to `windmill9.jpg` are no towers).",
    )
    contrast: float = Field(
        0.3,
        ge=0,
        le=0.95,
        description="Weight of the whole set in what a word is compared with; the rest is the word's share of ImageNet's "
        "classes. Higher prefers words that are special in this set, lower prefers narrow words.",
    )

    def identity(self) -> dict[str, Any]:
        """Return the options, and a hash of the nouns that are looked for in file names."""
        return {**super().identity(), **({"nouns": digest()} if self.file_names else {})}

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        """Return `cluster`, `label` and `reason`, a row a cluster by rising number; no cluster, no row."""
        from shoal_plugins.label._naming import Namer, Rules, gather

        evidence = gather(rows, Rules(self.max_words, self.min_support, self.evidence, self.contrast))
        if evidence is None:
            return self._table([], [], [])
        shown = Namer(evidence).names()
        agreed = self._by_file_names(rows, evidence, shown)
        known = {index: found.word for index, found in agreed.items()}
        choices = Namer(evidence, known).names() if known else shown  # the words of these are free for others
        reasons = [self._reason(evidence, index, choice) for index, choice in enumerate(choices)]
        for index, found in agreed.items():
            why = self._reason(evidence, index, shown[index])
            reasons[index] = f'{found.said}; what the images show gives "{shown[index].label}": {why}'
        return self._table(evidence.clusters, [choice.label for choice in choices], reasons)

    def _by_file_names(self, rows: pa.Table, evidence: "Evidence", choices: "list[Choice]") -> dict[int, Agreed]:
        """Return, by the cluster's index, words that file names agree on and that say more than what the images show."""
        if not self.file_names:
            return {}
        places = {int(cluster): index for index, cluster in enumerate(evidence.clusters)}
        part = [choice.support / evidence.sizes[i] if choice.word is not None else 0 for i, choice in enumerate(choices)]
        makeshift, unsure = set[int](), dict[int, list[list[str]]]()
        for cluster, index in places.items():
            word = choices[index].word
            if word is None or evidence.words[word].weight < 1:
                makeshift.add(cluster)
            elif part[index] < NEARLY_ALL:
                unsure[cluster] = [evidence.words[word].name.split()]
        taken = {key_of(choice.label.split()): index for index, choice in enumerate(choices)}
        found: dict[int, Agreed] = {}
        for cluster, agreed in sorted(by_file_names(rows, makeshift, unsure).items()):
            index = places[cluster]
            fits = agreed.share >= part[index] and len(agreed.word.split()) <= self.max_words
            if fits and taken.setdefault(key_of(agreed.word.split()), index) == index:
                found[index] = agreed
        return found

    def _table(self, clusters: "object", labels: list[str], reasons: list[str]) -> pa.Table:
        schema = columns(cluster=pa.int32(), label=pa.string(), reason=pa.string())
        return pa.table([pa.array(clusters, pa.int32()), labels, reasons], schema=schema)

    def _reason(self, evidence: "Evidence", index: int, choice: "Choice") -> str:
        """Return the sentence that tells why."""
        import numpy as np

        size = int(evidence.sizes[index])
        next_best = [evidence.words[word].name for word in choice.runners[: self.alternatives]]
        if choice.word is None:
            most = f", {choice.support} show {evidence.words[choice.qualifier].name}" if choice.qualifier is not None else ""
            tried = f"; next best: {', '.join(next_best)}" if next_best else ""
            return f"No word is shown by {self.min_support:.0%} of the {size} images{most}{tried}."
        word = evidence.words[choice.word]
        means = evidence.classes[index][list(word.classes)]
        top = [best_class_name(word.classes[i]) for i in np.argsort(-means, kind="stable")[:3] if means[i] > 0]
        mostly = f", mostly {', '.join(top)}" if len(word.classes) > 1 else ""
        lift = float(evidence.mass[index][choice.word] / max(evidence.whole[choice.word], 1e-12))
        against = f"{lift:.1f} times as probable as in the whole set" if lift >= 1.05 else "as in the whole set"
        apart = f"; {evidence.words[choice.qualifier].name} sets it apart" if choice.qualifier is not None else ""
        also = f"; next best: {', '.join(next_best)}" if next_best else ""
        return f"{choice.support} of {size} images show {word.name}{mostly}, {against}{apart}{also}."


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the labeller."""
    return (Tags,)
