import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from shoal_plugins.cluster._labels import by_size, clusters_table
from shoal_plugins.cluster.kmeans import Kmeans
from tests.plugins.reduce.tables import table

LABELS = st.lists(st.integers(-1, 6), max_size=60)


@given(LABELS)
def test_numbers_fall_with_size_and_keep_the_groups(raw: list[int]) -> None:
    numbers = by_size(np.array(raw, dtype=np.int64))
    assert [(a == -1) for a in raw] == [(b == -1) for b in numbers.tolist()]
    pairs = {(a, b) for a, b in zip(raw, numbers.tolist(), strict=True) if a >= 0}
    count = len({a for a, _ in pairs})
    assert len(pairs) == count
    assert {b for _, b in pairs} == set(range(count))
    sizes = [(numbers == number).sum() for number in range(count)]
    assert sizes == sorted(sizes, reverse=True)


@given(LABELS, st.permutations(range(7)))
def test_the_numbers_that_a_library_gave_do_not_matter(raw: list[int], renamed: list[int]) -> None:
    other = [-1 if label < 0 else renamed[label] for label in raw]
    assert (by_size(np.array(raw, dtype=np.int64)) == by_size(np.array(other, dtype=np.int64))).all()


def test_clusters_of_one_size_are_numbered_by_their_first_image() -> None:
    assert by_size(np.array([7, 3, -1, 7, 3, 5, 5, 5])).tolist() == [1, 2, -1, 1, 2, 0, 0, 0]


def test_strength_and_outlier_stay_within_bounds() -> None:
    rows = table(np.zeros((4, 2)))
    answer = clusters_table(
        rows, np.array([0, 0, -1, 0]), np.array([np.nan, 3.0, 0.7, 0.5]), np.array([np.nan, -1, 2, 0.5]), Kmeans().produces()
    )
    assert answer["strength"].to_pylist() == [1.0, 1.0, 0.0, 0.5]
    assert answer["outlier"].to_pylist() == [0.0, 0.0, 1.0, 0.5]
    assert answer.schema.field("cluster").type == pa.int32()
