"""What the keywords of captions say about clusters: how many captions hold each, and how much that tells."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from shoal_plugins.label._terms import Term, key_of, term

Key = tuple[str, ...]

FAINT = 0.25
"""A keyword counts as present in a cluster when its share of captions is this part of its largest: a stray caption of one
cluster does not make another cluster's word common."""
FADE = 10
"""The keyword at this place of its caption weighs half of the first one: captions begin with their subject."""
FLOOR = 0.1
"""Weight of a keyword that every cluster holds; without it, a set of nothing but fish would have no word for them."""


@dataclass(frozen=True)
class Evidence:
    """The keywords of the clusters.

    Attributes:
        clusters: their numbers, ascending.
        captions: how many captions with keywords each has.
        holders: which of these hold each keyword; a caption that names a kind of something holds that, too.
        weights: the same captions added up, less for a keyword that stands further back in its caption.
        shown: how each keyword is written.
    """

    clusters: tuple[int, ...]
    captions: tuple[int, ...]
    holders: tuple[Mapping[Key, frozenset[int]], ...]
    weights: tuple[Mapping[Key, float], ...]
    shown: Mapping[Key, str]

    def share(self, index: int, key: Key) -> float:
        """Return the part of a cluster's captions that holds a keyword."""
        return len(self.holders[index].get(key, ())) / max(self.captions[index], 1)

    def largest_share(self, index: int) -> float:
        """Return the part of a cluster's captions that holds its commonest keyword; 0 where it has none."""
        return max((self.share(index, held) for held in self.holders[index]), default=0.0)

    def common(self, index: int, share: float) -> list[Key]:
        """Return the keywords that this part of a cluster's captions hold."""
        return [key for key in self.holders[index] if self.share(index, key) >= share]

    def showing(self, words: Iterable[str]) -> "Evidence":
        """Return the same evidence that also knows how words are written that labels hold, whatever captions hold.

        Of "dog" and "dogs" the longer one is shown.
        """
        return replace(self, shown={**self.shown, **{key_of(word.split()): word for word in sorted(words, key=len)}})

    def scores(self, among: Sequence[int]) -> list[dict[Key, float]]:
        """Return what each keyword tells about each of some clusters against the others of them.

        That is its share of the captions, weighted by how few of the clusters hold it: a TF-IDF in which a cluster is one
        document and a caption, however long, counts a keyword once.
        """
        from sklearn.feature_extraction import DictVectorizer
        from sklearn.feature_extraction.text import TfidfTransformer

        keys = sorted({key for index in among for key in self.weights[index]})
        if not keys:
            return [{} for _ in among]
        numbers = {key: str(number) for number, key in enumerate(keys)}
        rows = [
            {numbers[key]: weight / self.captions[index] for key, weight in self.weights[index].items()} for index in among
        ]
        vectorizer = DictVectorizer(sort=False)
        shares = vectorizer.fit_transform(rows).tocsr()
        order = [int(name) for name in vectorizer.get_feature_names_out()]
        present = shares.copy()
        largest = shares.max(axis=0).toarray().ravel()
        present.data = (present.data >= FAINT * largest[present.indices]).astype(float)
        present.eliminate_zeros()
        rarity = TfidfTransformer(norm=None).fit(present).idf_ - 1 + FLOOR
        weighed = shares.multiply(rarity[None, :]).tocsr()
        found = []
        for row in range(len(among)):
            start, end = weighed.indptr[row], weighed.indptr[row + 1]
            pairs = zip(weighed.indices[start:end], weighed.data[start:end], strict=True)
            found.append({keys[order[column]]: float(value) for column, value in pairs})
        return found


def gather(clusters: Sequence[int], keywords: Sequence[Sequence[str | None] | None], most_words: int) -> Evidence:
    """Return the evidence of rows: the cluster and the keywords of each image; noise and rows without keywords say nothing.

    Args:
        clusters: number of each image's cluster, -1 for noise.
        keywords: of each image's caption.
        most_words: words of a keyword at most.
    """
    known = sorted({cluster for cluster in clusters if cluster >= 0})
    place = {cluster: index for index, cluster in enumerate(known)}
    lists: list[list[list[Key]]] = [[] for _ in known]
    forms: dict[Key, Counter[str]] = defaultdict(Counter)
    read: dict[str, Term | None] = {}
    for cluster, words in zip(clusters, keywords, strict=True):
        if cluster < 0 or not words:
            continue
        found: list[Key] = []
        for word in words:
            if word and word not in read:
                read[word] = term(word, most_words)
            made = read.get(word or "")
            if made is not None:
                found.append(made.key)
                forms[made.key][made.shown] += 1
        if found:
            lists[place[cluster]].append(found)
    holders, weights = zip(*(_weigh(captions) for captions in lists), strict=True) if lists else ((), ())
    shown = {
        key: min(written, key=lambda form: (-written[form], form != form.lower(), form)) for key, written in forms.items()
    }
    return Evidence(tuple(known), tuple(len(captions) for captions in lists), holders, weights, shown)


def _weigh(captions: Sequence[Sequence[Key]]) -> tuple[dict[Key, frozenset[int]], dict[Key, float]]:
    """Return which captions hold each keyword, itself or as the end of a longer one, and their summed weights."""
    known = {key for caption in captions for key in caption}
    holders: dict[Key, set[int]] = defaultdict(set)
    weights: dict[Key, float] = defaultdict(float)
    for number, caption in enumerate(captions):
        for place, key in enumerate(caption):
            for held in (key, *(key[cut:] for cut in range(1, len(key)) if key[cut:] in known)):
                if number not in holders[held]:
                    holders[held].add(number)
                    weights[held] += 1 / (1 + place / FADE)
    return {key: frozenset(numbers) for key, numbers in holders.items()}, dict(weights)
