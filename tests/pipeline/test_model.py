from contextlib import suppress

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal.errors import PipelineError
from shoal.pipeline import Pipeline, RunSettings, Step, parse
from shoal.pipeline.nodes import dump, read

from .stages import Chart, Groups, Listing, Short, Tiny

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,12}", fullmatch=True).filter(
    lambda name: name not in ("shoal", "name", "description", "max_failed", "steps")
)
FLOATS = st.floats(min_value=0, allow_nan=False)
GROUPS = st.builds(
    Groups,
    min_cluster_size=st.integers(2, 10**12),
    method=st.sampled_from(["leaf", "eom"]),
    eps=st.one_of(st.just("auto"), st.floats(allow_nan=False).filter(lambda eps: eps != 0.125)),
    weights=st.dictionaries(st.text(max_size=8), FLOATS, max_size=3),
    note=st.text(max_size=20).filter(lambda note: "!" not in note and note != "explode"),
)
SHORT = st.builds(
    Short,
    components=st.integers(1, 100),
    min_dist=FLOATS,
    seed=st.none() | st.integers(-(10**29), 10**29),
    whiten=st.booleans(),
)
TINY = st.builds(Tiny, width=st.integers(1, 64))
SETTINGS = st.builds(
    RunSettings,
    actors=st.none() | st.integers(1, 10_000),
    batch=st.none() | st.integers(1, 1_000_000),
    cpus=st.none() | st.floats(0, 4096),
    gpus=st.none() | st.floats(0, 64),
)


@st.composite
def pipelines(draw) -> Pipeline:
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    listing = Listing(formats=tuple(draw(st.lists(st.text(max_size=5), max_size=3))))
    steps = [Step(names[0], listing, (), draw(SETTINGS))]
    for place, name in enumerate(names[1:], 1):
        sources = draw(st.lists(st.sampled_from(names[:place]), unique=True, max_size=3))
        steps.append(Step(name, draw(st.one_of(GROUPS, SHORT, TINY)), tuple(sources), draw(SETTINGS)))
    title = draw(st.from_regex(r"[^\x00-\x1f\x7f]{1,30}", fullmatch=True))
    return Pipeline.of(steps, name=title, description=draw(st.text(max_size=30)), max_failed=draw(st.floats(0, 1)))


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(pipelines())
def test_a_pipeline_written_out_reads_back_the_same(host, made):
    assert parse(made.to_yaml(), host) == made


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**29), 10**29) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(VALUES)
def test_any_plain_value_reads_back_the_same(value):
    node, problems = read(dump({"value": value}), "text")
    assert problems == []
    assert node.plain() == {"value": value}
    assert repr(node.plain()) == repr({"value": value})


KEYS = ["shoal", "steps", "use", "as", "from", "with", "run", "index.folder", "embed.tiny", "width", "eps", "1", "---"]
MARKS = [
    "\n",
    "\n  ",
    "\n    ",
    "- ",
    ": ",
    "[",
    "]",
    "{",
    "}",
    "&a ",
    "*a",
    "!!int ",
    "'",
    '"',
    "|",
    ">",
    "%",
    "\t",
    "#",
    "? ",
]
WORDS = st.sampled_from(KEYS + MARKS)


@settings(deadline=None, max_examples=300)
@given(st.one_of(st.text(), st.lists(WORDS, max_size=40).map("".join), VALUES.map(dump)))
def test_garbage_raises_nothing_but_a_pipeline_error(host, text):
    with pytest.raises(PipelineError) as caught:
        parse(text, host)
    assert str(caught.value)


STEP = st.fixed_dictionaries(
    {"use": st.sampled_from(["index.folder", "embed.tiny", "embed.named", "cluster.groups", "nope"])},
    optional={
        "as": VALUES,
        "from": VALUES,
        "with": VALUES
        | st.dictionaries(st.sampled_from(["width", "input", "eps", "metric", "weights", "note", "model"]), VALUES),
        "run": VALUES | st.dictionaries(st.sampled_from(["actors", "cpus"]), VALUES),
    },
)


@settings(deadline=None, max_examples=200)
@given(
    st.fixed_dictionaries(
        {"shoal": st.just(1), "steps": st.lists(STEP, max_size=4)}, optional={"name": VALUES, "max_failed": VALUES}
    )
)
def test_nearly_right_files_make_a_pipeline_or_a_pipeline_error(host, data):
    with suppress(PipelineError):  # anything else fails the test
        assert parse(dump(data), host).steps[0].stage.kind == "index"


def test_written_out_it_is_plain_yaml_with_every_option(good, host):
    data = yaml.safe_load(parse(good, host).to_yaml())
    assert list(data) == ["shoal", "name", "description", "max_failed", "steps"]
    assert data["steps"][2] == {
        "use": "reduce.short",
        "from": "embed",
        "with": {"components": 5, "min_dist": 0.0, "seed": 42, "whiten": False},
        "run": {"actors": 2, "batch": 32, "cpus": 0.5, "gpus": 0.0},
    }
    assert data["steps"][3]["with"]["metric"] == "euclidean"


def test_it_is_built_from_stages_in_python(host):
    made = Pipeline.of(
        [
            Listing(),
            Tiny(width=3),
            Step.of(Tiny(), name="second"),
            Step.of(Short(), sources="second", settings=RunSettings(batch=1)),
        ],
        name="mine",
        max_failed=0,
    )
    assert made.names == ("index", "embed", "second", "reduce")
    assert made.step("reduce").sources == ("second",)
    assert parse(made.to_yaml(), host) == made


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([], "`steps` is empty"),
        ([Tiny()], r"step 1 \(embed\): the first step must find the images"),
        ([Listing(), Tiny(), Tiny()], r"step 3 \(embed\): a step named 'embed' exists already \(step 2\)"),
        (
            [Listing(), Step.of(Short(), sources=["embd"]), Tiny()],
            r"step 2 \(reduce\): `from` names the unknown step 'embd'; steps before",
        ),
        ([Listing(), Step.of(Chart(), name="steps")], "can't be named 'steps'"),
        ([Listing(), Listing()], "only the first step can be an index"),
    ],
)
def test_what_is_built_in_python_is_checked_the_same(steps, message):
    with pytest.raises(PipelineError, match=message):
        Pipeline.of(steps)


def test_the_share_that_may_fail_is_checked_in_python_too():
    with pytest.raises(PipelineError, match="pipeline: `max_failed` must be at most 1, not 50"):
        Pipeline.of([Listing()], max_failed=50)


def test_steps_and_pipelines_are_values():
    assert Step.of(Tiny()) == Step("embed", Tiny(), line=9)
    assert len({Pipeline.of([Listing(), Tiny()]), Pipeline.of([Listing(), Tiny()])}) == 1
