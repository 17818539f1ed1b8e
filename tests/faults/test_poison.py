"""Images that kill whoever touches them: found, rejected with a reason, remembered; the rest is done."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from shoal.api import open as open_run
from shoal.catalogue import runs
from shoal.errors import RunFailed
from shoal.images import Limits
from shoal.runner.options import limits_key
from shoal.store import Store

from .cluster import LONG, PHOTOS, Bench, Nodes


@pytest.mark.parametrize("how", ["exit", "segfault"] if LONG else ["segfault"])
def test_a_poison_image_is_found_and_rejected(
    how: str, bench: Bench, nodes: Nodes, undisturbed: dict[str, pa.Table]
) -> None:
    victim = undisturbed["embed"]["id"][40].as_py()
    run = bench.go(f"how: {how}, poison: [{victim}]")
    assert (run.record.status, run.record.files, run.record.accepted) == ("done", PHOTOS, PHOTOS - 1)
    (row,) = run.rejected.to_pylist()
    assert row["status"] == "failed"
    assert row["step"] == "embed"
    assert "the worker process died 2 times on this image alone" in row["reason"]
    kept = undisturbed["embed"].filter(pc.not_equal(undisturbed["embed"]["id"], victim))
    assert run.table("embed").equals(kept)
    assert run.record.step("embed").faults["worker died"] <= 6
    known = run.store.rows("embed.fragile", run.record.step("embed").fingerprint).known(limits_key(Limits()))
    assert list(known.failed) == [victim], "the reason is kept: the same command loses no worker to it again"


def test_a_stage_that_kills_always_ends_the_run(bench: Bench, nodes: Nodes, undisturbed: dict[str, pa.Table]) -> None:
    every = ", ".join(undisturbed["embed"]["id"].to_pylist())
    with pytest.raises(RunFailed, match="workers died and no chunk was done"):
        bench.go(f"poison: [{every}]")


def test_memory_that_runs_out_halves_the_chunk(
    bench: Bench, nodes: Nodes, undisturbed: dict[str, pa.Table], tmp_path: Path
) -> None:
    from .cluster import same

    run = bench.go("holds: 2")
    same(run, undisturbed)


def test_a_pass_ends_when_too_many_images_killed_their_workers(
    bench: Bench, nodes: Nodes, undisturbed: dict[str, pa.Table]
) -> None:
    poison = undisturbed["embed"]["id"].to_pylist()[50:]
    with pytest.raises(
        RunFailed, match=r"^3 of 96 images failed, over max_failed=0.03; the first at step 'embed': the worker"
    ):
        bench.go(f"how: segfault, poison: [{', '.join(poison)}]", max_failed=0.03)
    used = {line.split()[0] for line in bench.log.read_text().splitlines()}
    assert len(used) < len(poison), "to find all of them would take two workers each"
    (record,) = runs(Store.open(bench.folder / "out1"))
    failed = open_run(bench.folder / "out1", record.id, host=bench.host)
    assert (failed.record.status, failed.record.rejected, failed.rejected.num_rows) == ("failed", 3, 3)
