"""Names from hostile text: properties that hold for every text, and the cases that people try."""

import hashlib
import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shoal.errors import JournalError, UsageError
from shoal.names import collision_key, file_part, inside, split_name, with_counter

ANY = st.text(st.characters(), max_size=200)
NASTY = st.text(
    st.sampled_from("aA1 ./\\-_@\u202e\u200d\u0301\u00b9éß🐟\U0001f3fd\ufe0f\x00\n\x1bconNUL\ud800ﬁ한\u3164"), max_size=150
)
RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³")}


@given(ANY | NASTY, st.integers(32, 200))
@example("a" * 120 + ".", 120)
@example("CON." + "x" * 116, 120)
@example("\u0301" * 90, 32)
def test_a_part_is_safe_whatever_the_text(text: str, limit: int) -> None:
    part = file_part(text, limit)
    assert 0 < len(part.encode()) <= limit
    assert part == unicodedata.normalize("NFC", part)
    assert not set(part) & set('/\\:*?"<>| \t\n\x00')
    assert part[0] not in ".-"
    assert part[-1] not in ". "
    assert part.split(".")[0].casefold() not in RESERVED
    assert all(unicodedata.category(character)[0] in "LMN" or character in "-_.@+,()[]'&" for character in part)
    assert not unicodedata.category(part[0]).startswith("M")
    assert file_part(part, limit) == part


@given(ANY | NASTY)
def test_composed_and_decomposed_text_give_one_part(text: str) -> None:
    assert file_part(unicodedata.normalize("NFD", text)) == file_part(unicodedata.normalize("NFC", text))


@given(
    st.lists(
        ANY | NASTY, min_size=2, max_size=2, unique_by=lambda text: " ".join(unicodedata.normalize("NFC", text).split())
    )
)
def test_texts_that_lose_characters_stay_apart(texts: list[str]) -> None:
    lossy = [f"a/{text}" for text in texts]
    parts = {file_part(text) for text in lossy}
    assert len(parts) == 2


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("Mountain_Landscape", "Mountain_Landscape"),
        ("hand tools", "hand_tools"),
        ("a fish.", "a_fish"),
        ("", "unnamed"),
        (" .. ", "unnamed"),
        ("CON", "_CON"),
        ("nul.tar.gz", "_nul.tar.gz"),
        ("com1", "_com1"),
        ("lpt\u00b9", "_lpt\u00b9"),
        ("-rf", "rf"),
        (".hidden", "hidden"),
        ("Größe 日本語 हिन्दी עברית", "Größe_日本語_हिन्दी_עברית"),
        ("../../x", "x-#"),
        ("/etc/passwd", "etc_passwd-#"),
        ("🐟", "unnamed-#"),
        ("pic\u202egpj.exe", "pic_gpj.exe-#"),
    ],
)
def test_known_texts(text: str, part: str) -> None:
    assert file_part(text) == part.replace("#", hashlib.sha256(text.encode()).hexdigest()[:8])


def test_three_hundred_bytes_of_emoji_is_a_short_name() -> None:
    family = "👨\u200d👩\u200d👧\u200d👦"
    part = file_part(family * 12)
    assert len((family * 12).encode()) == 300
    assert part.startswith("unnamed-")
    assert part != file_part(family * 11)


def test_long_text_is_cut_between_letters_with_a_hash() -> None:
    part = file_part("नि" * 100, 100)
    assert len(part.encode()) <= 100
    assert part.rpartition("-")[0] == "नि" * (90 // 6)
    assert part != file_part("नि" * 101, 100)


def test_a_limit_too_small_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 32"):
        file_part("x", 8)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("IMG_1.JPG", ("IMG_1", ".JPG")),
        ("a.b.tiff", ("a.b", ".tiff")),
        (".jpg", (".jpg", "")),
        ("x.", ("x.", "")),
        ("x.a b", ("x.a b", "")),
        ("x", ("x", "")),
    ],
)
def test_split_name(name: str, parts: tuple[str, str]) -> None:
    assert split_name(name) == parts


def test_counter_goes_before_the_extension_and_keeps_names_short() -> None:
    assert with_counter("a.jpg", 0) == "a.jpg"
    assert with_counter("a.jpg", 2) == "a_2.jpg"
    assert with_counter("a", 1) == "a_1"
    long = with_counter("é" * 125 + ".jpeg", 12)
    assert len(long.encode()) <= 255
    assert long.endswith("é_12.jpeg")


@given(ANY | NASTY, st.integers(1, 99), st.integers(1, 99))
def test_counters_tell_names_apart(text: str, n: int, m: int) -> None:
    name = file_part(text) + ".jpg"
    assert (with_counter(name, n) == with_counter(name, m)) == (n == m)


def test_collision_key_folds_what_file_systems_fold() -> None:
    assert collision_key("Straße.JPG") == collision_key("STRASSE.jpg")
    assert collision_key("e\u0301.png") == collision_key("É.png")
    assert collision_key("a.jpg") != collision_key("b.jpg")


@pytest.mark.parametrize(
    "target", ["../x", "/x", "a/../x", "", ".", "a//b", "a/", "a\\b", "a\x00b", "a\nb", ".shoal/x", ".SHOAL/x"]
)
def test_targets_that_do_not_stay_below_the_root(tmp_path: Path, target: str) -> None:
    with pytest.raises(JournalError):
        inside(tmp_path, target)


def test_inside_refuses_symbolic_links_and_files_as_parents(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    (root / "out").symlink_to(tmp_path)
    (root / "a" / "loop").symlink_to(root)
    (root / "file").touch()
    assert inside(root, "a/b/c.jpg") == root.resolve() / "a/b/c.jpg"
    for target in ("out/x.jpg", "a/loop/x.jpg"):
        with pytest.raises(JournalError, match="symbolic link"):
            inside(root, target)
    with pytest.raises(JournalError, match="is a file"):
        inside(root, "file/x.jpg")


def test_the_root_itself_may_be_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to("real")
    assert inside(tmp_path / "root", "a/x.jpg") == Path(os.path.realpath(tmp_path)) / "real/a/x.jpg"


@given(ANY | NASTY, ANY | NASTY)
def test_parts_always_stay_inside(label: str, original: str) -> None:
    root = Path("/nowhere/at/all")
    assert inside(root, f"{file_part(label)}/00@{file_part(label, 80)}@{file_part(original)}.jpg").is_relative_to(root)
