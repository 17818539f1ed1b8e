"""In a pipeline, `distil.prompt` becomes what the captioner before it allows: `--set caption=tags` alone is a whole run."""

import pytest

from shoal.host import Host
from shoal.pipeline import load
from shoal.pipeline.plan import plan
from shoal_plugins.distil.words import Words

PIPELINE = """
shoal: 1
steps:
  - use: index.folder
  - use: embed.lite0
  - use: caption.{captioner}
  - use: distil.prompt
"""


@pytest.mark.parametrize("captioner", ["tags", "skip"])
def test_without_a_language_model_it_is_planned_as_words(captioner: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("pipeline") / "p.yaml"
    file.write_text(PIPELINE.format(captioner=captioner))
    made = plan(load(file, Host(allow=())))
    assert made.step("distil").stage == Words()
    assert made.step("distil").sources["caption"].step == "caption"
