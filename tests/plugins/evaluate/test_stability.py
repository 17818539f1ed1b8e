"""`evaluate.stability`: clusters that are there come again, and clusters that are not don't."""

import pickle
from typing import Any

import numpy as np
import pytest

from shoal.contract import Context, Makers, Stage
from shoal.errors import PipelineError, StageError
from shoal.host import Host
from shoal.pipeline import parse
from shoal.pipeline.plan import plan
from shoal_plugins.cluster.hdbscan import Hdbscan
from shoal_plugins.cluster.kmeans import Kmeans
from shoal_plugins.embed.lite0 import Lite0
from shoal_plugins.evaluate.stability import Stability
from shoal_plugins.reduce.pca import Pca
from tests.plugins.reduce.tables import Notes, blobs, table

PIPELINE = """
shoal: 1
steps:
  - use: index.folder
  - use: embed.lite0
  - {as: pca, use: reduce.pca, with: {components: 9}}
  - {use: reduce.umap, from: [pca], with: {components: 3}}
  - {use: cluster.hdbscan, from: [reduce]}
  - {as: stability, use: evaluate.stability, from: [cluster, FROM]}
"""


def again(stages: list[Stage], **options: Any) -> Stability:
    """Return the stage over a chain of others, the first of which sees the vectors."""
    makers = Makers()
    for stage in stages[:-1]:
        makers = Makers({"embedding": stage}, {"embedding": makers})
    bound = Stability(**options).bind(Makers({"cluster": stages[-1]}, {"cluster": makers}))
    assert isinstance(bound, Stability)
    return bound


def told(stage: Stability, data: Any, labels: Any) -> tuple[Notes, list[dict[str, Any]]]:
    notes = Notes()
    return notes, stage.run(table(data, labels), notes.context()).to_pylist()


@pytest.mark.parametrize(
    ("source", "chain"),
    [
        ("embed", ["reduce.pca", "reduce.umap", "cluster.hdbscan"]), ("pca", ["reduce.umap", "cluster.hdbscan"]),
        ("reduce", ["cluster.hdbscan"]),
    ],
)  # fmt: skip
def test_a_pipeline_tells_it_what_lies_between(source: str, chain: list[str]) -> None:
    made = plan(parse(PIPELINE.replace("FROM", source), Host(allow=()), where="made"))
    stage = made.step("stability").stage
    assert isinstance(stage, Stability)
    assert [one.title() for one in stage._chain] == chain
    assert [one["options"] for one in stage.identity()["again"]] == [one.identity()["options"] for one in stage._chain]
    travelled = pickle.loads(pickle.dumps(stage))
    assert travelled == stage
    assert travelled._chain == stage._chain
    assert stage._chain[-1] is made.step("cluster").stage


def test_real_groups_come_again() -> None:
    data, _ = blobs(300, size=12, spread=0.4)
    stages: list[Stage] = [Pca(components=4), Hdbscan(min_cluster_size=10, selection_method="eom")]
    rows = table(data)
    labels = (
        Hdbscan(min_cluster_size=10, selection_method="eom")
        .run(Pca(components=4).run(rows, Context()), Context())["cluster"]
        .to_numpy()
    )
    notes, answer = told(again(stages, runs=3), data, labels)
    assert notes["verdict"] == "PASS"
    assert notes["metrics"]["ari"] > 0.95
    assert notes["metrics"]["ari_between"] > 0.95
    assert notes["metrics"]["stable"] == len(answer) == 4
    assert all(row["stability"] >= row["stability_least"] > 0.9 and row["lost"] == 0 for row in answer)
    assert notes["again"] == ["reduce.pca", "cluster.hdbscan"]


def test_groups_of_chance_do_not() -> None:
    data = np.random.default_rng(0).normal(size=(200, 10))
    labels = Kmeans(k=8, seed=1).run(table(data), Context())["cluster"].to_numpy()
    notes, answer = told(again([Kmeans(k=8, seed=1)], runs=4), data, labels)
    assert notes["verdict"] == "FAIL"
    assert notes["reason"].startswith("The mean ARI with the runs that were done again is 0.")
    assert notes["metrics"]["ari"] < 0.5
    assert notes["metrics"]["dissolved"] >= 4
    assert sum(row["lost"] for row in answer) > 8


def test_one_cluster_that_is_not_there_among_real_ones() -> None:
    data, group = blobs(240, groups=3, spread=0.3)
    split = group.copy()
    split[np.flatnonzero(group == 0)[::2]] = 3  # half of a real cluster, at random
    _, answer = told(again([Kmeans(k=3)], runs=3), data, split)
    by_name = {row["cluster"]: row["stability"] for row in answer}
    assert min(by_name[1], by_name[2]) > 0.95
    assert max(by_name[0], by_name[3]) < 0.7


def test_seeds_alone() -> None:
    data = np.random.default_rng(0).normal(size=(120, 8))
    labels = Kmeans(k=6).run(table(data), Context())["cluster"].to_numpy()
    seeds, _ = told(again([Kmeans(k=6, starts=1)], runs=3, fraction=1.0), data, labels)
    assert seeds["metrics"]["ari_between"] < 0.999
    unseeded, rows = told(again([Hdbscan()], runs=3, fraction=1.0), data, Hdbscan().run(table(data), Context())["cluster"])
    assert unseeded["metrics"]["ari"] == 1
    assert all(row["stability"] == 1 for row in rows)


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_without_a_cluster_it_fails(rows: int) -> None:
    notes, answer = told(again([Hdbscan()]), np.zeros((rows, 3)), [-1] * rows)
    assert (notes["verdict"], notes["reason"], answer) == ("FAIL", "There is no cluster.", [])


def test_what_it_can_not_do_again_is_told() -> None:
    with pytest.raises(StageError, match="put a step of kind `cluster` before it"):
        Stability().run(table(np.zeros((3, 2)), [0, 0, 0]), Context())
    embedder = Makers({"cluster": Hdbscan(), "embedding": Pca()}, {"cluster": Makers({"embedding": Lite0()})})
    with pytest.raises(PipelineError, match=r"can't do embed\.lite0 again"):
        Stability().bind(embedder)
