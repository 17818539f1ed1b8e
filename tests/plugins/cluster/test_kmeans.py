import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from shoal.contract import Context
from shoal.testing import check_stage
from shoal_plugins.cluster.kmeans import Kmeans
from tests.plugins.reduce.tables import Notes, blobs, table


@pytest.mark.parametrize("stage", [Kmeans(max_k=6), Kmeans(k=3), Kmeans(k=1)])
def test_it_keeps_the_contract(stage: Kmeans) -> None:
    check_stage(stage)


@pytest.mark.parametrize("k", [4, None])
def test_groups_are_found_with_a_given_number_and_without(k: int | None) -> None:
    data, group = blobs(200)
    notes = Notes()
    answer = Kmeans(k=k, max_k=8).run(table(data), notes.context())
    assert adjusted_rand_score(group, answer["cluster"].to_numpy()) == 1.0
    assert notes["clusters"] == 4
    assert notes["noise"] == 0


def test_the_middle_is_strong_and_the_far_are_outliers() -> None:
    data = np.concatenate([np.linspace(-1, 1, 21), np.linspace(9, 11, 21), [5.4]])[:, None]
    answer = Kmeans(k=2).run(table(data), Context())
    strength, outlier = answer["strength"].to_numpy(), answer["outlier"].to_numpy()
    assert strength[31] > 0.95
    assert strength.argmin() == 42
    assert outlier.argmax() == 42
    assert (outlier == 0).mean() >= 0.5


def test_the_seed_decides() -> None:
    data = np.random.default_rng(0).uniform(size=(300, 2))
    runs = [Kmeans(k=9, starts=1, seed=seed).run(table(data), Context()) for seed in (1, 1, 2)]
    assert runs[0].equals(runs[1])
    assert not runs[0].equals(runs[2])


@pytest.mark.parametrize(("n", "different"), [(0, 0), (1, 1), (3, 3)])
def test_tiny_sets(n: int, different: int) -> None:
    answer = Kmeans(k=5).run(table(np.arange(n)[:, None]), Context())
    assert len(set(answer["cluster"].to_pylist())) == different


def test_fewer_different_images_than_k_make_fewer_clusters() -> None:
    answer = Kmeans(k=5).run(table(np.repeat([[0.0], [1.0], [7.0]], [9, 6, 4], axis=0)), Context())
    assert answer["cluster"].to_pylist() == [0] * 9 + [1] * 6 + [2] * 4
    assert answer["strength"].to_pylist() == [1.0] * 19
    assert answer["outlier"].to_pylist() == [0.0] * 19


def test_images_that_are_all_alike_are_one_cluster() -> None:
    answer = Kmeans(k=3).run(table(np.full((9, 4), 0.3)), Context())
    assert answer["cluster"].to_pylist() == [0] * 9
