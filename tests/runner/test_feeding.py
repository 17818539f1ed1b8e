"""Decoding ahead of a model: the same parts in order, as many threads as it takes, never more than one part ahead."""

import threading
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.runner.feeding import Feeder


@given(st.lists(st.lists(st.integers(), min_size=1, max_size=5), max_size=6), st.integers(1, 4))
@settings(max_examples=50)
def test_parts_come_whole_and_in_order(parts: list[list[int]], cpus: int) -> None:
    feeder = Feeder(lambda row: row * 2, cpus)
    assert list(feeder.feed(parts)) == [[row * 2 for row in part] for part in parts]
    assert list(feeder.feed(parts)) == [[row * 2 for row in part] for part in parts], "the next chunk, too"


def test_a_slow_decoder_gets_all_the_cpus_and_a_quick_one_a_thread() -> None:
    slow: Feeder[int, None] = Feeder(lambda row: time.sleep(0.01), 4)
    for _ in slow.feed([[1, 2], [3, 4]]):
        pass
    assert slow.threads == 4
    quick: Feeder[int, int] = Feeder(lambda row: row, 4)
    for _ in quick.feed([[1, 2], [3, 4]]):
        time.sleep(0.05)
    assert quick.threads == 1


def test_the_next_part_is_decoded_while_the_model_works_and_no_further() -> None:
    seen: list[int] = []
    third = threading.Event()

    def decode(row: int) -> int:
        seen.append(row)
        if row == 3:
            third.set()
        return row

    feeder = Feeder(decode, 2)
    parts = feeder.feed([[1], [2], [3], [4], [5]])
    assert next(parts) == [1]
    assert next(parts) == [2]
    assert third.wait(20), "the model has part two, and nobody decodes part three"
    assert seen == [1, 2, 3]


def test_an_error_of_a_decoder_reaches_the_caller() -> None:
    import pytest

    feeder: Feeder[int, float] = Feeder(lambda row: 1 / row, 2)
    with pytest.raises(ZeroDivisionError):
        list(feeder.feed([[1], [2], [0]]))
