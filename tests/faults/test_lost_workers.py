"""Workers and nodes that die, at moments that the run's own progress names: the tables are those of an undisturbed run."""

import os
import signal

import pyarrow as pa
import pytest

from shoal.runner.happened import LOST, kind_of

from .cluster import LENGTHY, LONG, PHOTOS, At, Bench, Nodes, moment, same, strike

KILLS, SHORT = 20, 2


@pytest.mark.parametrize("seed", range(KILLS if LONG else SHORT))
def test_a_node_is_killed(seed: int, bench: Bench, nodes: Nodes, undisturbed: dict[str, pa.Table]) -> None:
    step, rows, dice = moment(seed)
    killer = At(step, rows, lambda: strike(nodes, bench, dice))
    run = bench.go(LENGTHY, progress=killer)
    assert killer.done
    same(run, undisturbed)


def test_a_killed_worker_process_costs_its_chunks_only(bench: Bench, nodes: Nodes, undisturbed: dict[str, pa.Table]) -> None:
    killer = At("embed", 1, lambda: os.kill(bench.workers()[0], signal.SIGKILL))
    run = bench.go(progress=killer)
    same(run, undisturbed)
    step = run.record.step("embed")
    assert step.faults == {"worker died": 1}
    assert step.retried >= 1
    assert sum(step.nodes.values()) == PHOTOS
    lines = bench.log.read_text().splitlines()
    assert PHOTOS <= len(lines) <= PHOTOS + 2 * 16, "more than the two chunks of the dead worker was done again"


def test_workers_that_die_in_setup_end_the_run_in_one_sentence(bench: Bench, nodes: Nodes) -> None:
    from shoal.errors import RunFailed

    with pytest.raises(RunFailed, match=r"\d+ workers in a row died while their stages were set up"):
        bench.go("unborn: true")


def test_an_object_that_went_with_its_node_is_data_lost(nodes: Nodes) -> None:
    """Chunks lie with the driver and receipts are fetched at once, so a pass meets this only in the moment between."""
    import ray
    from ray.exceptions import RayError

    @ray.remote(num_cpus=1)
    class Holder:
        def hold(self) -> bytes:
            return bytes(4_000_000)  # so large that it stays in its node's object store

    node = nodes.others[0]
    holder = Holder.options(label_selector={"ray.io/node-id": node.node_id}).remote()  # type: ignore[attr-defined]
    held = holder.hold.remote()
    assert ray.wait([held], timeout=60, fetch_local=False)[0] == [held]
    nodes.kill(node)
    with pytest.raises(RayError) as caught:
        ray.get(held, timeout=120)
    assert kind_of(caught.value) == LOST
