from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import PipelineError
from shoal.pipeline import Pipeline, RunSettings, override, parse

from .conftest import GOOD
from .stages import Listing, Named, Tiny


def test_options_settings_sources_and_keys_are_set(good, host):
    made = parse(
        good,
        host,
        [
            "cluster.min_cluster_size=15",
            "cluster.metric=cosine",
            "reduce.min_dist = 1e-2",
            "embed.run.batch=64",
            "reduce.run.batch=8",
            "cluster.from=[embed, reduce]",
            "max_failed=0.1",
            "name=mine",
            "embed.input.mean=0.25",
            "index.formats=[png, webp]",
        ],
    )
    cluster = made.step("cluster")
    assert (cluster.stage.min_cluster_size, cluster.stage.metric.value, cluster.stage.method) == (15, "cosine", "eom")
    assert made.step("reduce").stage.min_dist == 0.01
    assert made.step("embed").settings == RunSettings(batch=64)
    assert made.step("reduce").settings == RunSettings(actors=2, batch=8, cpus=0.5, gpus=0)
    assert cluster.sources == ("embed", "reduce")
    assert (made.max_failed, made.name) == (0.1, "mine")
    assert (made.step("embed").stage.input.mean, made.step("embed").stage.input.size) == (0.25, (224, 224))
    assert made.step("index").stage.formats == ("png", "webp")


def test_a_stage_is_replaced_and_keeps_name_sources_and_settings(good, host):
    made = parse(good, host, ["embed=named:vit_small.patch14:reg=4", "embed.run.gpus=1"])
    step = made.step("embed")
    assert (step.stage.title(), step.stage.model, step.stage.width) == ("embed.named", "vit_small.patch14:reg=4", 4)
    assert (step.settings.gpus, step.line, made.names[1]) == (1, 9, "embed")
    assert parse(good, host, ["visualize=visualize.other"]).step("visualize").stage.title() == "visualize.other"
    short = parse(good, host, ["reduce=short:7"]).step("reduce")
    assert (short.stage.components, short.sources, short.settings.batch) == (7, ("embed",), 32)


def test_options_of_the_kind_stay_where_a_stage_is_replaced(good, host):
    """How images are prepared is no matter of the model."""
    prepared = override(parse(good, host), host, ["embed.prepare.grayscale=true", "embed.input.mean=0.25"])
    stage = override(prepared, host, ["embed=named:resnet50"]).step("embed").stage
    assert isinstance(stage, Named)
    assert stage.prepare.grayscale
    assert stage.input.mean != 0.25, "an option of the stage that is gone"


def test_options_belong_to_the_stage_that_runs_whatever_the_order(good, host):
    one = parse(good, host, ["embed.width=9", "embed=named:a"])
    two = parse(good, host, ["embed=named:a", "embed.width=9"])
    assert one == two
    assert one.step("embed").stage.width == 9


def test_a_later_override_wins(good, host):
    made = parse(good, host, ["cluster.min_cluster_size=3", "embed=named:a", "embed=named:b", "cluster.min_cluster_size=4"])
    assert made.step("cluster").stage.min_cluster_size == 4
    assert made.step("embed").stage.model == "b"


def test_an_override_mends_a_bad_value_of_the_file(host):
    text = "shoal: 1\nsteps:\n  - use: index.folder\n  - use: reduce.short\n    with: {components: 0}\n"
    assert parse(text, host, ["reduce.components=3"]).step("reduce").stage.components == 3
    assert parse(text, host, ["reduce=short"]).step("reduce").stage.components == 5


