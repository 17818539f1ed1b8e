"""A run that is open for review gets an earlier run's numbers: against the real server, no answer is lost or misread."""

import shutil
from pathlib import Path

import pytest

import shoal
from shoal.catalogue import Run
from shoal.decisions import Answer, Change, Decisions
from shoal.reviewing import make_version
from shoal.reviewing.carry import carry
from shoal_ls.client import Server
from shoal_ls.projects import Opened
from shoal_ls.sync import sync
from tests.label_studio.runs import PIPELINE
from tests.label_studio.server import LabelStudio
from tests.label_studio.test_open import number, open_, tasks

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_carry_beneath_an_open_review_loses_no_answer_and_open_tasks_follow(
    run: Run, server: Server, label_studio: LabelStudio, tmp_path: Path
) -> None:
    earlier = Decisions.of(run.store)
    first, *warm = sorted(row["id"] for row in run.joined(["cluster"]).to_pylist() if row["cluster"] == 0)
    split = (Change(kind="keep", images=(first,)), Change(kind="split", cluster=0, images=tuple(warm), label="warm"))
    said = Answer(run=run.id, surface="x", key="1", at="2026-01-01T00:00:00.000Z", task="cluster:0", changes=split)
    earlier.record([said])
    assert make_version(run).version is not None  # cluster 3 is all of cluster 0 but one
    (tmp_path / "reviewing.yaml").write_text(PIPELINE)
    copied = shutil.copytree(run.record.source, tmp_path / "again")
    newer = shoal.run(tmp_path / "reviewing.yaml", copied, run.store.root.uri, options=shoal.RunOptions(where="local"))
    before = tasks(server, open_(newer, server)["clusters"])
    was = {task["id"]: key for key, task in before.items()}
    _rename(label_studio, before["cluster:0"], "fire")
    assert sync(newer, server, earlier).new == 1
    carry(newer, run.look())
    _rename(label_studio, before["cluster:1"], "water")  # nobody opened the review again yet

    one = open_(newer.look(), server)["clusters"]
    filled = one.filled
    assert (filled.created, filled.updated, filled.answered, filled.unchanged, filled.spare) == (2, 1, 1, 0, 1)
    now, base = list(server.tasks(number(one))), newer.look().base
    shown = {was[task["id"]]: (task["data"]["shoal_task"], task["data"]["shoal_base"]) for task in now if task["id"] in was}
    assert shown == {"cluster:0": ("cluster:0", "0"), "cluster:1": ("cluster:1", "0"), "cluster:2": ("cluster:2", base)}
    asked = {task["data"]["shoal_task"]: task for task in now if task["id"] not in was}
    assert set(asked) == {"cluster:0", "cluster:3"}  # cluster 0 was kept with an image that lies elsewhere now
    assert [item["id"] for item in asked["cluster:0"]["data"]["items"]] == [first]
    followed = next(task for task in now if task["data"]["shoal_task"] == "cluster:2")
    stale = _stale(label_studio, followed, before["cluster:2"]["predictions"][0]["id"])
    told = sync(newer, server, earlier)
    assert (told.new, [trouble.annotation for trouble in told.partly]) == (2, [stale])
    label_studio.call("DELETE", f"/api/annotations/{stale}/")
    assert sync(newer, server, earlier).deleted == 1
    _rename(label_studio, asked["cluster:0"], "lone")
    assert sync(newer, server, earlier).new == 1
    made = make_version(newer)
    assert (made.conflicts, made.unsettled) == ((), ())
    names = {row["cluster"]: row["label"] for row in newer.look().version_table("label").to_pylist()}
    assert [names[cluster] for cluster in (0, 1, 3)] == ["lone", "water", "fire"]
    again = open_(newer.look(), server)["clusters"].filled
    assert (again.created, again.updated, again.answered, again.unchanged) == (0, 0, 2, 2)
    label_studio.call("DELETE", f"/api/annotations/{_annotation(server, one, 'cluster:0', '0')}/")
    assert sync(newer, server, earlier).deleted == 1  # of the two tasks of that name, the one that showed the old numbers
    assert make_version(newer).version is not None
    names = {row["cluster"]: row["label"] for row in newer.look().version_table("label").to_pylist()}
    assert [names[cluster] for cluster in (0, 3)] == ["lone", "warm"]


def _rename(label_studio: LabelStudio, task: dict[str, object], name: str) -> None:
    """Submit that a cluster is called otherwise, and all its images stay."""
    result = [dict(part) for part in task["predictions"][0]["result"]]  # type: ignore[index]
    for part in result:
        if part["from_name"] == "cluster_label":
            part["value"] = {"text": [name]}
    label_studio.annotate(task["id"], result)


def _stale(label_studio: LabelStudio, task: dict[str, object], prediction: int) -> int:
    """Submit what a browser does that had a task open while it got other numbers, and return the number of the annotation.

    From the prediction that it showed, Label Studio takes nothing; from a draft it does.
    """
    result, url = task["predictions"][0]["result"], f"/api/tasks/{task['id']}"  # type: ignore[index]
    submitted = {"result": result, "lead_time": 3600.0}
    refused = label_studio.call("POST", f"{url}/annotations/", json={**submitted, "parent_prediction": prediction})
    assert refused.status_code == 400
    draft = label_studio.call("POST", f"{url}/drafts", json=submitted).json()["id"]
    made = label_studio.call("POST", f"{url}/annotations/", json={**submitted, "draft_id": draft})
    assert made.status_code == 201
    return int(made.json()["id"])


def _annotation(server: Server, opened: Opened, key: str, base: str) -> int:
    """Return the number of the annotation of a task of some base."""
    (found,) = [
        annotation["id"]
        for task in server.tasks(number(opened))
        for annotation in task["annotations"]
        if (task["data"]["shoal_task"], task["data"]["shoal_base"]) == (key, base)
    ]
    return int(found)
