"""Every fact of Label Studio's protocol that shoal relies on, and the tests that hold it; and the facts that stood alone."""

import ast
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from shoal_ls.client import BATCH
from shoal_ls.service.app import Parts, make_app
from shoal_ls.service.backend import Backend
from shoal_ls.service.inbox import FILE, Inbox, Kept, State
from tests.label_studio.server import binaries

HERE = Path(__file__).parent
FACTS: dict[str, tuple[str, ...]] = {
    "health 1 s, setup 3 s, predict 100 s, webhook 1 s": ("test_facts::test_label_studio_waits_as_long_as_shoal_reckons",),
    "a webhook is sent once: reconcile by polling": (
        "test_sync::test_answers_arrive_once_are_edited_and_taken_back",
        "test_sync::test_what_a_webhook_brought_is_no_news_for_polling",
        "../benchmarks/test_benchmarks::test_benchmark_of_kills_loses_nothing_and_counts_nothing_twice",
    ),
    "setup takes no time: models are loaded once a process": (
        "service/test_live::test_the_model_is_set_up_once_in_a_process_over_many_requests",
        "service/test_porting::test_a_model_is_set_up_once_a_project_whatever_is_asked",
    ),
    "predictions are pushed, at most 500 at once, created == sent": (
        "test_client::test_fact_predictions_go_in_batches_and_are_counted",
        "test_client::test_fact_a_wrong_from_name_is_left_out_with_201_and_told",
        "test_facts::test_a_batch_has_at_most_500",
    ),
    "predict answers from the store, live only for unseen images": (
        "service/test_predict::test_a_cluster_that_stands_is_proposed_as_it_is",
        "service/test_live::test_an_unseen_image_gets_the_clusters_nearest_to_it_with_their_cosines",
        "service/test_server::test_label_studio_takes_every_prediction_that_the_backend_makes",
    ),
    "as many results as tasks; a broken image is empty with score 0": (
        "service/test_predict::test_number_of_results_equals_number_of_tasks_in_order_and_broken_ones_are_empty",
        "service/test_live::test_hostile_images_cost_their_own_task_only",
    ),
    "model_version is one content hash": (
        "service/test_predict::test_model_version_is_one_content_hash_the_same_in_setup_versions_and_every_prediction",
        "test_open::test_fact_one_model_version_everywhere",
    ),
    "the webhook is on the disk before it is answered, within 200 ms": (
        "test_facts::test_a_webhook_is_answered_while_recording_hangs",
        "service/test_webhook::test_commits_are_on_the_disk_when_they_return",
        "service/test_process::test_what_was_answered_survives_a_sigkill",
    ),
    "an event is known by annotation and updated_at": (
        "service/test_webhook::test_an_event_is_known_by_annotation_and_time_of_change",
    ),
    "singular and plural names, every key optional": (
        "service/test_webhook::test_singular_and_plural_names_and_lists_are_taken",
        "service/test_webhook::test_every_key_is_optional_and_what_says_nothing_is_ignored",
    ),
    "basic authentication; the webhook that Label Studio makes has no headers": (
        "service/test_gate::test_all_else_wants_name_and_password",
        "test_doctor::test_fact_the_webhook_gets_the_password_that_label_studio_leaves_out",
    ),
    "private addresses are blocked by default": (
        "test_doctor::test_fact_private_addresses_are_blocked_by_default_and_the_switches_are_told",
    ),
    "legacy and personal access tokens": (
        "test_client::test_both_kinds_of_token_let_in",
        "test_doctor::test_a_token_that_is_wrong_or_missing_is_told",
    ),
    "doctor: storage rows, an image end to end": (
        "test_doctor::test_all_is_well",
        "test_doctor::test_what_is_broken_is_told_with_the_mend",
    ),
    "local files need a storage row over their folder": (
        "test_open::test_fact_local_files_need_a_row_over_their_folder",
        "test_open::test_pictures_outside_the_document_root_are_told",
    ),
    "neither Repeater nor ReactCode; configurations pass the SDK": (
        "test_tasks::test_fact_configurations_pass_the_validators_of_the_sdk_and_wrong_ones_do_not",
    ),
    "at most 48 thumbnails, by address": (
        "test_tasks::test_fact_at_most_48_thumbnails_by_address_and_the_buckets_hold_each_item_once",
    ),
    "uncertainty sampling serves the lowest score first": ("test_open::test_fact_the_lowest_score_is_served_first",),
    "views filter numbers by type Number": (
        "test_open::test_fact_views_filter_numbers_by_type_number",
        "test_open::test_tabs_sort_by_number",
    ),
    "a > in a style kills its rule": ("test_tasks::test_fact_no_rule_of_a_style_is_killed_by_a_greater_than",),
    "keys move a thumbnail: Space, arrows, Space": (
        "../end_to_end/test_review_browser::test_what_a_reviewer_decides_moves_files_and_comes_back",
    ),
    "401, 403, 404, timeouts, a stopped server": (
        "test_client::test_a_wrong_token_is_one_sentence_and_is_not_repeated",
        "test_client::test_what_a_server_refuses_is_one_sentence",
        "test_client::test_what_is_gone_is_told",
        "test_client::test_a_server_that_takes_too_long_is_told",
        "test_client::test_a_stopped_server_is_told",
        "test_sync::test_a_server_that_is_down_takes_nothing_back",
    ),
    "a deleted project, a removed task, a changed configuration": (
        "test_open::test_a_deleted_project_is_told_and_its_answers_are_kept",
        "test_sync::test_a_deleted_project_takes_nothing_back",
        "test_sync::test_a_removed_task_takes_nothing_back",
        "test_open::test_a_configuration_that_was_changed_there_stays_until_it_is_forced",
    ),
}
"""Fact: `file::test`, from this folder."""


