"""What a run takes along as a job: its command, its environment, and what of it must not be shown."""

import os
import re
import secrets
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import parse_qs

from shoal.errors import UsageError
from shoal.host import Host
from shoal.pipeline import load
from shoal.pipeline.plan import plan
from shoal.pipeline.recipes import ENDINGS, locate
from shoal.presets import with_preset
from shoal.sources import SECRET, absolute, is_local, secret_in
from shoal.submitting.cluster import Cluster
from shoal.submitting.packing import NAME, Wheel, own_wheel, plugin_wheel
from shoal.submitting.places import reachable

HERE = "${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}"
"""What Ray's pip step calls the job's working folder."""

OUT, METADATA = "shoal.out", "shoal.version"


@dataclass(frozen=True)
class Submission:
    """A run that shall be a job.

    Attributes:
        pipeline, images, out, overrides: as `shoal run` takes them; a pipeline file travels along.
        preset: name of one.
        options: further words of `shoal run`.
        plugins: requirements that pip on the cluster can fetch, wheels, or folders of packages.
        variables: names of environment variables whose values the job gets.
        shared: folders that every node has at the same path.
        pack: whether shoal itself travels; else the cluster's image has it.
    """

    pipeline: str
    images: str
    out: str
    overrides: tuple[str, ...] = ()
    preset: str | None = None
    options: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    pack: bool = True


def submit(cluster: Cluster, wanted: Submission, hear: Callable[[str], None] = lambda line: None) -> str:
    """Send a run to a cluster and return the job's id.

    What can be known to be wrong is told before anything is sent.

    Args:
        cluster: that shall run it.
        wanted: the run.
        hear: is told once where the cluster has to be waited for.

    Raises:
        UsageError: a place that the cluster can't reach, a wrong pipeline or option, a variable that is not set, a plugin
            that can't be packed.
        ClusterError: the cluster refuses.
    """
    images = reachable(wanted.images, "IMAGES", cluster.address, wanted.shared)
    out = reachable(wanted.out, "--out", cluster.address, wanted.shared)
    _check_overrides(wanted.overrides)
    values = _values(wanted.variables)
    local, requirements = _plugins(wanted.plugins)
    if not wanted.plugins:
        _check_pipeline(wanted, cluster.address)
    wheels = [*([own_wheel()] if wanted.pack else []), *(plugin_wheel(path) for path in local)]
    requirements += [need for wheel in wheels for need in _foreign(wheel, wheels)]
    with TemporaryDirectory(prefix="shoal-") as scratch:
        folder = Path(scratch)
        pipeline = _recipe(wanted.pipeline, folder / "job")
        words = ["run", pipeline, images, "--out", out, *(word for text in wanted.overrides for word in ("--set", text))]
        words += ["--preset", wanted.preset] if wanted.preset else []
        environment = _environment(wheels, requirements, values, folder)
        name = f"{NAME}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        packed = wheels[0].name.split("-")[1] if wanted.pack else "of the cluster"
        command = shlex.join(["python", "-m", NAME, *words, *wanted.options])
        return cluster.submit(command, environment, {OUT: out, METADATA: packed}, name, hear)


def _check_pipeline(wanted: Submission, address: str) -> None:
    """Refuse a pipeline that does not hold together, and options that name files which only this machine has.

    Where an option names a file that only the cluster has, its stage can't be asked for columns here; the job does that.
    """
    host = Host()
    pipeline = load(wanted.pipeline, host, with_preset(wanted.preset, wanted.pipeline, host, wanted.overrides))
    there = False
    for step in pipeline.steps:
        for name, value in step.stage.model_dump().items():
            if not isinstance(value, str) or "/" not in value or not is_local(value):
                continue
            if os.path.exists(absolute(value)):
                reachable(value, f"{step.name}.{name}", address, wanted.shared)
            there |= os.path.isabs(value) and not os.path.exists(value)
    if not there:
        plan(pipeline)


