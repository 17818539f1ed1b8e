"""A Label Studio server: the calls that shoal makes, each failure one sentence.

The SDK checks configurations and predictions before they are sent. Requests are shoal's own: the SDK repeats a request that
failed with 5xx, and an import that is sent twice is there twice; and 10,000 typed tasks are slow to make.
"""

import json
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from shoal.decisions import now
from shoal.errors import UsageError
from shoal_ls.errors import HOW_TO_LOG_IN, ServerError, no_json, refused, unreachable
from shoal_ls.extra import need
from shoal_ls.moments import server_time

if TYPE_CHECKING:
    import httpx

KEY, KEY_FILE = "LABEL_STUDIO_API_KEY", "LABEL_STUDIO_TOKEN_FILE"
CONNECT_SECONDS, ANSWER_SECONDS = 10.0, 120.0
BATCH = 500
"""Most tasks or predictions in one request: more in one, and a server behind a proxy runs into its time limit."""

PAGE = 500
Json = dict[str, Any]
NOTHING: Mapping[str, type] = {}
PROJECT: Mapping[str, type] = {"id": int, "title": str, "label_config": str}
"""Fields of a project that shoal reads."""


def find_token(file: str | Path | None = None) -> str:
    """Return the token: of a file, of LABEL_STUDIO_API_KEY, of the file that LABEL_STUDIO_TOKEN_FILE names, in this order.

    Raises:
        UsageError: there is none, or the file can't be read.
    """
    named = file or (None if os.environ.get(KEY) else os.environ.get(KEY_FILE))
    if named is None:
        token = os.environ.get(KEY, "").strip()
    else:
        try:
            token = Path(named).expanduser().read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            raise UsageError(f"the token can't be read from {named}: {why}; {HOW_TO_LOG_IN}") from error
    if not token:
        raise UsageError(f"there is no token for Label Studio; {HOW_TO_LOG_IN}")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(f"the token is none: it holds other than letters, digits and signs; {HOW_TO_LOG_IN}")
    return token


def is_personal(token: str) -> bool:
    """Tell whether a token is a personal access token (a JWT); legacy tokens are hexadecimal digits."""
    return token.count(".") == 2


