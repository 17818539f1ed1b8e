"""Identities across runs: permuted numbers carry perfectly, and what can't be carried is told."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.decisions import Answer
from shoal.decisions.resolve import resolve
from shoal.reviewing.apply import Base, apply
from shoal.reviewing.carrying import Carried, Old, carry_over
from shoal.reviewing.labels import LABELS
from shoal.reviewing.matching import match
from tests.decisions.answers import answer, keep, merge, move, noise, reject, rename, split

CLUSTERS = 4


def ids(number: int) -> list[str]:
    return [f"i{place:03d}" for place in range(number)]


def vectors(images):
    """Give each image a place on a circle."""
    angles = np.array([int(image[1:]) for image in images]) / 40
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def labels(numbers) -> pa.Table:
    rows = [{"cluster": number, "label": f"computed {number}", "reason": "r"} for number in sorted(set(numbers) - {-1})]
    return pa.Table.from_pylist(rows, schema=LABELS)


def reviewed(clusters: dict[str, int], answers: list[Answer]) -> Old:
    table = pa.table({"id": list(clusters), "cluster": pa.array(clusters.values(), pa.int32())})
    made = apply(Base(table, labels(clusters.values()), {}, max(clusters.values())), resolve(answers), vectors)
    return Old(made.clusters, made.labels, max([*clusters.values(), *made.numbers.values()]))


def carried(old: Old, new: dict[str, int]) -> Carried:
    before = dict(zip(old.clusters["id"].to_pylist(), old.clusters["before"].to_pylist(), strict=True))
    return carry_over(old, new, labels(new.values()), match(new, before), vectors)


def column(table: pa.Table, name: str, key: str = "id") -> dict:
    return dict(zip(table[key].to_pylist(), table[name].to_pylist(), strict=True))


CLUSTERINGS = (
    st.lists(st.integers(-1, CLUSTERS - 1), min_size=4, max_size=40)
    .map(lambda found: dict(zip(ids(len(found)), found, strict=True)))
    .filter(lambda found: max(found.values()) >= 0)
)
KINDS = ["keep", "move", "noise", "rename", "split", "merge"]


@st.composite
def reviews(draw, clusters: dict[str, int]) -> list[Answer]:
    """Draw what people may say about clusters: each task once, so that nobody contradicts."""
    made = []
    for number in sorted(set(clusters.values()) - {-1}):
        members = [image for image, cluster in clusters.items() if cluster == number]
        others = st.sampled_from(sorted(set(clusters.values()) - {-1}))
        kinds = draw(st.lists(st.sampled_from(KINDS), unique=True, max_size=3))
        bins = {kind: [] for kind in ("keep", "move", "noise", "split")}
        for image in members:
            bins[draw(st.sampled_from(["keep", "move", "noise", "split", "keep"]))].append(image)
        changes = []
        if "keep" in kinds and bins["keep"]:
            changes.append(keep(*bins["keep"]))
        if "move" in kinds and bins["move"]:
            changes.append(move(draw(others), *bins["move"]))
        if "noise" in kinds and bins["noise"]:
            changes.append(noise(*bins["noise"]))
        if "rename" in kinds:
            changes.append(rename(number, f"named {number}"))
        if "split" in kinds:
            changes.append(split(number, *bins["split"]))
        elif "merge" in kinds:
            changes.append(merge(number, draw(others)))
        made.append(answer(f"cluster:{number}", *changes))
    return made


@settings(deadline=None)  # scipy is imported meanwhile
@given(CLUSTERINGS, st.data())
def test_the_same_clusters_under_other_numbers_carry_perfectly(clusters, data):
    old = reviewed(clusters, data.draw(reviews(clusters)))
    others = data.draw(st.permutations(range(CLUSTERS)))
    made = carried(old, {image: others[cluster] if cluster >= 0 else -1 for image, cluster in clusters.items()})
    for name in ("cluster", "before", "decided", "by", "at"):
        assert column(made.clusters, name) == column(old.clusters, name)
    for name in ("label", "by"):
        assert column(made.labels, name, "cluster") == column(old.labels, name, "cluster")
    assert not made.lost


@settings(deadline=None)  # scipy is imported meanwhile
@given(CLUSTERINGS, st.data())
def test_carrying_twice_is_carrying_once(clusters, data):
    old = reviewed(clusters, data.draw(reviews(clusters)))
    new = {image: data.draw(st.integers(-1, CLUSTERS)) for image in clusters}
    once = carried(old, new)
    again = carried(Old(once.clusters, once.labels, once.highest), new)
    assert again.clusters.equals(once.clusters)
    assert again.labels.equals(once.labels)


@settings(deadline=None)  # scipy is imported meanwhile
@given(CLUSTERINGS, st.data())
def test_nothing_that_people_said_disappears(clusters, data):
    old = reviewed(clusters, data.draw(reviews(clusters)))
    some = [image for image in clusters if data.draw(st.booleans())]
    new = {image: data.draw(st.integers(-1, CLUSTERS)) for image in [*some, "i900", "i901"]}
    made = carried(old, new)
    assert sorted(made.clusters["id"].to_pylist()) == sorted(new)
    said = {image for image, decided in column(old.clusters, "decided").items() if decided}
    carry = {image for image, decided in column(made.clusters, "decided").items() if decided}
    lost = {lost.subject.removeprefix("image:") for lost in made.lost if lost.subject.startswith("image:")}
    assert carry | lost == said
    assert not carry & lost
    for image in carry:
        assert column(made.clusters, "cluster")[image] == column(old.clusters, "cluster")[image]
    names = [label for label in made.labels["label"].to_pylist() if label]
    assert len({name.casefold() for name in names}) == len(names)


def test_more_images_change_no_name_and_a_new_cluster_gets_a_fresh_number():
    old = reviewed(dict.fromkeys(ids(10), 0) | dict.fromkeys(["i010", "i011"], 1), [answer("cluster:0", rename(0, "fish"))])
    new = dict.fromkeys(ids(10), 1) | dict.fromkeys(["i010", "i011"], 2) | {f"i{n}": 0 for n in range(500, 520)}
    new |= {f"i{n}": 1 for n in range(600, 640)}  # four times as many as there were
    made = carried(old, new)
    assert {number for image, number in column(made.clusters, "cluster").items() if image < "i010"} == {0}
    assert column(made.clusters, "cluster")["i500"] == 2
    assert column(made.labels, "label", "cluster") == {0: "fish", 1: "computed 1", 2: "computed 0"}
    assert made.highest == 2


def test_new_images_go_where_their_cluster_was_merged_or_with_the_nearer_half():
    clusters = dict.fromkeys(ids(20), 0) | dict.fromkeys(["i100", "i101"], 1)
    old = reviewed(clusters, [answer("cluster:1", merge(1, 0)), answer("cluster:0", split(0, "i019"), keep("i000"))])
    assert set(old.clusters["cluster"].to_pylist()) == {0, 2}
    new = clusters | {"i102": 1, "i001": 0, "i018": 0}
    del new["i010"]
    new["i500"] = 0  # 480 steps round the circle from i020
    where = column(carried(old, new).clusters, "cluster")
    assert where["i102"] == 0
    nearer = vectors(["i500"]) @ vectors(["i001", "i018"]).T
    assert where["i500"] == (0 if nearer[0, 0] > nearer[0, 1] else 2)


def test_what_is_gone_is_listed_with_who_said_it():
    clusters = dict.fromkeys(ids(10), 0) | {f"i{n}": 1 for n in range(50, 60)} | {"i900": -1, "i901": -1}
    told = [
        answer("cluster:0", move(1, "i000"), who="ann"), answer("cluster:1", rename(1, "eel")),
        answer("rescue:i900", reject("i900")), answer("rescue:i901", reject("i901")),
    ]  # fmt: skip
    old = reviewed(clusters, told)
    new = dict.fromkeys(ids(10), 0) | {"i900": -1, "i901": 0}  # the eels are gone
    made = carried(old, new)
    assert {lost.subject: (lost.why, lost.label, lost.what, lost.by, lost.at[:10]) for lost in made.lost} == {
        "cluster:1": (
            "no cluster of the new run has enough of its images; named by ann on 2026-01-01; it was computed 1",
            "eel", "rename", "ann", "",
        ),
        "image:i000": ("cluster 1 was not carried", "eel", "move", "ann", "2026-01-01"),
        "image:i901": ("the image is no noise any more, but in cluster 0", "", "reject", "ann", "2026-01-01"),
    }  # fmt: skip
    assert column(made.clusters, "decided")["i900"] == "reject"


def test_a_match_needs_overlap_and_each_cluster_has_one():
    old = dict.fromkeys(ids(10), 5)
    parts = {image: int(place >= 7) for place, image in enumerate(old)}
    assert [(pair.new, pair.old, round(pair.overlap, 2)) for pair in match(parts, old)] == [(0, 5, 0.7)]
    assert match({"i000": 0, "x": 0}, old | {"x": 6, "y": 7}, least=0.9) == []
    assert match({}, old) == []
    assert match(dict.fromkeys(old, -1), old) == []


def test_what_people_kept_and_a_later_run_put_elsewhere_takes_no_new_image_along():
    first = dict.fromkeys(["i001", "i002", "i003"], 3) | dict.fromkeys(["i011", "i012", "i013"], 2)
    kept = reviewed(first, [answer("cluster:3", keep("i001"))])
    once = carried(kept, first | {"i001": 2})
    assert column(once.clusters, "cluster")["i001"] == 3
    again = carried(Old(once.clusters, once.labels, once.highest), first | {"i001": 2, "i020": 2})
    assert column(again.clusters, "cluster")["i020"] == 2
    assert column(again.clusters, "cluster")["i001"] == 3


def test_clusters_that_share_no_image_are_never_one():
    found = match({"a": 0, "b": 0, "c": 1, "d": -1}, {"a": 7, "b": 7, "c": 7, "d": 9}, 0.0)
    assert [(pair.new, pair.old) for pair in found] == [(0, 7)]