def _check_overrides(overrides: Sequence[str]) -> None:
    """Refuse credentials in the addresses of options: they would be in the job's command."""
    for text in overrides:
        address = re.search(r"[A-Za-z][A-Za-z0-9+.-]+://.*", text)
        secret = secret_in(address[0]) if address else ""
        if secret:
            raise UsageError(
                f"--set {text.partition('=')[0]} holds {secret}, and a job's command is shown to everybody who sees the "
                "cluster; give secrets to the cluster"
            )


def _values(names: Sequence[str]) -> dict[str, str]:
    """Return the values of environment variables.

    Raises:
        UsageError: one is not set, or a value stands where a name should: it would be in the shell's history.
    """
    for name in names:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            shown = name.partition("=")[0]
            raise UsageError(
                f"--env takes the name of a variable and not its value; write: export {shown}=...; --env {shown}"
            )
        if name not in os.environ:
            raise UsageError(f"--env {name}: there is no such variable here; export it first")
    return {name: os.environ[name] for name in names}


def _plugins(named: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Return (wheels and folders, requirements)."""
    local, requirements = [], []
    for text in named:
        path = Path(text).expanduser()
        if "://" in text:
            options = parse_qs(text.partition("?")[2].partition("#")[0], keep_blank_values=True)
            if re.search(r"://(?!git@)[^/@\s]+@", text) or any(map(SECRET.search, options)):
                raise UsageError("--plugin holds a login, and Ray shows requirements to whoever may list jobs; name a wheel")
            requirements.append(text)
        elif text.endswith(".whl") or "/" in text or path.is_dir():
            if not path.exists():
                raise UsageError(
                    f"the plugin {text} does not exist; name a wheel, a folder, or a requirement such as my-plugin==1.0"
                )
            local.append(path)
        else:
            requirements.append(text)
    return local, requirements


def _foreign(wheel: Wheel, wheels: Sequence[Wheel]) -> list[str]:
    """Return what a plugin requires and neither shoal's own requirements nor another wheel bring."""
    if wheel.name.startswith(f"{NAME}-"):
        return []
    there = {_plain(NAME), *(_plain(other.name.partition("-")[0]) for other in wheels)}
    there |= {_plain(need) for own in wheels if own.name.startswith(f"{NAME}-") for need in own.requires if not _extra(need)}
    return [need for need in wheel.requires if not _extra(need) and _plain(need) not in there]


def _extra(requirement: str) -> bool:
    """Tell whether only who asks for an extra gets a requirement."""
    return re.search(r"\bextra\s*==", requirement.partition(";")[2]) is not None


def _plain(requirement: str) -> str:
    """Return the name in a requirement as indexes compare it."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement.strip())
    return re.sub(r"[-_.]+", "-", name[0] if name else "").lower()


def _recipe(named: str, folder: Path) -> str:
    """Put a pipeline file into the job's folder and return how the job shall name it; a recipe of shoal stays a name."""
    folder.mkdir(parents=True)
    if "/" not in named and not named.endswith(ENDINGS):
        return named
    path = locate(named)
    (folder / path.name).write_bytes(path.read_bytes())
    return f"./{path.name}"


def _environment(
    wheels: Sequence[Wheel], requirements: Sequence[str], values: dict[str, str], folder: Path
) -> dict[str, Any]:
    """Return Ray's runtime environment.

    Wheels alone are modules: a node installs each once. With requirements, pip makes an environment of all together, so
    that what a plugin requires of shoal is found to be there.
    """
    job = folder / "job"
    environment: dict[str, Any] = {"env_vars": values} if values else {}
    if any(job.iterdir()) or requirements:
        environment["working_dir"] = str(job)
    place = job if requirements else folder
    for wheel in wheels:
        (place / wheel.name).write_bytes(wheel.data)
    if requirements:
        environment["pip"] = [*(f"{HERE}/{wheel.name}" for wheel in wheels), *requirements]
    elif wheels:
        environment["py_modules"] = [str(folder / wheel.name) for wheel in wheels]
    return environment
