"""`shoal review open` against the real server: what it makes, what it leaves alone, what it says in trouble."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import shoal
from shoal.catalogue import Run
from shoal.decisions import Answer, Change, Decisions, Surface
from shoal.errors import UsageError
from shoal.reviewing import make_version
from shoal_ls.client import Server
from shoal_ls.configs import configuration
from shoal_ls.errors import ServerError
from shoal_ls.model_version import model_version
from shoal_ls.picturing import Source
from shoal_ls.projects import Opened, Options, open_review
from tests.cli.conftest import call
from tests.label_studio.runs import COLOURS
from tests.label_studio.server import LabelStudio

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class Heard:
    """Progress that is written down."""

    def __init__(self) -> None:
        self.done: dict[str, list[int]] = {}

    def start(self, step: str, total: int) -> None:
        self.done[step] = [total, 0]

    def advance(self, step: str, rows: int) -> None:
        self.done[step][1] += rows

    def finish(self, step: str, note: str) -> None:
        assert note == "done"

    def tell(self, message: str) -> None:
        raise AssertionError(message)


def open_(run: Run, server: Server, **options: object) -> dict[str, Opened]:
    """Open a review; every step says that it did all that it was to do."""
    heard = Heard()
    opened = open_review(run, server, Options(**options), heard)  # type: ignore[arg-type]
    for step, (total, done) in heard.done.items():
        assert done == total, step
    return {one.surface.kind: one for one in opened}


def number(opened: Opened) -> int:
    return int(opened.surface.remote)


def tasks(server: Server, opened: Opened) -> dict[str, dict[str, object]]:
    return {task["data"]["shoal_task"]: task for task in server.tasks(number(opened))}


def test_projects_hold_every_cluster_and_every_suggestion(run: Run, server: Server) -> None:
    opened = open_(run, server, project="fish & chips")
    assert list(opened) == ["clusters", "rescues"]
    clusters = tasks(server, opened["clusters"])
    assert set(clusters) == {f"cluster:{n}" for n in range(COLOURS)}
    assert len(tasks(server, opened["rescues"])) == run.record.noise > 0
    for kind, one in opened.items():
        project = server.project(number(one))
        assert project["title"] == f"fish & chips: {kind}"
        assert project["sampling"] == "Uncertainty sampling"
        assert one.made
        for task in server.tasks(number(one)):
            assert task["data"]["shoal_surface"] == one.surface.key
            assert task["data"]["shoal_run"] == run.id
            assert task["meta"] == {name: task["data"][name] for name in ("shoal_task", "shoal_digest", "shoal_base")}
            assert task["data"]["shoal_base"] == run.base == "0"
    sizes = [task["data"]["size"] for task in clusters.values()]  # type: ignore[index]
    assert sum(sizes) == run.record.images - run.record.noise
    stored = Decisions.of(run.store).surfaces(run.id)
    assert {surface.kind: surface.remote for surface in stored} == {k: one.surface.remote for k, one in opened.items()}


def test_fact_one_model_version_everywhere(run: Run, server: Server) -> None:
    opened = open_(run, server)
    version = model_version(run)
    assert version == model_version(run)
    assert version.startswith("shoal-")
    assert model_version(run, head="2") != version
    for one in opened.values():
        assert server.project(number(one))["model_version"] == version
        for task in server.tasks(number(one)):
            assert [prediction["model_version"] for prediction in task["predictions"]] == [version]


def test_fact_the_lowest_score_is_served_first(run: Run, server: Server, label_studio: LabelStudio) -> None:
    one = open_(run, server)["clusters"]
    scores = {task["id"]: task["predictions"][0]["score"] for task in server.tasks(number(one))}
    served = label_studio.call("GET", f"/api/projects/{number(one)}/next").json()
    assert scores[served["id"]] == min(scores.values())
    confidence = {task["id"]: 1 - task["data"]["doubt"] for task in server.tasks(number(one))}
    assert scores == pytest.approx(confidence)


def test_fact_views_filter_numbers_by_type_number(run: Run, server: Server) -> None:
    one = open_(run, server)["clusters"]
    tabs = {tab["data"]["title"]: tab for tab in server.listed("/api/dm/views/", number(one), "list tabs")}
    assert list(tabs)[:5] == ["All", "By doubt", "By size", "Large", "Small"]

    def found(filters: dict[str, object]) -> list[int]:
        wanted = json.dumps({"filters": filters, "ordering": ["tasks:id"]})
        answer = server.ask("GET", "/api/tasks/", "filter", project=number(one), page_size=100, query=wanted)
        return [task["id"] for task in answer["tasks"]]

    sizes = {task["id"]: task["data"]["size"] for task in server.tasks(number(one))}
    small = tabs["Small"]["data"]["filters"]
    for size in range(max(sizes.values()) + 1):
        small["items"][0]["value"] = size
        assert found(small) == [task for task in sizes if sizes[task] <= size]
    small["items"][0]["value"] = str(min(sizes.values()) - 1)  # as the page writes it when somebody changes a filter
    assert found(small) == []
    small["items"][0]["type"] = "String"
    assert found(small) == list(sizes)  # compared as text
    for task in server.tasks(number(one)):
        reason = tabs[f"Reason: {task['data']['reason']}"]["data"]["filters"]
        assert task["id"] in found(reason)


def test_tabs_sort_by_number(run: Run, server: Server) -> None:
    one = open_(run, server)["clusters"]
    made = list(server.task_list(number(one)))
    for task, size in zip(made, (9, 10, 100), strict=True):  # as text 9 is the largest
        data = server.ask("GET", f"/api/tasks/{task['id']}/", "read it")["data"]
        server.update_task(task["id"], {"data": {**data, "size": size}})
    (tab,) = [t for t in server.listed("/api/dm/views/", number(one), "list tabs") if t["data"]["title"] == "By size"]
    listed = server.ask("GET", "/api/tasks/", "list", view=tab["id"], page_size=10)["tasks"]
    assert [task["data"]["size"] for task in listed] == [100, 10, 9]


def test_fact_local_files_need_a_row_over_their_folder(run: Run, server: Server, label_studio: LabelStudio) -> None:
    opened = open_(run, server)
    (rescue, *_) = tasks(server, opened["rescues"]).values()
    address = rescue["data"]["image"]  # type: ignore[index]
    assert address.startswith("/data/local-files/?d=")
    shown = label_studio.call("GET", address)
    assert shown.headers["content-type"] == "image/jpeg"
    assert httpx.get(f"{server.url}{address}").status_code == 401  # nobody without a login
    for one in opened.values():
        for row in server.listed("/api/storages/localfiles/", number(one), "list"):
            server.ask("DELETE", f"/api/storages/localfiles/{row['id']}", "remove it")
    assert label_studio.call("GET", address).status_code == 404
    open_(run, server)
    assert label_studio.call("GET", address).status_code == 200


def test_a_repetition_adds_nothing(run: Run, server: Server) -> None:
    first = open_(run, server)
    before = {kind: list(server.tasks(number(one))) for kind, one in first.items()}
    again = open_(run, server)
    for kind, one in again.items():
        assert not one.made
        assert one.notes == ()
        assert (one.filled.created, one.filled.updated, one.filled.predictions) == (0, 0, 0)
        assert list(server.tasks(number(one))) == before[kind]
        assert len(server.listed("/api/storages/localfiles/", number(one), "list")) == 1
        titles = [tab["data"]["title"] for tab in server.listed("/api/dm/views/", number(one), "list tabs")]
        assert len(titles) == len(set(titles))


def test_a_tab_that_somebody_removed_stays_away(run: Run, server: Server) -> None:
    one = open_(run, server)["clusters"]
    tab = server.listed("/api/dm/views/", number(one), "list tabs")[2]
    server.ask("DELETE", f"/api/dm/views/{tab['id']}/", "remove it")
    open_(run, server)
    titles = [other["data"]["title"] for other in server.listed("/api/dm/views/", number(one), "list tabs")]
    assert tab["data"]["title"] not in titles


def test_unanswered_tasks_that_changed_are_changed_and_answered_ones_stay(
    run: Run, server: Server, label_studio: LabelStudio
) -> None:
    one = open_(run, server)["clusters"]
    (first, second, third) = list(server.tasks(number(one)))
    for task in (first, second):
        old = {"data": {**task["data"], "context": "old"}, "meta": {**task["meta"], "shoal_digest": "old"}}
        server.update_task(task["id"], old)
    label_studio.annotate(first["id"], first["predictions"][0]["result"])
    filled = open_(run, server)["clusters"].filled
    assert (filled.created, filled.updated, filled.answered, filled.unchanged) == (0, 1, 1, 1)
    after = {task["id"]: task for task in server.tasks(number(one))}
    assert after[first["id"]]["data"]["context"] == "old"
    assert after[second["id"]]["data"] == second["data"]
    assert len(after[second["id"]]["predictions"]) == 1
    assert after[third["id"]]["data"] == third["data"]


def test_an_opening_that_was_cut_short_is_finished(run: Run, server: Server) -> None:
    """A task without a prediction is what a kill between the two requests leaves; one is missing altogether."""
    one = open_(run, server)["clusters"]
    (first, second, _) = list(server.tasks(number(one)))
    # Not by deleting the prediction: Label Studio's count of them may stay as it was, once it has deleted a whole project.
    for task in (first, second):
        server.ask("DELETE", f"/api/tasks/{task['id']}/", "remove it")
    server.import_tasks(number(one), [{"data": first["data"], "meta": first["meta"]}])
    again = open_(run, server)["clusters"]
    assert (again.filled.created, again.filled.predictions) == (1, 2)
    assert again.notes == ("1 task was not there (removed by hand, or asked for since), and now made",)
    assert {task["total_predictions"] for task in server.task_list(number(one))} == {1}


def test_a_new_model_version_replaces_the_predictions_of_open_tasks(
    run: Run, server: Server, label_studio: LabelStudio
) -> None:
    one = open_(run, server)["clusters"]
    (first, *_) = list(server.tasks(number(one)))
    label_studio.annotate(first["id"], first["predictions"][0]["result"])
    open_(run, server, head="better")
    version = model_version(run, "better")
    assert server.project(number(one))["model_version"] == version
    for task in server.tasks(number(one)):
        versions = [prediction["model_version"] for prediction in task["predictions"]]
        assert versions == [model_version(run) if task["id"] == first["id"] else version]


def test_tasks_ask_about_what_answers_are_applied_to(run: Run, server: Server) -> None:
    """A version that was made of answers changes no task: its answers would be applied twice."""
    one = open_(run, server)["clusters"]
    rename = Change(kind="rename", cluster=1, label="zebra")
    said = Answer(
        run=run.id, surface="elsewhere", key="1", at="2026-01-01T00:00:00.000Z", task="cluster:1", changes=(rename,)
    )
    Decisions.of(run.store).record([said])
    assert make_version(run).version is not None
    again = open_(run.look(), server)["clusters"]
    assert (again.filled.created, again.filled.updated, again.filled.predictions) == (0, 0, COLOURS)
    assert again.surface.facts["model_version"] != one.surface.facts["model_version"]
    assert "zebra" not in str(tasks(server, again))


def test_a_deleted_project_is_told_and_its_answers_are_kept(run: Run, server: Server) -> None:
    one = open_(run, server)["clusters"]
    decisions = Decisions.of(run.store)
    said = Answer(run=run.id, surface=one.surface.key, key="1", at="2026-01-01T00:00:00.000Z", task="cluster:1", base="0")
    decisions.record([said])
    server.ask("DELETE", f"/api/projects/{number(one)}/", "remove it")
    again = open_(run, server)["clusters"]
    assert again.made
    assert again.surface.key != one.surface.key
    assert again.notes == (
        f"project {number(one)} was deleted there; its answers are kept, and another one is made",
        "1 task was answered in another project, and not asked again",
    )
    assert set(tasks(server, again)) == {"cluster:0", "cluster:2"}
    assert said in decisions.answers(run.id)


def test_a_configuration_that_was_changed_there_stays_until_it_is_forced(run: Run, server: Server) -> None:
    one = open_(run, server)["clusters"]
    changed = configuration("clusters").replace('title="Noise"', 'title="Rubbish"')
    server.update_project(number(one), {"label_config": changed})
    again = open_(run, server)["clusters"]
    told = f"the labelling configuration of project {number(one)} was changed on the server and stays"
    assert again.notes[0].startswith(told)
    assert 'title="Rubbish"' in server.project(number(one))["label_config"]
    forced = open_(run, server, force=True)["clusters"]
    assert forced.notes == ()
    assert 'title="Rubbish"' not in server.project(number(one))["label_config"]


def test_a_configuration_that_predictions_do_not_fit_is_told_before_anything_is_sent(run: Run, server: Server) -> None:
    one = open_(run, server)["clusters"]
    changed = configuration("clusters").replace('name="assign"', 'name="sorted"')
    server.update_project(number(one), {"label_config": changed})
    with pytest.raises(ServerError, match=r"task cluster:0 does not fit the labelling configuration: .*assign.*--force"):
        open_(run, server)
    assert open_(run, server, force=True)["clusters"].filled.unchanged == COLOURS


def test_an_older_configuration_of_shoal_is_brought_up_to_date(run: Run, server: Server) -> None:
    from shoal_ls.configs import fingerprint

    one = open_(run, server)["clusters"]
    older = configuration("clusters").replace("name of the cluster", "cluster name")
    server.update_project(number(one), {"label_config": older})
    facts = {**one.surface.facts, "config": fingerprint(older)}
    Decisions.of(run.store).add_surface(one.surface.model_copy(update={"facts": facts}))
    assert open_(run, server)["clusters"].notes == ()
    assert "name of the cluster" in server.project(number(one))["label_config"]


def test_a_project_is_renamed_when_a_name_is_given(run: Run, server: Server) -> None:
    one = open_(run, server)["clusters"]
    assert server.project(number(one))["title"] == f"reviewing {run.id}: clusters"[:50]
    open_(run, server, project="x" * 60)
    assert server.project(number(one))["title"] == f"{'x' * 40}: clusters"


def test_pictures_outside_the_document_root_are_told(made_run: Run, server: Server, tmp_path: Path) -> None:
    outside = shoal.open(shutil.copytree(made_run.store.root.local_or_raise("a test"), tmp_path / "out"))
    with pytest.raises(UsageError, match=r"may only show files below .*LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT="):
        open_(outside, server)
    with pytest.raises(ServerError, match=r"could not show files of .* does not exist"):
        open_(outside, server, pictures=Source(place=f"{_root(server)}/nowhere"))
    with pytest.raises(UsageError, match="--images http shows pictures of shoal's backend"):
        open_(outside, server, pictures=Source("http"))
    with pytest.raises(UsageError, match="--images presigned is for stores on S3"):
        open_(outside, server, pictures=Source("presigned"))


def _root(server: Server) -> str:
    from shoal_ls.storages import document_root

    return document_root(server, next(server.projects())["id"])


def test_pictures_of_the_backend_have_signed_addresses(run: Run, server: Server) -> None:
    from shoal_ls.service.pictures import signed
    from shoal_ls.thumbnails import signed_key

    one = open_(run, server, pictures=Source("http", backend="http://127.0.0.1:9090/"))["clusters"]
    key = signed_key(run.store.root)
    for task in server.tasks(number(one)):
        for item in task["data"]["items"]:
            address = httpx.URL(item["html"].partition('src="')[2].partition('"')[0])
            assert address.path == f"/pictures/{item['id']}.jpg"
            assert signed(item["id"], address.params["signature"], key)


def test_the_command_says_where_and_what_next(run: Run, label_studio: LabelStudio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.token)
    out = run.store.root.uri
    answer = call("review", "open", out, "--url", label_studio.url)
    assert answer.code == 0, answer.err
    assert f"{label_studio.url}/projects/" in answer.out
    assert f"shoal review sync {out} --url {label_studio.url}" in answer.out
    assert "clusters: tasks: 3 to do" in answer.err
    again = call("review", "open", out, "--url", label_studio.url, "--json")
    assert [one["tasks"]["unchanged"] for one in again.json] == [3, run.record.noise]
    assert label_studio.token not in answer.out + answer.err + again.out + again.err


@pytest.mark.parametrize("token", ["0" * 40, ""])
def test_a_wrong_token_is_one_sentence(
    run: Run, label_studio: LabelStudio, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", token)
    answer = call("review", "open", run.store.root.uri, "--url", label_studio.url)
    assert answer.code in (1, 2)
    assert "LABEL_STUDIO_API_KEY" in answer.sentence
    assert not Decisions.found(run.store)


@pytest.fixture
def stopped(label_studio: LabelStudio) -> Iterator[str]:
    """The address of a server while it is stopped."""
    label_studio.stop()
    yield label_studio.url
    label_studio.start()


def test_a_stopped_server_is_one_sentence_and_nothing_is_lost(
    run: Run, stopped: str, label_studio: LabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.token)
    surface = Surface(key="k", run=run.id, kind="clusters", place=stopped, remote="1")
    Decisions.of(run.store).add_surface(surface)
    answer = call("review", "open", run.store.root.uri, "--url", stopped)
    assert answer.code == 1
    assert answer.sentence.startswith(f"nothing answers at {stopped}")
    assert Decisions.of(run.store).surfaces() == [surface]
