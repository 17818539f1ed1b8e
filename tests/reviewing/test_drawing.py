"""What shows clusters is drawn again once a version; what doesn't is left alone; suggestions follow the numbers."""

import json
from pathlib import Path

import shoal
from shoal.decisions import Decisions
from shoal.reporting import clusters_table, gather, write_report
from shoal.reviewing import make_version, undo
from shoal.reviewing.carry import carry
from tests.decisions.answers import merge, move, rename

from .conftest import BLUE, NOISE, RED, colours, image, make, members, say


def counts(run: shoal.Run) -> dict[str, int]:
    _, files = run.fragments("visualize")
    return json.loads((files / "counts.json").read_text())


def test_drawings_are_made_again_once_a_version_and_the_computed_ones_stay(run):
    assert counts(run) == {"None": 2, "blue": 6, "red": 6}
    say(run, "cluster:0", move(BLUE, image(run, "red0")), rename(RED, "warm"))
    make_version(run)
    now = run.look()
    assert counts(now) == {"None": 2, "blue": 7, "warm": 5}
    drawn = now.folder / now.version.folder / "drawn" / "visualize"
    before = drawn.local.stat().st_mtime_ns
    assert counts(run.look()) == {"None": 2, "blue": 7, "warm": 5}
    assert drawn.local.stat().st_mtime_ns == before
    assert counts(run.look(0)) == {"None": 2, "blue": 6, "red": 6}
    page = Path(write_report(now)).read_text()
    assert "warm: 5" in page
    undo(run)
    assert "warm: 5" not in Path(write_report(run.look())).read_text()


def test_the_report_counts_the_clusters_of_the_version(run):
    say(run, "cluster:0", merge(RED, BLUE))
    make_version(run)
    report = gather(run.look())
    assert report.title == "colours: 14 images in 1 clusters"
    assert dict(report.summary)["noise"] == str(NOISE)
    assert report.reviewed == "version 1, reviewed by ann, 1 change"
    assert report.history.num_rows == 1
    assert gather(run.look(0)).title == "colours: 14 images in 2 clusters"
    assert clusters_table(run.look())["size"].to_pylist() == [12, 2]


def test_suggestions_follow_a_cluster_that_was_merged(run):
    assert set(run.joined(["suggested"])["suggested"].to_pylist()) == {None, RED}
    say(run, "cluster:0", merge(RED, BLUE))
    make_version(run)
    assert set(run.look().joined(["suggested"])["suggested"].to_pylist()) == {None, BLUE}
    assert set(run.look().joined(["rescue.suggested"])["rescue.suggested"].to_pylist()) == {None, RED}
    assert set(run.look().current("rescue")["suggested"].to_pylist()) == {BLUE}


def test_a_carried_run_has_the_numbers_of_the_old_one_everywhere(run, host, tmp_path):
    say(run, "cluster:0", merge(RED, BLUE))
    make_version(run)
    other = make(colours(tmp_path / "again"), run.folder.local.parents[1], host)
    assert other.id != run.id
    made = carry(other, by="ann")
    assert made.version.came_from == run.id
    assert not made.lost
    now = other.look()
    assert members(now) == members(run.look())
    assert set(now.joined(["suggested"])["suggested"].to_pylist()) == {None, BLUE}
    assert counts(now) == {"None": 2, "blue": 12}
    assert Decisions.of(run.store).versions(other.id)[0].kind == "carried"
