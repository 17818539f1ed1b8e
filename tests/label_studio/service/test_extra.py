"""Without the extra `label-studio`, each command that wants it says so in one sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

URL = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("httpx", ["review", "open", "OUT", "--url", URL]), ("label_studio_sdk", ["review", "open", "OUT", "--url", URL]),
        ("fastapi", ["serve", "OUT"]), ("prometheus_client", ["serve", "OUT"]),
    ],
)  # fmt: skip
def test_a_missing_extra_is_one_sentence(out: Path, module: str, command: list[str]) -> None:
    code = f"import sys; sys.modules[{module!r}] = None; from shoal.cli import main; main()"
    words = [str(out) if word == "OUT" else word for word in command]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "LABEL_STUDIO_API_KEY": "0" * 40},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == f"shoal: {module} is not installed; give `pip install 'shoal[label-studio]'`\n"


def test_the_doctor_says_so_too() -> None:
    code = "import sys; sys.modules['httpx'] = None; from shoal.cli import main; main()"
    command = [sys.executable, "-c", code, "doctor", "--label-studio", URL]
    environment = {**os.environ, "LABEL_STUDIO_API_KEY": "0" * 40}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)
    assert "pip install 'shoal[label-studio]'" in " ".join(done.stdout.split())
    assert "Traceback" not in done.stderr
