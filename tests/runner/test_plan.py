"""Columns that do not join up are an error before anything runs."""

import pytest

from shoal.errors import PipelineError
from shoal.host import Host
from shoal.pipeline import parse
from shoal.pipeline.plan import Plan, plan

HEAD = "shoal: 1\nname: p\nsteps:\n  - use: index.folder\n"


def planned(host: Host, *steps: str) -> Plan:
    return plan(parse(HEAD + "\n".join(f"  - {step}" for step in steps), host))


def sources(made: Plan, name: str) -> dict[str, str]:
    return {column: source.step for column, source in made.step(name).sources.items()}


def test_the_nearest_maker_of_a_chain_is_meant(host: Host) -> None:
    made = planned(host, "use: embed.colours", "use: reduce.centre", "use: cluster.split")
    assert sources(made, "cluster") == {"embedding": "reduce"}


def test_from_takes_another_maker(host: Host) -> None:
    made = planned(host, "use: embed.colours", "use: reduce.centre", "{use: cluster.split, from: embed}")
    assert sources(made, "cluster") == {"embedding": "embed"}


def test_two_makers_side_by_side_need_from(host: Host) -> None:
    with pytest.raises(PipelineError, match="which the steps 'embed', 'other' make; say which with `from:`"):
        planned(host, "use: embed.colours", "{use: embed.colours, as: other, with: {side: 8}}", "use: cluster.split")


def test_two_steps_of_the_same_stage_are_no_choice(host: Host) -> None:
    made = planned(host, "use: embed.colours", "{use: embed.colours, as: other}", "use: cluster.split")
    assert made.step("embed").fingerprint == made.step("other").fingerprint
    assert sources(made, "cluster") == {"embedding": "other"}


def test_a_column_that_nobody_makes_is_named(host: Host) -> None:
    with pytest.raises(
        PipelineError, match=r"step 'cluster' \(cluster.split\) reads the column 'embedding', which no earlier step makes"
    ):
        planned(host, "use: cluster.split")


def test_a_map_stage_can_not_read_a_table_stages_column(host: Host) -> None:
    with pytest.raises(PipelineError, match="works image by image"):
        planned(host, "use: embed.colours", "use: reduce.centre", "use: measure.brightness")


def test_fingerprints_hold_options_and_inputs_but_no_names_and_no_settings(host: Host) -> None:
    def prints(*steps: str) -> dict[str, str]:
        return {step.name: step.fingerprint for step in planned(host, *steps).steps}

    plain = prints("use: embed.colours", "use: cluster.split")
    named = prints("{use: embed.colours, as: eyes, run: {actors: 7}}", "use: cluster.split")
    other = prints("{use: embed.colours, with: {side: 8}}", "use: cluster.split")
    assert plain["embed"] == named["eyes"]
    assert plain["cluster"] == named["cluster"]
    assert plain["embed"] != other["embed"]
    assert plain["cluster"] != other["cluster"], "what is made from other vectors is something else"


def test_columns_by_cluster_come_through_the_cluster_that_was_named(host: Host) -> None:
    made = planned(host, "use: embed.colours", "use: cluster.split", "use: label.numbered", "use: organize.folders")
    label = made.step("organize").sources["label"]
    assert (label.step, label.by_cluster_of) == ("label", "cluster")
    assert sources(made, "organize")["paths"] == "index"
