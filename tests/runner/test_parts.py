"""Steps done for some images, several at once: rows are never mixed up, lost, or kept under a name that means others."""

from collections.abc import Iterator
from typing import ClassVar

import pyarrow as pa
import pytest

from shoal.contract import Batch, Context, ImageSpec, MapStage, RowsFailed
from shoal.errors import PipelineError
from shoal.host import Host
from shoal.kinds import Captioner, Distiller, Sampler, Visualizer
from shoal.reporting import clusters_table
from shoal.schema import columns

from .conftest import Go, computed

pytestmark = pytest.mark.processes

HEAD = """
shoal: 1
name: parts
max_failed: 1
steps:
  - use: index.folder
  - use: embed.colours
  - use: cluster.split
"""


class Named(Captioner):
    """Captions that hold the beginning of the id."""

    name: ClassVar[str] = "named"
    miss: str | None = None
    says: str = "picture"

    def identity(self) -> dict[str, object]:
        """Leave out what the stage fails at."""
        found = super().identity()
        found["options"] = {"says": self.says}
        return found

    def map(self, batch: Batch) -> pa.Table:
        ids = batch.rows["id"].to_pylist()
        good = pa.table([pa.array([f"{self.says} {name[:8]}" for name in ids if name != self.miss])], schema=self.produces())
        if self.miss in ids:
            raise RowsFailed(good, {ids.index(self.miss): ValueError("no words")})
        return good


class Echo(Distiller):
    """The words of the caption; raises at none."""

    name: ClassVar[str] = "echo"

    def map(self, batch: Batch) -> pa.Table:
        words = [caption.split() for caption in batch.rows["caption"].to_pylist()]
        return pa.table([pa.array(words, pa.list_(pa.string()))], schema=self.produces())


class Maybe(MapStage):
    """Reads a caption where there is one."""

    kind: ClassVar[str] = "measure"
    name: ClassVar[str] = "maybe"
    optional: ClassVar[pa.Schema] = columns(caption=pa.string())

    def produces(self) -> pa.Schema:
        return columns(told=pa.string())

    def map(self, batch: Batch) -> pa.Table:
        captions = batch.rows["caption"].to_pylist() if "caption" in batch.rows.column_names else [None] * len(batch)
        return pa.table([pa.array([caption or "nothing" for caption in captions])], schema=self.produces())


class Sight(MapStage):
    """Essential; can't see one image."""

    kind: ClassVar[str] = "measure"
    name: ClassVar[str] = "sight"
    blind: str | None = None

    def identity(self) -> dict[str, object]:
        found = super().identity()
        found["options"] = {}
        return found

    @property
    def image(self) -> ImageSpec:
        return ImageSpec(8, 8, fit="stretch", resample="bilinear")

    def produces(self) -> pa.Schema:
        return columns(bright=pa.float32())

    def map(self, batch: Batch) -> pa.Table:
        if self.blind in batch.rows["id"].to_pylist():
            raise ValueError("too dark")
        return pa.table(
            [pa.array([float(image.mean()) for image in batch.images or []], pa.float32())], schema=self.produces()
        )


class First(Sampler):
    """Picks images by their place."""

    name: ClassVar[str] = "first"
    start: int = 0
    stop: int = 4

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        ids = rows["id"].to_pylist()[self.start : self.stop]
        return pa.table({"id": ids, "rank": pa.array(range(len(ids)), pa.int32())})


class Drawing(Visualizer):
    """A fragment with the captions that it sees."""

    name: ClassVar[str] = "drawing"
    optional: ClassVar[pa.Schema] = columns(caption=pa.string())

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        text = ",".join(caption or "-" for caption in rows["caption"].to_pylist())
        return pa.table({"id": ["drawing"], "title": [""], "html": [text], "style": [""], "script": [""]})


STAGES = (Named, Echo, Maybe, Sight, First, Drawing)


@pytest.fixture(autouse=True)
def stages(host: Host) -> Iterator[None]:
    for stage in STAGES:
        host.stages[stage.kind, stage.name] = stage
    yield
    for stage in STAGES:
        del host.stages[stage.kind, stage.name]


def values(run: object, step: str, column: str) -> dict[str, object]:
    table = run.table(step)  # type: ignore[attr-defined]
    return dict(zip(table["id"].to_pylist(), table[column].to_pylist(), strict=True))


def test_twins_that_read_other_parts_get_their_own_rows(go: Go) -> None:
    text = (
        HEAD
        + """
  - {use: sample.first, as: low}
  - {use: sample.first, as: high, with: {start: 20, stop: 24}}
  - {use: caption.named, as: a, only: low}
  - {use: caption.named, as: b, only: high}
  - {use: distil.echo, as: da, from: a}
  - {use: distil.echo, as: db, from: b}
"""
    )
    run = go(text)
    assert run.unanswered.num_rows == 0
    found = values(run, "db", "keywords")
    assert found == {name: ["picture", name[:8]] for name in run.images["id"].to_pylist()[20:]}
    assert len(values(run, "da", "keywords")) == 4


def test_an_image_missed_beside_an_image_rejected(go: Go) -> None:
    ids = go(HEAD).images["id"].to_pylist()
    text = (
        HEAD
        + f"""
  - {{use: measure.sight, with: {{blind: {ids[3]}}}}}
  - {{use: caption.named, with: {{miss: {ids[5]}}}}}
  - {{use: distil.echo}}
"""
    )
    run = go(text)
    assert run.record.images == 23
    assert len(values(run, "caption", "caption")) == 22
    assert ids[5] not in values(run, "distil", "keywords")
    assert run.unanswered["reason"].to_pylist() == ["ValueError: no words"]


