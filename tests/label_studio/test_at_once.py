"""Two commands that open one run at once: the second says who is at it, and no project is made twice."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from shoal.catalogue import Run
from shoal.decisions import Decisions
from shoal.errors import StoreError, UsageError
from shoal_ls.alone import LOCK, alone
from shoal_ls.client import Server
from shoal_ls.projects import Options, open_review
from tests.label_studio.server import LabelStudio

pytestmark = pytest.mark.processes


class Waiting:
    """Progress that stops at its first step until it is let go on."""

    def __init__(self) -> None:
        self.there, self.go_on = threading.Event(), threading.Event()

    def start(self, step: str, total: int) -> None:
        self.there.set()
        assert self.go_on.wait(120)

    def advance(self, step: str, rows: int) -> None:
        """Hear nothing."""

    finish = tell = advance


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_of_two_that_open_a_run_the_second_is_told_of_the_first(run: Run, server: Server, label_studio: LabelStudio) -> None:
    first, second = Waiting(), Waiting()
    second.go_on.set()
    with ThreadPoolExecutor(1) as pool, Server.connect(label_studio.url, token=label_studio.token) as other:
        opening = pool.submit(open_review, run, server, Options(), first)
        try:
            assert first.there.wait(120)
            with pytest.raises(UsageError, match=rf"open` \(process {os.getpid()} on .*\) is opening run {run.id}; wait"):
                open_review(run, other, Options(), second)
        finally:
            first.go_on.set()
        made = [one.url for one in opening.result()]
        again = open_review(run, other, Options(), second)
    assert [one.url for one in again] == made
    assert not any(one.made for one in again)
    assert len(Decisions.of(run.store).surfaces(run.id)) == len(made)


def test_a_folder_where_no_lock_can_be_is_told(made_run: Run) -> None:
    folder = made_run.folder.local
    assert folder is not None
    (folder / LOCK).mkdir()
    try:
        with pytest.raises(StoreError, match="can't be written"), alone(made_run):
            pass
    finally:
        (folder / LOCK).rmdir()
    with alone(made_run):
        assert folder.is_dir()
