"""Names clusters from the ImageNet probabilities of their members."""

from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa
from pydantic import Field

from shoal.contract import Context, Stage
from shoal.hooks import hookimpl
from shoal.kinds import Labeller
from shoal.schema import columns, vector
from shoal.vectors import to_numpy
from shoal_plugins.label._words import CLASSES, best_class_name, vocabulary

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

    Source: the trade of accuracy against specificity over a class hierarchy is that of Deng et al., "Hedging Your Bets",
    CVPR 2012; WordNet 3.0 (Princeton University).
    """

    name: ClassVar[str] = "tags"
    consumes: ClassVar[pa.Schema] = columns(cluster=pa.int32(), probabilities=vector(CLASSES))

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
    contrast: float = Field(
        0.3,
        ge=0,
        le=0.95,
        description="Weight of the whole set in what a word is compared with; the rest is the word's share of ImageNet's "
        "classes. Higher prefers words that are special in this set, lower prefers narrow words.",
    )

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        """Return `cluster`, `label` and `reason`, a row a cluster by rising number; no cluster, no row."""
        import numpy as np

        from shoal_plugins.label._naming import Evidence, Namer, Rules

        numbers = rows["cluster"].to_numpy()
        clusters, sizes = np.unique(numbers[numbers >= 0], return_counts=True)
        if not len(clusters):
            return self._table([], [], [])
        probabilities = to_numpy(rows["probabilities"])
        order = np.argsort(numbers, kind="stable")
        members = np.split(order[len(numbers) - sizes.sum() :], np.cumsum(sizes)[:-1])
        rules = Rules(self.max_words, self.min_support, self.evidence, self.contrast)
        evidence = Evidence(vocabulary(), probabilities, members, clusters, rules)
        choices = Namer(evidence).names()
        reasons = [self._reason(evidence, index, choice) for index, choice in enumerate(choices)]
        return self._table(clusters, [choice.label for choice in choices], reasons)

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
