"""Exported tables in pandas and in LibreOffice: nothing is computed, nothing is lost, hostile text and all."""

import csv
import math
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

from shoal.export import export
from shoal.text import csv_cell
from tests.hostile import TEXTS

SOFFICE = shutil.which("soffice")
SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
TABLES = (
    "S2_clustering.csv",
    "S5_cluster_labels.csv",
    "S6_rescue_candidates.csv",
    "files.csv",
    "images.csv",
    "label.csv",
)
UTF8 = "44,34,76,1,,0,false,true,false"
"""LibreOffice's import of text: comma, double quotes, UTF-8, from line 1; https://wiki.documentfoundation.org/
Documentation/DevGuide/Spreadsheet_Documents (filter options, token 3: 76 is UTF-8)."""


READ_AS = {"2024-01-02": "45293", "TRUE": "1"}
"""What a spreadsheet takes for a value of its own: days since the end of 1899, truth."""


def cells(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


@pytest.fixture(scope="module")
def files(speaking, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    export(speaking, "workflow", folder)
    export(speaking, "csv", folder)
    return folder


@pytest.mark.parametrize("name", TABLES)
def test_pandas_reads_every_row_and_column(files: Path, name: str):
    expected = cells(files / name)
    read = pd.read_csv(files / name)
    assert read.shape == (len(expected) - 1, len(expected[0]))
    assert list(read.columns) == expected[0]
    if "id" in read.columns:
        assert read["id"].dropna().str.fullmatch("[0-9a-f]{64}").all()
    exact = pd.read_csv(files / name, dtype=str, keep_default_na=False, lineterminator="\n")
    assert exact.to_numpy().tolist() == expected[1:]


def test_pandas_gets_numbers_and_texts(files: Path):
    read = pd.read_csv(files / "S2_clustering.csv")
    assert str(read["cluster"].dtype) == "int64"
    assert read["strength"].dtype == float
    rescue = pd.read_csv(files / "S6_rescue_candidates.csv", keep_default_na=False, dtype={"caption": str})
    assert pd.to_numeric(rescue["score"]).between(0, 1).all()
    images = pd.read_csv(files / "images.csv", keep_default_na=False, dtype=str)
    assert sorted(images["caption"]) == sorted(csv_cell(text) for text in TEXTS)


def sheet(path: Path) -> tuple[list[list[str]], int]:
    """Return the cells of the first sheet of an Office Open XML workbook as texts, and how many of them are formulas."""
    with zipfile.ZipFile(path) as book:
        shared = ElementTree.fromstring(book.read("xl/sharedStrings.xml"))
        first = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))
    texts = [unescaped("".join(part.text or "" for part in item.iter(f"{SHEET}t"))) for item in shared]
    rows = []
    for row in first.iter(f"{SHEET}row"):
        found: dict[int, str] = {}
        for cell in row:
            value = cell.find(f"{SHEET}v")
            text = (value.text or "") if value is not None else ""
            found[column(cell.get("r", ""))] = texts[int(text)] if cell.get("t") == "s" else text
        rows.append([found.get(place, "") for place in range(max(found, default=-1) + 1)])
    return rows, sum(1 for _ in first.iter(f"{SHEET}f"))


def unescaped(text: str) -> str:
    """Return a text with its control characters, which XML can't hold: `_x001b_` is ESC (ECMA-376, ST_Xstring)."""
    return re.sub("_x([0-9a-fA-F]{4})_", lambda found: chr(int(found.group(1), 16)), text)


def column(name: str) -> int:
    """Return the place of a cell's column: A1 is 0, B1 is 1."""
    number = 0
    for letter in name.rstrip("0123456789"):
        number = 26 * number + ord(letter) - 64
    return number - 1


@pytest.fixture(scope="module")
def books(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Open every table in LibreOffice as somebody would who clicks on it, and keep it as a workbook."""
    if SOFFICE is None:
        pytest.skip("needs LibreOffice Calc (Debian's package libreoffice-calc-nogui)")
    folder = tmp_path_factory.mktemp("books")
    done = subprocess.run(
        [
            SOFFICE, f"-env:UserInstallation={(folder / 'profile').as_uri()}", "--headless", "--norestore",
            f"--infilter=CSV:{UTF8}", "--convert-to", "xlsx", "--outdir", folder, *(files / name for name in TABLES),
        ],
        capture_output=True, text=True, check=False, timeout=110, env={**os.environ, "HOME": str(folder)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_no_cell_of_a_spreadsheet_is_a_formula(files: Path, books: Path, name: str):
    expected = cells(files / name)
    rows, formulas = sheet(books / f"{Path(name).stem}.xlsx")
    assert formulas == 0
    assert len(rows) == len(expected)
    assert max(len(row) for row in rows) == len(expected[0])
    assert rows[0] == expected[0]
    for row, want in zip(rows[1:], expected[1:], strict=True):
        for place, text in enumerate(want):
            assert same(row[place] if place < len(row) else "", text), (rows[0][place], text)


def same(shown: str, text: str) -> bool:
    """Tell whether a spreadsheet shows a text: as it is but for control characters, or the number in its 15 digits."""
    if shown in (text, READ_AS.get(text)):
        return True
    try:
        return math.isclose(float(shown), float(text), rel_tol=1e-14)
    except ValueError:
        return printable(shown) == printable(text)


def printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable() and character != "\ufffd")


@pytest.mark.slow
def test_letters_of_every_script_and_ids_come_through(files: Path, books: Path):
    rows, _ = sheet(books / "images.xlsx")
    captions = {row[rows[0].index("caption")] for row in rows[1:] if len(row) > rows[0].index("caption")}
    assert {"山间的小湖", "白い猫", "🦈🐟 شاطئ", "Größe: naïve"} <= captions
    ids = [row[0] for row in rows[1:]]
    assert ids == [row[0] for row in cells(files / "images.csv")[1:]]
