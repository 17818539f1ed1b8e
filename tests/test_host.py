"""The host: loads what it is told to, guards imports, refuses what breaks the contract."""

import subprocess
import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import pyarrow as pa
import pytest

from shoal import hookimpl
from shoal.contract import Batch, MapStage, Stage
from shoal.errors import PluginError, UsageError
from shoal.host import Host
from shoal.schema import columns

pytestmark = pytest.mark.processes

HEAVY = (
    "torch", "ray", "vllm", "transformers", "sklearn", "umap", "hdbscan", "fast_hdbscan", "onnxruntime", "onnx", "timm",
    "plotly", "mlflow", "pandas", "cuml", "faiss", "cv2", "numba", "scipy", "sqlalchemy", "PIL.Image",
)  # fmt: skip
Module = Callable[..., str]


class Length(MapStage):
    """A stage to be found."""

    kind, name = "measure", "length"

    def produces(self) -> pa.Schema:
        return columns(length=pa.int32())

    def map(self, batch: Batch) -> pa.Table:
        return pa.table([pa.array([0] * len(batch), pa.int32())], schema=self.produces())


class Width(Length):
    """Another."""

    name = "width"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Module:
    """Make importable modules out of hooks."""

    def make(name: str, *stages: Any, **hooks: Any) -> str:
        made = ModuleType(name)

        def shoal_stages() -> Iterable[type[Stage]]:
            return stages

        for hook, function in (hooks or {"shoal_stages": shoal_stages}).items():
            setattr(made, hook, hookimpl(function))
        monkeypatch.setitem(sys.modules, name, made)
        return name

    return make


def host(*modules: str) -> Host:
    return Host(builtins=modules, allow=())


def test_stages_come_sorted_by_kind_and_name(module: Module) -> None:
    made = host(module("one", Width), module("two", Length))
    assert made.stages == {("measure", "length"): Length, ("measure", "width"): Width}
    assert [plugin.name for plugin in made.plugins] == ["one", "two"]
    assert made.stage("measure.width") is Width


def test_a_plugin_without_stages_is_fine(module: Module) -> None:
    assert host(module("quiet", shoal_run_done=lambda run: None)).stages == {}


def test_a_module_that_is_missing_is_told(module: Module) -> None:
    made = host("no_such_module_anywhere", module("one", Length))
    assert [(b.name, b.distribution) for b in made.broken] == [("no_such_module_anywhere", "")]
    assert made.broken[0].reason == "ModuleNotFoundError: No module named 'no_such_module_anywhere'"
    assert list(made.stages) == [("measure", "length")]


@pytest.mark.parametrize("error", [RuntimeError("boom"), OSError("libcuda.so is missing"), SyntaxError("bad")])
def test_any_error_of_an_import_is_told(monkeypatch: pytest.MonkeyPatch, module: Module, error: Exception) -> None:
    real = __import__("importlib").import_module

    def import_module(name: str) -> ModuleType:
        if name == "explosive":
            raise error
        return real(name)  # type: ignore[no-any-return]

    monkeypatch.setattr("shoal.host.importlib.import_module", import_module)
    made = host("explosive", module("one", Length))
    assert made.broken[0].reason.startswith(type(error).__name__)
    assert ("measure", "length") in made.stages


def test_an_unknown_stage_names_the_nearest(module: Module) -> None:
    made = host(module("one", Length))
    with pytest.raises(UsageError, match=r"no stage 'measure\.lenght'; did you mean measure\.length\?"):
        made.stage("measure.lenght")
    with pytest.raises(UsageError, match="`shoal stages` lists all"):
        made.stage("qqqqqqqq")


def test_one_stage_from_two_modules_is_no_duplicate(module: Module) -> None:
    assert list(host(module("one", Length), module("two", Length)).stages) == [("measure", "length")]


def test_two_stages_of_one_name_are_refused(module: Module) -> None:
    class Longer(Length):
        pass

    with pytest.raises(PluginError, match=r"two plugins define measure\.length: .*test_host and .*test_host; rename one"):
        host(module("one", Length), module("two", Longer))


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        (Length(), "which is no stage class"),
        (dict, "which is no stage class"),
        (MapStage, "MapStage is abstract; it must define map, produces"),
    ],
)
def test_what_is_no_stage_is_refused(module: Module, stage: Any, words: str) -> None:
    with pytest.raises(PluginError, match=f"one: .*{words}"):
        host(module("one", stage))


def test_a_stage_without_a_name_is_refused(module: Module) -> None:
    class Nameless(MapStage):
        kind = "measure"
        produces, map = Length.produces, Length.map

    with pytest.raises(PluginError, match="one: stage Nameless has no `name`"):
        host(module("one", Nameless))


def test_unknown_hooks_are_refused(module: Module) -> None:
    with pytest.raises(PluginError, match=r"'one' \(one\) implements the unknown hook shoal_stag; did you mean shoal_stage"):
        host(module("one", shoal_stag=lambda: ()))
    with pytest.raises(
        PluginError, match="hooks are shoal_stages, shoal_commands, shoal_stage_done, shoal_run_done, shoal_doctor"
    ):
        host(module("one", shoal_zzzzzzzzzz=lambda: ()))


def test_a_hook_with_an_argument_of_another_name_is_refused(module: Module) -> None:
    with pytest.raises(PluginError, match="one"):
        host(module("one", shoal_run_done=lambda the_run: None))


def test_a_plugin_whose_stages_can_not_be_told_is_broken_and_the_others_work(module: Module) -> None:
    def stages() -> None:
        raise RuntimeError("half\ninstalled")

    found = host(module("one", shoal_stages=stages), module("two", Width))
    assert [broken.reason for broken in found.broken] == ["RuntimeError: half installed"]
    assert len(found.stages) == 1


def test_hosts_do_not_share_anything(module: Module) -> None:
    first, second = host(module("one", Length)), host(module("two", Width))
    assert list(first.stages) != list(second.stages)
    assert first.manager is not second.manager


def test_a_host_imports_nothing_heavy() -> None:
    """Every built-in and every installed plugin loads without the libraries that only workers need."""
    code = f"import sys; from shoal.host import Host; Host(); print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "[]\n", done.stderr


def test_the_kit_imports_nothing_heavy() -> None:
    code = f"import sys, shoal.testing; print([name for name in (*{HEAVY!r}, 'pytest') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "[]\n", done.stderr