@pytest.mark.parametrize(
    ("value", "means"),
    [
        ("a: b # c", "a: b # c"),
        ("'7'", "7"),
        ('"x\\ty"', "x\ty"),
        ("- a", "- a"),
        ("*x", "*x"),
        ("&tag x", "&tag x"),
        ("on", "on"),
        ("a=b", "a=b"),
        ("  x ", "x"),
    ],
)
def test_a_value_is_one_scalar_unless_it_opens_a_list_mapping_or_quote(value, means, good, host):
    assert parse(good, host, [f"cluster.note={value}"]).step("cluster").stage.note == means


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "cluster.min_cluster_sise=3",
            "option `min_cluster_sise` of cluster.groups does not exist; did you mean 'min_cluster_size'?",
        ),
        ("cluster.min_cluster_size=1", "option `min_cluster_size` of cluster.groups must be at least 2, not 1"),
        ("clustr.min_cluster_size=3", "there is no step 'clustr'; did you mean 'cluster'?"),
        ("qqq.x=3", "there is no step 'qqq'; steps: index, embed, reduce, cluster, visualize"),
        ("groups.min_cluster_size=3", "there is no step 'groups'; the step that uses cluster.groups is called 'cluster'"),
        ("min_cluster_size=3", "'min_cluster_size' is an option, not a step; did you mean cluster.min_cluster_size?"),
        ("max_faild=0.3", "there is no step 'max_faild'; did you mean 'max_failed'?"),
        ("max_failed=3", "`max_failed` must be at most 1, not 3"),
        ("embed=nmaed:x", "there is no stage 'nmaed' of kind 'embed'; did you mean 'named'?"),
        ("embed=qqq", "there is no stage 'qqq' of kind 'embed'; stages of kind 'embed': named, tiny"),
        ("embed=embed.nmaed", "there is no stage 'embed.nmaed' of kind 'embed'; did you mean 'named'?"),
        ("embed=reduce.short", "step 'embed' is of kind 'embed', so reduce.short can't take its place"),
        ("embed=tiny:x", "embed.tiny takes nothing after `:`; set its options by name: --set embed.OPTION=VALUE"),
        ("embed=named", "option `model` of embed.named is missing; it has no default"),
        ("reduce=short:many", "option `components` of reduce.short must be a whole number, not 'many'"),
        ("embed.run.batch=0", "`run.batch` of step 'embed' must be at least 1, not 0"),
        ("embed.run.bacth=1", "`run.bacth` of step 'embed' does not exist; did you mean 'batch'?"),
        ("embed.run=3", "say which setting: embed.run.batch=VALUE"),
        ("embed.use=named", "write embed=STAGE to give the step another stage"),
        ("embed.as=named", "a step is renamed in the file"),
        ("embed.with.width=3", "options are set without `with`: embed.width=VALUE"),
        ("reduce.from=embd", "`from` names the unknown step 'embd'; did you mean 'embed'?"),
        ("embed.width.even.more=3", "'width' is no mapping, so it has no part 'even.more'"),
        ("embed.width.more=3", "'width' is no mapping, so it has no part 'more'"),
        ("embed.input.meen=3", "option `input.meen` of embed.tiny does not exist"),
        ("embed.width=[1", "not YAML"),
        ("index.formats=[a, &b !x c]", "the tag '!x' is not allowed"),
        ("embed", "an override is STEP.OPTION=VALUE, STEP=STAGE or KEY=VALUE"),
        ("", "an override is STEP.OPTION=VALUE"),
        ("=3", "an override is STEP.OPTION=VALUE"),
        ("embed..width=3", "an override is STEP.OPTION=VALUE"),
        ("steps=3", "there is no step 'steps'"),
    ],
)
def test_a_wrong_override_is_told_with_its_text(override, message, good, host):
    with pytest.raises(PipelineError) as caught:
        parse(good, host, [override])
    told = str(caught.value)
    assert told.startswith(f"--set {override}: ")
    assert message in told
    assert "\n" not in told


def test_mistakes_of_overrides_and_file_are_told_together(good, host):
    with pytest.raises(PipelineError) as caught:
        parse(good.replace("width: 8", "width: 800"), host, ["reduce.components=0", "nothing.x=1"], where="f.yaml")
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[0] for line in lines] == ["--set nothing.x=1", "f.yaml:11", "--set reduce.components=0"]


def test_overrides_of_a_step_whose_stage_is_unknown_tell_that_only(good, host):
    text = good.replace("embed.tiny", "embed.tny")
    for key in ("embed.input.mean", "embed.x.y.z", "cluster.weights.new"):
        with pytest.raises(PipelineError) as caught:
            parse(text, host, [f"{key}=1"], where="f.yaml")
        assert str(caught.value) == "f.yaml:9: there is no stage 'embed.tny'; did you mean embed.tiny?"
    with pytest.raises(PipelineError, match=r"--set seed=1: 'seed' is an option, not a step; did you mean reduce\.seed\?"):
        parse(text, host, ["seed=1"])


def test_a_pipeline_made_in_python_takes_overrides_too(host):
    made = Pipeline.of([Listing(), Tiny(width=3)], name="mine")
    assert override(made, host, []) is made
    assert override(made, host, ["embed=named:x", "embed.width=2"]).step("embed").stage == Named(model="x", width=2)
    with pytest.raises(PipelineError, match=r"--set embd.width=2: there is no step 'embd'"):
        override(made, host, ["embd.width=2"])


OVERRIDES = st.sampled_from(
    [
        "cluster.min_cluster_size=15",
        "cluster.min_cluster_size=3",
        "embed=named:a",
        "embed=tiny",
        "embed.width=9",
        "embed.input.mean=1",
        "embed.input={mean: 2}",
        "embed.run.batch=4",
        "max_failed=0.75",
        "reduce.from=[]",
        "reduce.from=embed",
    ]
)


@given(st.lists(OVERRIDES, max_size=6))
def test_overrides_given_twice_do_what_they_do_once(host, overrides):
    assert parse(GOOD, host, overrides + overrides) == parse(GOOD, host, overrides)


@given(st.text(max_size=40))
def test_any_text_as_an_override_is_refused_politely_or_taken(host, text):
    with suppress(PipelineError):  # anything else fails the test
        assert len(parse(GOOD, host, [text]).steps) == 5
