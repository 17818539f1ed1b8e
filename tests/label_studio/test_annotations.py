"""What a reviewer submitted is read into an answer, whatever shape it has."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.decisions import Answer, Change, Surface
from shoal_ls.annotations import OTHER_NUMBERS, read_annotation, understand
from shoal_ls.moments import loaded_before, moment, server_time

AT = "2026-02-03T04:05:06.789123Z"


def cluster_data(**other: Any) -> dict[str, Any]:
    return {
        "shoal_surface": "s1", "shoal_run": "run-1", "shoal_task": "cluster:3", "cluster": 3, "label": "fish", "alt1": 5,
        "alt2": None, "items": [{"id": image, "html": f"<p>{image}</p>"} for image in ("im1", "im2", "im3", "im4")],
        "candidates": [{"value": "cluster:5", "html": "5"}, {"value": "cluster:7", "html": "7"}],
    } | other  # fmt: skip


def image_data(**other: Any) -> dict[str, Any]:
    return {
        "shoal_surface": "s3", "shoal_run": "run-1", "shoal_task": "image:im9", "cluster": 3,
        "candidates": [{"value": "cluster:3"}, {"value": "cluster:7"}, {"value": "noise"}],
    } | other  # fmt: skip


def rescue_data(**other: Any) -> dict[str, Any]:
    return {
        "shoal_surface": "s2", "shoal_run": "run-1", "shoal_task": "rescue:im9", "suggested": 5,
        "candidates": [{"value": "cluster:5"}, {"value": "cluster:7"}],
    } | other  # fmt: skip


def annotation(**controls: Any) -> dict[str, Any]:
    """An annotation of choices (text), texts (lists) and buckets (dicts)."""
    kinds = {str: "choices", list: "text", dict: "ranker"}
    results = []
    for name, said in controls.items():
        kind = kinds[type(said)]
        results.append(
            {"from_name": name, "to_name": "x", "type": kind, "value": {kind: [said] if kind == "choices" else said}}
        )
    return {"id": 17, "updated_at": AT, "completed_by": 4, "result": results}


def changes(data: object, said: object) -> list[tuple[Any, ...]]:
    answer = read_annotation(data, said)
    assert answer is not None
    return [(change.kind, change.cluster, change.images, change.to, change.label) for change in answer.changes]


def test_a_cluster_is_kept_moved_emptied_into_noise_and_named() -> None:
    said = annotation(
        verdict="edit",
        cluster_label=["  goldfish\n"],
        assign={"keep": ["im1"], "alt1": ["im2"], "alt2": [], "noise": ["im3", "im4"]},
    )
    assert changes(cluster_data(), said) == [
        ("keep", 3, ("im1",), None, ""),
        ("move", 3, ("im2",), 5, ""),
        ("noise", 3, ("im3", "im4"), None, ""),
        ("rename", 3, (), None, "goldfish"),
    ]


def test_the_answer_says_where_it_comes_from() -> None:
    said = annotation(verdict="accept") | {"completed_by": {"id": 4, "email": "ann@example.org"}}
    answer = read_annotation(cluster_data(), said)
    assert answer == Answer(
        run="run-1", surface="s1", key="17", at="2026-02-03T04:05:06.789Z", task="cluster:3", who="ann@example.org",
        changes=(Change(kind="keep", cluster=3, images=("im1", "im2", "im3", "im4")),),
    )  # fmt: skip


def test_no_buckets_and_the_same_name_keep_all_and_rename_nothing() -> None:
    assert [kind for kind, *_ in changes(cluster_data(), annotation(verdict="accept", cluster_label=["fish"]))] == ["keep"]


def test_an_annotation_that_answers_nothing_changes_nothing_and_is_told() -> None:
    reading = understand(cluster_data(), annotation(renamed_control="accept"))
    assert reading.answer
    assert reading.answer.changes == ()
    assert "configuration" in reading.answer.note


def test_people_are_named_alike_whether_a_number_or_a_name_comes() -> None:
    surface = Surface(key="s1", run="run-1", kind="clusters", facts={"user:4": "ann@example.org"})
    by_number, by_name = annotation(verdict="accept"), annotation(verdict="accept")
    by_name["completed_by"] = {"id": 4, "email": "ann@example.org"}
    answers = [read_annotation(cluster_data(), said, surface) for said in (by_number, by_name)]
    assert [answer.who for answer in answers if answer] == ["ann@example.org"] * 2


def test_a_split_has_examples_and_a_name_and_keeps_the_old_one() -> None:
    said = annotation(verdict="split", assign={"keep": ["im1", "im2"], "new": ["im3", "im4"]}, new_label=["shark"])
    assert changes(cluster_data(), said) == [
        ("keep", 3, ("im1", "im2"), None, ""),
        ("split", 3, ("im3", "im4"), None, "shark"),
    ]


def test_a_split_without_examples_is_left_to_halving() -> None:
    assert changes(cluster_data(), annotation(verdict="split"))[-1] == ("split", 3, (), None, "")


def test_a_merge_names_a_cluster_that_was_offered() -> None:
    assert changes(cluster_data(), annotation(verdict="merge", merge_into="cluster:7"))[-1] == ("merge", 3, (), 7, "")
    reading = understand(cluster_data(), annotation(verdict="merge", merge_into="cluster:8"))
    assert reading.answer
    assert "merge" not in [change.kind for change in reading.answer.changes]
    assert "not among those offered" in reading.answer.note


def test_a_choice_of_a_hidden_control_counts_only_with_its_verdict() -> None:
    assert [kind for kind, *_ in changes(cluster_data(), annotation(verdict="accept", merge_into="cluster:7"))] == ["keep"]


@pytest.mark.parametrize(
    ("assign", "kept", "told"),
    [
        ({"keep": ["im1", "im2", "im3", "im4"], "noise": ["im4", "elsewhere"]}, ("im1", "im2", "im3"), "in two buckets"),
        ({"keep": ["im1", "im2", "im3", "im4", "elsewhere"]}, ("im1", "im2", "im3", "im4"), "not shown"),
        ({"keep": ["im1"], "alt2": ["im2"]}, ("im1", "im3", "im4", "im2"), "no cluster for bucket alt2"),
        ({"keep": ["im1"], "moon": ["im2"]}, ("im1", "im3", "im4", "im2"), "bucket 'moon' is unknown"),
        ({"keep": ["im1"]}, ("im1", "im2", "im3", "im4"), "in no bucket: kept"),
    ],
)
def test_what_does_not_fit_is_told_and_not_applied(assign: dict[str, list[str]], kept: tuple[str, ...], told: str) -> None:
    said = annotation(verdict="edit", assign=assign)
    assert changes(cluster_data(), said) == [("keep", 3, kept, None, "")]
    answer = read_annotation(cluster_data(), said)
    assert answer
    assert told in answer.note


def test_rescues_are_confirmed_rejected_or_put_elsewhere() -> None:
    assert changes(rescue_data(), annotation(rescue="confirm")) == [("confirm", None, ("im9",), 5, "")]
    assert changes(rescue_data(), annotation(rescue="reject")) == [("reject", None, ("im9",), 5, "")]
    assert changes(rescue_data(), annotation(rescue="other", other_cluster="cluster:7")) == [
        ("confirm", None, ("im9",), 7, "")
    ]
    reading = understand(rescue_data(), annotation(rescue="other"))
    assert reading.troubles == ("the other cluster is not chosen",)


def test_an_image_is_kept_moved_or_noise_and_its_note_stays() -> None:
    assert changes(image_data(), annotation(cls="cluster:3")) == [("keep", 3, ("im9",), None, "")]
    assert changes(image_data(), annotation(cls="cluster:7")) == [("move", 3, ("im9",), 7, "")]
    assert changes(image_data(), annotation(cls="noise")) == [("noise", None, ("im9",), None, "")]
    answer = read_annotation(image_data(), annotation(cls="noise", note=["blurred\x1b[2J"]))
    assert answer
    assert answer.note == "blurred"


def test_a_skipped_task_changes_nothing_and_is_an_answer() -> None:
    assert changes(cluster_data(), annotation(verdict="split") | {"was_cancelled": True}) == []


def test_labels_lose_what_steers_and_what_is_too_long() -> None:
    said = annotation(verdict="accept", cluster_label=["\x1b[31m\u202e<b>" + "x" * 5000])
    (_, rename) = changes(cluster_data(), said)
    assert rename[-1].startswith("<b>xx")
    assert len(rename[-1]) == 200


def test_the_project_counts_more_than_what_the_data_say() -> None:
    surface = Surface(key="true", run="run-2", kind="clusters")
    answer = read_annotation(cluster_data(shoal_surface="forged", shoal_run="forged"), annotation(verdict="accept"), surface)
    assert answer
    assert (answer.surface, answer.run) == ("true", "run-2")


@pytest.mark.parametrize("lost", ["shoal_surface", "shoal_run", "shoal_task"])
def test_data_that_lost_their_task_are_no_answer(lost: str) -> None:
    data = cluster_data()
    del data[lost]
    assert read_annotation(data, annotation(verdict="accept")) is None


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("2026-02-03T04:05:06.789123Z", "2026-02-03T04:05:06.789Z"),
        ("2026-02-03T06:05:06+02:00", "2026-02-03T04:05:06.000Z"),
        ("2026-02-03T04:05:06", "2026-02-03T04:05:06.000Z"),
        ("0001-01-01T00:00:00+14:00", ""),
        ("yesterday", ""),
        (12, ""),
    ],
)
def test_times_have_one_form(said: object, expected: str) -> None:
    assert moment(said) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
CONTROLS = ["verdict", "assign", "cluster_label", "new_label", "merge_into", "rescue", "other_cluster", "cls", "note"]
VALUES = JSON | st.dictionaries(st.sampled_from(["choices", "text", "ranker"]), JSON)
RESULT = JSON | st.fixed_dictionaries({"from_name": st.sampled_from(CONTROLS) | JSON, "value": VALUES})
ANNOTATION = JSON | st.fixed_dictionaries(
    {"id": st.integers(0) | JSON, "updated_at": st.just(AT) | JSON, "result": st.lists(RESULT, max_size=5) | JSON},
    optional={"completed_by": JSON, "was_cancelled": JSON},
)
DATA = JSON | st.builds(
    lambda data, edited: data | edited,
    st.sampled_from([cluster_data(), rescue_data(), image_data()]),
    st.dictionaries(st.sampled_from([*cluster_data(), "suggested"]), JSON, max_size=3),
)


@given(data=DATA, said=ANNOTATION)
def test_no_json_raises_and_what_is_read_can_be_kept(data: object, said: object) -> None:
    reading = understand(data, said)
    if reading.answer is None:
        assert reading.troubles
        return
    kept = reading.answer.model_dump_json().encode()  # a lone surrogate would fail here, and in a database
    assert Answer.model_validate_json(kept) == reading.answer
    assert max(map(len, (reading.answer.surface, reading.answer.run, reading.answer.key))) <= 64
    assert len(reading.answer.task) <= 128


SHOWN = ["im1", "im2", "im3", "im4"]
IDS = st.lists(st.sampled_from([*SHOWN, "im5", "im6"]), max_size=6)


@given(assign=st.dictionaries(st.sampled_from(["keep", "alt1", "alt2", "new", "noise", "moon"]), IDS))
def test_each_image_that_is_shown_is_placed_once_or_told(assign: dict[str, list[str]]) -> None:
    reading = understand(cluster_data(), annotation(verdict="edit", assign=assign))
    assert reading.answer
    placed = [image for change in reading.answer.changes for image in change.images]
    assert len(placed) == len(set(placed))
    in_two = {image for image in SHOWN if sum(image in ids for ids in assign.values()) > 1}
    assert set(placed) == set(SHOWN) - in_two
    assert bool(in_two) == any("in two buckets" in trouble for trouble in reading.troubles)


def test_an_answer_says_whose_numbers_the_task_showed() -> None:
    def base(data: dict[str, Any], surface: Surface | None = None) -> str:
        answer = read_annotation(data, annotation(verdict="accept"), surface)
        assert answer is not None
        return answer.base

    older = Surface(key="s1", run="run-1", kind="clusters", facts={"base": "4-0123456789ab"})
    assert base(cluster_data(shoal_base="0")) == "0"
    assert base(cluster_data(shoal_base="3-0123456789ab"), older) == "3-0123456789ab"
    assert base(cluster_data(), older) == "4-0123456789ab"  # a task of an older shoal
    assert base(cluster_data()) == ""
    for hostile in (3, None, "", "moon", "3-0123456789AB", "3-0123456789ab ", ["0"], "9" * 11):
        edited = cluster_data(shoal_base=hostile)
        assert base(edited, older) == "?"  # no run has it: told, and not applied
        assert changes(edited, annotation(verdict="accept")) == []
        (told,) = understand(edited, annotation(verdict="accept"), older).troubles
        assert told.endswith("delete the task, and `shoal review open` makes it again")


CHANGED = "2026-02-03T04:00:00.000Z"


def at(minute: int, second: int = 0) -> str:
    return f"2026-02-03T04:{minute:02}:{second:02}.500000Z"


@pytest.mark.parametrize(
    ("times", "refused"),
    [
        ({"created_at": at(5), "lead_time": 400.0}, True),  # it was open since before
        ({"created_at": at(5), "lead_time": 290.0}, True),  # what was loaded at that moment may be either
        ({"created_at": at(5), "lead_time": 200}, False),
        ({"created_at": at(5), "lead_time": 9.0, "draft_created_at": "2026-02-02T04:00:00Z"}, True),  # resumed
        ({"created_at": at(5), "lead_time": 9.0, "draft_created_at": at(4)}, False),
        ({"created_at": at(5), "updated_at": at(9), "lead_time": 9999.0}, False),  # loaded again, and mended
        ({"created_at": at(5)}, False),  # a program
        ({"created_at": at(5), "lead_time": 1e308}, True),
        ({"created_at": at(5), "lead_time": 10**400}, True),
        ({"created_at": at(5), "lead_time": -(10**400)}, False),
        ({"created_at": at(5), "lead_time": float("nan")}, False),
        ({"created_at": at(5), "lead_time": "9"}, False),
        ({"created_at": 7, "updated_at": at(5), "lead_time": 400.0}, False),
    ],
)
def test_who_saw_a_task_with_other_numbers_is_told_so_and_nothing_is_guessed(times: dict[str, Any], refused: bool) -> None:
    said = (
        annotation(verdict="edit", assign={"keep": ["im1"], "alt1": ["im2", "im3", "im4"]}) | {"updated_at": at(5)} | times
    )
    reading = understand(cluster_data(shoal_changed=CHANGED), said)
    assert reading.answer is not None
    assert (reading.troubles == (OTHER_NUMBERS,), not reading.answer.changes) == (refused, refused)
    assert understand(cluster_data(), said).troubles == ()  # of a task that was made with its numbers


def test_a_skip_needs_no_numbers() -> None:
    said = annotation() | {"was_cancelled": True, "created_at": AT, "lead_time": 9999.0}
    assert understand(cluster_data(shoal_changed=CHANGED), said).troubles == ()


TIMES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.just(AT) | st.just(CHANGED)


@given(TIMES, st.dictionaries(st.sampled_from(["created_at", "updated_at", "draft_created_at", "lead_time"]), TIMES))
def test_times_of_any_shape_are_read(changed: Any, times: dict[str, Any]) -> None:
    assert loaded_before(moment(changed), times) in (True, False)


def test_the_server_tells_the_time_else_this_machine_does() -> None:
    assert server_time("Tue, 03 Feb 2026 04:05:06 GMT") == "2026-02-03T04:05:06.000Z"
    for hostile in (None, "", "soon", "Tue, 99 Feb 2026 04:05:06 GMT", "Tue, 03 Feb 2026 99:05:06 +9999"):
        assert moment(server_time(hostile)) > CHANGED
