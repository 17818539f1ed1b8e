"""Names of clusters after a review: what people wrote comes first, and names stay distinct."""

from collections.abc import Iterable, Mapping

from shoal.names import collision_key


def distinct(names: Mapping[int, str | None], first: Iterable[int] = ()) -> dict[int, str | None]:
    """Return the names, those that some file system would take for an earlier one told apart by a number behind them.

    Args:
        names: by cluster; None where a cluster has none.
        first: clusters whose names come before the others'.
    """
    order = sorted(names, key=lambda cluster: (cluster not in chosen, cluster)) if (chosen := set(first)) else sorted(names)
    taken: set[str] = set()
    found: dict[int, str | None] = {}
    for cluster in order:
        name = names[cluster]
        found[cluster] = name and _free(name, taken)
        taken.add(collision_key(found[cluster] or ""))
    return {cluster: found[cluster] for cluster in names}


def _free(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while collision_key(free) in taken:
        number += 1
        free = f"{name} {number}"
    return free
