from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.metrics import adjusted_rand_score

from shoal.contract import Context
from shoal.errors import StageError
from shoal.testing import check_stage
from shoal_plugins.cluster._votes import Clustered, Votes
from shoal_plugins.cluster.hdbscan import Hdbscan
from shoal_plugins.cluster.partitioned import Partitioned, draw
from tests.plugins.reduce.tables import Notes, blobs, table

SMALL: dict[str, Any] = {"sample": 200, "min_cluster_size": 8, "min_samples": 4, "neighbors": 8}


def strays(count: int, size: int = 8, seed: int = 1) -> Any:
    """Return points far from all blobs."""
    rng = np.random.default_rng(seed)
    away = rng.normal(size=(count, size))
    return (away / np.linalg.norm(away, axis=1, keepdims=True) * rng.uniform(60, 200, size=(count, 1))).astype(np.float32)


def clusters(answer: pa.Table) -> Any:
    return answer["cluster"].to_numpy()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"noise": "nearest"},
        {"metric": "cosine", "components": 4},
        {"components": 0, "backend": "sklearn"},
    ],
)
def test_it_keeps_the_contract_where_it_samples(options: dict[str, Any]) -> None:
    stage = Partitioned(sample=20, min_cluster_size=4, min_samples=2, neighbors=4, **options)
    check_stage(stage, atol=1e-5)


def test_a_small_set_is_clustered_as_by_hdbscan() -> None:
    data, _ = blobs(300)
    options: dict[str, Any] = {"min_cluster_size": 10, "min_samples": 4, "selection_method": "leaf", "noise": "nearest"}
    rows = table(np.vstack([data, strays(9)]))
    one = Partitioned(sample=309, neighbors=8, **options).run(rows, Context())
    assert one.equals(Hdbscan(selection_persistence=0.0, **options).run(rows, Context()))


def test_groups_are_found_from_a_sample_and_numbered_by_falling_size() -> None:
    data, group = blobs(3000)
    notes = Notes()
    answer = Partitioned(**SMALL).run(table(data), notes.context())
    found = clusters(answer)
    inside = found >= 0
    assert inside.mean() > 0.95
    assert adjusted_rand_score(group[inside], found[inside]) == 1.0
    assert (np.diff(np.bincount(found[inside])) <= 0).all()
    assert (notes["sampled"], notes["smallest_group"], notes["clusters"]) == (200, 120, 4)


def test_clusters_are_those_of_hdbscan_on_all_rows() -> None:
    rng = np.random.default_rng(5)
    spread = rng.uniform(0.2, 0.8, size=(6, 1))
    group = rng.choice(6, size=4000, p=np.array([40, 25, 15, 10, 6, 4]) / 100)
    data = rng.normal(size=(6, 16))[group] * 6 + rng.normal(size=(4000, 16)) * spread[group]
    data[:200] = rng.uniform(-12, 12, size=(200, 16))
    options: dict[str, Any] = {"min_cluster_size": 10, "min_samples": 4, "selection_method": "eom"}
    whole = Hdbscan(selection_persistence=0.0, **options).run(table(data), Context())
    part = Partitioned(sample=1000, **options).run(table(data), Context())
    assert adjusted_rand_score(clusters(whole), clusters(part)) > 0.95


def test_far_off_points_are_noise_without_strength() -> None:
    data, _ = blobs(2000)
    answer = Partitioned(**SMALL).run(table(np.vstack([data, strays(60)])), Context())
    assert (clusters(answer)[2000:] == -1).all()
    assert (answer["strength"].to_numpy()[2000:] == 0).all()
    outlier = answer["outlier"].to_numpy()
    assert outlier[2000:].min() > 0.9
    assert np.median(outlier[:2000]) < 0.3


def test_nearest_leaves_none_out_and_moves_no_member() -> None:
    rows = table(np.vstack([blobs(2000)[0], strays(60)]))
    notes = Notes()
    apart = Partitioned(**SMALL).run(rows, Context())
    near = Partitioned(**SMALL, noise="nearest").run(rows, notes.context())
    member = clusters(apart) >= 0
    assert (clusters(near) >= 0).all()
    assert notes["adopted"] == (~member).sum() > 0
    assert adjusted_rand_score(clusters(apart)[member], clusters(near)[member]) == 1.0
    assert near["strength"].equals(apart["strength"])
    assert near["outlier"].equals(apart["outlier"])


@settings(max_examples=10, deadline=None)
@given(st.randoms(use_true_random=False))
def test_a_permutation_of_images_permutes_the_answer(random: Any) -> None:
    rows = table(np.vstack([blobs(400)[0], strays(20)]))
    order = list(range(rows.num_rows))
    random.shuffle(order)
    stage = Partitioned(**SMALL | {"sample": 120})
    first, second = stage.run(rows, Context()).take(order), stage.run(rows.take(order), Context())
    for name in ("id", "cluster", "strength"):
        assert first[name].equals(second[name]), name
    assert np.allclose(first["outlier"].to_numpy(), second["outlier"].to_numpy(), atol=1e-5)


def test_chunks_change_nothing() -> None:
    rows = table(np.vstack([blobs(9000)[0], strays(40)]))
    pieces = pa.concat_tables([rows.slice(start, 700) for start in range(0, rows.num_rows, 700)])
    stage = Partitioned(**SMALL)
    assert stage.run(pieces, Context()).equals(stage.run(rows, Context()))


