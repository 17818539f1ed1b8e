"""The same run on real Ray: same tables, workers named, troubles in one sentence."""

import pytest

from shoal.errors import RunFailed, UsageError

from .conftest import PIPELINE, Go

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_cluster")]


def test_ray_gives_the_same_tables_as_this_process(go: Go, tmp_path: object) -> None:
    here = go()
    tables = {step: here.table(step) for step in ("embed", "reduce", "cluster", "label")}
    there = go(where="ray", force=frozenset({"index", "embed", "reduce", "cluster", "label"}))
    assert there.record.step("embed").where == "ray: 2 x 1 cpu"
    assert there.record.step("embed").backend == "numpy"
    assert there.record.step("cluster").where == "ray"
    for step, table in tables.items():
        assert there.table(step).equals(table), step


def test_rows_are_computed_once_by_several_workers(go: Go, tmp_path: object) -> None:
    from pathlib import Path

    log = Path(str(tmp_path)) / "log"
    go(PIPELINE.replace("embed.colours", f"embed.colours\n    with: {{log: {log}}}\n    run: {{actors: 2}}"), where="ray")
    lines = [line.split() for line in log.read_text().splitlines()]
    assert len({image for _, image in lines}) == len(lines) == 24


def test_trouble_on_a_worker_is_one_sentence_with_the_trace_kept(go: Go) -> None:
    with pytest.raises(RunFailed, match=r"^step 'embed' failed: the weights of embed.colours are missing") as caught:
        go(PIPELINE.replace("embed.colours", "embed.colours\n    with: {broken: true}"), where="ray")
    assert any("in setup" in note for note in caught.value.__cause__.__notes__)


def test_a_bad_row_on_a_worker_costs_itself(go: Go) -> None:
    victim = go().images["id"][3].as_py()
    run = go(PIPELINE.replace("embed.colours", f"embed.colours\n    with: {{side: 8, stop_at: {victim}}}"), where="ray")
    assert run.record.rejected == 1


def test_workers_that_never_fit_are_refused_before_anything_waits(go: Go) -> None:
    with pytest.raises(UsageError, match="workers of 3 CPUs and 0 GPUs do not fit"):
        go(PIPELINE.replace("embed.colours", "embed.colours\n    run: {cpus: 3}"), where="ray")


def test_a_step_that_wants_a_gpu_gets_one(go: Go) -> None:
    """Ray hands out the GPU that it was told of; no stage here computes on it."""
    run = go(PIPELINE.replace("embed.colours", "embed.colours\n    run: {gpus: 1}"), where="ray")
    assert run.record.step("embed").where == "ray: 1 x 1 cpu + 1 gpu"
    assert run.record.step("embed").computed == 24
    parts = run.store.rows("embed.colours", run.record.step("embed").fingerprint).parts()
    assert len(parts) == 2, "a chunk is a part file there too"


def test_a_table_step_that_never_fits_is_refused(go: Go) -> None:
    with pytest.raises(UsageError, match="workers of 64 CPUs"):
        go(PIPELINE.replace("reduce.centre", "reduce.centre\n    run: {cpus: 64}"), where="ray")


def test_a_stage_that_the_worker_can_not_import_is_told_with_its_mend(go: Go, host: object) -> None:
    import sys
    from types import ModuleType

    from .stages import Split

    module = ModuleType("only_here")
    sys.modules["only_here"] = module
    module.Elsewhere = type("Elsewhere", (Split,), {"name": "elsewhere", "__module__": "only_here"})  # type: ignore[attr-defined]
    host.stages["cluster", "elsewhere"] = module.Elsewhere  # type: ignore[attr-defined]
    try:
        with pytest.raises(
            RunFailed, match=r"No module named 'only_here'; install the package that has only_here on the workers"
        ):
            go(PIPELINE.replace("cluster.split", "cluster.elsewhere"), where="ray")
    finally:
        del host.stages["cluster", "elsewhere"], sys.modules["only_here"]  # type: ignore[attr-defined]


def test_numba_compiles_in_a_program_whose_print_ray_had_replaced(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray replaces `print` when it shows a worker's line; numba's own functions print and then fail to compile."""
    import numba
    from ray.experimental import tqdm_ray

    monkeypatch.setenv("RAY_TQDM_PATCH_PRINT", "1")
    monkeypatch.setattr(tqdm_ray, "_manager", None)
    tqdm_ray.instance()
    assert print is tqdm_ray.safe_print
    go(where="ray")
    assert print is tqdm_ray._print

    def numba_threads() -> int:
        return int(numba.get_num_threads())

    assert numba.njit(numba_threads)() >= 1
