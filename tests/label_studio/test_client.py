"""The client against the real server: tokens, pages, imports that are counted, and every failure one sentence."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from shoal.errors import UsageError
from shoal_ls.client import Server, find_token
from shoal_ls.errors import Gone, ServerError, refused
from tests.label_studio.server import EMAIL, LabelStudio
from tests.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CHOICE = """<View><Image name="img" value="$image"/>
<Choices name="cls" toName="img"><Choice value="a"/><Choice value="b"/></Choices></View>"""


def prediction(task: int, name: str = "cls") -> dict[str, object]:
    result = [{"from_name": name, "to_name": "img", "type": "choices", "value": {"choices": ["a"]}}]
    return {"task": task, "result": result, "score": 0.5, "model_version": "shoal-test"}


def make_project(server: Server, tasks: int = 0) -> tuple[int, list[int]]:
    number = server.create_project({"title": "client", "label_config": CHOICE})["id"]
    made = server.import_tasks(number, [{"data": {"image": f"/x/{n}.jpg"}, "meta": {"n": n}} for n in range(tasks)])
    return number, made


def test_both_kinds_of_token_let_in(label_studio: LabelStudio) -> None:
    for token, kind in ((label_studio.token, False), (label_studio.personal_token(), True)):
        with Server.connect(label_studio.url, token=token) as server:
            assert server.personal == kind
            assert server.me["email"] == EMAIL
            assert server.users()[server.me["id"]] == EMAIL
            assert server.version().startswith("1.")


def test_a_token_of_a_file_wins_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    file.write_text(" of-a-file \n")
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "of-the-environment")
    assert find_token() == "of-the-environment"
    assert find_token(file) == "of-a-file"
    monkeypatch.delenv("LABEL_STUDIO_API_KEY")
    monkeypatch.setenv("LABEL_STUDIO_TOKEN_FILE", str(file))
    assert find_token() == "of-a-file"


@pytest.mark.parametrize(
    ("content", "words"), [("", "there is no token"), ("a b", "the token is none"), (None, "can't be read")]
)
def test_a_missing_or_odd_token_is_told(tmp_path: Path, content: str | None, words: str) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UsageError, match=words):
        find_token(file)


def test_pages_bring_every_task_once(server: Server) -> None:
    number, made = make_project(server, tasks=1201)
    listed = list(server.task_list(number))
    assert [task["id"] for task in listed] == made
    assert [task["meta"]["n"] for task in listed] == list(range(1201))
    assert [task["id"] for task in server.tasks(number)] == made


def test_answered_tasks_come_with_their_annotations(server: Server, label_studio: LabelStudio) -> None:
    number, made = make_project(server, tasks=3)
    annotation = label_studio.annotate(made[1], prediction(made[1])["result"])  # type: ignore[arg-type]
    (task,) = server.tasks(number, answered=True)
    assert task["id"] == made[1]
    assert task["data"] == {"image": "/x/1.jpg"}
    (found,) = task["annotations"]
    assert found["id"] == annotation
    assert found["completed_by"] == server.me["id"]
    assert found["result"][0]["value"] == {"choices": ["a"]}


def test_fact_predictions_go_in_batches_and_are_counted(server: Server) -> None:
    number, made = make_project(server, tasks=1100)
    told: list[int] = []
    assert server.import_predictions(number, [prediction(task) for task in made], told.append) == 1100
    assert told == [500, 500, 100]
    assert {task["total_predictions"] for task in server.task_list(number)} == {1}


def test_fact_a_wrong_from_name_is_left_out_with_201_and_told(server: Server) -> None:
    number, made = make_project(server, tasks=2)
    with pytest.raises(ServerError, match=r"take 2 predictions into project \d+ and took 0: the labelling configuration"):
        server.import_predictions(number, [prediction(task, "other") for task in made])
    assert {task["total_predictions"] for task in server.task_list(number)} == {0}


def test_a_wrong_token_is_one_sentence_and_is_not_repeated(label_studio: LabelStudio) -> None:
    for token in ("0" * 40, "a.b.c"):
        with Server.connect(label_studio.url, token=token) as server, pytest.raises(ServerError) as told:
            server.me  # noqa: B018
        assert told.value.status == 401
        assert "does not take the token (401" in str(told.value)
        assert token not in str(told.value)


def test_what_is_gone_is_told(server: Server) -> None:
    number, _ = make_project(server)
    server.ask("DELETE", f"/api/projects/{number}/", "delete it")
    with pytest.raises(Gone, match=rf"could not read project {number}: it is not there"):
        server.project(number)
    with pytest.raises(Gone):
        list(server.tasks(number))


def test_a_stopped_server_is_told() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with Server.connect(url, token="x") as server, pytest.raises(ServerError, match=f"nothing answers at {url}"):
        server.version()


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "http://user:secret@host/", "ftp://x"])
def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(UsageError, match="is no address of Label Studio"):
        Server.connect(url, token="x")


def test_a_server_that_takes_too_long_is_told(label_studio: LabelStudio) -> None:
    with (
        Server.connect(label_studio.url, token=label_studio.token, timeout=0.001) as server,
        pytest.raises(ServerError, match="took too long to list its users; give the same command again"),
    ):
        server.users()


def test_a_web_page_where_an_answer_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "api" / "version").mkdir(parents=True)
    (tmp_path / "api" / "version" / "index.html").write_text("<h1>welcome</h1>")
    pages = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=pages.serve_forever, args=(0.02,), daemon=True).start()
    url = f"http://127.0.0.1:{pages.server_port}"
    try:
        with (
            Server.connect(url, token="x") as server,
            pytest.raises(ServerError, match="did not answer as Label Studio does"),
        ):
            server.version()
    finally:
        pages.shutdown()
        pages.server_close()


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and logs nothing."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (403, {"detail": "You do not have permission"}, "the token's user may not read it on URL (403: You do not have"),
        (413, None, "URL could not read it (413); that is too large for it or for a proxy before it: raise their limit"),
        (429, None, "it asks for fewer requests: wait and give the same command again"),
        (500, {"detail": "x\x1b[31m"}, "URL could not read it (500: x); its log says why; then give the same command again"),
        (400, {"validation_errors": {"title": ["too long"]}}, "URL could not read it (400: title: ['too long'])"),
    ],
)
def test_what_a_server_refuses_is_one_sentence(status: int, body: object, words: str) -> None:
    told = refused("URL", status, body, "read it")
    assert words in str(told)
    assert told.status == status
