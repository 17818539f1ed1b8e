"""A head that was just started: its job server listens, and refuses jobs until the agent of its node is up."""

from collections.abc import Iterator

import pytest

from shoal.submitting import UnansweredError
from tests.submitting.job_server import JobServer, serving


@pytest.fixture
def server() -> Iterator[JobServer]:
    with serving() as server:
        yield server


def test_it_is_waited_for_and_that_is_told_once(server: JobServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.submitting.cluster.time.sleep", lambda seconds: None)
    server.said = "Traceback (most recent call last):\nRuntimeError: No available agent to submit job, please try again."
    server.troubles["submit"] = [500] * 3
    told: list[str] = []
    assert server.cluster.submit("true", {}, {}, "mine", told.append) == "mine"
    assert server.asked["submit"] == 4
    (line,) = told
    assert "takes no jobs yet" in line


def test_an_answer_that_is_lost_tells_which_job_to_look_for(server: JobServer) -> None:
    """The job may be there: who sends the command again at once would have two."""
    server.troubles["submit"] = [503]
    with pytest.raises(UnansweredError, match=r"the head has no time; `shoal status` tells whether it has job mine"):
        server.cluster.submit("true", {}, {}, "mine")
    assert server.asked["submit"] == 1
