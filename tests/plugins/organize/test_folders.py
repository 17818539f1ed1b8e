"""`organize.folders`: the table of rules, collisions, duplicates, side-cars, hostile text; and its plan carried out."""

import hashlib
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shoal import journal
from shoal.contract import Context
from shoal.names import collision_key, inside
from shoal_plugins.organize.folders import Folders, find_sidecars

RULES = ("id@label@original", "label@original", "cluster_id@label", "cluster_id@label@original")


def table(rows: list[tuple[str, list[str], int, str | None]], *, labels: bool = True) -> pa.Table:
    ids, paths, clusters, names = zip(*rows, strict=True) if rows else ((), (), (), ())
    columns = {
        "id": pa.array(ids, pa.string()),
        "paths": pa.array(paths, pa.list_(pa.string())),
        "cluster": pa.array(clusters, pa.int32()),
    }
    return pa.table({**columns, "label": pa.array(names, pa.string())} if labels else columns)


def targets(stage: Folders, rows: pa.Table) -> list[str]:
    return list(stage.run(rows, Context()).column("target").to_pylist())


ONE = [
    ("a", ["/p/IMG_1234.jpg"], 0, "Mountain Landscape"),
    ("b", ["/p/IMG_2.JPG"], 3, "fish"),
    ("c", ["/p/x.png"], -1, None),
]


@pytest.mark.parametrize(
    ("rule", "labelled", "bare"),
    [
        (
            "id@label@original",
            ["00/00@Mountain_Landscape@IMG_1234.jpg", "03/03@fish@IMG_2.JPG", "noise/x.png"],
            ["00/00@cluster_00@IMG_1234.jpg", "03/03@cluster_03@IMG_2.JPG", "noise/x.png"],
        ),
        (
            "label@original",
            ["Mountain_Landscape/Mountain_Landscape@IMG_1234.jpg", "fish/fish@IMG_2.JPG", "noise/x.png"],
            ["cluster_00/cluster_00@IMG_1234.jpg", "cluster_03/cluster_03@IMG_2.JPG", "noise/x.png"],
        ),
        (
            "cluster_id@label",
            ["Mountain_Landscape/00@Mountain_Landscape.jpg", "fish/03@fish.JPG", "noise/x.png"],
            ["cluster_00/00@cluster_00.jpg", "cluster_03/03@cluster_03.JPG", "noise/x.png"],
        ),
        (
            "cluster_id@label@original",
            ["Mountain_Landscape/00@Mountain_Landscape@IMG_1234.jpg", "fish/03@fish@IMG_2.JPG", "noise/x.png"],
            ["cluster_00/00@cluster_00@IMG_1234.jpg", "cluster_03/03@cluster_03@IMG_2.JPG", "noise/x.png"],
        ),
    ],
)
def test_the_table_of_rules(rule: str, labelled: list[str], bare: list[str]) -> None:
    stage = Folders(rule=rule)  # type: ignore[arg-type]
    assert targets(stage, table(ONE)) == labelled
    assert targets(stage, table(ONE, labels=False)) == bare


def test_the_default_rule_and_the_schema() -> None:
    assert Folders().rule == "id@label@original"
    planned = Folders().run(table(ONE), Context())
    assert planned.schema.names == ["id", "source", "target", "sidecar", "missing"]
    assert planned.column("source").to_pylist() == ["/p/IMG_1234.jpg", "/p/IMG_2.JPG", "/p/x.png"]
    empty = Folders().run(table([]), Context())
    assert empty.num_rows == 0
    assert empty.schema == planned.schema


@pytest.mark.parametrize(("last", "folder"), [(9, "01"), (99, "01"), (100, "001"), (1000, "0001")])
def test_numbers_are_as_wide_as_the_largest_needs(last: int, folder: str) -> None:
    rows = table([("a", ["/a.jpg"], 1, None), ("b", ["/b.jpg"], last, None)])
    assert targets(Folders(), rows)[0].startswith(f"{folder}/{folder}@")


def test_collisions_are_counted_in_the_order_of_id_and_path_whatever_the_case() -> None:
    rows = [
        ("c", ["/3/IMG.jpg"], 0, "L"),
        ("a", ["/1/img.JPG"], 0, "L"),
        ("b", ["/2/y/IMG.jpg", "/2/x/IMG.jpg"], 0, "L"),
        ("d", ["/4/IMG_1.jpg"], 0, "L"),
    ]
    planned = Folders(rule="label@original").run(table(rows), Context())
    assert dict(zip(planned.column("source").to_pylist(), planned.column("target").to_pylist(), strict=True)) == {
        "/1/img.JPG": "L/L@img.JPG",
        "/2/x/IMG.jpg": "L/L@IMG_1.jpg",
        "/2/y/IMG.jpg": "L/L@IMG_2.jpg",
        "/3/IMG.jpg": "L/L@IMG_3.jpg",
        "/4/IMG_1.jpg": "L/L@IMG_1_1.jpg",
    }
    assert planned.equals(Folders(rule="label@original").run(table(rows[::-1]), Context()))


