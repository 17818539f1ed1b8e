"""Splits, placements and names as pure functions: nothing is lost, numbers are stable, halves are halves."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.decisions.resolve import resolve
from shoal.names import collision_key
from shoal.reviewing.apply import CLUSTERS, Base, apply
from shoal.reviewing.labels import LABELS
from shoal.reviewing.naming import distinct
from shoal.reviewing.splitting import split as divide
from tests.decisions.answers import answer, confirm, keep, merge, move, noise, rename, split

IDS = [f"i{number}" for number in range(8)]


def line(images):
    """Place an image on an arc, by its number."""
    angles = np.array([int(image[1:]) for image in images]) / 10
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def base(clusters, numbers=None) -> Base:
    table = pa.table({"id": IDS, "cluster": pa.array(clusters, pa.int32())})
    rows = [{"cluster": number, "label": f"L{number}", "reason": "r"} for number in sorted(set(clusters) - {-1})]
    return Base(table, pa.Table.from_pylist(rows, schema=LABELS), numbers or {}, max([*clusters, -1]))


SOME = st.lists(st.sampled_from(IDS), min_size=1, max_size=3)
NUMBER = st.integers(0, 4)
CHANGES = st.one_of(
    st.builds(lambda images: keep(*images), SOME),
    st.builds(lambda to, images: move(to, *images), NUMBER, SOME),
    st.builds(lambda images: noise(*images), SOME),
    st.builds(lambda to, images: confirm(to, *images), NUMBER, SOME),
    st.builds(rename, NUMBER, st.sampled_from(["a", "A", "L0", "L1"])),
    st.builds(merge, NUMBER, NUMBER),
    st.builds(lambda cluster, images: split(cluster, *images), NUMBER, SOME),
    st.builds(split, NUMBER),
)
ANSWERS = st.lists(
    st.builds(
        lambda task, changes, at: answer(task, *changes, at=at, key=f"{task}/{at}"),
        st.sampled_from(["cluster:0", "cluster:1", "cluster:3", "image:i0"]),
        st.lists(CHANGES, max_size=4),
        st.integers(0, 9),
    ),
    max_size=5,
)
WHERE = st.lists(st.integers(-1, 2), min_size=len(IDS), max_size=len(IDS))


@settings(deadline=None)
@given(WHERE, ANSWERS)
def test_every_image_has_one_place_and_names_are_distinct(clusters, answers):
    made = apply(base(clusters), resolve(answers), line)
    assert made.clusters.schema == CLUSTERS
    assert made.clusters["id"].to_pylist() == IDS
    assert made.clusters["before"].to_pylist() == clusters
    found = set(made.clusters["cluster"].to_pylist()) - {-1}
    assert made.labels["cluster"].to_pylist() == sorted(found)
    names = [collision_key(name) for name in made.labels["label"].to_pylist() if name]
    assert len(set(names)) == len(names)
    assert made.highest >= max([*found, -1])


@settings(deadline=None)
@given(WHERE, ANSWERS, ANSWERS)
def test_numbers_of_new_clusters_stay_whatever_else_is_said(clusters, answers, others):
    first = apply(base(clusters), resolve(answers), line)
    again = apply(base(clusters, first.numbers), resolve([*answers, *others]), line)
    assert first.numbers.items() <= again.numbers.items()
    assert len(set(again.numbers.values())) == len(again.numbers)
    assert not set(again.numbers.values()) & set(clusters)
    same = apply(base(clusters, first.numbers), resolve(answers), line)
    assert same.clusters.equals(first.clusters)
    assert same.labels.equals(first.labels)


@settings(deadline=None)
@given(WHERE)
def test_without_answers_nothing_changes(clusters):
    made = apply(base(clusters), resolve([]), line)
    assert made.clusters["cluster"].to_pylist() == clusters
    assert made.labels.drop(["by"]).equals(base(clusters).labels)
    assert made.summary == {}


def test_examples_pull_what_nobody_saw():
    assert divide(IDS, {"new": ["i7"]}, ["i0"], line) == dict.fromkeys(["i4", "i5", "i6", "i7"], "new")
    assert divide(IDS, {"new": ["i7"], "mid": ["i4"]}, ["i0"], line) == {
        "i7": "new", "i4": "mid", "i3": "mid", "i5": "mid", "i6": "new",
    }  # fmt: skip
    assert divide(["i0", "i7"], {"new": ["i7"]}, ["i0"], line) == {"i7": "new"}  # all were seen: no vector is asked for


def test_without_an_example_of_what_stays_the_rest_is_it():
    assert divide(IDS, {"new": ["i6", "i7"]}, [], line) == dict.fromkeys(["i5", "i6", "i7"], "new")


def test_halves_are_the_two_means_and_the_smaller_one_leaves():
    far = ["i0", "i1", "i2", "i15", "i16"]
    assert divide(far, {"new": []}, [], line) == dict.fromkeys(["i15", "i16"], "new")
    assert divide(far, {"new": []}, ["i15"], line) in ({"i16": "new"},)  # what was kept stays
    assert divide(["i0"], {"new": []}, [], line) == {}
    assert divide(["i0", "j0"], {"new": []}, [], line) == {}  # both are alike: there are no halves


@given(
    st.dictionaries(st.integers(0, 9), st.one_of(st.none(), st.sampled_from(["a", "A", "a 2", "ä", "b"]))),
    st.sets(st.integers(0, 9)),
)
def test_distinct_names_keep_what_they_can(names, first):
    found = distinct(names, first)
    assert list(found) == list(names)
    assert {cluster for cluster, name in found.items() if name is None} == {c for c, name in names.items() if name is None}
    keys = [collision_key(name) for name in found.values() if name]
    assert len(set(keys)) == len(keys)
    for cluster in first & names.keys():
        rivals = [
            c
            for c in first & names.keys()
            if names[c] and names[cluster] and collision_key(names[c]) == collision_key(names[cluster])
        ]
        if rivals == [cluster] and names[cluster] != "a 2":
            assert found[cluster] == names[cluster]
