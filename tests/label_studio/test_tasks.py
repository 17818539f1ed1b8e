"""Tasks as pure functions of what a run says."""

import html
import json
import time
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.text import terminal
from shoal_ls.configs import check, configuration, fingerprint
from shoal_ls.errors import ServerError
from shoal_ls.tasks import asked, cluster_tasks, doubtful, image_tasks, rescue_tasks
from shoal_ls.tasks.clusters import BUCKETS
from shoal_ls.tasks.markup import member
from shoal_ls.tasks.sampling import BORDER, FAR, MOST, sample
from tests.hostile import TEXTS
from tests.label_studio.runs import said

KINDS = ("clusters", "rescues", "images")


def address(image: str) -> str:
    return f"/data/local-files/?d=out/{image}.jpg"


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 100)), max_size=300), st.integers(4, MOST))
def test_a_sample_is_as_large_as_it_may_be_and_names_nobody_twice(members: list[tuple[float, float]], most: int) -> None:
    members = sorted(members)
    rows = list(range(100, 100 + len(members)))
    picked = sample(rows, [doubt for doubt, _ in members], [distance for _, distance in members], most)
    assert len(picked.rows) == min(most, len(members))
    assert len(set(picked.rows)) == len(picked.rows)
    assert set(picked.rows) <= set(rows)
    assert set(picked.marks) <= set(picked.rows)


def test_a_sample_of_a_large_cluster_shows_typical_far_and_border_members() -> None:
    doubt = [n / 1000 for n in range(1000)]
    distance = [float((n * 37) % 1000) for n in range(1000)]
    picked = sample(range(1000), doubt, distance)  # type: ignore[arg-type]
    assert len(picked.rows) == MOST
    assert picked.rows[:24] == tuple(range(24))  # the surest first
    assert {row for row, mark in picked.marks.items() if mark == BORDER} == set(range(988, 1000))
    far = [row for row, mark in picked.marks.items() if mark == FAR]
    assert len(far) == 12
    assert min(distance[row] for row in far) > 950


def test_fact_at_most_48_thumbnails_by_address_and_the_buckets_hold_each_item_once() -> None:
    for task in cluster_tasks(said(3, each=400), address):
        ids = [item["id"] for item in task.data["items"]]
        assert len(ids) == task.data["shown"] == 48
        assert task.data["size"] == 400
        assert "48 of 400 images shown, 352 more follow them" in task.data["context"]
        (ranker,) = [part["value"]["ranker"] for part in task.result if part["from_name"] == "assign"]
        assert list(ranker) == list(BUCKETS)
        assert sorted(image for bucket in ranker.values() for image in bucket) == sorted(ids)
        for item in task.data["items"]:
            assert f'src="{html.escape(address(item["id"]))}"' in item["html"]
            assert "base64" not in item["html"]


class Tags(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.one_of(st.sampled_from(TEXTS), st.text(max_size=300)))
def test_a_hostile_name_is_text(name: str) -> None:
    page = Tags()
    page.feed(member(name, address("a&b"), "border"))
    page.close()
    assert page.tags == ["img", "span", "b"]
    assert page.attributes == {"src", "alt", "loading", "title"}
    assert not any(ord(letter) < 32 or letter in "\u202e\u2066" for letter in page.text)


@settings(max_examples=30, deadline=None)  # the SDK's first import takes seconds
@given(st.lists(st.one_of(st.sampled_from(TEXTS), st.text(max_size=400)), min_size=1, max_size=5))
def test_hostile_labels_stay_text_everywhere(labels: list[str]) -> None:
    one = said(5, labels=labels)
    tasks = [*cluster_tasks(one, address), *image_tasks(one, one.ids[:5], address)]
    check(configuration("clusters"), tasks[:5])
    check(configuration("images"), tasks[5:])
    for task in tasks:
        for candidate in task.data["candidates"]:
            assert "<" not in candidate["html"]
            assert "\n" not in candidate["html"]
        assert len(task.data["label"]) <= 200
        assert terminal(task.data["label"]) == task.data["label"]
        json.dumps(task.task("surface", "run", "0")).encode()


