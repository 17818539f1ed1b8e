"""One task a doubtful image: which cluster is it of?"""

from collections.abc import Sequence

import numpy as np

from shoal.text import plain
from shoal_ls.tasks.clusters import Address
from shoal_ls.tasks.drafts import Json, TaskDraft, chosen
from shoal_ls.tasks.markup import LONGEST_NAME, candidate, sentences
from shoal_ls.tasks.said import Said

CANDIDATES = 8
DOUBTFUL = 0.8
"""From here on another cluster is about as near as the image's own."""


def doubtful(said: Said, most: int, without: frozenset[str] = frozenset()) -> list[str]:
    """Return the ids of the most doubtful images, noise first.

    Args:
        said: what the run says.
        most: images to return.
        without: ids of images that are asked about elsewhere.
    """
    order = np.lexsort((-said.distance, said.cluster >= 0, -said.doubt))
    found = (said.ids[row] for row in order if said.doubt[row] >= DOUBTFUL)
    return [image for image in found if image not in without][:most]


def image_tasks(said: Said, images: Sequence[str], address: Address) -> list[TaskDraft]:
    """Return a task for each image, in order; none where there is no cluster to choose.

    Args:
        said: what the run says.
        images: ids.
        address: of pictures that are looked at one by one.
    """
    rows = [said.rows[image] for image in images]
    near = said.near(np.array(rows, np.int64), CANDIDATES)
    return [_task(said, row, places, address) for row, places in zip(rows, near, strict=True) if places]


def _task(said: Said, row: int, near: list[tuple[int, float]], address: Address) -> TaskDraft:
    cluster, doubt = int(said.cluster[row]), round(float(said.doubt[row]), 3)
    likeness = dict(near)
    if cluster >= 0 and cluster not in likeness:
        near = [(cluster, 0.0), *near]
    offered = [candidate(one, said.label(one), f"{likeness[one]:.2f}" if one in likeness else "now") for one, _ in near]
    data: Json = {
        "image": address(said.ids[row]),
        "why": sentences(
            [
                plain(said.names[row], LONGEST_NAME),
                "noise now" if cluster < 0 else f"now in {said.label(cluster)} (cluster {cluster})",
                f"nearest: {said.label(near[0][0])}",
            ]
        ),
        "candidates": [*offered, {"value": "noise", "html": "noise: none of these"}],
        "cluster": cluster,
        "label": said.label(cluster) if cluster >= 0 else "noise",
        "doubt": doubt,
    }
    best = cluster if cluster >= 0 else near[0][0]
    return TaskDraft(f"image:{said.ids[row]}", data, (chosen("cls", "img", f"cluster:{best}"),), round(1 - doubt, 3))
