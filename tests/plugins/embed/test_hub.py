"""The hub's real client against a small server: downloads, and one sentence for what goes wrong."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from .hub_server import COMMIT, serve_hub

if find_spec("torch") is None or find_spec("transformers") is None:
    pytest.skip("the extra transformers is not installed", allow_module_level=True)
from tests.models.tiny_transformers import make_tiny

PROGRAM = """
import json, sys, time
import numpy as np
from shoal.contract import Context
from shoal.errors import StageError
from shoal_plugins.embed.transformers import Transformers
answers = []
for options in json.loads(sys.argv[1]):
    notes, start = {}, time.monotonic()
    try:
        stage = Transformers(**options)
        stage.setup(Context(note=notes.__setitem__))
        spec = stage.image
        rows = stage.embed([np.full((spec.height, spec.width, 3), 99, dtype=np.uint8)])
        answers.append([stage.size, notes["commit"], rows[0].tolist()])
    except StageError as error:
        answers.append([str(error), time.monotonic() - start])
print(json.dumps(answers))
"""


def run(asked, endpoint, home):
    """Embed a grey image with each model asked for, in a process of its own: the client reads its address at import."""
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(asked)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_model_comes_from_the_hub_and_then_from_the_cache(tmp_path):
    make_tiny("clip", tmp_path / "model")
    asked = [
        {"model": "somebody/tiny"},
        {"model": str(tmp_path / "model")},
        {"model": "somebody/none"},
        {"model": "somebody/gated"},
        {"model": "somebody/tiny", "revision": "nowhere"},
    ]
    with serve_hub("somebody/tiny", tmp_path / "model") as endpoint:
        hub, folder, missing, gated, revision = run(asked, endpoint, tmp_path / "home")
    assert hub == [24, COMMIT, folder[2]]
    assert "the hub has no model 'somebody/none' that may be read; correct its name" in missing[0]
    assert "asks for consent: accept its terms on the hub and set HF_TOKEN" in gated[0]
    assert "has no such revision on the hub; correct `revision`" in revision[0]
    again, other = run([{"model": "somebody/tiny"}, {"model": "somebody/other"}], endpoint, tmp_path / "home")
    assert again == hub  # the server is gone
    assert f"not on this machine and {endpoint} can't be reached" in other[0]
    assert other[1] < 10