def test_optional_columns_of_map_steps_are_not_kept_as_missing(go: Go) -> None:
    text = (
        HEAD
        + """
  - use: sample.first
  - {use: caption.named, only: sample}
  - use: measure.maybe
"""
    )
    go(text)
    run = go(text, ("caption.only=all",))
    assert "nothing" not in values(run, "measure", "told").values()


def test_steps_that_cover_other_images_are_a_choice(go: Go) -> None:
    text = (
        HEAD
        + """
  - {use: sample.first, as: low}
  - {use: sample.first, as: high, with: {start: 20, stop: 24}}
  - {use: caption.named, as: a, only: low}
  - {use: caption.named, as: b, only: high}
  - use: visualize.drawing
"""
    )
    with pytest.raises(PipelineError, match="which the steps 'a', 'b' make; say which with `from:`"):
        go(text)


def test_images_picked_from_vectors_are_not_made_from_them(go: Go) -> None:
    text = (
        HEAD
        + """
  - use: sample.first
  - {use: embed.colours, as: small, with: {side: 8}, only: sample}
  - {use: cluster.split, as: again}
"""
    )
    with pytest.raises(PipelineError, match="which the steps 'embed', 'small' make; say which with `from:`"):
        go(text)


def test_a_drawing_picks_no_images(go: Go) -> None:
    text = (
        HEAD
        + """
  - {use: caption.named, as: all-of-them}
  - use: visualize.drawing
  - {use: caption.named, only: visualize}
"""
    )
    with pytest.raises(PipelineError, match="which picks none"):
        go(text)


def test_nothing_picked_is_a_step_without_rows(go: Go) -> None:
    text = (
        HEAD
        + """
  - {use: sample.first, with: {stop: 0}}
  - {use: caption.named, only: sample}
  - {use: embed.colours, as: small, with: {side: 8}, only: sample}
  - use: distil.echo
  - {use: reduce.centre, from: embed}
  - use: visualize.drawing
"""
    )
    run = go(text)
    assert run.table("caption").num_rows == run.table("distil").num_rows == 0
    assert set(run.joined(["caption"])["caption"].to_pylist()) == {None}
    assert run.table("visualize")["html"].to_pylist() == [",".join(["-"] * 24)]
    again = go(text, ("sample.stop=3",))
    assert computed(again)["caption"] == 3
    assert again.joined(["small.embedding"])["small.embedding"].null_count == 21
    none = go(text)
    assert computed(none)["visualize"] == 0
    assert run.joined(["small.embedding"])["small.embedding"].null_count == 24


def test_the_work_of_twins_is_counted_once(go: Go) -> None:
    text = (
        HEAD
        + """
  - use: sample.first
  - {use: sample.first, as: more, with: {start: 2, stop: 12}}
  - {use: caption.named, as: a, only: sample}
  - {use: caption.named, as: b, only: more}
"""
    )
    run = go(text)
    a, b = run.record.step("a"), run.record.step("b")
    assert (a.rows, a.computed, a.cached) == (4, 4, 0)
    assert (b.rows, b.computed, b.cached) == (10, 8, 2)


def test_forced_rows_are_followed_by_what_is_made_from_them(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        HEAD
        + """
  - use: sample.first
  - {use: caption.named, only: sample}
  - use: distil.echo
"""
    )
    go(text)
    whole = Named.map

    def other(self: Named, batch: Batch) -> pa.Table:
        ids = batch.rows["id"].to_pylist()
        return pa.table([pa.array([f"photograph {name[:8]}" for name in ids])], schema=self.produces())

    monkeypatch.setattr(Named, "map", other)
    run = go(text, force=frozenset({"caption"}))
    assert {words[0] for words in values(run, "distil", "keywords").values()} == {"photograph"}
    monkeypatch.setattr(Named, "map", whole)
    assert set(computed(go(text)).values()) == {0}


def test_an_image_that_was_counted_is_not_rejected_afterwards(go: Go) -> None:
    """A step with `only` comes after the tables that picked its images: these count what it fails on."""
    victim = go(HEAD).images["id"][3].as_py()
    text = (
        HEAD
        + f"""
  - use: sample.first
  - {{use: embed.colours, as: small, with: {{side: 8, stop_at: {victim}}}, only: sample}}
  - use: measure.brightness
    from: small
  - use: label.numbered
"""
    )
    run = go(text)
    assert sum(row["size"] for row in clusters_table(run).to_pylist()) == run.record.images == 24
    assert run.unanswered["step"].to_pylist() == ["small"]
    assert run.table("small").num_rows == run.table("measure").num_rows == 3


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_parts_on_ray_are_those_of_this_process(go: Go) -> None:
    victim = go(HEAD).images["id"][2].as_py()
    text = (
        HEAD
        + f"""
  - use: sample.first
  - {{use: sample.first, as: none, with: {{stop: 0}}}}
  - {{use: caption.named, only: sample, with: {{miss: {victim}}}}}
  - {{use: embed.colours, as: small, with: {{side: 8}}, only: none}}
  - use: distil.echo
  - use: visualize.drawing
"""
    )
    forced = frozenset({"cluster", "sample", "none", "caption", "distil", "visualize"})
    there = go(text, where="ray", force=forced)
    here = go(text, force=forced)
    assert there.record.step("caption").where == "ray: 2 x 1 cpu"
    for step in ("caption", "distil", "small", "visualize"):
        assert there.table(step).equals(here.table(step)), step
    assert there.unanswered.equals(here.unanswered)
    assert there.unanswered.num_rows == 1
