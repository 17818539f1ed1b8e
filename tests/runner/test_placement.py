"""Planning of workers: whole on one node, GPUs fed, and never more than fits."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import UsageError
from shoal.runner.placement import NODE_GROUPS, Node, Placement, alive, coming, decoders, holds, room, shape, worth

NODES = st.lists(
    st.builds(Node, st.just("n"), st.just("n"), cpus=st.integers(0, 64).map(float), gpus=st.integers(0, 8).map(float)),
    min_size=1,
    max_size=6,
)  # fmt: skip


def node(cpus: float, gpus: float = 0.0) -> Node:
    return Node("n", "n", cpus, gpus)


def test_a_worker_lies_on_one_node_not_on_the_sum() -> None:
    assert shape([node(3), node(3)], Placement(cpus=2)).workers == 2
    with pytest.raises(UsageError, match=r"4 CPUs and 0 GPUs do not fit the cluster's 6 CPUs.*one node has at most 3 CPUs"):
        shape([node(3), node(3)], Placement(cpus=4))


def test_a_head_that_lends_no_cpu_holds_no_worker() -> None:
    assert not holds([node(0), node(1)], 2, 0)
    assert holds([node(0), node(2)], 2, 0)
    assert not holds([], 0, 0)


def test_gpus_of_several_nodes_and_several_a_node_are_used() -> None:
    nodes = [node(8, 4), node(4, 1), node(16)]
    assert shape(nodes, Placement(gpus=1)) == shape(nodes, Placement(gpus=1, cpus=1))
    assert shape(nodes, Placement(gpus=1)).workers == 5
    assert shape(nodes, Placement(gpus=2)).workers == 2
    assert shape([node(16, 1)], Placement(gpus=0.1)).workers == 10, "0.1 is no binary fraction"


def test_a_gpu_worker_takes_its_share_of_cpus_to_decode() -> None:
    place = Placement(gpus=1, stretch=True)
    assert shape([node(17, 4)], place).cpus == 4
    assert shape([node(65, 1)], place).cpus == 16, "more would not help"
    assert shape([node(17, 4), node(3, 1)], place).cpus == 2, "workers are alike: the poorest node counts"
    assert shape([node(8)], place).cpus == 1, "without a GPU a worker is as any"
    assert shape([node(17, 4)], Placement(gpus=1)).cpus == 1, "`run: {cpus: 1}` has the last word"


def test_work_without_a_gpu_runs_on_cpus() -> None:
    found = shape([node(4)], Placement(gpus=1))
    assert (found.workers, found.gpus) == (4, 0)


@given(NODES, st.integers(1, 8), st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0]), st.booleans())
def test_what_is_planned_fits(nodes: list[Node], cpus: int, gpus: float, stretch: bool) -> None:
    place = Placement(cpus=cpus, gpus=gpus, stretch=stretch)
    try:
        found = shape(nodes, place)
    except UsageError:
        assert not any(room(entry, cpus, 0.0) and (entry.gpus >= gpus or not gpus) for entry in nodes)
        return
    assert found.workers == sum(room(entry, found.cpus, found.gpus) for entry in nodes) >= 1
    for entry in nodes:
        held = room(entry, found.cpus, found.gpus)
        assert held * found.cpus <= entry.cpus + 1e-6
        assert held * found.gpus <= entry.gpus + 1e-6


@given(st.floats(0, 10), st.floats(0, 10), st.integers(1, 64))
def test_decoders_keep_up_with_the_model_or_use_all_cpus(decode: float, answer: float, cpus: int) -> None:
    found = decoders(decode, answer, cpus)
    assert 1 <= found <= cpus
    assert found == cpus or decode / found <= answer * (1 + 1e-5) + 1e-9


def test_workers_grow_with_the_work() -> None:
    assert worth(0, 1.0) == 1
    assert worth(100, 0.01) == 1
    assert worth(1_000_000, 0.01) == 1000


def test_dead_nodes_do_not_count() -> None:
    seen = {"NodeID": "ab12cd34", "NodeManagerHostname": "h", "Alive": True, "Resources": {"CPU": 2.0}}
    assert alive([seen, {**seen, "Alive": False}]) == [Node("ab12cd34", "h/ab12cd", 2.0, 0.0)]


@given(NODES, st.dictionaries(st.tuples(st.integers(0, 4), st.integers(0, 2)), st.integers(0, 5), max_size=4))
def test_no_more_nodes_come_than_their_groups_allow(there: list[Node], most: dict[tuple[int, int], int]) -> None:
    sizes = Counter({(float(cpus), float(gpus)): count for (cpus, gpus), count in most.items()})
    found = coming(there, sizes)
    assert len({entry.id for entry in found} | {entry.id for entry in there}) == len(found) + len(
        {entry.id for entry in there}
    )
    for size in {(entry.cpus, entry.gpus) for entry in found} | sizes.keys():
        have = sum((entry.cpus, entry.gpus) == size for entry in there)
        assert sum((entry.cpus, entry.gpus) == size for entry in found) == max(sizes[size] - have, 0)


def test_nodes_that_an_autoscaler_may_start_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = {"NodeID": "ab12cd34", "NodeManagerHostname": "h", "Alive": True, "Resources": {"memory": 1.0}}
    with pytest.raises(UsageError, match="do not fit the cluster's 0 CPUs"):
        shape(alive([head]), Placement())
    file = tmp_path / "groups.json"
    file.write_text(json.dumps([{"cpus": 4, "gpus": 0, "most": 2}, {"cpus": 8, "gpus": 1, "most": 3}]), encoding="utf-8")
    monkeypatch.setenv(NODE_GROUPS, str(file))
    assert shape(alive([head]), Placement()).workers == 2 * 4 + 3 * 8
    assert shape(alive([head]), Placement(gpus=1)).workers == 3
    one = {**head, "NodeID": "ef", "Resources": {"CPU": 8.0, "GPU": 1.0}}
    assert shape(alive([head, one]), Placement(gpus=1)).workers == 3, "one of them has come"
    file.write_text("{}[", encoding="utf-8")
    with pytest.raises(UsageError, match=r"SHOAL_NODE_GROUPS=.* names no file of node groups"):
        alive([head])
