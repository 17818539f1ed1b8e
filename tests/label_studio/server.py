"""A real Label Studio server for tests: its own environment, loopback only, a free port, stopped by its process id."""

import os
import secrets
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from filelock import FileLock

from tests.ports import free_port

ROOT = Path(__file__).parents[2]
VARIABLE = "SHOAL_LABEL_STUDIO"
"""Environment variable with the `bin` folder of an environment that holds Label Studio; else `make` sets one up."""

READY_SECONDS = 480
EMAIL, PASSWORD = "reviewer@example.com", "reviewing-is-fun"


def binaries() -> Path:
    """Return the folder that `label-studio` lies in."""
    named = os.environ.get(VARIABLE)
    folder = Path(named) if named else ROOT / ".venv-label-studio" / "bin"
    if not (folder / "label-studio").exists():
        pytest.fail(f"{folder} holds no label-studio; run `make .venv-label-studio/.installed`, or set {VARIABLE}")
    return folder


def fresh(cache: Path, folder: Path, guarded: bool = False, environment: dict[str, str] | None = None) -> "LabelStudio":
    """Return a server with an empty database in a folder, started; arguments as of `LabelStudio`.

    Making the database takes half a minute, minutes on a busy machine: it is made once, by one process, and copied.
    """
    version = subprocess.run(
        [str(binaries() / "python"), "-c", "from importlib.metadata import version; print(version('label-studio'))"],
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout.strip()  # fmt: skip
    template = cache / f"label-studio-{version}"
    with FileLock(cache / "label-studio.lock"):
        if not template.is_dir():
            _make_database(template, folder / "files")
    shutil.copytree(template, folder / "data")
    token = (template / "token").read_text()
    made = LabelStudio(folder / "data", folder / "files", guarded, token, environment or {})
    made.start()
    return made


def _make_database(template: Path, files: Path) -> None:
    making = template.with_name(f"{template.name}-{os.getpid()}")
    first = LabelStudio(making, files)
    first.start()
    first.stop()
    (making / "token").write_text(first.token)
    making.rename(template)


@dataclass
class LabelStudio:
    """A server that runs in a process of its own.

    Attributes:
        folder: of its database and its log.
        files: document root of its local files.
        guarded: leave the protection against private addresses on, as servers on the internet have it.
        token: legacy token of its one user.
        environment: more of its environment.
    """

    folder: Path
    files: Path
    guarded: bool = False
    token: str = field(default_factory=lambda: secrets.token_hex(20))
    environment: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers; the first start of a folder makes its database and takes half a minute."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.files.mkdir(parents=True, exist_ok=True)
        command = [str(binaries() / "label-studio"), "start", "--no-browser", "--port", str(self.port)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--internal-host", "127.0.0.1"], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env=self._environment(), cwd=self.folder,
            )  # fmt: skip
        self._wait()

    def stop(self) -> None:
        """End it."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(20)
        self.process = None

    def call(self, method: str, path: str, **more: object) -> httpx.Response:
        """Ask the API with the legacy token, past the code that is tested."""
        headers = {"Authorization": f"Token {self.token}"}
        return httpx.request(method, f"{self.url}{path}", headers=headers, timeout=60, **more)  # type: ignore[arg-type]

    def personal_token(self) -> str:
        """Make a personal access token."""
        made = self.call("POST", "/api/token/", json={})
        assert made.status_code in (200, 201), made.text
        return str(made.json()["token"])

    def annotate(self, task: int, result: list[dict[str, object]]) -> int:
        """Submit an annotation and return its number."""
        made = self.call("POST", f"/api/tasks/{task}/annotations/", json={"result": result})
        assert made.status_code == 201, made.text
        return int(made.json()["id"])

    def _wait(self) -> None:
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until:
            assert self.process is not None
            if self.process.poll() is not None:
                break
            try:
                if httpx.get(f"{self.url}/health/", timeout=5).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.3)
        log = (self.folder / "log").read_text(errors="replace")[-2000:]
        self.stop()
        pytest.fail(f"Label Studio did not start:\n{log}")

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LABEL_STUDIO", "DJANGO"))}
        switch = "true" if self.guarded else "false"
        return kept | {
            "LABEL_STUDIO_BASE_DATA_DIR": str(self.folder),
            "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
            "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(self.files),
            "LABEL_STUDIO_USERNAME": EMAIL,
            "LABEL_STUDIO_PASSWORD": PASSWORD,
            "LABEL_STUDIO_USER_TOKEN": self.token,
            "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
            "ML_BLOCK_LOCAL_IP": switch,
            "SSRF_PROTECTION_ENABLED": switch,
            "COLLECT_ANALYTICS": "false",
            "LATEST_VERSION_CHECK": "false",
            "SENTRY_DSN": "",
            "FRONTEND_SENTRY_DSN": "",
            **self.environment,
        }
