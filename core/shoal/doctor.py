"""Looks at the machine and the store: each finding with its mend."""

import importlib.metadata
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shoal.errors import ShoalError
from shoal.host import Host

State = Literal["ok", "note", "bad"]

FREE_GB = 2.0
SHM_GB = 1.0
OPTIONAL = {
    "torch": "embed.timm and embed.transformers; pip install 'shoal[transformers]'",
    "timm": "embed.timm; pip install 'shoal[timm]'",
    "transformers": "embed.transformers; pip install 'shoal[transformers]'",
    "fast_hdbscan": "faster HDBSCAN on large sets; pip install 'shoal[fast]'",
    "cuml": "UMAP and HDBSCAN on NVIDIA GPUs; pip install 'shoal[gpu]'",
}
NEEDED = (
    "pyarrow",
    "numpy",
    "pillow",
    "ray",
    "onnxruntime",
    "scikit-learn",
    "hdbscan",
    "umap-learn",
    "plotly",
    "mlflow-skinny",
)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: `state` is ok, note (works, could be better) or bad (mend it)."""

    check: str
    state: State
    found: str
    mend: str = ""


def examine(out: str | None = None) -> list[Finding]:
    """Return the findings, all of them, whatever is wrong.

    Args:
        out: store to look at too.
    """
    return [_python(), *_packages(), *_plugins(), *_ray(), _memory(), *_store(out)]


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Finding("python", "ok", version)


def _packages() -> Iterator[Finding]:
    for name in NEEDED:
        try:
            yield Finding(name, "ok", importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, "bad", "missing", "install shoal again: pip install shoal")
    for module, mend in OPTIONAL.items():
        if importlib.util.find_spec(module) is None:
            yield Finding(module, "note", "not installed", f"only for {mend}")
        else:
            yield Finding(module, "ok", "installed")


def _plugins() -> Iterator[Finding]:
    try:
        host = Host()
    except ShoalError as error:
        yield Finding("plugins", "bad", str(error), "uninstall or mend that package")
        return
    yield Finding("plugins", "ok", f"{len(host.plugins)} loaded, {len(host.stages)} stages")
    for broken in host.broken:
        yield Finding(
            f"plugin {broken.name}",
            "bad",
            broken.reason,
            "mend or uninstall its package, or leave it out with SHOAL_PLUGINS",
        )


def _ray() -> Iterator[Finding]:
    address = os.environ.get("RAY_ADDRESS")
    yield Finding("ray cluster", "ok", address or "none named: shoal starts one on this machine where it pays")
    if address and os.environ.get("RAY_AUTH_MODE") != "token":
        yield Finding(
            "ray auth",
            "note",
            "RAY_AUTH_MODE is not token",
            "a cluster with token auth answers 401 without RAY_AUTH_MODE=token",
        )
    shared = Path("/dev/shm")  # noqa: S108  (Ray's object store lives there)
    if shared.is_dir():
        free = shutil.disk_usage(shared).free / 1e9
        state: State = "ok" if free >= SHM_GB else "note"
        yield Finding(
            "shared memory",
            state,
            f"{free:.1f} GB free",
            "" if state == "ok" else "give the container more --shm-size: Ray is slow without",
        )


def _memory() -> Finding:
    cpus = os.cpu_count() or 1
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    if pages < 2 * cpus:
        return Finding("memory", "note", f"{pages:.0f} GB for {cpus} CPUs", "set `run: {actors: N}` lower on the embed step")
    return Finding("memory", "ok", f"{pages:.0f} GB, {cpus} CPUs")


def _store(out: str | None) -> Iterator[Finding]:
    if out is None:
        return
    from shoal.store import Store

    try:
        store = Store.open(out)
    except ShoalError as error:
        yield Finding("store", "bad", str(error), "name a folder that `shoal run --out` made")
        return
    yield Finding("store", "ok", f"{len(store.runs.names())} runs in {store.root.uri}")
    if store.root.local is not None:
        free = shutil.disk_usage(store.root.local).free / 1e9
        yield Finding(
            "disk", "ok" if free >= FREE_GB else "bad", f"{free:.1f} GB free", "" if free >= FREE_GB else "free some room"
        )
