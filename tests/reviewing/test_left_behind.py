"""What could not be carried is listed for review: what, its name, who decided what and when, why, and where it is now."""

from pathlib import Path

import pytest

import shoal
from shoal.host import Host
from shoal.reviewing import make_version
from tests.cli.conftest import call
from tests.decisions.answers import confirm, keep, move, rename

from .conftest import BLUE, PIPELINE, RED, colours, image, make, say

pytestmark = pytest.mark.processes


@pytest.fixture
def later(host: Host, tmp_path: Path) -> shoal.Run:
    """A run of the reds and greys of an earlier one, in which people named the blues and sent images to them."""
    folder, pipeline = tmp_path / "colours", PIPELINE.replace("  - use: visualize.counts\n", "")
    first = make(colours(folder), tmp_path / "out", host, pipeline)
    say(first, "cluster:0", move(BLUE, image(first, "red0")), who="eve\x1b[31m")
    say(first, "cluster:2", rename(BLUE, "=sea"), keep(image(first, "blue1")), key="named")
    say(first, f"rescue:{image(first, 'grey0')}", confirm(BLUE, image(first, "grey0")), who="bob")
    assert make_version(first).version is not None
    for file in folder.glob("blue*"):
        file.unlink()
    return make(folder, tmp_path / "out", host, pipeline)


def test_status_history_and_carry_list_all_of_what_was_left_behind(later: shoal.Run) -> None:
    out = later.store.root.local
    carried = call("review", "carry", out, "--json").json
    assert carried["fresh"] == 0
    lost = {row["subject"]: row for row in carried["lost"]}
    red, grey = f"image:{image(later, 'red0')}", f"image:{image(later, 'grey0')}"
    gone = "cluster 2 was not carried"
    day = "2026-01-01"
    assert [(lost[key][name], lost[key]["at"][:10]) for key in (red, grey) for name in ("what", "by", "label", "why")] == [
        (word, day) for word in ("move", "eve\x1b[31m", "=sea", gone, "confirm", "bob", "=sea", gone)
    ]
    (blue,) = [row for row in lost.values() if row["why"] == "the image is not in the new run"]
    assert (blue["what"], blue["by"]) == ("keep", "ann")
    named = lost["cluster:2"]
    assert (named["label"], named["what"], named["by"]) == ("=sea", "rename", "ann")
    assert named["why"].endswith(f"; named by ann on {day}; it was blue")
    assert len(lost) == 4
    for command in ("status", "history"):
        assert call("review", command, out, "--json").json["lost"] == carried["lost"]


def test_people_read_where_each_image_is_now(later: shoal.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)  # xdist sets it, and narrow terminals show fewer columns
    out = later.store.root.local
    told = [call("review", command, out).out for command in ("carry", "status", "history")]
    for page in told:
        (_, listed) = page.split("Not carried\n")
        (red,) = [line for line in listed.splitlines() if "red0.png" in line]
        assert red.split()[-1] == str(RED)
        assert "cluster 2 was not carried" in red
        assert "\x1b" not in page
    assert "Not carried" not in call("review", "status", out, "--run", shoal.open(out).versions[0].came_from).out