@pytest.mark.slow
def test_ten_thousand_tasks_are_made_in_seconds_and_not_in_squares() -> None:
    def seconds(clusters: int) -> float:
        one = said(clusters)
        began = time.process_time()
        tasks = cluster_tasks(one, address)
        assert len(tasks) == clusters
        assert max(len(task.data["candidates"]) for task in tasks) <= 12
        return time.process_time() - began

    small, large = min(seconds(2_500) for _ in range(2)), seconds(10_000)
    assert large < 30
    assert large < 9 * small  # 4 times the tasks: 4 times the time, 16 if it were quadratic


def test_the_digest_tells_what_is_shown_and_nothing_else() -> None:
    first, second = (cluster_tasks(said(4), address)[0] for _ in range(2))
    assert first.digest == second.digest
    assert first.task("a", "b", "0")["meta"] == {
        "shoal_task": first.key,
        "shoal_digest": first.digest,
        "shoal_base": "0",
    }
    renamed = cluster_tasks(said(4, labels=["other"]), address)[0]
    assert renamed.digest != first.digest


def test_doubtful_images_come_with_their_own_cluster_among_the_choices() -> None:
    one = said(30, each=10, noise=20, spread=1.0)
    images = doubtful(one, 25)
    assert len(images) == 25
    assert doubtful(one, 1000, frozenset(images[:3]))[0] == images[3]
    tasks = image_tasks(one, images, address)
    check(configuration("images"), tasks)
    for task in tasks:
        offered = {candidate["value"] for candidate in task.data["candidates"]}
        assert "noise" in offered
        if task.data["cluster"] >= 0:
            assert f"cluster:{task.data['cluster']}" in offered
        assert task.result[0]["value"]["choices"][0] in offered
        assert 0 <= task.score <= 1


def suggestion(image: str, cluster: int | None, score: float) -> dict[str, Any]:
    return {
        "id": image, "suggested": cluster, "score": score, "runner_up": 1, "runner_up_score": 0.1, "nearest": 2,
        "nearest_score": 0.5,
    }  # fmt: skip


def test_suggestions_come_with_a_picture_of_the_cluster_and_the_least_sure_first() -> None:
    one = said(4, noise=3)
    noise = one.ids[-3:]
    rows = [
        suggestion(noise[0], 0, 0.9),
        suggestion(noise[1], 3, 0.2),
        suggestion(noise[2], None, 0.0),
        suggestion("?", 0, 1),
    ]
    tasks = rescue_tasks(one, asked(one, [*rows, suggestion("?", 0, 1)]), address)
    check(configuration("rescues"), tasks)
    assert [task.key for task in tasks] == [f"rescue:{noise[1]}", f"rescue:{noise[0]}"]
    members = {address(image) for image, cluster in zip(one.ids, one.cluster, strict=True) if cluster == 3}
    assert tasks[0].data["master"] in members
    assert tasks[0].data["suggested"] == 3
    assert "cluster:3" not in {candidate["value"] for candidate in tasks[0].data["candidates"]}


@pytest.mark.parametrize("clusters", [0, 1])
def test_runs_with_no_cluster_or_one_are_no_trouble(clusters: int) -> None:
    one = said(clusters, noise=4)
    assert len(cluster_tasks(one, address)) == clusters
    assert len(image_tasks(one, doubtful(one, 10), address)) == (4 if clusters else 0)
    assert np.all(one.doubt[one.cluster >= 0] == 0)


@pytest.mark.parametrize("kind", KINDS)
def test_fact_configurations_pass_the_validators_of_the_sdk_and_wrong_ones_do_not(kind: str) -> None:
    config = configuration(kind)
    check(config, [])
    with pytest.raises(ServerError, match="the labelling configuration is wrong"):
        check(config.replace('toName="', 'toName="no_', 1), [])
    assert fingerprint(config) == fingerprint("\n\n".join(f"  {line} " for line in config.splitlines()))
    assert fingerprint(config) != fingerprint(config.replace("Choices", "choices"))
    for name in ("Repeater", "ReactCode"):  # the one loses imported predictions, the other is for the Enterprise edition
        assert name not in config


def test_fact_no_rule_of_a_style_is_killed_by_a_greater_than() -> None:
    for kind in KINDS:
        style = configuration(kind).partition("<Style>")[2].partition("</Style>")[0]
        assert ">" not in style
