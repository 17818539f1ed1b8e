"""Every block of the docs is run, in the order of its page, on a machine of its own and a folder of little pictures."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from shoal.host import Host
from shoal.pipeline import parse

from .pages import DOCS, LANGUAGES, ROOT, Block, Machine, blocks, photos

HOST = Host(allow=())


def titled(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return Machine(tmp_path_factory.mktemp("machine"))


def checked(block: Block) -> None:
    """Check a block that is data."""
    if block.language == "toml":
        assert tomllib.loads(block.text)
    if block.language == "yaml" and "shoal" in yaml.safe_load(block.text):
        parse(block.text, HOST, where=f"line {block.line}")


def command(block: Block) -> list[str]:
    if block.language == "sh":
        return ["bash", "-euo", "pipefail", "-c", block.text]
    return ["python", "-c", block.text]


def runs(page: Path) -> Iterator[tuple[Block, list[str]]]:
    for block in blocks(page):
        checked(block)
        if block.language in ("sh", "python") and not block.said.startswith(("not run", "file ")):
            yield block, command(block)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", DOCS, ids=titled)
def test_every_block_works(page: Path, machine: Machine, tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    for block in blocks(page):
        if block.said.startswith("file "):
            (tmp_path / block.said.removeprefix("file ")).write_text(block.text)
    for block, words in runs(page):
        done = machine.run(words, tmp_path)
        where = f"{titled(page)}:{block.line}\n{block.text}"
        assert done.returncode == 0, f"{where}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        assert "Traceback" not in done.stderr, where


@pytest.mark.parametrize("page", DOCS, ids=titled)
def test_blocks_say_what_they_are(page: Path) -> None:
    for block in blocks(page):
        assert block.language in LANGUAGES, f"{titled(page)}:{block.line}"
        assert not block.said or block.said.startswith(("not run (", "file ")), f"{titled(page)}:{block.line}: {block.said}"
    assert page.read_text().count("\n```") == 2 * len(blocks(page))


@pytest.mark.parametrize("page", DOCS, ids=titled)
def test_links_lead_somewhere(page: Path) -> None:
    import re

    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        target, _, anchor = link.partition("#")
        if "://" in link:
            continue
        file = (page.parent / target).resolve() if target else page
        assert file.is_file(), f"{titled(page)} links to {link}"
        if not anchor:  # it may be a picture
            continue
        headings = [line.lstrip("#").strip() for line in file.read_text().splitlines() if line.startswith("#")]
        anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert anchor in anchors, f"{titled(page)} links to {link}"
