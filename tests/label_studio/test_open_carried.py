"""Opening a run that an earlier one was carried to: what stayed behind is told."""

import secrets

import pytest

import shoal
from shoal.decisions import Answer, Change, Decisions, now
from shoal.reviewing import make_version
from shoal.reviewing.carry import carry
from shoal.runner import RunOptions
from tests.cli.conftest import call
from tests.label_studio.runs import make_run
from tests.label_studio.server import LabelStudio


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_could_not_be_carried_is_listed(label_studio: LabelStudio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_MLFLOW", "off")
    monkeypatch.delenv("COLUMNS", raising=False)  # xdist sets it, and narrow terminals show fewer columns
    folder = label_studio.files / secrets.token_hex(4)
    first = make_run(folder)
    gone = first.joined(["path", "cluster"]).to_pylist()
    number = max(row["cluster"] for row in gone)
    named = Change(kind="rename", cluster=number, label="<b>mine</b>")
    decisions = Decisions.of(first.store)
    decisions.record(
        [Answer(run=first.id, surface="a script", key="1", at=now(), task=f"cluster:{number}", who="ann", changes=(named,))]
    )
    make_version(first)
    for row in gone:
        if row["cluster"] == number:
            (folder / "pictures" / row["path"].rpartition("/")[2]).unlink()
    later = shoal.run(folder / "reviewing.yaml", folder / "pictures", folder / "out", options=RunOptions(where="local"))
    made = carry(later)
    assert [(lost.subject, lost.label, lost.by) for lost in made.lost] == [(f"cluster:{number}", "<b>mine</b>", "ann")]
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.token)
    opened = call("review", "open", folder / "out", "--url", label_studio.url)
    assert opened.code == 0, opened.err
    note = (
        "1 thing that people decided or named could not be carried from the earlier run; `shoal review status` tells which"
    )
    assert f"note: {note}" in opened.out
    (_, listed) = opened.out.split("Not carried\n")
    (line,) = [line for line in listed.splitlines() if "<b>mine</b>" in line]
    assert f"cluster {number}" in line
    assert "named by ann on" in line
    again = call("review", "open", folder / "out", "--url", label_studio.url, "--json").json
    assert [project["notes"] for project in again if project["kind"] == "clusters"] == [[note]]
