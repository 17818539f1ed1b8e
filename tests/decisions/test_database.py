"""What people decided is written once, whoever writes, and read as it was said."""

import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import create_engine

from shoal.decisions import Answer, Decisions, Surface, Version
from shoal.errors import StoreError
from shoal.store import Store
from tests.decisions.answers import answer, keep, move, rename, split
from tests.decisions.postgres import binaries, serving

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]
ANSWERS = 200
NUMBERS = count(1)
WRITES = f"""
import sys
from shoal.decisions import Answer, Change, Decisions
database = Decisions(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
news = 0
for number in range({ANSWERS}):
    change = Change(kind="noise", images=(f"i{{number}}",))
    news += database.record([Answer(run="r", surface="s", key=str(number), at="2026", task="t", changes=(change,))])
print(news)
"""


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    pytest.importorskip("psycopg")
    with TemporaryDirectory() as folder, serving(programs, Path(folder)) as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'd.db'}"
    where = str(request.getfixturevalue("server"))
    engine = create_engine(where, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        name = f"d{next(NUMBERS)}"
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return where.replace("/postgres?", f"/{name}?")


@pytest.fixture
def database(url: str) -> Decisions:
    return Decisions(url)


def test_two_processes_that_record_the_same_answers_write_each_once(url: str):
    command = [sys.executable, "-c", WRITES, url]
    writers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)
    ]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    told = [int(writer.communicate(timeout=100)[0]) for writer in writers]
    assert sum(told) == ANSWERS
    assert len(Decisions(url).revisions("r")) == ANSWERS


def test_what_is_recorded_is_read_as_it_was_said(database):
    told = answer("cluster:3", keep("a"), move(1, "b"), rename(3, "fi\nsh"), split(3, "c", label="x"), who="ann\u202e")
    other = answer("cluster:3", run="another")
    assert database.record([told, told, other]) == 2
    assert database.record([told]) == 0
    assert database.revisions("r") == [told]
    assert database.answers("r") == [told]
    assert database.revisions("another") == [other]


def test_the_newest_revision_counts_and_a_deleted_one_does_not(database):
    first = answer("t", rename(1, "a"), key="one", at=1)
    second = answer("t", rename(1, "b"), key="one", at=2)
    gone = first.model_copy(update={"key": "two", "deleted": True, "changes": ()})
    database.record([second, first, gone, first.model_copy(update={"key": "two", "at": "2025"})])
    assert database.answers("r") == [second]
    assert len(database.revisions("r")) == 4


def test_a_number_is_given_to_one_version(database):
    version = Version(run="r", number=1, made="2026", summary={"move": 2}, answers=(("s", "k", "2026"),), people=("ann",))
    assert database.add_version(version)
    assert not database.add_version(version.model_copy(update={"by": "late"}))
    assert database.versions("r") == [version]
    assert database.current("r") == version
    database.set_undone("r", 1, True, "bob")
    (undone,) = database.versions("r")
    assert (undone.undone, undone.undone_by, bool(undone.undone_at)) == (True, "bob", True)
    assert database.current("r") is None
    database.set_undone("r", 1, False)
    assert database.current("r") == version


def test_a_surface_is_replaced_by_its_key(database):
    surface = Surface(key="s", run="r", kind="clusters", place="http://127.0.0.1:1", remote="7", facts={"title": "x"})
    database.add_surface(surface)
    database.add_surface(surface.model_copy(update={"remote": "8"}))
    assert [found.remote for found in database.surfaces("r")] == ["8"]
    assert database.surfaces("another") == []
    assert len(database.surfaces()) == 1


def test_looking_makes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SHOAL_DATABASE", raising=False)
    store = Store.open(tmp_path / "out", create=True)
    assert Decisions.found(store) is None
    Decisions.of(store).record([answer("t")])
    assert Decisions.found(store) is not None


def test_trouble_is_one_sentence_without_the_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "d.db").write_text("no database, but long enough to be taken for one " * 50)
    with pytest.raises(StoreError, match="can't be used"):
        Decisions(f"sqlite:///{tmp_path / 'd.db'}").answers("r")
    with pytest.raises(StoreError, match="SHOAL_DATABASE names a database that can't be opened"):
        Decisions("nonsense").answers("r")
    assert "hunter2" not in Decisions("postgresql://ann:hunter2@127.0.0.1/x").name
    monkeypatch.delenv("SHOAL_DATABASE", raising=False)
    from shoal.store import Folder

    with pytest.raises(StoreError, match="is no local folder and can't hold a database"):
        Decisions.of(Store(Folder("s3://bucket/out")))


def test_an_answer_is_whole_or_refused():
    with pytest.raises(ValueError, match="move needs `to`"):
        move(-1, "a")
    with pytest.raises(ValueError, match="keep needs `images`"):
        keep()
    with pytest.raises(ValueError, match="rename needs `label`"):
        rename(1, " ")
    with pytest.raises(ValueError, match="extra"):
        Answer.model_validate({"run": "r", "surface": "s", "key": "k", "at": "2026", "task": "t", "more": 1})


@pytest.mark.parametrize("name", ["a?b", "a%20b", "a#b"])
def test_a_store_whose_path_means_something_in_urls_keeps_its_decisions(tmp_path: Path, name: str) -> None:
    store = Store.open(tmp_path / name, create=True)
    assert Decisions.of(store).record([answer("cluster:3", keep("x"))]) == 1
    assert (tmp_path / name / "decisions.db").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]


def test_an_answer_that_names_no_base_has_the_one_that_stands_when_it_is_recorded(database):
    carried = Version(run="r", number=1, kind="carried", made="2026", digest="ab" * 32)
    first, second, third = (answer("t", key=key, base=base) for key, base in (("1", ""), ("2", ""), ("3", "7-x")))
    database.record([first])
    database.add_version(carried)
    database.record([second, third, first])
    assert [one.base for one in database.revisions("r")] == ["0", "1-abababababab", "7-x"]


def test_a_database_of_an_older_shoal_takes_answers_as_that_one_did(url: str):
    older = Decisions(url)
    older.record([answer("t", key="1", run="computed"), answer("t", key="2", run="carried")])
    older.add_version(Version(run="carried", number=1, kind="carried", made="2026", digest="ab" * 32))
    older.add_version(Version(run="carried", number=2, base=1, made="2026"))
    older.add_surface(Surface(key="c", run="carried", kind="clusters", facts={"title": "x"}))
    older.add_surface(Surface(key="d", run="computed", kind="clusters"))
    engine = create_engine(url)
    with engine.begin() as connection:  # as it was
        connection.exec_driver_sql("ALTER TABLE answers DROP COLUMN base")
        connection.exec_driver_sql("DROP TABLE considered")
    engine.dispose()
    for database in (Decisions(url), Decisions(url)):
        bases = {run: database.revisions(run)[0].base for run in ("computed", "carried")}
        assert bases == {"computed": "0", "carried": "1-abababababab"}
        facts = {surface.key: surface.facts for surface in database.surfaces()}
        assert facts == {"c": {"title": "x", "base": "1-abababababab"}, "d": {"base": "0"}}
        assert database.considered("carried") == []
