import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.contract import Context
from shoal.errors import StageError
from shoal.testing import check_stage
from shoal_plugins.reduce._linear import Prepare, principal
from shoal_plugins.reduce.pca import Pca
from tests.plugins.reduce.tables import blobs, table, vectors

PLAIN = Pca(components=4, normalize_input=False, normalize_output=False)


def _random(n: int, size: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, size)).astype(np.float32) * np.arange(1, size + 1)


@pytest.mark.parametrize("stage", [Pca(), PLAIN, Pca(components=3, whiten=True), Pca(power=0.5)])
def test_it_keeps_the_contract(stage: Pca) -> None:
    check_stage(stage)


@pytest.mark.parametrize(("n", "size"), [(60, 7), (7, 60), (5000, 6)])
def test_it_agrees_with_scikit_learn(n: int, size: int) -> None:
    from sklearn.decomposition import PCA

    data = _random(n, size, 0)
    expected = PCA(4, svd_solver="full").fit_transform(data.astype(np.float64))
    answer = vectors(PLAIN.run(table(data), Context()))
    np.testing.assert_allclose(np.abs(answer), np.abs(expected), atol=2e-3)


@settings(max_examples=25, deadline=None)
@given(st.integers(6, 40), st.integers(5, 12), st.integers(0, 1000))
def test_a_shift_and_a_permutation_change_nothing_but_the_order(n: int, size: int, seed: int) -> None:
    data = _random(n, size, seed)
    base = principal(data, 3)
    np.testing.assert_allclose(principal(data + np.float32(3), 3), base, atol=2e-3)
    order = np.random.default_rng(seed).permutation(n)
    np.testing.assert_allclose(principal(data[order], 3), base[order], atol=2e-3)


@settings(max_examples=25, deadline=None)
@given(st.integers(6, 40), st.integers(0, 1000))
def test_distances_stay_when_every_component_is_kept(n: int, seed: int) -> None:
    data = _random(n, 6, seed)
    answer = principal(data, 6)
    before = np.linalg.norm(data[:, None] - data[None], axis=2)
    np.testing.assert_allclose(np.linalg.norm(answer[:, None] - answer[None], axis=2), before, atol=5e-3)


def test_components_fall_in_variance_and_are_uncorrelated() -> None:
    answer = principal(_random(300, 8, 1), 5).astype(np.float64)
    covariance = np.cov(answer.T)
    assert (np.diff(np.diag(covariance)) < 0).all()
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 1e-3


def test_signs_do_not_depend_on_the_road_taken() -> None:
    data = _random(30, 30, 2)
    wide = np.hstack([data, np.zeros((30, 5), np.float32)])  # fewer rows than columns: by inner products
    tall = np.vstack([data, data])  # more rows than columns: by covariance
    np.testing.assert_allclose(principal(wide, 3), principal(tall, 3)[:30], atol=2e-3)


def test_whitened_components_have_variance_one() -> None:
    answer = principal(_random(500, 6, 3), 4, whiten=True)
    np.testing.assert_allclose(answer.std(axis=0, ddof=1), 1, atol=1e-3)


def test_blocks_give_what_one_block_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    from shoal_plugins.reduce import _linear, _matrix

    data = _random(500, 9, 4)
    whole = principal(data, 4)
    monkeypatch.setattr(_linear, "blocks", lambda n: _matrix.blocks(n, 64))
    np.testing.assert_allclose(principal(data, 4), whole, atol=1e-3)


def test_power_and_length_are_taken_before() -> None:
    rows = np.array([[4.0, -9.0], [0.0, 0.0]], dtype=np.float32)
    np.testing.assert_allclose(Prepare(unit=False, power=0.5)(rows), [[2, -3], [0, 0]], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(Prepare()(rows), axis=1), [1, 0], atol=1e-6)


@pytest.mark.parametrize(("n", "size"), [(0, 5), (1, 5), (3, 5), (9, 2)])
def test_small_sets_are_padded_with_zeros(n: int, size: int) -> None:
    answer = vectors(PLAIN.run(table(_random(n, size, 5)), Context()))
    assert answer.shape == (n, 4)
    assert not answer[:, max(0, min(n - 1, size)) :].any()
    if n > size:
        assert answer[:, :size].any(axis=0).all()


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_vectors_that_are_all_alike_become_zero(scale: float) -> None:
    row = _random(1, 16, 6)[0] * np.float32(scale)
    assert not vectors(Pca(components=5).run(table(np.tile(row, (50, 1))), Context())).any()


def test_a_component_that_is_no_number_names_its_image() -> None:
    data = _random(4, 3, 7)
    data[2, 1] = np.nan
    with pytest.raises(StageError, match=f"image {2:064x} "):
        Pca().run(table(data), Context())


def test_normalised_output_has_length_one() -> None:
    data, _ = blobs()
    np.testing.assert_allclose(np.linalg.norm(vectors(Pca(components=5).run(table(data), Context())), axis=1), 1, atol=1e-5)
