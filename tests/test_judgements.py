"""What evaluators note, as reports and the terminal show it: whatever a plugin noted."""

from typing import Any

import pytest

from shoal.cli.look import quality
from shoal.records import RunRecord, StepRecord
from shoal.report import Figure
from shoal.reporting import judgements


def record(notes: dict[str, Any], stage: str = "evaluate.purity") -> RunRecord:
    step = StepRecord(step="purity", stage=stage, version="1", notes=notes)
    return RunRecord(id="r", pipeline="p", source="s", started="now", steps=[step])


NOTES = {
    "metrics": {"clusters": 12, "silhouette": 0.05, "cross": 0.2},
    "thresholds": {"silhouette": {"at_least": 0.1}, "cross": {"at_most": 0.3}},
    "verdict": "FAIL",
    "reason": "The silhouette is 0.050, under 0.1.",
}


def test_figures_know_their_thresholds() -> None:
    (found,) = judgements(record(NOTES))
    assert (found.step, found.verdict, found.reason) == ("purity", "FAIL", NOTES["reason"])
    assert list(found.figures) == [
        Figure("clusters", "12"),
        Figure("silhouette", "0.050", "at least 0.1", holds=False),
        Figure("cross", "0.200", "at most 0.3"),
    ]


@pytest.mark.parametrize("notes", [{}, {"metrics": [1]}, {"metrics": {"a": "b"}, "thresholds": 3}, {"metrics": {"a": None}}])
def test_strange_notes_are_no_figures(notes: dict[str, Any]) -> None:
    (found,) = judgements(record(notes))
    assert (found.verdict, list(found.figures)) == ("", [])


def test_other_stages_judge_nothing() -> None:
    assert judgements(record(NOTES, "cluster.hdbscan")) == []


def test_the_terminal_shows_them_and_steers_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    quality(record({**NOTES, "reason": "bad\x1b[31m\nnews"}))
    said = capsys.readouterr().out
    assert said.startswith("Quality by purity: FAIL\n")
    assert "silhouette  0.050  at least 0.1" in said
    assert "\x1b" not in said
    quality(record({"metrics": {}}))
    assert "Quality by purity\n" in capsys.readouterr().out
