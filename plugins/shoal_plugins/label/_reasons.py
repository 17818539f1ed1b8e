"""Sentences that say what a label of `label.keywords` rests on."""

from shoal_plugins.label._clashes import Name
from shoal_plugins.label._evidence import Evidence, Key
from shoal_plugins.label._file_names import AGREE, Agreed


def reason(index: int, name: Name, order: list[Key], evidence: Evidence, captioned: int, agreed: Agreed | None) -> str:
    """Return the sentence that says what a label rests on.

    Args:
        index: place of the cluster in `evidence`.
        name: what it is called.
        order: its keywords, the one that tells most first.
        evidence: which captions hold them.
        captioned: how many of its images have a caption.
        agreed: the word that names it because its captions agree on none, or less than its file names do on this.
    """
    if not name.keys:
        many = "its only caption holds no keyword" if captioned == 1 else f"none of its {captioned} captions holds a keyword"
        why = many if captioned else "none of its images has a caption"
        return f"Numbered: {why}."
    parts = [agreed.said, _doubt(index, order, evidence)] if agreed else [_lead(index, name.keys[0], evidence)]
    further = [f"{_quoted(key, evidence)} in {len(evidence.holders[index][key])}" for key in name.keys[1:]]
    parts += [", ".join(further)] if further else []
    told = [_commonest(index, order, evidence)] if agreed else []
    known = {word for key in (*name.keys, name.told or (), *told) for word in key}
    next_best = [_quoted(key, evidence) for key in order if known.isdisjoint(key)][:2]
    parts += [f"next best: {', '.join(next_best)}"] if next_best else []
    return "; ".join([*parts, *_change(index, name, evidence)]) + "."


def _lead(index: int, key: Key, evidence: Evidence) -> str:
    """Return how common a label's first keyword is, here and elsewhere."""
    others = [other for other in range(len(evidence.clusters)) if other != index]
    rest = f" and {_holding(others, key, evidence)} of other clusters" if others else ""
    return f"{_quoted(key, evidence)} is in {_holding([index], key, evidence)}{rest}"


def _doubt(index: int, order: list[Key], evidence: Evidence) -> str:
    """Return how far the captions of a cluster are from agreeing, wholly or at all."""
    commonest = _commonest(index, order, evidence)
    agree = "do not agree" if evidence.share(index, commonest) < AGREE else "agree less"
    held = _holding([index], commonest, evidence)
    return f"its captions {agree}: {_quoted(commonest, evidence)}, said most often, is in {held}"


def _commonest(index: int, order: list[Key], evidence: Evidence) -> Key:
    """Return the keyword that most captions of a cluster hold."""
    return max(order, key=lambda key: len(evidence.holders[index][key]))


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
