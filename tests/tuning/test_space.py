"""Space files: values of ranges, mistakes told with their line, the default, the bound that is kept."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import PipelineError, UsageError
from shoal.host import Host
from shoal.pipeline import Pipeline, override, parse
from shoal.tuning import space as spaces
from shoal.tuning.space import Dimension, Space

from .conftest import PIPELINE


def written(folder: Path, text: str) -> Path:
    path = folder / "space.yaml"
    path.write_text(f"shoal-space: 1\noptions:\n{text}")
    return path


@pytest.mark.parametrize(
    ("option", "said", "values"),
    [
        ("reduce.components", "[2, 4, 8]", (2, 4, 8)),
        ("reduce.components", "{from: 2, to: 8, step: 3}", (2, 5, 8)),
        ("reduce.components", "{from: 2, to: 6}", (2, 3, 4, 5, 6)),
        ("reduce.components", "{from: 1, to: 256, log: true}", (1, 2, 3, 6, 12, 22, 40, 75, 138, 256)),
        ("cluster.selection_epsilon", "{from: 0, to: 0.3, step: 0.1}", (0.0, 0.1, 0.2, 0.3)),
        ("cluster.selection_epsilon", "{from: 0.0, to: 0.45}", tuple(round(0.05 * place, 10) for place in range(10))),
        ("cluster.selection_method", "[leaf, eom]", ("leaf", "eom")),
    ],
)
def test_values(tmp_path: Path, pipeline: Pipeline, host: Host, option: str, said: str, values: tuple[object, ...]) -> None:
    found = spaces.load(written(tmp_path, f"  {option}: {said}\n"), pipeline, host)
    (dimension,) = found.dimensions
    assert (dimension.option, dimension.values) == (option, values)
    assert dimension.ordered == (option != "cluster.selection_method")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "reduce.component: [2]",
            "space.yaml:3: option `component` of reduce.pca does not exist; did you mean 'components'?",
        ),
        ("redoce.components: [2]", "space.yaml:3: there is no step 'redoce'; did you mean 'reduce'?"),
        ("reduce.components: [2, 0]", "space.yaml:3: option `components` of reduce.pca must be at least 1, not 0"),
        (
            "reduce.components: {from: 2, too: 8}",
            "space.yaml:3: `reduce.components`: `too` does not exist; did you mean 'to'?",
        ),
        ("reduce.components: {from: 8, to: 2}", "`from` and `to`, the first one smaller"),
        ("reduce.components: {from: 2, to: 8, step: 0}", "`step` must be a number over 0"),
        ("reduce.components: {from: 0, to: 8, log: true}", "a logarithmic range begins over 0"),
        ("reduce.components: 8", "give a list of values, or {from: 2, to: 20}, not 8"),
        ("reduce.components: []", "one at least"),
        ("reduce.components: [2, 2]", "each once"),
        ("components: [2]", "is no STEP.OPTION"),
        ("reduce.run: [2]", "is no STEP.OPTION"),
        ("cluster.min_samples: [20]", "every cluster.min_samples is over every cluster.min_cluster_size"),
    ],
)
def test_mistakes_name_the_line_and_the_mend(tmp_path: Path, pipeline: Pipeline, host: Host, said: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        spaces.load(written(tmp_path, f"  {said}\n"), pipeline, host)
    assert told in str(caught.value)


def test_all_mistakes_are_told_at_once(tmp_path: Path, pipeline: Pipeline, host: Host) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("shoal-space: 2\noption: {}\noptions:\n  reduce.component: [2]\n")
    with pytest.raises(PipelineError) as caught:
        spaces.load(path, pipeline, host)
    assert len(str(caught.value).splitlines()) == 3
    assert "`option` does not exist; did you mean 'options'?" in str(caught.value)


def test_one_value_of_a_bounded_pair_is_no_mistake(tmp_path: Path, host: Host) -> None:
    strict = override(parse(PIPELINE, host), host, ["cluster.samples_within_size=true"])
    text = "  cluster.min_samples: [2, 8]\n  cluster.min_cluster_size: [2, 8]\n"
    found = spaces.load(written(tmp_path, text), strict, host)
    assert found.repaired((1, 0)) == (0, 0)


def test_the_default_is_for_umap_and_hdbscan(host: Host, pipeline: Pipeline) -> None:
    with pytest.raises(UsageError, match="--space"):
        spaces.default(pipeline, "cluster", "reduce", 214)
    umap = override(parse(PIPELINE.replace("reduce.pca", "reduce.umap"), host), host, [])
    found = spaces.default(umap, "cluster", "reduce", 10_000)
    values = found.values(found.nearest({}))
    assert {option.partition(".")[2] for option in values} == {
        "components", "neighbors", "min_cluster_size", "min_samples", "selection_epsilon", "selection_method",
    }  # fmt: skip
    sizes = next(d for d in found.dimensions if d.option == "cluster.min_cluster_size")
    assert (sizes.values[0], sizes.values[-1]) == (4, 200)
    for dimension in found.dimensions:
        for value in dimension.values:
            override(umap, host, [f"{dimension.option}={value}"])


numbers = st.lists(st.integers(2, 30), min_size=1, max_size=6, unique=True).map(lambda values: tuple(sorted(values)))


@given(numbers, numbers, st.data())
def test_a_repaired_candidate_keeps_the_bound(low: tuple[int, ...], high: tuple[int, ...], data: st.DataObject) -> None:
    if min(low) > max(high):
        return
    space = Space((Dimension("c.min_samples", low, True), Dimension("c.min_cluster_size", high, True)), ((0, 1),))
    genes = tuple(data.draw(st.integers(0, len(d.values) - 1)) for d in space.dimensions)
    fixed = space.repaired(genes)
    samples, size = space.values(fixed).values()
    assert isinstance(samples, int)
    assert isinstance(size, int)
    assert samples <= size
    before = list(space.values(genes).values())
    if before[0] <= before[1]:  # type: ignore[operator]
        assert fixed == genes
    assert space.repaired(fixed) == fixed


def test_a_bound_holds_against_the_pipelines_own_value(tmp_path: Path, pipeline: Pipeline, host: Host) -> None:
    found = spaces.load(written(tmp_path, "  cluster.min_samples: [2, 3, 9]\n"), pipeline, host)
    assert found.values(found.repaired((2, 0))) == {"cluster.min_samples": 3, "cluster.min_cluster_size": 5}
