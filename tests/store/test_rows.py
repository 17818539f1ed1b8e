"""Rows of map stages: what goes in comes out, in the order asked for, whatever the parts."""

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import StoreError, UsageError
from shoal.schema import vector
from shoal.store import Folder, RowStore, Store
from shoal.store.rows import ERRORS
from shoal.vectors import from_numpy, to_numpy


def table(ids: list[int], epoch: int = 0) -> pa.Table:
    vectors = np.array([[number, number + epoch] for number in ids], dtype=np.float32).reshape(-1, 2)
    names = pa.array([f"{number:064x}" for number in ids], pa.string())
    return pa.table({"id": names, "embedding": from_numpy(vectors), "word": pa.array([f"w{number}" for number in ids])})


COLUMNS = pa.schema([("embedding", vector(2)), ("word", pa.string())])


def name(numbers: list[int]) -> pa.Array:
    return pa.array([f"{number:064x}" for number in numbers], pa.string())


def error(number: int) -> pa.Table:
    return pa.table({"id": name([number]), "error": ["cut off"], "limits": ["a"]}, schema=ERRORS)


@given(
    parts=st.lists(st.lists(st.integers(0, 40), unique=True, min_size=1), min_size=1, max_size=5),
    wanted=st.data(),
)
def test_rows_come_back_in_the_order_asked_for(parts: list[list[int]], wanted: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = RowStore(Folder(folder))
        for part in parts:
            rows.write(table(sorted(part)))
        have = sorted({number for part in parts for number in part})
        order = wanted.draw(st.lists(st.sampled_from(have), unique=True))
        vectors, words = rows.read(name(order), COLUMNS)
        assert words.to_pylist() == [f"w{number}" for number in order]
        assert to_numpy(vectors)[:, 0].tolist() == order if order else len(vectors) == 0
        assert sorted(rows.known().ids.unique().to_pylist()) == name(have).to_pylist()
        assert rows.known().missing(name([*order, 99])).to_pylist() == name([99]).to_pylist()


@given(
    parts=st.lists(st.lists(st.integers(0, 300), unique=True, min_size=1, max_size=40), min_size=1, max_size=8),
    wanted=st.data(),
)
def test_rows_are_found_wherever_their_ids_lie(parts: list[list[int]], wanted: st.DataObject) -> None:
    """Ids as images have them, of which each part spans some; one part is from before spans were named."""
    ids = {number: hashlib.sha256(str(number).encode()).hexdigest() for number in range(301)}
    with tempfile.TemporaryDirectory() as folder:
        rows = RowStore(Folder(folder))
        for epoch, part in enumerate(parts):
            keys = pa.array(sorted(ids[number] for number in part), pa.string())
            rows.write(pa.table({"id": keys, "epoch": pa.array([epoch] * len(keys))}), epoch)
        first = rows.parts()[-1]
        old = first.name.replace(f"rows-{first.first}-{first.last}", f"rows-{first.first}")
        (Path(folder) / first.name).rename(Path(folder) / old)
        newest = {ids[number]: epoch for epoch, part in enumerate(parts) for number in part}
        some = sorted(wanted.draw(st.lists(st.sampled_from(sorted(newest)), unique=True)))
        (epochs,) = rows.read(pa.array(some, pa.string()), pa.schema([("epoch", pa.int64())]))
        assert epochs.to_pylist() == [newest[image] for image in some]


def test_a_newer_epoch_stands_for_older_rows(tmp_path: object) -> None:
    rows = RowStore(Folder(str(tmp_path)))
    rows.write(table([1, 2, 3]))
    assert rows.next_epoch() == 1
    rows.write(table([2], epoch=7), epoch=1)
    assert rows.version(name([1, 3])) != rows.version(name([1, 2]))
    vectors, _ = rows.read(name([1, 2, 3]), COLUMNS)
    assert to_numpy(vectors).tolist() == [[1, 1], [2, 9], [3, 3]]


def test_the_same_rows_make_the_same_file(tmp_path: object) -> None:
    rows = RowStore(Folder(str(tmp_path)))
    rows.write(table([1, 2]))
    rows.write(table([1, 2]))
    assert len(rows.parts()) == 1


def test_an_error_is_known_until_a_row_mends_it(tmp_path: object) -> None:
    rows = RowStore(Folder(str(tmp_path)))
    rows.write_errors(error(5))
    assert rows.known("a").failed == {name([5])[0].as_py(): "cut off"}
    assert len(rows.known("a").missing(name([5]))) == 0
    rows.write(table([5]), epoch=1)
    assert rows.known("a").failed == {}
    rows.write_errors(error(5), epoch=2)
    assert rows.known("a").failed, "the newest answer holds"


def test_an_error_holds_for_the_limits_under_which_it_was_met(tmp_path: object) -> None:
    rows = RowStore(Folder(str(tmp_path)))
    rows.write_errors(error(5))
    assert rows.known("b").failed == {}
    assert len(rows.known("b").missing(name([5]))) == 1


def test_an_id_without_a_row_is_an_error_not_a_vector(tmp_path: object) -> None:
    rows = RowStore(Folder(str(tmp_path)))
    rows.write(table([1, 2]))
    with pytest.raises(StoreError, match="lacks the rows of 1 images"):
        rows.read(name([1, 7]), COLUMNS)
    assert [len(column) for column in RowStore(Folder(str(tmp_path) + "/none")).read(name([]), COLUMNS)] == [0, 0]


def test_a_damaged_part_is_named(tmp_path: object) -> None:
    rows = RowStore(Folder(str(tmp_path)))
    rows.write(table([1]))
    part = Path(str(tmp_path)) / rows.parts()[0].name
    part.write_bytes(part.read_bytes()[:50])
    with pytest.raises(StoreError, match=f"{part.name} is damaged"):
        rows.read(name([1]), COLUMNS)


def test_an_error_of_who_makes_the_slices_is_not_said_of_the_store(tmp_path: object) -> None:
    def slices() -> Iterator[pa.Table]:
        yield table([1])
        raise PermissionError(13, "Permission denied", "manifest.csv")

    folder = Folder(str(tmp_path))
    with pytest.raises(PermissionError, match=r"manifest\.csv"):
        folder.write_slices("some.parquet", table([1]).schema, slices())
    assert folder.names() == []


def test_slices_hold_no_more_than_a_part_of_a_file(tmp_path: object) -> None:
    folder, size = Folder(str(tmp_path)), 4000
    numbers = (range(start, start + size) for start in range(0, 40 * size, size))
    parts = ([hashlib.sha256(str(number).encode()).hexdigest() for number in part] for part in numbers)
    folder.write_slices("ids.parquet", pa.schema([("id", pa.string())]), (pa.table({"id": part}) for part in parts))
    before, rows, held = pa.total_allocated_bytes(), 0, 0
    for part in folder.read_slices("ids.parquet", None, size):
        rows += part.num_rows
        held = max(held, pa.total_allocated_bytes() - before)
    assert rows == 40 * size
    assert held < 10 * size * 64, "a quarter of what the ids are"


def test_half_written_files_are_not_there(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    def stop(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    folder = Folder(str(tmp_path))
    monkeypatch.setattr(pq, "write_table", stop)
    with pytest.raises(StoreError, match="is full; free some room"):
        RowStore(folder).write(table([1]))
    assert folder.names() == []


def test_a_folder_with_other_things_is_refused(tmp_path: object) -> None:
    place = Path(str(tmp_path))
    (place / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"holds other things \(holiday.jpg"):
        Store.open(place, create=True)
    with pytest.raises(UsageError, match="holds no shoal run; make one with"):
        Store.open(place / "none")
    with pytest.raises(UsageError, match=r"s3x://foo can't be opened: .*; use a folder"):
        Store.open("s3x://foo")
    (place / "shoal.json").write_text('{"format": 99}')
    with pytest.raises(StoreError, match="store format 99"):
        Store.open(place)
    (place / "shoal.json").write_text("{")
    with pytest.raises(StoreError, match="is damaged"):
        Store.open(place)


@pytest.mark.parametrize("name", ["why?", "a?b=c", "plain"])
def test_a_local_folder_may_have_any_name(name: str, tmp_path: Path) -> None:
    """A question mark begins options in a URI only."""
    store = Store.open(tmp_path / name, create=True)
    (store.runs / "run").write("a.txt", b"a")
    assert (tmp_path / name / "runs" / "run" / "a.txt").read_bytes() == b"a"
    assert [path.name for path in tmp_path.iterdir()] == [name]