def test_duplicates_all_or_first() -> None:
    rows = table([("a", ["/z/1.jpg", "/a/2.jpg"], 0, None)])
    assert targets(Folders(), rows) == ["00/00@cluster_00@2.jpg", "00/00@cluster_00@1.jpg"]
    assert targets(Folders(duplicates="first"), rows) == ["00/00@cluster_00@1.jpg"]


def test_labels_that_make_one_folder_name_are_told_apart() -> None:
    rows = table([(str(n), [f"/{n}.jpg"], n, label) for n, label in enumerate(["a b", "A_b", "noise", "Noise", "noise_1"])])
    found = [target.split("/")[0] for target in targets(Folders(rule="label@original"), rows)]
    assert found == ["a_b", "A_b_1", "noise_1", "Noise_2", "noise_1_1"]


LABEL = st.text(st.characters(), max_size=60) | st.sampled_from(
    [
        "../../x",
        "CON",
        "nul",
        "\u202egpj",
        "👨\u200d👩\u200d👧\u200d👦" * 12,
        "",
        " ",
        ".",
        "a/b",
        "\x00",
        "noise",
        "cluster_00",
    ]
)


@given(st.lists(st.tuples(LABEL, LABEL, st.integers(-1, 3)), max_size=12), st.sampled_from(RULES), st.booleans())
def test_any_text_gives_names_that_are_safe_and_differ(rows: list[tuple[str, str, int]], rule: str, sidecars: bool) -> None:
    clean = [(label.encode(errors="replace").decode(), name.encode(errors="replace").decode(), n) for label, name, n in rows]
    labels = {cluster: label for label, _, cluster in clean}
    data = table([(f"{i:03d}", [f"/p/{name}.jpg"], n, labels[n]) for i, (_, name, n) in enumerate(clean)])
    planned = targets(Folders(rule=rule, sidecars=(".txt",) if sidecars else ()), data)  # type: ignore[arg-type]
    assert len({collision_key(target) for target in planned}) == len(planned)
    for target in planned:
        assert inside(Path("/nowhere"), target).is_relative_to("/nowhere")
        assert target.count("/") == 1
        assert all(len(part.encode()) <= 255 for part in target.split("/"))


def test_sidecars_follow_their_image(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.txt", "a.jpg.xmp", "a.json", "b.txt", "sub/a.png", "sub/a.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    rows = table([("1", [str(tmp_path / "a.jpg")], 0, "L"), ("2", [str(tmp_path / "sub/a.png")], 0, "L")])
    planned = Folders(sidecars=".txt,.xmp").run(rows, Context()).to_pylist()  # type: ignore[arg-type]
    assert [(row["id"], row["source"].removeprefix(f"{tmp_path}/"), row["target"], row["sidecar"]) for row in planned] == [
        ("1", "a.jpg", "00/00@L@a.jpg", False),
        ("1", "a.txt", "00/00@L@a.txt", True),
        ("1", "a.jpg.xmp", "00/00@L@a.jpg.xmp", True),
        ("2", "sub/a.png", "00/00@L@a_1.png", False),
        ("2", "sub/a.txt", "00/00@L@a_1.txt", True),
    ]
    assert [sidecar.tail for sidecar in find_sidecars(str(tmp_path / "a.jpg"), (".json",))] == [".json"]
    both = table([("1", [str(tmp_path / "a.jpg")], 0, "L"), ("2", [str(tmp_path / "a.txt")], 0, "L")])
    assert Folders(sidecars=(".txt",)).run(both, Context()).column("sidecar").to_pylist() == [False, False]


@pytest.mark.parametrize(
    "options", [{"sidecars": "txt"}, {"sidecars": ("../x",)}, {"rule": "label"}, {"duplicates": "none"}, {"x": 1}]
)
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Folders(**options)  # type: ignore[arg-type]


def test_a_plan_is_carried_out_and_undone(tmp_path: Path) -> None:
    rows = []
    for number in range(6):
        path = tmp_path / "in" / str(number) / "IMG.jpg"
        path.parent.mkdir(parents=True)
        path.write_bytes(f"image {number}".encode())
        path.with_suffix(".txt").write_text(f"note {number}")
        rows.append((hashlib.sha256(path.read_bytes()).hexdigest(), [str(path)], number % 2, "../../x"))
    plan = Folders(rule="label@original", sidecars=(".txt",)).run(table(rows), Context())
    receipts = journal.organize(plan, tmp_path / "out", "move")
    assert receipts.counts == {"done": 12}
    for image in (tmp_path / "out").rglob("*.jpg"):
        assert image.with_suffix(".txt").read_text().replace("note", "image") == image.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]
    journal.undo(tmp_path / "out")
    assert all(Path(paths[0]).exists() and Path(paths[0]).with_suffix(".txt").exists() for _, paths, _, _ in rows)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".shoal"]
