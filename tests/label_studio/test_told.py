"""What `shoal review sync` tells after a round."""

import pytest

import shoal
from shoal.reviewing import make_version
from shoal_ls.sync import Synced
from shoal_ls.sync_commands import _tell
from shoal_ls.syncing import Round
from shoal_ls.task_data import meta_of
from tests.decisions.answers import rename
from tests.reviewing.conftest import RED, _made, host, run, say  # noqa: F401  (fixtures)


def test_a_new_version_leads_to_the_files_and_to_learning(
    run: shoal.Run,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    say(run, "cluster:0", rename(RED, "fire"))
    _tell(run, "my out", Round(run.id, Synced(read=1, new=1), make_version(run)), False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1 annotation read: 1 new or edited, 0 taken back"
    assert lines[-4:] == [
        "next:",
        "  shoal organize 'my out' --to sorted/ --dry-run",
        "  shoal review train 'my out'",
        "  shoal review undo 'my out'",
    ]


@pytest.mark.parametrize("meta", [None, [], "x", 7, {}])
def test_a_task_whose_meta_somebody_replaced_says_nothing(meta: object) -> None:
    assert meta_of({"id": 1, "meta": meta}) == meta_of({"id": 1}) == {}
