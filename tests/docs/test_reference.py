"""The reference is what the code says, and says all of it."""

from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import BaseModel, Field

from shoal.docs import __main__ as command
from shoal.docs import blocks, fill, stale
from shoal.docs.markdown import column_type, options
from shoal.errors import UsageError
from shoal.hooks import hookspec
from shoal.host import Host
from shoal.schema import vector

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs").rglob("*.md"))


@pytest.fixture(scope="module")
def host() -> Host:
    return Host(allow=())


def test_generated_blocks_are_current(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_PLUGINS", "")
    old = [str(path.relative_to(ROOT)) for path in stale(DOCS, host)]
    assert old == [], "run `python -m shoal.docs`"


def test_every_block_is_somewhere(host: Host) -> None:
    text = "\n".join(path.read_text() for path in DOCS)
    assert [name for name in blocks() if f"<!-- begin {name} -->" not in text] == []


def test_every_stage_and_option_is_there(host: Host) -> None:
    text = (ROOT / "docs/reference/stages.md").read_text()
    for title, cls in ((stage.title(), stage) for stage in host.stages.values()):
        section = text.partition(f"### {title}\n")[2].partition("\n### ")[0]
        assert section, title
        assert [name for name in cls.model_fields if f"| `{name}` |" not in section] == []


def test_every_hook_has_a_working_example() -> None:
    from shoal import hooks

    specs = [spec for name, spec in vars(hooks).items() if name.startswith("shoal_")]
    assert len(specs) == 5
    for spec in specs:
        example = (spec.__doc__ or "").partition("```python")[2].partition("```")[0]
        names: dict[str, object] = {"Hue": object}
        exec(compile("\n".join(line[4:] for line in example.splitlines()), spec.__name__, "exec"), names)
        assert callable(names[spec.__name__])
    assert hookspec.project_name == "shoal"


def test_blocks_are_filled_and_filled_again_the_same(host: Host) -> None:
    text = "before\n<!-- begin a -->\nold\n<!-- end a -->\nafter\n"
    once = fill(text, host, {"a": lambda host: "new\n"})
    assert once == "before\n<!-- begin a -->\nnew\n<!-- end a -->\nafter\n"
    assert fill(once, host, {"a": lambda host: "new"}) == once


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<!-- begin b -->\n<!-- end b -->\n", "nothing makes the block 'b'; blocks are a"),
        ("<!-- begin a -->\n", "needs both marks"),
        ("<!-- begin a -->\n<!-- end b -->\n", "needs both marks"),
    ],
)
def test_a_wrong_block_is_told(host: Host, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        fill(text, host, {"a": lambda host: ""})


def test_the_command_checks_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHOAL_PLUGINS", "")
    file = tmp_path / "a.md"
    file.write_text("<!-- begin pipeline-run -->\n<!-- end pipeline-run -->\n")
    assert command.main(["--check", str(tmp_path)]) == 1
    assert "not up to date" in capsys.readouterr().out
    assert command.main([str(file)]) == 0
    assert "| `actors` | integer, >= 1, <= 10000 or null | `null` |" in file.read_text()
    assert command.main(["--check", str(tmp_path)]) == 0
    file.write_text("<!-- begin zzz -->\n<!-- end zzz -->\n")
    assert command.main([str(file)]) == 2
    assert f"{file}: nothing makes the block 'zzz'" in capsys.readouterr().err


def test_options_in_words() -> None:
    class Model(BaseModel):
        size: tuple[int, int] = Field((2, 3), description="w | h")
        share: float = Field(0.5, gt=0, le=1, description="of it")
        name: str = Field(description="needed")

    lines = options(Model).splitlines()
    assert lines[2:] == [
        "| `size` | list of integer, 2 items | `[2, 3]` | w \\| h |",
        "| `share` | number, > 0, <= 1 | `0.5` | of it |",
        "| `name` | text | required | needed |",
    ]


def test_columns_in_words() -> None:
    kinds = [vector(3), vector(), pa.string(), pa.list_(pa.string()), pa.struct([("x", pa.int32())]), pa.binary()]
    words = ["vector(3)", "vector", "text", "list of text", "struct of x int32", "bytes"]
    assert [column_type(kind) for kind in kinds] == words