class Server:
    """A Label Studio server and who one is there. Use it as a context manager, or `close` it."""

    def __init__(self, url: str, client: "httpx.Client", personal: bool) -> None:
        """Take an HTTP client that is let in; `connect` makes one."""
        self.url = url
        self.personal = personal
        self._client = client
        self.time = now()
        """When it answered last, by its own clock."""

    @classmethod
    def connect(
        cls, url: str, token: str | None = None, file: str | Path | None = None, timeout: float = ANSWER_SECONDS
    ) -> "Server":
        """Return a server; nothing is asked of it yet.

        Args:
            url: where it answers, with the path that it lives under, if any.
            token: legacy or personal access token; None finds it (`find_token`).
            file: that holds the token.
            timeout: seconds to wait for an answer.

        Raises:
            UsageError: the URL is none, there is no token, or shoal was installed without the extra `label-studio`.
        """
        need("httpx", "label_studio_sdk")
        import httpx

        place = url.rstrip("/")
        if not place.startswith(("http://", "https://")) or "@" in place:
            raise UsageError(
                f"{url.rpartition('@')[2]} is no address of Label Studio; write for instance --url http://127.0.0.1:8080"
            )
        token = token or find_token(file)
        patience = httpx.Timeout(timeout, connect=CONNECT_SECONDS)
        return cls(place, httpx.Client(base_url=place, auth=auth_of(place, token), timeout=patience), is_personal(token))

    def close(self) -> None:
        """Close connections."""
        self._client.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close connections."""
        self.close()

    def ask(self, method: str, path: str, what: str, body: Any = None, **query: Any) -> Any:
        """Return the JSON answer to a request; None where it is empty.

        Args:
            method: such as `GET`.
            path: such as `/api/projects/3/`.
            what: what it does, as an infinitive, for errors.
            body: sent as JSON.
            query: parameters; those that are None are left out.

        Raises:
            Gone: it is not there.
            ServerError: it was not done.
        """
        import httpx

        sent = None if body is None else json.dumps(body).encode()  # escaped: lone surrogates are no UTF-8
        headers = {"Accept": "application/json"} | ({} if sent is None else {"Content-Type": "application/json"})
        wanted = {name: value for name, value in query.items() if value is not None}
        try:
            answer = self._client.request(method, path, content=sent, headers=headers, params=wanted)
        except httpx.HTTPError as error:
            raise unreachable(self.url, what, error) from error
        self.time = server_time(answer.headers.get("date"))
        if answer.is_success and not answer.content:
            return None
        try:
            said = answer.json()
        except (ValueError, RecursionError):
            said = None
        if not answer.is_success and not answer.is_redirect:
            raise refused(self.url, answer.status_code, said, what)
        if said is None:
            raise no_json(self.url, what)
        return said

    def _object(
        self, method: str, path: str, what: str, body: Any = None, wanted: Mapping[str, type] = NOTHING, **query: Any
    ) -> Json:
        """Return the JSON object that answers a request, with the wanted fields."""
        return self._checked(self.ask(method, path, what, body, **query), what, wanted)

    def _checked(self, said: Any, what: str, wanted: Mapping[str, type] = NOTHING) -> Json:
        """Return a JSON object that has the wanted fields: a proxy, or another service, answers with other JSON."""
        if not isinstance(said, dict) or not all(isinstance(said.get(name), kind) for name, kind in wanted.items()):
            raise no_json(self.url, what)
        return said

    def version(self) -> str:
        """Return the server's version, such as 1.23.2."""
        return str(self._object("GET", "/api/version/", "tell its version", wanted={"release": str})["release"])

    @cached_property
    def me(self) -> Json:
        """Who the token belongs to: id, email, ..."""
        return self._object("GET", "/api/current-user/whoami", "tell who the token belongs to", wanted={"id": int})

    def users(self) -> dict[int, str]:
        """Return the e-mail address (else the name) of each user by number."""
        what = "list its users"
        found = [self._checked(user, what, {"id": int}) for user in self._listed("/api/users/", what, None)]
        return {user["id"]: str(user.get("email") or user.get("username") or f"user:{user['id']}") for user in found}

    def projects(self) -> Iterator[Json]:
        """Yield every project that the user sees."""
        yield from self._listed("/api/projects/", "list its projects", 100)

    def project(self, number: int) -> Json:
        """Return a project.

        Raises:
            Gone: it was deleted.
        """
        return self._object("GET", f"/api/projects/{number}/", f"read project {number}", wanted=PROJECT)

    def create_project(self, fields: Mapping[str, Any]) -> Json:
        """Make a project and return it."""
        return self._object("POST", "/api/projects/", f"make project {fields.get('title')!r}", dict(fields), wanted=PROJECT)

    def update_project(self, number: int, fields: Mapping[str, Any]) -> Json:
        """Change fields of a project and return it."""
        path, what = f"/api/projects/{number}/", f"change project {number}"
        return self._object("PATCH", path, what, dict(fields), wanted=PROJECT)

    def tasks(self, project: int, answered: bool = False) -> Iterator[Json]:
        """Yield the tasks of a project by rising number: id, data, meta, annotations, predictions, total_annotations, ...

        An annotation has id, result, completed_by (a user's number), created_at, updated_at, was_cancelled (skipped).

        Args:
            project: its number.
            answered: only tasks that have an annotation, a skipped one included.
        """
        wanted: Json = {"ordering": ["tasks:id"]}
        if answered:
            counts = ("total_annotations", "cancelled_annotations")
            wanted["filters"] = {"conjunction": "or", "items": [_number_filter(name, "greater", 0) for name in counts]}
        yield from self._tasks(project, PAGE, query=json.dumps(wanted), fields="all")

    def task_list(self, project: int) -> Iterator[Json]:
        """Yield what is little of each task: id, meta, created_at, and the numbers of its annotations and predictions.

        The data of 10,000 cluster tasks are 100 MB, their list 2.
        """
        fields = "id,meta,created_at,total_annotations,cancelled_annotations,total_predictions"
        yield from self._tasks(project, 4 * PAGE, query=json.dumps({"ordering": ["tasks:id"]}), include=fields)

    def first_tasks(self, project: int) -> Iterator[Json]:
        """Yield one task of a project, to try things with; none where it has none."""
        what = f"read a task of project {project}"
        query = {"project": project, "page_size": 1, "include": "id,data"}
        yield from self._object("GET", "/api/tasks/", what, wanted={"tasks": list}, **query)["tasks"]

    def fetch(self, url: str, anonymous: bool = False) -> tuple[int, str]:
        """Return the status and the type of what lies at an address; 0 where nothing answers.

        Args:
            url: anywhere; only the server itself sees the token.
            anonymous: leave the token out.
        """
        import httpx

        own = url.startswith(f"{self.url}/") and not anonymous
        try:
            answer = self._client.get(url) if own else httpx.get(url, timeout=10)
        except (httpx.HTTPError, httpx.InvalidURL):
            return 0, ""
        return answer.status_code, answer.headers.get("content-type", "")

    def annotations(self, task: int) -> list[Json]:
        """Return the annotations of a task."""
        return list(self._listed(f"/api/tasks/{task}/annotations/", f"read the annotations of task {task}", None))

    def annotation(self, number: int) -> Json:
        """Return an annotation.

        Raises:
            Gone: it was deleted.
        """
        return self._object("GET", f"/api/annotations/{number}/", f"read annotation {number}", wanted={"id": int})

    def import_tasks(
        self, project: int, tasks: Sequence[Json], told: Callable[[int], object] = lambda count: None
    ) -> list[int]:
        """Put tasks into a project and return their numbers in order; at most 500 go in a request.

        Predictions that come with a task are taken unseen, even such as fit no configuration: send them by
        `import_predictions`, which counts those that fit.

        Args:
            project: its number.
            tasks: each with `data` and perhaps `meta`.
            told: hears the number of tasks of each request that is done.

        Raises:
            ServerError: the server made another number of tasks than were sent.
        """
        numbers: list[int] = []
        for start in range(0, len(tasks), BATCH):
            part = tasks[start : start + BATCH]
            what = f"take {len(part)} tasks into project {project}"
            path = f"/api/projects/{project}/import"
            made = self._object("POST", path, what, list(part), wanted={"task_ids": list}, return_task_ids="true")
            _check_count(self.url, what, len(part), made.get("task_count"))
            numbers += made["task_ids"]
            told(len(part))
        return numbers

    def import_predictions(
        self, project: int, predictions: Sequence[Json], told: Callable[[int], object] = lambda count: None
    ) -> int:
        """Put predictions onto tasks and return how many; at most 500 go in a request.

        The server answers 201 and leaves out those that don't fit the configuration, such as a wrong `from_name`.

        Args:
            project: its number.
            predictions: each with `task`, `result`, `score`, `model_version`.
            told: hears the number of each request that is done.

        Raises:
            ServerError: the server took fewer than were sent.
        """
        for start in range(0, len(predictions), BATCH):
            part = predictions[start : start + BATCH]
            what = f"take {len(part)} predictions into project {project}"
            made = self._object("POST", f"/api/projects/{project}/import/predictions", what, list(part))
            _check_count(self.url, what, len(part), made.get("created"))
            told(len(part))
        return len(predictions)

    def update_task(self, number: int, fields: Mapping[str, Any]) -> Json:
        """Change a task's data or meta and return it."""
        return self._object("PATCH", f"/api/tasks/{number}/", f"change task {number}", dict(fields))

    def _tasks(self, project: int, size: int, **query: Any) -> Iterator[Json]:
        what = f"read the tasks of project {project}"
        yield from self._paged("/api/tasks/", what, size, "tasks", project=project, resolve_uri="false", **query)

    def listed(self, path: str, project: int, what: str) -> list[Json]:
        """Return all of a project's storages, views, webhooks or backends."""
        return list(self._listed(path, what, None, project=project))

    def _listed(self, path: str, what: str, size: int | None, **query: Any) -> Iterator[Json]:
        """Yield the entries of a list, whether the server pages it or not."""
        if size is not None:
            yield from self._paged(path, what, size, "results", **query)
            return
        said = self.ask("GET", path, what, **query)
        found = said.get("results") if isinstance(said, dict) else said
        if not isinstance(found, list):
            raise no_json(self.url, what)
        yield from (self._checked(entry, what) for entry in found)

    def _paged(self, path: str, what: str, size: int, name: str, **query: Any) -> Iterator[Json]:
        page = 1
        while True:
            try:
                said = self._object("GET", path, what, wanted={name: list}, page=page, page_size=size, **query)
            except ServerError as error:
                if error.status == 404 and page > 1:  # entries were removed while they were read
                    return
                raise
            found = said[name]
            yield from (self._checked(entry, what) for entry in found)
            total = next((said[name] for name in ("total", "count") if isinstance(said.get(name), int)), 0)
            if not found or page * size >= total:
                return
            page += 1


