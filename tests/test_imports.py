"""Imports run one way, heavy libraries are imported late, and files stay short."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("core", "plugins", "ls_backend", "ray_jobs", "tests", "benchmarks")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
CODE = [path for path in SOURCES if path.relative_to(ROOT).parts[0] in ("core", "plugins", "ls_backend")]
HEAVY = {
    "PIL", "cuml", "cupy", "cv2", "evoc", "faiss", "fast_hdbscan", "hdbscan", "mlflow", "numba", "onnx", "onnxruntime",
    "pandas", "plotly", "pynndescent", "ray", "scipy", "simplejpeg", "sklearn", "sqlalchemy", "timm", "torch",
    "transformers", "umap", "vllm",
}  # fmt: skip
CHILD = "core/shoal/images/codec"
"""The decoder's own package: it is imported where Pillow is wanted, and runs in a child process."""


def test_contracts_of_import_linter_hold() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert "0 broken" in done.stdout


def test_every_module_of_the_core_has_its_place() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    placed = {name.strip() for layer in layers for name in layer.split("|")}
    found = {path.stem if path.is_file() else path.name for path in (ROOT / "core" / "shoal").iterdir() if is_module(path)}
    assert found - {"__init__"} == placed


def is_module(path: Path) -> bool:
    return path.suffix == ".py" if path.is_file() else (path / "__init__.py").is_file()


def imported_at_top(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Names of packages that importing a module imports: all but those in functions and under TYPE_CHECKING."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from imported_at_top(node.orelse)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imported_at_top(ast.iter_child_nodes(node))


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_heavy_import_at_the_top(path: Path) -> None:
    allowed = {"PIL"} if str(path.relative_to(ROOT)).startswith(CHILD) else set()
    assert set(imported_at_top([ast.parse(path.read_text())])) & HEAVY - allowed == set()


def test_the_walk_sees_what_it_should() -> None:
    code = """
import torch.nn
if TYPE_CHECKING:
    import ray
else:
    import umap
def f():
    import timm
class A:
    import sklearn
"""
    assert set(imported_at_top([ast.parse(code)])) == {"torch", "umap", "sklearn"}


def test_files_stay_short() -> None:
    long = {str(path.relative_to(ROOT)): lines for path in SOURCES if (lines := len(path.read_text().splitlines())) > 400}
    assert long == {}
