"""A PostgreSQL server of the tests' own, on a socket in a folder that only this test run uses."""

import contextlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

USER = "postgres"


def binaries() -> Path | None:
    """Return the folder of PostgreSQL's programs, the newest; None where it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    named = shutil.which("initdb")
    return found[-1].parent if found else Path(named).parent if named else None


@contextlib.contextmanager
def serving(programs: Path, folder: Path) -> Iterator[str]:
    """Start a server and give its URL. It refuses to run as root, so root starts it as the user that its package made."""
    root = os.geteuid() == 0
    if root:
        owner = pwd.getpwnam(USER)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    as_user = ["runuser", "-u", USER, "--"] if root else []

    def call(*words: object) -> None:
        done = subprocess.run(
            [*as_user, *map(str, words)], capture_output=True, text=True, timeout=100, check=False, cwd="/"
        )
        assert done.returncode == 0, done.stdout + done.stderr

    data = folder / "data"
    call(programs / "initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync")
    options = f"-k {folder} -c listen_addresses='' -c fsync=off"
    call(programs / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
    try:
        yield f"postgresql+psycopg://{USER}@/postgres?host={folder}"
    finally:
        call(programs / "pg_ctl", "-D", data, "-m", "immediate", "stop")
