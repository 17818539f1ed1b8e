"""A word for a cluster whose captions agree on none, or less than its file names do: what these or its tags agree on."""

from collections.abc import Collection, Mapping, Sequence

import pyarrow as pa

from shoal_plugins.label._file_names import AGREE, Agreed, FileNames
from shoal_plugins.label._nouns import nouns


def by_file_names(
    rows: pa.Table, without: Collection[int], unsure: Mapping[int, Sequence[Sequence[str]]]
) -> dict[int, Agreed]:
    """Return the words that the file names of some clusters agree on, by the cluster's number.

    Args:
        rows: `cluster`, and `paths` where there are any.
        without: clusters that have no word, or hardly one: any word that fits half of their images will do.
        unsure: what is said of others, each thing in words. It gives way only to a noun that nearly all their file names
            share and nearly no others, and that says more than each: "windmill" for "towers", but not "animal" for "dogs".
    """
    if not (without or unsure) or "paths" not in rows.column_names:
        return {}
    names = FileNames(rows["cluster"].to_pylist(), rows["paths"].to_pylist())
    found = {cluster: names.agreed(cluster) for cluster in without}
    for cluster, said in unsure.items():
        shared = names.shared(cluster)
        found[cluster] = shared if shared and all(nouns().says_more(shared.word, words) for words in said) else None
    return {cluster: agreed for cluster, agreed in found.items() if agreed}


def by_tags(rows: pa.Table, clusters: Collection[int]) -> dict[int, Agreed]:
    """Return the words that `label.tags` has for some clusters, where half of their images show them.

    Args:
        rows: `cluster`, and `probabilities` where every image has them.
        clusters: those without a word.
    """
    if not clusters or "probabilities" not in rows.column_names or rows["probabilities"].null_count:
        return {}
    from shoal_plugins.label._naming import Namer, Rules, gather

    evidence = gather(rows, Rules(min_support=AGREE))
    if evidence is None:
        return {}
    found: dict[int, Agreed] = {}
    for index, choice in enumerate(Namer(evidence).names()):
        cluster, size = int(evidence.clusters[index]), int(evidence.sizes[index])
        if cluster in clusters and choice.word is not None:
            word = evidence.words[choice.word].name
            said = f'ImageNet tags show "{word}" in {choice.support:,} of {size:,} images'
            found[cluster] = Agreed(word, said, choice.support / size)
    return found
