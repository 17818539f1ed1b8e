"""Pillow's corpus of good, odd and malicious files through a whole run: no crash, every file accounted for."""

import json
from collections import Counter
from pathlib import Path

import pytest

from ..conftest import Shoal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PIPELINE = """
shoal: 1
name: corpus
max_failed: 1
steps:
  - use: index.folder
    with: {formats: ["*"], hidden: true}
  - use: thumbnail.jpeg
  - use: embed.lite0
  - use: reduce.pca
    with: {components: 8}
  - use: cluster.kmeans
    from: reduce
"""


def test_every_file_is_accepted_or_rejected_with_a_reason(corpus: list[Path], tmp_path: Path, shoal: Shoal) -> None:
    recipe = tmp_path / "corpus.yaml"
    recipe.write_text(PIPELINE)
    folder = next(path for path in corpus[0].parents if path.name == "images")
    out = tmp_path / "out"
    record = json.loads(shoal("run", recipe, folder, "--out", out, "--json").stdout)
    assert record["status"] == "done"
    assert record["files"] == len(corpus) == 1058
    assert record["accepted"] + record["rejected"] == record["files"]
    assert record["accepted"] >= 680
    rejected = json.loads(shoal("rejected", out, "--json").stdout)
    assert len(rejected) == record["rejected"]
    assert all(row["reason"] and row["step"] for row in rejected)
    assert len({row["path"] for row in rejected}) == len(rejected)
    assert Counter(row["status"] for row in rejected)["failed"] == len(rejected)
    again = json.loads(shoal("run", recipe, folder, "--out", out, "--json").stdout)
    assert {step["computed"] for step in again["steps"]} == {0}
    assert (again["accepted"], again["rejected"]) == (record["accepted"], record["rejected"])