@pytest.mark.parametrize("fact", FACTS)
def test_every_fact_has_a_test_that_is_there(fact: str) -> None:
    for named in FACTS[fact]:
        file, name = named.split("::")
        tree = ast.parse((HERE / f"{file}.py").read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, named


def test_every_test_that_is_called_a_fact_is_listed() -> None:
    listed = {named.split("::")[1] for named in sum(FACTS.values(), ())}
    called = {
        name for file in HERE.rglob("test_*.py") for name in re.findall(r"^def (test_fact_\w+)", file.read_text(), re.M)
    }
    assert called <= listed


def test_a_batch_has_at_most_500() -> None:
    assert BATCH <= 500


@pytest.mark.slow
def test_label_studio_waits_as_long_as_shoal_reckons() -> None:
    (package,) = binaries().parent.glob("lib/python3*/site-packages/label_studio")
    connector = (package / "ml" / "api_connector.py").read_text()
    settings = (package / "core" / "settings" / "base.py").read_text()
    found = dict(re.findall(r"^TIMEOUT_(HEALTH|SETUP|PREDICT) = float\(get_env\('\w+', ([\d.]+)\)\)", connector, re.M))
    found |= dict(re.findall(r"^(WEBHOOK)_TIMEOUT = float\(get_env\('\w+', ([\d.]+)\)\)", settings, re.M))
    assert {name: float(seconds) for name, seconds in found.items()} == {
        "HEALTH": 1, "SETUP": 3, "PREDICT": 100, "WEBHOOK": 1,
    }  # fmt: skip


class _Hanging(Backend):
    """A backend whose database does not answer for a second."""

    def start(self) -> None:
        """Load nothing."""

    def stop(self) -> None:
        """End nothing."""

    def handle(self, found: Sequence[Kept]) -> Mapping[int, State]:
        time.sleep(1)
        return {kept.number: "recorded" for kept in found}


def test_a_webhook_is_answered_while_recording_hangs(tmp_path: Path) -> None:
    event: dict[str, Any] = {"action": "ANNOTATION_CREATED", "project": {"id": 7}, "task": {"id": 1, "data": {}}}
    with TestClient(make_app(Parts(_Hanging(), Inbox(tmp_path / FILE)))) as client:
        took = []
        for number in range(20):
            began = time.perf_counter()
            said = client.post("/webhook", json=event | {"annotation": {"id": number, "updated_at": "2026-03-01T10:00:00Z"}})
            took.append(time.perf_counter() - began)
            assert said.json()["new"] == 1
    assert sorted(took)[5] < 0.2, "waiting for the record would take each a second; a busy machine may hold up some"
