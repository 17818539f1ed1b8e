"""Answers of several people and to several tasks come to one result, or to a conflict that is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.decisions import Answer
from shoal.decisions.asking import Place
from shoal.decisions.resolve import Placed, Resolution, chains, place, resolve

from .answers import answer, confirm, keep, merge, move, noise, rename, split


def placed(resolution: Resolution, image: str, start: int = 0) -> Placed:
    def number(where: Place) -> int:
        assert isinstance(where, int)
        return where

    return place(start, resolution.images.get(image, ()), number, lambda one, other: one == other)


ANN = answer("cluster:0", move(5, "x"), keep("y"), rename(0, "fish"), who="ann", at=1)
BOB = answer("cluster:0", keep("x", "y"), who="bob", at=2)
CY = answer("cluster:0", move(5, "x"), keep("y"), rename(0, "fish"), who="cy", at=0)


def test_the_latest_answer_counts_and_what_it_does_not_say_is_as_it_was_shown():
    found = resolve([ANN, BOB])
    assert placed(found, "x").cluster == 0
    assert not found.names
    found = resolve([BOB, ANN, CY])  # in whatever order they come
    assert placed(found, "x").cluster == 0
    assert placed(resolve([ANN]), "x").cluster == 5
    assert resolve([ANN]).names[0].goal == "fish"


def test_the_majority_counts_and_a_tie_is_told():
    found = resolve([ANN, BOB, CY], "majority")
    assert placed(found, "x").cluster == 5
    assert found.names[0].goal == "fish"
    tie = resolve([ANN, BOB], "majority")
    assert placed(tie, "x") == Placed(0)
    assert not tie.names
    assert {open_.subject for open_ in tie.unsettled} == {"image:x", "cluster:0"}
    (told,) = [open_ for open_ in tie.unsettled if open_.subject == "image:x"]
    assert [(said.who, said.asks) for said in told.said] == [("ann", "to cluster 5"), ("bob", "stay")]


def test_ask_applies_only_what_all_say():
    found = resolve([ANN, BOB, CY], "ask")
    assert "x" not in found.images
    assert "y" in found.images
    assert {open_.subject for open_ in found.unsettled} == {"image:x", "cluster:0"}
    assert placed(resolve([ANN, CY], "ask"), "x").cluster == 5


def test_one_person_has_one_vote():
    again = ANN.model_copy(update={"key": "another", "at": ANN.at.replace("00:01", "00:00")})
    found = resolve([again, ANN, BOB], "majority")
    assert {open_.subject for open_ in found.unsettled} == {"image:x", "cluster:0"}


def test_an_image_that_two_tasks_move_apart_stays_and_both_answers_are_told():
    found = resolve([answer("cluster:0", move(5, "x")), answer("image:x", move(7, "x"), who="bob", at=9)])
    where = placed(found, "x")
    assert where.cluster == 0
    assert {(said.who, said.asks) for said in where.excluded} == {("ann", "to cluster 5"), ("bob", "to cluster 7")}
    apart = resolve([answer("cluster:3", move(5, "x")), answer("cluster:4", move(7, "x"))])
    assert len(placed(apart, "x").excluded) == 2


def test_tasks_that_agree_and_tasks_that_keep_are_no_conflict():
    found = resolve([answer("cluster:0", move(5, "x")), answer("image:x", move(5, "x")), answer("cluster:5", keep("x"))])
    assert placed(found, "x").cluster == 5
    assert not placed(found, "x").excluded


def test_a_rejected_suggestion_that_another_task_follows_is_a_conflict():
    from .answers import reject

    found = resolve([answer("rescue:x", reject("x", to=5)), answer("image:x", move(5, "x"))])
    assert len(placed(found, "x", -1).excluded) == 2
    found = resolve([answer("rescue:x", reject("x", to=5)), answer("image:x", move(7, "x"))])
    assert placed(found, "x", -1).cluster == 7
    assert found.rejected == {"x"}


def test_who_moves_an_image_on_from_where_it_was_moved_contradicts_nobody():
    there = answer("cluster:0", move(5, "x"), at=9)
    back = answer("cluster:5", move(0, "x"), at=1)  # the older task was edited since
    assert placed(resolve([there, back]), "x").cluster == 0
    on = answer("cluster:5", move(7, "x"), at=2)
    assert placed(resolve([there, on]), "x").cluster == 7


def test_two_names_from_different_tasks_are_a_conflict():
    found = resolve([answer("cluster:3", rename(3, "fish")), answer("cluster:4", rename(3, "trout"))])
    assert not found.names
    (conflict,) = found.conflicts
    assert (conflict.subject, conflict.about) == ("cluster:3", "name")
    assert [said.asks for said in conflict.said] == ["name fish", "name trout"]


def test_a_newer_surface_counts_where_it_asks_for_something():
    old = answer("cluster:0", move(5, "x"), rename(0, "fish"), at=1)
    new = answer("cluster:0", keep("y"), rename(0, "trout"), at=2, surface="t")
    found = resolve([old, new])
    assert placed(found, "x").cluster == 5  # x was not shown there any more
    assert found.names[0].goal == "trout"
    silent = answer("cluster:0", keep("y"), at=3, surface="u")  # was shown "trout" and left it
    assert resolve([old, new, silent]).names[0].goal == "trout"


def test_merges_follow_their_chain_and_a_circle_becomes_its_smallest_cluster():
    assert chains({3: 5, 5: 7}) == {3: 7, 5: 7}
    assert chains({3: 5, 5: 3}) == {5: 3}
    assert chains({1: 4, 4: 5, 5: 3, 3: 4}) == {1: 3, 4: 3, 5: 3}
    two = resolve([answer("cluster:3", merge(3, 5)), answer("cluster:9", merge(3, 6))])
    assert not two.merges
    assert [conflict.about for conflict in two.conflicts] == ["merge"]
    assert resolve([answer("cluster:3", merge(3, 3))]).merges == {}


@given(st.dictionaries(st.integers(0, 8), st.integers(0, 8)))
def test_merged_clusters_end_somewhere_that_is_not_merged(merges: dict[int, int]):
    ends = chains(merges)
    assert not set(ends) & set(ends.values())
    for cluster, to in merges.items():  # whoever was said to be one is one
        assert ends.get(cluster, cluster) == ends.get(to, to)


def test_a_split_names_its_new_clusters_by_the_old_one():
    found = resolve([answer("cluster:3", split(3, "a", label="eel"), split(3, "b"), keep("c"))])
    assert found.splits == {3: ("cluster:3#0", "cluster:3#1")}
    assert found.names["cluster:3#0"].goal == "eel"
    assert [found.images[image][0].wish.goal for image in "abc"] == ["cluster:3#0", "cluster:3#1", None]


def test_labels_are_one_line_of_plain_text():
    found = resolve([answer("cluster:3", rename(3, "red\x1b[31m\nfish\u202e " + "x" * 500))])
    label = str(found.names[3].goal)
    assert label.startswith("red fish")
    assert len(label) <= 120
    assert not resolve([answer("cluster:3", rename(3, "\u202e\x1b[31m"))]).names  # nothing is left of it


IMAGES = st.sampled_from(["x", "y"])
CHANGES = st.one_of(
    st.builds(keep, IMAGES),
    st.builds(move, st.integers(0, 3), IMAGES),
    st.builds(noise, IMAGES),
    st.builds(confirm, st.integers(0, 3), IMAGES),
    st.builds(rename, st.integers(0, 3), st.sampled_from(["a", "b"])),
    st.builds(merge, st.integers(0, 3), st.integers(0, 3)),
)
ANSWERS = st.lists(
    st.builds(
        lambda task, changes, who, at, surface: answer(task, *changes, who=who, at=at, surface=surface),
        st.sampled_from(["cluster:0", "cluster:1", "image:x", "rescue:y"]),
        st.lists(CHANGES, max_size=3),
        st.sampled_from(["ann", "bob", "cy"]),
        st.integers(0, 30),
        st.sampled_from(["s", "t"]),
    ),
    max_size=8,
    unique_by=lambda made: (made.at, made.surface),
)


@pytest.mark.parametrize("policy", ["latest", "majority", "ask"])
@given(answers=ANSWERS, data=st.data())
def test_the_order_in_which_answers_come_does_not_matter(policy, answers: list[Answer], data: st.DataObject):
    assert resolve(data.draw(st.permutations(answers)), policy) == resolve(answers, policy)


@given(ANSWERS, st.integers(-1, 3))
def test_an_image_goes_where_an_answer_says_or_stays(answers: list[Answer], start: int):
    found = resolve(answers)
    for image, verdicts in found.images.items():
        where = placed(found, image, start)
        goals = {verdict.wish.goal for verdict in verdicts} - {None}
        assert where.cluster in {start} | goals
        if where.excluded:
            assert where.cluster == start
            assert len(where.excluded) > 1
        if len(goals) == 1 and not where.excluded:
            assert where.cluster in goals


@given(ANSWERS)
def test_what_all_say_is_settled_by_every_policy(answers: list[Answer]):
    asked = resolve(answers, "ask")
    if not asked.unsettled:
        assert resolve(answers, "majority").images == asked.images


@pytest.mark.parametrize("policy", ["latest", "majority", "ask"])
def test_who_skips_a_task_has_no_say_in_it(policy):
    skipped = answer("cluster:0", who="bob", at=9)
    found = resolve([ANN, skipped], policy)
    assert found.names[0].goal == "fish"
    assert placed(found, "x").cluster == 5
    assert not found.unsettled
