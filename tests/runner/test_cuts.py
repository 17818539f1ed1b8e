"""How a pass is cut into the chunks that workers take."""

from hypothesis import given
from hypothesis import strategies as st

from shoal.runner.chunking import LARGEST, SMALLEST, cuts


@given(st.integers(0, 50_000), st.integers(1, 64))
def test_every_row_is_in_one_chunk_and_chunks_shrink(rows: int, workers: int) -> None:
    found = list(cuts(rows, workers))
    sizes = [size for _, size in found]
    assert [start for start, _ in found] == [sum(sizes[:number]) for number in range(len(sizes))]
    assert sum(sizes) == rows
    assert sizes == sorted(sizes, reverse=True)
    assert all(SMALLEST <= size <= LARGEST for size in sizes[:-1])


def test_the_last_chunks_are_small_so_that_no_worker_waits_long() -> None:
    sizes = [size for _, size in cuts(10_000, 2)]
    assert sizes[0] == LARGEST
    assert max(sizes[-4:]) == SMALLEST
    assert len(sizes) < 50