def _number_filter(column: str, operator: str, value: float) -> Json:
    """Return a filter of the Data Manager on a column of numbers; the type is `Number`, and others find nothing."""
    return {"filter": f"filter:tasks:{column}", "operator": operator, "type": "Number", "value": value}


def _check_count(url: str, what: str, sent: int, made: Any) -> None:
    """Compare what was sent with what the server says it made: it leaves out what it does not like without an error."""
    if made != sent:
        raise ServerError(
            f"{url} was to {what} and took {made}: the labelling configuration of the project does not fit; "
            "was it changed by hand? `shoal review open --force` puts it back"
        )


def auth_of(url: str, token: str) -> "httpx.Auth":
    """Return what puts the token into requests.

    A personal access token is exchanged for one that lives for minutes, and again when that has ended.
    """
    import httpx

    class Legacy(httpx.Auth):
        def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
            request.headers["Authorization"] = f"Token {token}"
            yield request

    class Personal(httpx.Auth):
        access = ""

        def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
            if self.access:
                request.headers["Authorization"] = f"Bearer {self.access}"
                answer = yield request
                if answer.status_code != 401:
                    return
            given = yield httpx.Request("POST", f"{url}/api/token/refresh/", json={"refresh": token})
            given.read()  # this answer alone: pictures are read bit by bit
            if given.status_code != 200:
                said = given.json() if "json" in given.headers.get("content-type", "") else None
                raise refused(url, given.status_code, said, "exchange the personal access token")
            try:
                self.access = str(given.json()["access"])
            except (ValueError, KeyError, TypeError) as error:
                raise no_json(url, "exchange the personal access token") from error
            request.headers["Authorization"] = f"Bearer {self.access}"
            yield request

    return Personal() if is_personal(token) else Legacy()
