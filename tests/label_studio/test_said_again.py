"""Odd things that servers and people do, without a server: nothing is lost and no secret is told."""

import httpx
import pytest

from shoal.errors import UsageError
from shoal_ls.client import Server
from shoal_ls.connecting import login
from shoal_ls.errors import ServerError
from shoal_ls.sync import _said_again
from tests.decisions.answers import answer, keep


def test_an_annotation_that_is_there_again_counts_again() -> None:
    """As after Label Studio's database was put back, or when somebody else's deletion was believed."""
    said = answer("cluster:3", keep("x"), key="1", at=1)
    gone = said.model_copy(update={"at": "2026-03-01T00:00:00.000Z", "deleted": True, "changes": ()})
    again = _said_again(said, gone)
    assert again.at == "2026-03-01T00:00:00.001Z"
    assert (again.changes, again.deleted) == (said.changes, False)
    assert _said_again(again, again) == again, "once"
    assert _said_again(said, None) == said
    edited = said.model_copy(update={"at": "2026-04-01T00:00:00.000Z"})
    assert _said_again(edited, gone) == edited


@pytest.mark.parametrize("url", ["http://shoal:hunter2@host:9090", "host:9090", ""])
def test_an_address_of_the_backend_holds_no_password(url: str) -> None:
    with pytest.raises(UsageError) as told:
        login(url)
    assert "hunter2" not in str(told.value)


def test_an_answer_that_is_no_page_of_a_list_is_one_sentence() -> None:
    odd = httpx.Client(
        base_url="http://host", transport=httpx.MockTransport(lambda _: httpx.Response(200, json={"error": 1}))
    )
    with pytest.raises(ServerError, match="did not answer as Label Studio does"):
        list(Server("http://host", odd, personal=False).tasks(1))
