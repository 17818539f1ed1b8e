import numpy as np
import pytest

from shoal.contract import Context
from shoal.testing import check_stage
from shoal_plugins.reduce._neighbours import exact
from shoal_plugins.reduce.tsne import Tsne
from tests.plugins.reduce.tables import Notes, blobs, table, vectors

QUICK = Tsne(epochs=250)


@pytest.mark.parametrize("stage", [QUICK, Tsne(epochs=250, components=3, pca=0, metric="euclidean", perplexity=5)])
def test_it_keeps_the_contract(stage: Tsne) -> None:
    check_stage(stage)


def test_groups_come_out_apart() -> None:
    data, group = blobs(150)
    layout = vectors(Tsne(epochs=400).run(table(data), Context()))
    nearest, _ = exact(layout, 6, "euclidean")
    assert (group[nearest[:, 1:]] == group[:, None]).mean() > 0.98


def test_a_drawn_seed_is_noted() -> None:
    notes = Notes()
    Tsne(epochs=250, seed=-1).run(table(blobs(20)[0]), notes.context())
    assert notes["seed"] >= 0


@pytest.mark.parametrize("n", [0, 1, 3])
def test_too_few_images_get_principal_components(n: int) -> None:
    notes = Notes()
    answer = vectors(QUICK.run(table(blobs(9)[0][:n]), notes.context()))
    assert answer.shape == (n, 2)
    assert "principal components" in notes["backend"]


@pytest.mark.parametrize("n", [4, 5, 10])
def test_the_perplexity_gives_way_to_small_sets(n: int) -> None:
    answer = vectors(QUICK.run(table(blobs(20)[0][:n]), Context()))
    assert len(np.unique(answer, axis=0)) == n


def test_vectors_on_a_line_are_laid_out() -> None:
    data = np.outer(np.arange(12), np.ones(3)) + 1
    assert np.isfinite(
        vectors(Tsne(epochs=250, normalize_input=False, metric="euclidean").run(table(data), Context()))
    ).all()
