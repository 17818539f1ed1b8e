"""Chooses the keywords of a label: the one that tells most, then others while they tell enough and say something new."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shoal_plugins.label._evidence import Evidence, Key
from shoal_plugins.label._terms import holds, overlap

NARROWER = 0.75
"""A longer keyword is taken in place of one that it holds when it tells this part as much: "coho salmon" for "salmon"."""


NEW = 0.2
"""A further keyword must be new to this part of the captions that hold it: "animals" adds nothing to "fish"."""


@dataclass(frozen=True)
class Rules:
    """Limits of a label; `label.keywords` documents each as an option."""

    min_words: int = 1
    max_words: int = 10
    max_keywords: int = 3
    max_characters: int = 512
    enough: float = 0.6


def choose(index: int, scores: Mapping[Key, float], evidence: Evidence, rules: Rules) -> list[Key]:
    """Return the keywords of a cluster's label, the one that tells most first; none where there are no keywords.

    Args:
        index: place of the cluster in `evidence`.
        scores: what each of its keywords tells.
        evidence: which captions hold them.
        rules: limits.
    """
    order = ranked(scores)
    chosen: list[Key] = []
    for key in order:
        words = sum(map(len, chosen))
        if len(chosen) == rules.max_keywords:
            break
        if chosen and words >= rules.min_words and scores[key] < rules.enough * scores[chosen[0]]:
            break
        better = _narrowed(key, order, scores, rules.max_words - words)
        fits = words + len(better) <= rules.max_words and len(written([*chosen, better], evidence)) <= rules.max_characters
        fresh = words < rules.min_words or _news(index, better, chosen, evidence) >= NEW
        if fits and fresh and not any(overlap(word, other) for other in chosen for word in (key, better)):
            chosen.append(better)
    return chosen


def led_by(first: Key, chosen: Sequence[Key], evidence: Evidence, rules: Rules) -> list[Key]:
    """Return a label of a word that is no keyword, and behind it the chosen keywords as far as it needs more words."""
    keys = [first]
    for key in chosen:
        words = sum(map(len, keys))
        if words >= rules.min_words or len(keys) == rules.max_keywords:
            break
        fits = words + len(key) <= rules.max_words and len(written([*keys, key], evidence)) <= rules.max_characters
        if fits and not any(overlap(key, other) for other in keys):
            keys.append(key)
    return keys


def _news(index: int, key: Key, chosen: Sequence[Key], evidence: Evidence) -> float:
    """Return which part of the captions that hold a keyword holds none of those that were chosen before."""
    holders = evidence.holders[index]
    told: frozenset[int] = frozenset().union(*(holders[other] for other in chosen))
    return len(holders[key] - told) / len(holders[key])


def ranked(scores: Mapping[Key, float]) -> list[Key]:
    """Return keywords by falling score; of equals the longer one, then by the alphabet."""
    return sorted(scores, key=lambda key: (-round(scores[key], 9), -len(key), key))


def written(keys: Sequence[Key], evidence: Evidence) -> str:
    """Return keywords as a label."""
    return ", ".join(evidence.shown[key] for key in keys)


def _narrowed(key: Key, order: Sequence[Key], scores: Mapping[Key, float], room: int) -> Key:
    """Return the longer keyword that says what this one says and nearly as often, if there is one."""
    for other in order:
        if scores[other] < NARROWER * scores[key]:
            return key
        if len(key) < len(other) <= room and holds(other, key):
            return other
    return key
