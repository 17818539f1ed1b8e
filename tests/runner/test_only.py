"""`only:` with real samplers: what is computed, kept, shown to later steps and told, in this process and on Ray."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pytest
from pydantic import Field

from shoal.contract import Batch, Context, RowsFailed, Stage, TableStage
from shoal.errors import PipelineError, RunFailed
from shoal.host import Host
from shoal.kinds import Captioner, Distiller
from shoal.schema import columns
from shoal_plugins.sample.nearest import Nearest
from shoal_plugins.sample.noise import Noise

from .conftest import Go, computed

pytestmark = pytest.mark.processes

HEAD = """
shoal: 1
name: some
steps:
  - use: index.folder
  - use: embed.colours
  - {use: cluster.split, with: {noise: 3}}
  - use: sample.nearest
  - {use: sample.noise, as: noise}
"""
SOME = (
    HEAD
    + """
  - {use: caption.seen, only: [sample, noise], with: {log: LOG}}
"""
)
PICKED = 7  # two of each cluster, three of the noise


class Seen(Captioner):
    """Captions that hold the beginning of the id; says which it was asked for."""

    name: ClassVar[str] = "seen"
    aside: ClassVar[tuple[str, ...]] = ("log", "stuck", "alone")
    says: str = "picture"
    log: str = os.devnull
    stuck: tuple[str, ...] = Field((), description="Ids without an answer.")
    alone: bool = Field(True, description="Tells which rows failed; else raises for the whole batch.")

    def map(self, batch: Batch) -> pa.Table:
        ids = batch.rows["id"].to_pylist()
        with Path(self.log).open("a") as out:
            out.writelines(f"{name}\n" for name in ids)
        bad = {row: ValueError("no words") for row, name in enumerate(ids) if name in self.stuck}
        if bad and not self.alone:
            raise ValueError("no words")
        good = [f"{self.says} {name[:8]}" for row, name in enumerate(ids) if row not in bad]
        table = pa.table([pa.array(good, pa.string())], schema=self.produces())
        if bad:
            raise RowsFailed(table, bad)
        return table


class Words(Distiller):
    """The words of a caption; asks the captioner's model, once it knows it."""

    name: ClassVar[str] = "words"
    model: str = ""

    def bind(self, makers: Mapping[str, Stage]) -> "Words":
        maker = makers.get("caption")
        return self.model_copy(update={"model": maker.says}) if isinstance(maker, Seen) else self

    def map(self, batch: Batch) -> pa.Table:
        words = [[self.model, *caption.split()] for caption in batch.rows["caption"].to_pylist()]
        return pa.table([pa.array(words, pa.list_(pa.string()))], schema=self.produces())


class Told(TableStage):
    """A row an image that it sees: the caption, or that there is none."""

    kind: ClassVar[str] = "tell"
    name: ClassVar[str] = "all"
    optional: ClassVar[pa.Schema] = columns(caption=pa.string())

    def produces(self) -> pa.Schema:
        return columns(told=pa.string())

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        told = [caption or "nothing" for caption in rows["caption"].to_pylist()]
        return pa.table([rows["id"], pa.array(told, pa.string())], names=["id", "told"])


class ToldSome(Told):
    """The same; wants a caption."""

    name: ClassVar[str] = "some"
    consumes: ClassVar[pa.Schema] = columns(caption=pa.string())
    optional: ClassVar[pa.Schema] = pa.schema([])


@pytest.fixture(autouse=True)
def stages(host: Host) -> Iterator[None]:
    made: tuple[type[Stage], ...] = (Seen, Words, Told, ToldSome, Nearest, Noise)
    for stage in made:
        host.stages[stage.kind, stage.name] = stage
    yield
    for stage in made:
        del host.stages[stage.kind, stage.name]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.touch()
    return path


def asked(log: Path) -> list[str]:
    """Return the ids that the captioner was asked for since the last look."""
    found = log.read_text().split()
    log.write_text("")
    return found


def picked(run: object) -> set[str]:
    return {name for step in ("sample", "noise") for name in run.table(step)["id"].to_pylist()}  # type: ignore[attr-defined]


def test_just_the_named_images_are_computed_and_kept(go: Go, log: Path) -> None:
    run = go(SOME.replace("LOG", str(log)))
    ids = asked(log)
    assert len(ids) == PICKED
    assert set(ids) == picked(run) == set(run.table("caption")["id"].to_pylist())
    step = run.record.step("caption")
    assert (step.rows, step.computed, step.failed) == (PICKED, PICKED, 0)
    assert run.record.accepted == 24
    assert run.joined(["caption"])["caption"].null_count == 24 - PICKED
    assert computed(go(SOME.replace("LOG", str(log))))["caption"] == 0
    assert asked(log) == []


def test_all_after_some_computes_the_rest_and_back_again_nothing(go: Go, log: Path) -> None:
    text = SOME.replace("LOG", str(log))
    some = picked(go(text))
    asked(log)
    run = go(text, ("caption.only=all",))
    assert len(rest := asked(log)) == 24 - PICKED
    assert not some & set(rest)
    assert run.table("caption").num_rows == 24
    back = go(text)
    assert asked(log) == []
    assert set(back.table("caption")["id"].to_pylist()) == some


