"""Slices of ascending ids look at their own part of a large set only, and see the same."""

from hashlib import sha256
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given
from hypothesis import strategies as st

from shoal.runner.answering import Column, FromClusters, FromTable, Held
from shoal.runner.indexing import FILES, SEEN, image_table
from shoal.runner.ordered import ascending, ascends, near
from shoal.runner.state import Choice
from shoal.store import Folder

IDS = st.sets(st.text("0123456789abcdef", min_size=1, max_size=3), max_size=40)


def strings(ids: set[str]) -> pa.Array:
    return pa.array(sorted(ids), pa.string())


@given(st.lists(st.text("0123456789abcdef", max_size=3), max_size=40))
def test_ids_are_sorted_where_they_are_not(ids: list[str]) -> None:
    assert ascending(pa.array(ids, pa.string())).to_pylist() == sorted(ids)
    assert ascends(pa.chunked_array([pa.array(ids[:3], pa.string()), pa.array(ids[3:], pa.string())])) == (
        ids == sorted(ids)
    )


@given(IDS, IDS)
def test_near_keeps_all_that_are_in_both(among: set[str], ids: set[str]) -> None:
    found = set(near(strings(among), strings(ids)).to_pylist())
    assert among & ids <= found <= among
    assert all(min(ids) <= name <= max(ids) for name in found)


@given(IDS, IDS, st.lists(IDS, max_size=2))
def test_a_choice_is_the_same_slice_by_slice(ids: set[str], failed: set[str], sets: list[set[str]]) -> None:
    choice = Choice(strings(failed), tuple(strings(chosen) for chosen in sets))
    every = strings(ids)
    wanted = sorted(ids.difference(failed).intersection(*sets)) if sets else sorted(ids - failed)
    assert choice.of(every).to_pylist() == wanted
    assert [name for start in range(0, len(every), 7) for name in choice.of(every.slice(start, 7)).to_pylist()] == wanted


@given(IDS, IDS)
def test_a_table_in_memory_gives_rows_by_id(held: set[str], ids: set[str]) -> None:
    rows = pa.table({"id": strings(held), "n": pa.array(range(len(held)), pa.int64())})
    places = pc.index_in(strings(ids), value_set=strings(held)).to_pylist()
    assert Held(rows).gather(strings(ids))["n"].to_pylist() == places


@given(st.permutations(range(9)))
def test_tables_that_are_held_give_what_they_give_when_read(order: list[int]) -> None:
    ids = pa.array([f"{number}" for number in order])
    with TemporaryDirectory() as scratch:
        folder = Folder(scratch)
        folder.write_table(
            "members", pa.table({"id": ids, "cluster": pa.array([number % 3 - 1 for number in order], pa.int32())})
        )
        folder.write_table("labels", pa.table({"cluster": pa.array([1, 0], pa.int32()), "label": ["one", "none"]}))
        members = FromTable(folder, "members", (Column("cluster", "cluster"),))
        labels = FromClusters(FromTable(folder, "labels", (Column("name", "label"),)), members)
        asked = strings({"0", "3", "4", "8", "stranger"})
        for source in (members, labels):
            held = source.held()
            for some in (asked, asked.slice(1, 2), asked.slice(0, 0)):
                assert {name: values.to_pylist() for name, values in held.gather(some).items()} == {
                    name: values.to_pylist() for name, values in source.gather(some).items()
                }


def test_images_stand_by_id_and_their_paths_by_name() -> None:
    """All that looks at slices builds on it. Arrow's group_by keeps the order of few groups only."""
    rows = [
        {"path": f"/photos/{copy}/{number}.jpg", "id": sha256(str(number).encode()).hexdigest(), "status": "accepted"}
        for copy in ("b", "a", "a")  # one of them is listed twice
        for number in range(3000)
    ]
    images = image_table(pa.Table.from_pylist(rows, schema=FILES), SEEN.empty_table())
    assert images["id"].to_pylist() == sorted({row["id"] for row in rows})
    assert all(paths == sorted(set(paths)) and len(paths) == 2 for paths in images["paths"].to_pylist())
    assert images["path"].to_pylist() == [paths[0] for paths in images["paths"].to_pylist()]
    assert image_table(FILES.empty_table(), SEEN.empty_table()).num_rows == 0
