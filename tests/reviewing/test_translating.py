"""Answers in the numbers of another base: the same cluster keeps its meaning, and nothing is guessed or dropped."""

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.decisions import NOISE, Answer
from shoal.decisions.asking import Subject, wishes
from shoal.decisions.resolve import resolve
from shoal.reviewing.apply import Base, Reviewed, apply
from shoal.reviewing.labels import LABELS
from shoal.reviewing.translating import Crossing, same_clusters, translate
from tests.decisions.answers import answer, confirm, keep, merge, move, reject, rename, split

from .test_apply import CHANGES, IDS
from .test_carrying import CLUSTERINGS, column, reviews, vectors

WHERE = st.lists(st.integers(-1, 3), min_size=len(IDS), max_size=len(IDS)).map(
    lambda clusters: dict(zip(IDS, clusters, strict=True))
)
ANSWERS = st.builds(
    lambda task, changes: answer(task, *changes, key="one"),
    st.sampled_from(["cluster:0", "cluster:1", "cluster:9", "image:i0", "rescue:i1"]),
    st.lists(st.one_of(CHANGES, st.builds(lambda image: reject(image, to=2), st.sampled_from(IDS))), max_size=4),
)
NUMBERS = st.permutations(range(20, 30))


def way(there: dict[str, int], here: dict[str, int]) -> Crossing:
    return Crossing.between(there, here, "what was computed", "version 1")


def renumbered(clusters: dict[str, int], numbers: list[int]) -> dict[str, int]:
    return {image: numbers[cluster] if cluster >= 0 else NOISE for image, cluster in clusters.items()}


def applied(clusters: dict[str, int], names: dict[int, str], answers: list[Answer]) -> Reviewed:
    rows = [{"cluster": number, "label": names[number], "reason": "r"} for number in sorted({*clusters.values()} - {NOISE})]
    table = pa.table({"id": list(clusters), "cluster": pa.array(clusters.values(), pa.int32())})
    labels = pa.Table.from_pylist(rows, schema=LABELS)
    return apply(Base(table, labels, {}, max(clusters.values())), resolve(answers), vectors)


@given(WHERE, WHERE)
def test_a_cluster_is_one_cluster_there_and_back(there, here):
    found = same_clusters(there, here)
    assert found[NOISE] == NOISE
    assert len(set(found.values())) == len(found)
    assert same_clusters(here, there) == {other: one for one, other in found.items()}
    for one, other in found.items():
        ours, theirs = ({i for i, cluster in where.items() if cluster == n} for where, n in ((there, one), (here, other)))
        assert one == NOISE or 2 * len(ours & theirs) > len(ours | theirs)


@given(WHERE, WHERE, NUMBERS)
def test_other_numbers_change_no_identity(there, here, numbers):
    found = same_clusters(there, renumbered(here, numbers))
    expected = {one: numbers[other] if other >= 0 else NOISE for one, other in same_clusters(there, here).items()}
    assert found == expected


@settings(deadline=None)
@given(CLUSTERINGS, NUMBERS, st.data())
def test_under_other_numbers_answers_come_to_the_same(clusters, numbers, data):
    """The order of the numbers decides in what order splits get theirs, so rising ones are compared."""
    numbers = sorted(numbers)
    asked = data.draw(reviews(clusters))
    here = renumbered(clusters, numbers)
    told = [translate(one, way(clusters, here)) for one in asked]
    assert not [lost for one in told for lost in one.unsettled]
    names = {number: f"computed {number}" for number in {*clusters.values()} - {NOISE}}
    before = applied(clusters, names, asked)
    after = applied(here, {numbers[number]: name for number, name in names.items()}, [one.answer for one in told])
    new = {number: after.numbers[f"cluster:{numbers[int(made[8:].split('#')[0])]}#{made.split('#')[1]}"]
           for made, number in before.numbers.items()}  # fmt: skip
    mapping = {NOISE: NOISE, **{number: numbers[number] for number in names}, **new}
    moved = column(before.clusters, "cluster")
    assert column(after.clusters, "cluster") == {image: mapping[cluster] for image, cluster in moved.items()}
    for name in ("decided", "by", "at"):
        assert column(after.clusters, name) == column(before.clusters, name)
    labels = column(before.labels, "label", "cluster")
    assert column(after.labels, "label", "cluster") == {mapping[cluster]: label for cluster, label in labels.items()}
    assert after.summary == before.summary


