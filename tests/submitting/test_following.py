"""A follower stays with a job through a server's troubles, and ends where there is nothing to stay for."""

from collections.abc import Iterator

import pytest

from shoal.errors import UsageError
from shoal.submitting import UnansweredError, follow
from shoal.submitting.cluster import ClusterError, GoneError, refusal
from shoal.submitting.following import TRIES
from tests.submitting.job_server import SILENCE, JobServer, serving

from ..cli.conftest import call


@pytest.fixture
def server() -> Iterator[JobServer]:
    with serving() as server:
        yield server


def followed(server: JobServer) -> tuple[int, list[str]]:
    told: list[str] = []
    return follow(server.cluster, "mine", told.append, pause=0.0).code, told


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
@pytest.mark.parametrize("what", ["job", "log"])
def test_answers_of_a_server_in_trouble_are_asked_for_again(server: JobServer, what: str, status: int) -> None:
    server.troubles[what] = [status] * 3
    assert followed(server) == (0, ["one", "two"])
    assert server.asked[what] == 4


def test_a_server_that_stays_in_trouble_is_left(server: JobServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.submitting.following.PATIENCE", 0.2)
    server.troubles["job"] = [500] * 100_000
    with pytest.raises(UnansweredError, match="is in trouble: RuntimeError: the head has no time"):
        followed(server)


def test_a_server_that_never_answers_is_left(server: JobServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a head whose machine is gone: the connection stands, and nothing comes."""
    monkeypatch.setattr("shoal.submitting.cluster.ANSWER_SECONDS", 0.2)
    monkeypatch.setattr("shoal.submitting.following.PATIENCE", 0.1)
    cluster = server.cluster
    assert cluster.client
    server.troubles["job"] = [SILENCE] * 20
    with pytest.raises(UnansweredError, match="does not answer"):
        follow(cluster, "mine", print, pause=0.0)


def test_a_log_that_can_not_be_had_does_not_hold_the_end(server: JobServer) -> None:
    server.job["status"] = "FAILED"
    server.job["driver_exit_code"] = 2
    server.troubles["log"] = [500] * 100_000
    code, told = followed(server)
    assert code == 2
    assert told == [f"the log of job mine can't be had: the cluster at {server.cluster.address} is in trouble: "
                    "RuntimeError: the head has no time"]  # fmt: skip
    assert server.asked["log"] == TRIES


def test_a_job_that_a_new_head_does_not_know_is_gone(server: JobServer) -> None:
    server.job["status"] = "RUNNING"
    server.said = "Job mine does not exist"
    server.troubles["job"] = [200, 503, 404]
    end = follow(server.cluster, "mine", print, pause=0.0)
    assert (end.code, end.job.status) == (1, "GONE")
    assert end.said == "job mine is gone: the cluster's head was replaced; the same command goes on"


def test_a_job_that_never_was_is_an_error(server: JobServer) -> None:
    server.said = "Job mine does not exist"
    server.troubles["job"] = [404]
    with pytest.raises(GoneError, match="refuses: Job mine does not exist"):
        followed(server)


def test_who_can_not_follow_is_told_how_to_go_on(server: JobServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.submitting.following.PATIENCE", 0.0)
    server.troubles["job"] = [503] * 100_000
    address = server.cluster.address
    done = call("submit", "--follow-job", "mine", "--address", address)
    assert done.code == 1
    assert "is in trouble" in done.sentence
    assert f"shoal submit --follow-job mine --address {address}" in done.err


@pytest.mark.parametrize(
    ("said", "kind", "told"),
    [
        ("Request failed with status code 503: <html>\n<h1>503</h1>.", UnansweredError, "in trouble: HTTP status 503"),
        ("Request failed with status code 500: .", UnansweredError, "in trouble: HTTP status 500"),
        ("Request failed with status code 429: slow down.", UnansweredError, "in trouble: slow down"),
        ("Request failed with status code 400: ValueError: no.", ClusterError, "refuses: ValueError: no"),
        ("Request failed with status code 404: <html>.", ClusterError, "refuses: HTTP status 404"),
        ("Version check returned 404. Old.", ClusterError, "refuses: Version check returned 404. Old"),
    ],
)
def test_what_may_pass_and_what_is_final(said: str, kind: type[ClusterError], told: str) -> None:
    found = refusal("http://head:8265", said)
    assert type(found) is kind
    assert str(found) == f"the cluster at http://head:8265 {'is ' if kind is UnansweredError else ''}{told}"


@pytest.mark.parametrize("address", ["http://me:hunter2@head:8265", "me:hunter2@head:8265", "https://hunter2@head"])
def test_a_login_in_an_address_is_refused_and_not_shown(address: str) -> None:
    done = call("submit", "quickstart", "s3://b/in", "--address", address)
    assert done.code == 2
    assert "holds a login" in done.sentence
    assert "hunter2" not in done.err + done.out


@pytest.mark.parametrize("address", ["http://head:port", "http://", "http://[::1", "http://head:99999"])
def test_an_address_that_is_none_is_told(address: str) -> None:
    from shoal.submitting import Cluster

    with pytest.raises(UsageError, match="is no address of a job server"):
        Cluster.named(address)