def test_copies_of_an_image_have_one_cluster() -> None:
    data = np.repeat(blobs(40, groups=3)[0], 30, axis=0)
    answer = Partitioned(**SMALL | {"sample": 400}, components=3).run(table(data), Context())
    each = clusters(answer).reshape(40, 30)
    assert (each == each[:, :1]).all()


@pytest.mark.parametrize("kind", ["alike", "apart"])
def test_sets_without_groups(kind: str) -> None:
    data = np.ones((300, 4)) if kind == "alike" else np.eye(300) * 100
    answer = Partitioned(**SMALL, noise="nearest").run(table(data), Context())
    assert set(clusters(answer)) == ({0} if kind == "alike" else {-1})


def test_components_are_fitted_on_the_sample_and_keep_what_parts_the_groups() -> None:
    data, group = blobs(2000, size=64)
    answer = Partitioned(**SMALL, components=6).run(table(data), Context())
    inside = clusters(answer) >= 0
    assert inside.mean() > 0.9
    assert adjusted_rand_score(group[inside], clusters(answer)[inside]) == 1.0


def test_cosine_looks_at_directions_only() -> None:
    data, group = blobs(2000, spread=0.1)
    lengths = np.random.default_rng(2).uniform(0.1, 10, size=(2000, 1))
    answer = Partitioned(**SMALL, metric="cosine").run(table(data * lengths), Context())
    assert adjusted_rand_score(group, clusters(answer)) > 0.95


@pytest.mark.slow
def test_a_layout_of_the_sample_parts_groups_of_any_shape() -> None:
    rng = np.random.default_rng(0)
    angle, ring = rng.uniform(0, 2 * np.pi, 4000), rng.integers(0, 2, 4000)
    points = np.stack([np.cos(angle), np.sin(angle)], axis=1) * (1 + 2 * ring[:, None]) + rng.normal(0, 0.1, (4000, 2))
    options: dict[str, Any] = {"sample": 800, "umap": 2, "min_cluster_size": 150, "selection_epsilon": 0.5}
    first, second = (Partitioned(**options).run(table(points), Context()) for _ in range(2))
    assert first.equals(second)
    inside = clusters(first) >= 0
    assert inside.mean() > 0.8
    assert adjusted_rand_score(ring[inside], clusters(first)[inside]) > 0.99


@given(st.lists(st.text("0123456789abcdef", min_size=4), min_size=3, max_size=60, unique=True), st.data())
def test_the_sample_hangs_on_ids_and_seed_alone(ids: list[str], data: st.DataObject) -> None:
    count, seed = data.draw(st.integers(1, len(ids))), data.draw(st.integers(0, 9))
    mixed = data.draw(st.permutations(ids))
    drawn = [[names[place] for place in draw(pa.chunked_array([names]), count, seed)] for names in (ids, mixed)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == count
    fewer = [name for name in ids if name != drawn[0][-1]]
    if count <= len(fewer):  # one image less: the others stay drawn
        assert set(drawn[0][:-1]) <= {fewer[place] for place in draw(pa.chunked_array([fewer]), count, seed)}


def test_another_seed_draws_another_sample() -> None:
    ids = table(np.zeros((500, 1)))["id"]
    assert set(draw(ids, 50, 1).tolist()) != set(draw(ids, 50, 2).tolist())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.5, 1.0))
def test_votes_give_members_back_and_cut_off_at_the_quantile(seed: int, quantile: float) -> None:
    data, group = blobs(120, groups=3, seed=seed)
    sample = Clustered(data, group, np.ones(120))
    votes = Votes(sample, 10, 4, quantile)
    labels, strength, outlier = votes.assign(data)
    inside = labels >= 0
    assert (labels[inside] == group[inside]).mean() > 0.9
    assert inside.mean() >= quantile - 0.05, "each is its own nearest neighbour here: more are within than the share"
    assert (strength[~inside] == 0).all()
    assert ((strength >= 0) & (strength <= 1) & (outlier >= 0) & (outlier <= 1)).all()
    assert (votes.assign(data + 1000)[0] == -1).all()


def test_less_of_a_quantile_gives_more_noise() -> None:
    rows = table(blobs(3000)[0])
    shares = [
        (clusters(Partitioned(**SMALL, quantile=share).run(rows, Context())) == -1).mean() for share in (0.5, 0.9, 1.0)
    ]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > shares[-1]


def test_a_vector_that_is_not_finite_is_named() -> None:
    data, _ = blobs(600)
    data[417, 3] = np.nan
    with pytest.raises(StageError, match=f"{417:064x}.* no finite number"):
        Partitioned(**SMALL).run(table(data), Context())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"sample": 40}, "a sample of 40 can't hold two clusters of min_cluster_size .25.; raise sample"),
        ({"neighbors": 30}, "neighbors .30. is over min_cluster_size .25.*; lower it"),
        ({"min_samples": 12}, "min_samples .12. is over neighbors .10.*; raise neighbors"),
        ({"sample": 5}, "greater than or equal to 20"),
        ({"quantile": 0.0}, "greater than 0"),
        ({"umap": 65}, "less than or equal to 64"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        Partitioned(**options)


def test_errors_name_this_stage() -> None:
    with pytest.raises(StageError, match=r"cluster\.partitioned: backend cuml can't be used"):
        Partitioned(**SMALL, backend="cuml").run(table(blobs(300)[0]), Context())
