from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.contract import Context
from shoal.kinds import Sampler
from shoal.testing import check_stage
from shoal_plugins.sample.farthest import Farthest
from shoal_plugins.sample.nearest import Nearest
from shoal_plugins.sample.random import Random
from shoal_plugins.sample.stratified import Stratified
from tests.plugins.reduce.tables import Notes, table

SAMPLERS = [Nearest, Farthest, Random, Stratified]


def _picks(stage: Sampler, data: Any, cluster: Any) -> dict[int, list[int]]:
    """Return the picked rows of each cluster by rank."""
    answer = stage.run(table(data, cluster), Context())
    ids = [int(key, 16) for key in answer["id"].to_pylist()]
    assert ids == sorted(ids)
    found: dict[int, dict[int, int]] = defaultdict(dict)
    for row, rank in zip(ids, answer["rank"].to_pylist(), strict=True):
        assert rank not in found[cluster[row]]
        found[cluster[row]][rank] = row
    return {number: [ranks[rank] for rank in range(len(ranks))] for number, ranks in found.items()}


@pytest.mark.parametrize("stage", [sampler(per_cluster=k) for sampler in SAMPLERS for k in (1, 2, 50)])
def test_it_keeps_the_contract(stage: Sampler) -> None:
    check_stage(stage)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SAMPLERS), st.lists(st.integers(-1, 5), max_size=60), st.integers(1, 8), st.integers(0, 100))
def test_only_members_are_picked_and_as_many_as_wanted(sampler: Any, cluster: list[int], count: int, seed: int) -> None:
    data = np.random.default_rng(seed).normal(size=(len(cluster), 3))
    picks = _picks(sampler(per_cluster=count), data, cluster)
    assert set(picks) == set(cluster) - {-1}
    for number, rows in picks.items():
        assert len(set(rows)) == len(rows) == min(count, cluster.count(number))
        assert all(cluster[row] == number for row in rows)


LINE = np.array([0.0, 1, 2, 3, 4, 5, 6, 7, 8, 14])[:, None]  # centroid 5
ONE = [0] * 10


def test_the_nearest_come_first() -> None:
    assert _picks(Nearest(per_cluster=3), LINE, ONE) == {0: [5, 4, 6]}


def test_the_farthest_come_first() -> None:
    assert _picks(Farthest(per_cluster=2), LINE, ONE) == {0: [9, 0]}


def test_strata_reach_from_the_middle_to_the_border() -> None:
    assert _picks(Stratified(per_cluster=5), LINE, ONE) == {0: [4, 3, 2, 1, 9]}
    assert _picks(Stratified(per_cluster=1), LINE, ONE)[0] == [2]


def test_all_members_of_a_small_cluster_are_ranked() -> None:
    assert _picks(Stratified(per_cluster=99), LINE, ONE)[0] == [5, 4, 6, 3, 7, 2, 8, 1, 0, 9]


def test_the_lot_is_fair_and_hangs_on_the_seed() -> None:
    counts = np.zeros(10)
    for seed in range(300):
        counts[_picks(Random(per_cluster=2, seed=seed), LINE, ONE)[0]] += 1
    assert (np.abs(counts - 60) < 30).all()
    assert _picks(Random(seed=7), LINE, ONE) == _picks(Random(seed=7), LINE, ONE)


def test_a_drawn_seed_is_noted_and_repeats_its_draw() -> None:
    notes, rows = Notes(), table(LINE, ONE)
    drawn = Random(seed=-1).run(rows, notes.context())
    assert Random(seed=notes["seed"]).run(rows, Context()).equals(drawn)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_set_of_noise_has_no_representatives(sampler: Any) -> None:
    assert sampler().run(table(LINE, [-1] * 10), Context()).num_rows == 0