def test_another_choice_computes_what_is_new_in_it(go: Go, log: Path) -> None:
    text = SOME.replace("LOG", str(log))
    go(text, ("caption.only=noise",))
    assert len(asked(log)) == 3
    go(text)
    assert len(asked(log)) == PICKED - 3
    go(text, ("sample.per_cluster=3",))
    assert len(asked(log)) == 2


def test_later_tables_see_null_or_fewer_rows_and_are_answered_anew(go: Go) -> None:
    text = SOME.replace("LOG", os.devnull) + "  - {use: tell.all, as: every}\n  - {use: tell.some, as: few}\n"
    run = go(text)
    told = run.table("every")["told"].to_pylist()
    assert (len(told), told.count("nothing")) == (24, 24 - PICKED)
    assert set(run.table("few")["id"].to_pylist()) == picked(run)
    more = go(text, ("caption.only=all",))
    assert "nothing" not in more.table("every")["told"].to_pylist()
    assert more.table("few").num_rows == 24
    again = go(text)
    assert computed(again)["every"] == computed(again)["few"] == 0
    assert again.table("every").equals(run.table("every"))


@pytest.mark.parametrize("alone", [True, False])
def test_an_image_without_an_answer_stays_and_is_told(go: Go, log: Path, alone: bool) -> None:
    text = SOME.replace("LOG", str(log)) + "  - use: distil.words\n"
    victim = min(picked(go(HEAD)))
    options = (f"caption.stuck=[{victim}]", f"caption.alone={str(alone).lower()}")
    run = go(text, (*options, "max_failed=0.2"))
    assert run.record.accepted == run.images.num_rows == 24
    assert run.rejected.num_rows == 0
    (row,) = run.unanswered.to_pylist()
    assert (row["step"], row["reason"]) == ("caption", "ValueError: no words")
    assert row["path"] == dict(zip(*run.images.select(["id", "path"]).to_pydict().values(), strict=True))[victim]
    assert run.table("caption").num_rows == run.table("distil").num_rows == PICKED - 1
    assert run.record.step("caption").failed == 1
    assert len(asked(log)) == (PICKED if alone else 2 * PICKED)  # rows that failed alone cost the others nothing
    mended = go(text)
    assert asked(log) == [victim]
    assert mended.unanswered.num_rows == 0
    assert mended.table("distil").num_rows == PICKED


def test_too_many_without_an_answer_fail_loudly_and_what_was_answered_is_kept(go: Go, log: Path) -> None:
    text = SOME.replace("LOG", str(log))
    victims = sorted(picked(go(HEAD)))[:2]
    with pytest.raises(RunFailed, match=r"step 'caption' had no answer for 2 of 7 images, over max_failed=0\.2.*no words"):
        go(text, (f"caption.stuck=[{', '.join(victims)}]", "max_failed=0.2"))
    asked(log)
    go(text)
    assert sorted(asked(log)) == victims


def test_a_stage_is_completed_from_the_one_that_it_reads(go: Go) -> None:
    text = SOME.replace("LOG", os.devnull) + "  - use: distil.words\n"
    run = go(text)
    assert {words[0] for words in run.table("distil")["keywords"].to_pylist()} == {"picture"}
    other = go(text, ("caption.says=photo",))
    assert {words[0] for words in other.table("distil")["keywords"].to_pylist()} == {"photo"}
    assert other.record.step("distil").fingerprint != run.record.step("distil").fingerprint
    assert computed(go(text))["distil"] == 0


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("{use: caption.seen, only: nobody}", "'nobody'"),
        ("{use: caption.seen, only: caption}", "'caption'"),
        ("{use: caption.seen, only: later}", "'later'"),
        ("{use: caption.seen, only: index}", "'index', which picks none; name a step such as a sampler"),
        ("{use: caption.seen, only: embed}", "'embed', which picks none; name a step such as a sampler"),
        ("{use: caption.seen, only: label}", "'label', which picks none; name a step such as a sampler"),
        ("{use: tell.all, only: sample}", "says `only`, but tell.all sees all images at once; leave `only` out"),
        ("{use: caption.seen, only: 7}", "only"),
        ("{use: caption.seen, only: [all, sample]}", "only"),
    ],
)
def test_wrong_choices_are_one_sentence_with_their_line(go: Go, step: str, words: str) -> None:
    text = HEAD + f"  - use: label.numbered\n  - {step}\n  - {{use: sample.nearest, as: later}}\n"
    with pytest.raises(PipelineError) as told:
        go(text)
    message = str(told.value)
    assert words in message
    assert "\n" not in message
    line = 1 + text.splitlines().index(f"  - {step}")
    assert f"{line}" in message, message


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_the_same_on_ray(go: Go, log: Path) -> None:
    text = SOME.replace("LOG", str(log)) + "  - use: distil.words\n  - {use: tell.all, as: every}\n"
    victim = min(picked(go(HEAD)))
    run = go(text, (f"caption.stuck=[{victim}]", "max_failed=0.2"), where="ray")
    assert len(asked(log)) == PICKED
    assert run.unanswered["reason"].to_pylist() == ["ValueError: no words"]
    assert run.table("distil").num_rows == PICKED - 1
    here = go(text)
    assert asked(log) == [victim]
    assert here.table("every")["told"].to_pylist().count("nothing") == 24 - PICKED
    assert go(text, where="ray").table("every").equals(here.table("every"))
