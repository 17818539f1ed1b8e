"""Who gets what a slow worker has, and which nodes are left alone: arithmetic of the pool, without a cluster."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from shoal.runner.distrust import Distrust
from shoal.runner.hands import CALM, ELSEWHERE_SECONDS, SLOW_SECONDS, UNKNOWN_SECONDS, Hand, Pace, Room, Unit, doubles
from shoal.runner.placement import Node

ONE = [Node("a", "a", 8, 0)]
TWO = [*ONE, Node("b", "b", 8, 0)]


def unit() -> Unit:
    return Unit(pa.table({"n": [1, 2]}))


def hand(node: str, *units: Unit, ready: bool = True) -> Hand:
    return Hand(None, node=node, ready=ready, units=list(units))


def slow(*nodes: str, times: int = 1) -> object:
    return lambda hand, copies: hand.node in nodes and copies <= times


def test_an_idle_worker_of_another_node_does_what_a_slow_one_has() -> None:
    late = hand("a", unit())
    hands = [late, hand("a"), hand("b"), hand("b", ready=False)]
    assert list(doubles(hands, slow("a"))) == [(hands[2], late.units[0])]
    assert not list(doubles(hands, slow("b"))), "who is not slow keeps what it has"


def test_a_worker_of_the_same_node_is_better_than_none() -> None:
    late = hand("a", unit())
    assert [chosen.node for chosen, _ in doubles([late, hand("a")], slow("a"))] == ["a"]


def test_what_waits_behind_a_slow_chunk_comes_first() -> None:
    first, second = unit(), unit()
    hands = [hand("a", first, second), hand("b"), hand("b")]
    assert [given for _, given in doubles(hands, slow("a"))] == [second, first]


def test_a_second_worker_that_hangs_is_not_the_last_hope() -> None:
    both = unit()
    hands = [hand("a", both), hand("b", both), hand("c")]
    assert not list(doubles(hands, slow("a"))), "one of the two may still answer"
    assert not list(doubles(hands, slow("a", "b"))), "two that have it are given twice the time"
    assert list(doubles(hands, slow("a", "b", times=2))) == [(hands[2], both)]


def test_what_is_done_is_done() -> None:
    over = unit()
    over.done = True
    assert not list(doubles([hand("a", over), hand("b")], slow("a")))


def test_a_worker_is_slow_by_what_others_need() -> None:
    pace, late = Pace(), hand("a", unit())
    assert not pace.slow(late, UNKNOWN_SECONDS - 1, 1)
    assert pace.slow(late, UNKNOWN_SECONDS, 1), "also where nobody has finished anything: else two chunks may hang for ever"
    pace.add(0.1)
    assert pace.slow(late, SLOW_SECONDS, 1)
    assert not pace.slow(late, SLOW_SECONDS, 2)
    pace.add(100.0)
    pace.add(100.0)
    assert not pace.slow(late, 999.0, 1)
    assert pace.slow(late, 1000.0, 1), "five times two rows of 100 s"


def test_a_chunk_that_storage_failed_goes_to_another_node() -> None:
    chunk = unit()
    chunk.spoilt, chunk.rests_until = {"a"}, 10.0
    assert not chunk.suits("b", {"a", "b"}, 9.0)
    assert chunk.suits("b", {"a", "b"}, 10.0)
    assert not chunk.suits("a", {"a", "b"}, 10.0)
    assert chunk.suits("a", {"a"}, 10.0), "where there is no other"
    assert chunk.suits("a", {"a", "b"}, 10.0 + ELSEWHERE_SECONDS), "or none that took it"


def test_a_store_that_fails_everywhere_is_no_fault_of_nodes() -> None:
    nodes = Distrust()
    for node in ("a", "b") * 3:
        nodes.spoil(node, done=4)
    assert nodes.shunned(TWO, 1, 0) == []


def test_a_node_that_fails_while_others_get_on_is_left_alone() -> None:
    nodes = Distrust()
    nodes.spoil("a", done=4)
    nodes.spoil("a", done=5)
    assert nodes.shunned(TWO, 1, 0) == ["a"]
    assert nodes.shunned(ONE, 1, 0) == [], "it is better than none"
    nodes.praise("a")
    assert nodes.shunned(TWO, 1, 0) == []


def test_a_node_whose_workers_die_in_setup_is_left_alone() -> None:
    nodes = Distrust()
    nodes.bury("a")
    assert nodes.untried(TWO, 1, 0)
    assert not nodes.untried(ONE, 1, 0)
    nodes.bury("a")
    assert nodes.shunned(TWO, 1, 0) == ["a"]
    nodes.welcome("a")
    assert nodes.shunned(TWO, 1, 0) == []


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 512)), min_size=1, max_size=20))
def test_memory_that_ran_out_bounds_what_follows_and_not_for_ever(wants: list[tuple[int, int]]) -> None:
    room = Room()
    for workers, rows in wants:
        room.shrink(workers, rows)
        assert 1 <= room.workers <= max(1, workers)
        assert room.rows >= 1
        assert rows < 2 or room.rows <= rows // 2
    workers, rows = room.workers, room.rows
    for _ in range(CALM - 1):
        room.fit()
    assert (room.workers, room.rows) == (workers, rows)
    room.fit()
    assert (room.workers, min(room.rows, 1024)) == (workers + 1, min(rows * 2, 1024))


@given(st.lists(st.tuples(st.sampled_from(["spoil", "bury", "praise", "welcome"]), st.sampled_from("abc")), max_size=30))
def test_some_node_is_always_left(events: list[tuple[str, str]]) -> None:
    nodes, distrust = [*TWO, Node("c", "c", 1, 0)], Distrust()
    for done, (what, node) in enumerate(events):
        getattr(distrust, what)(node, *([done] if what == "spoil" else []))
        for cpus in (1, 4):
            bad = distrust.shunned(nodes, cpus, 0)
            assert any(entry.cpus >= cpus for entry in nodes if entry.id not in bad)