@given(WHERE, WHERE, ANSWERS)
def test_what_is_said_carries_over_or_is_told(there, here, asked):
    crossing = way(there, here)
    told = translate(asked, crossing)
    lost = {one.subject for one in told.unsettled}
    if told.answer is None:
        assert crossing.task(asked.task) is None
        assert lost == ({asked.task} if asked.changes else set())
        return
    assert told.answer.task == crossing.task(asked.task)
    assert (told.answer.key, told.answer.at, told.answer.base) == (asked.key, asked.at, asked.base)
    asks, carried = wishes(asked), wishes(told.answer)
    for subject, wish in asks.items():
        if subject.kind == "image":
            image = str(subject.of)
            assert (f"image:{image}" in lost) != (subject in carried)
            goal = crossing.same.get(wish.goal) if isinstance(wish.goal, int) else None
            where = crossing.same.get(there[image]) == here[image]  # it lies where it was seen
            if isinstance(wish.goal, str):
                assert where or subject not in carried
            else:
                gone = wish.goal is not None and goal is None
                assert (subject in carried) == (not gone and (where or goal == here[image]))
                assert subject not in carried or carried[subject].goal == goal
        else:
            of = Subject(subject.kind, crossing.same.get(subject.of)) if isinstance(subject.of, int) else None
            assert of is None or of in carried or str(subject) in lost
    assert len(carried) <= len(asks)


@given(WHERE, ANSWERS)
def test_the_same_base_changes_nothing(where, asked):
    told = translate(asked, way(where, where))
    there = {*where.values(), NOISE}
    if asked.task.startswith("cluster:") and int(asked.task[8:]) not in there:
        assert told.answer is None
        return
    for one in told.unsettled:
        assert "is no cluster of" in one.why
    if not told.unsettled:
        assert wishes(told.answer) == {
            subject: wish if wish.against in (None, *there) else type(wish)(wish.kind)
            for subject, wish in wishes(asked).items()
        }


def test_the_last_word_on_an_image_counts_or_none_does():
    there = {"a": 0, "b": 0, "c": 1}
    crossing = way(there, there)
    told = translate(
        answer("cluster:0", keep("a"), move(9, "a"), move(9, "b"), keep("b"), merge(0, 1), merge(0, 9)), crossing
    )
    assert told.answer.changes == (keep("b"),)
    assert {one.subject for one in told.unsettled} == {"image:a", "cluster:0"}


THERE = dict.fromkeys(["a1", "a2", "a3", "a4"], 0) | dict.fromkeys(["b1", "b2", "b3"], 1) | {"n": NOISE}
"""What was computed; version 1 calls a 7, b 0, and somebody put a4 with b."""
HERE = dict.fromkeys(["a1", "a2", "a3"], 7) | dict.fromkeys(["b1", "b2", "b3", "a4"], 0) | {"n": NOISE}


def test_a_task_and_every_number_in_it_are_translated():
    asked = answer("cluster:0", keep("a1"), move(1, "a2"), rename(0, "fish"), merge(0, 1), split(0, "a3", label="x"))
    told = translate(asked, way(THERE, HERE))
    assert told.unsettled == ()
    assert told.answer.task == "cluster:7"
    assert told.answer.changes == (
        keep("a1"), move(0, "a2"), rename(7, "fish"), merge(7, 0), split(7, "a3", label="x"),
    )  # fmt: skip
    told = translate(answer("rescue:n", confirm(1, "n")), way(THERE, HERE))
    assert (told.answer.task, told.answer.changes) == ("rescue:n", (confirm(0, "n"),))
    assert translate(answer("rescue:n", reject("n", to=0)), way(THERE, HERE)).answer.changes == (reject("n", to=7),)


def test_an_image_that_lies_elsewhere_by_now_is_set_aside_unless_it_is_where_it_is_wanted():
    told = translate(answer("cluster:0", keep("a1", "a4")), way(THERE, HERE))
    assert told.answer.changes == (keep("a1"),)
    (lost,) = told.unsettled
    assert (lost.subject, lost.said[0].who, lost.said[0].asks) == ("image:a4", "ann", "stay")
    assert lost.why == (
        "version 1 has it in cluster 0, not where the answer saw it; answer the task that `shoal review open` asks now"
    )
    assert translate(answer("cluster:0", move(1, "a4")), way(THERE, HERE)).answer.changes == (move(0, "a4"),)
    told = translate(answer("cluster:0", split(0, "a4", label="x"), rename(0, "y")), way(THERE, HERE))
    assert told.answer.changes == (rename(7, "y"),)  # without its examples it would be another split
    assert {one.subject for one in told.unsettled} == {"cluster:0", "cluster:0#0", "image:a4"}


def test_a_cluster_that_is_none_any_more_is_told_with_the_mend():
    apart = {image: place for place, image in enumerate(THERE)}
    told = translate(answer("cluster:0", rename(0, "fish"), keep("a1")), way(THERE, apart))
    assert told.answer is None
    (lost,) = told.unsettled
    assert (lost.subject, lost.said[0].asks) == ("cluster:0", "name fish, stay")
    assert lost.why == (
        "cluster 0 of what was computed is no cluster of version 1; answer the task that `shoal review open` asks now, "
        "and take this answer back"
    )
    assert translate(answer("cluster:0"), way(THERE, apart)).unsettled == ()  # who skipped it says nothing
    told = translate(answer("image:n", move(5, "n")), way(THERE, HERE))
    assert told.answer.changes == ()
    assert told.unsettled[0].why.startswith("cluster 5 of what was computed is no cluster of version 1; ")
