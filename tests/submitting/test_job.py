"""What goes to the cluster, and how an end there is an end here."""

from inspect import signature
from io import BufferedWriter, BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from shoal.cli.run import run as run_command
from shoal.cli.submit import _heard
from shoal.cli.submit import submit as submit_command
from shoal.errors import UsageError
from shoal.submitting import Cluster
from shoal.submitting.cluster import Job, other_ray
from shoal.submitting.following import ended
from shoal.submitting.job import Submission, _environment, _plugins, submit
from shoal.submitting.packing import Wheel

from ..cli.conftest import call

NOWHERE = Cluster("http://head.invalid:8265")


@pytest.mark.parametrize(
    ("status", "code", "message", "exit", "said"),
    [
        ("SUCCEEDED", 0, "", 0, ""),
        ("FAILED", 1, "", 1, "failed"),
        ("FAILED", 2, "", 2, "failed"),
        ("FAILED", 137, "", 1, "was killed (code 137)"),
        ("FAILED", -9, "", 1, "was killed (code -9), of memory"),
        ("FAILED", 143, "", 1, "was killed (code 143); the same command goes on"),
        ("FAILED", 127, "", 1, "failed with code 127; what it says is above"),
        ("STOPPED", None, "", 1, "was stopped"),
        (
            "FAILED",
            None,
            "Traceback\nERROR: no matching distribution found for x\nmore",
            1,
            "never began: ERROR: no matching",
        ),
        ("FAILED", None, "", 1, "Ray does not say why"),
        ("FAILED", 0, "", 1, "failed"),
    ],
)
def test_ends(status: str, code: int | None, message: str, exit: int, said: str) -> None:
    end = ended(Job("shoal-1", status, message=message, code=code))
    assert end.code == exit
    assert said in end.said
    assert "\n" not in end.said


def test_a_job_that_ran_and_lost_its_machine_did_begin() -> None:
    said = ended(Job("shoal-1", "FAILED", message="Job supervisor actor died: its node went", placed=True)).said
    assert said == "job shoal-1 was cut off: Job supervisor actor died: its node went; the same command goes on"


@pytest.mark.parametrize(
    ("theirs", "ours", "noted"),
    [
        ("2.51.0", "2.60.0", True), ("2.60.0", "2.60.0", False), ("2.60.1", "2.60.0", False), ("3.0.0.dev0", "2.60.0", True),
        ("", "2.60.0", False),
    ],
)  # fmt: skip
def test_another_ray_on_the_cluster_is_told(theirs: str, ours: str, noted: bool) -> None:
    assert bool(other_ray("http://head:8265", theirs, ours)) is noted


@pytest.mark.parametrize(
    "words",
    [("quickstart", "--follow-job", "x"), ("--follow-job", "x", "--stop-job", "x"), ("quickstart", "--stop-job", "x")],
)
def test_a_job_that_was_sent_takes_no_pipeline(words: tuple[str, ...]) -> None:
    """A command that would do half of what it says does nothing."""
    done = call("submit", *words, "--address", NOWHERE.address)
    assert done.code == 2
    assert "one of PIPELINE, --follow-job and --stop-job" in done.err


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Submission("quickstart", "photos", "s3://b/out"), "IMAGES photos lies on this machine"),
        (Submission("quickstart", "s3://b/in", "out"), "--out out lies on this machine"),
        (Submission("quickstrat", "s3://b/in", "s3://b/out"), "did you mean 'quickstart'"),
        (Submission("quickstart", "s3://b/in", "s3://b/out", overrides=("cluster.nothing=1",)), "nothing"),
        (Submission("quickstart", "s3://b/in", "s3://b/out", preset="tiny"), "there is no preset 'tiny'"),
        (
            Submission("quickstart", "s3://b/in", "s3://b/out", overrides=("embed=onnx", f"embed.path={__file__}")),
            "embed.path /",
        ),
        (Submission("quickstart", "s3://b/in", "s3://b/out", variables=("SHOAL_NOT_SET",)), "export it first"),
        (Submission("quickstart", "s3://b/in", "s3://b/out", variables=("KEY=hunter2",)), "takes the name"),
        (Submission("quickstart", "s3://b/in", "s3://b/out", plugins=("./nowhere",)), "does not exist"),
        (
            Submission("quickstart", "s3://b/in", "s3://b/out", plugins=("my @ https://me:hunter2@host/my.whl",)),
            "holds a login",
        ),
        (
            Submission(
                "quickstart", "s3://b/in", "s3://b/out", plugins=("my @ https://host/my.whl?X-Amz-Credential=hunter2",)
            ),
            "holds a login",
        ),
        (
            Submission("quickstart", "s3://b/in", "s3://b/out", overrides=("embed=onnx:s3://me:hunter2@b/m.onnx",)),
            "--set embed holds a login before the @",
        ),
        (
            Submission("quickstart", "s3://b/in", "s3://b/out", overrides=("caption.url=http://h/v1?api_token=hunter2",)),
            "--set caption.url holds api_token",
        ),
        (Submission("quickstart", "s3://b/in?secret_key=hunter2", "s3://b/out"), "secret_key"),
        (Submission("quickstart", "s3://me:hunter2@b/in", "s3://b/out"), "a login before the @"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_sent(wanted: Submission, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        submit(NOWHERE, wanted)
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_model_that_only_the_cluster_has_is_no_mistake() -> None:
    named = ("embed=onnx", "embed.path=/models/only-there.onnx")
    with pytest.raises(UsageError, match=r"nobody answers at http://head\.invalid"):
        submit(NOWHERE, Submission("quickstart", "s3://b/in", "s3://b/out", overrides=named))


def test_what_a_plugin_may_be(tmp_path: Path) -> None:
    (tmp_path / "my-1-py3-none-any.whl").write_bytes(b"")
    local = [str(tmp_path), str(tmp_path / "my-1-py3-none-any.whl")]
    fetched = ["my-plugin==1.0", "my @ https://host/my-1-py3-none-any.whl", "git+ssh://git@host/my.git@v1", "my[extra]"]
    assert _plugins([*local, *fetched]) == ([*map(Path, local)], fetched)


def test_wheels_are_modules_and_with_requirements_pip_s(tmp_path: Path) -> None:
    """Ray installs modules by themselves; beside a requirement, pip must see shoal, or it would fetch another package."""
    own, brother = Wheel("shoal-1+h0-py3-none-any.whl", b"a"), Wheel("my-1+h1-py3-none-any.whl", b"b")
    for requirements in ([], ["their-plugin==1.0"]):
        folder = tmp_path / str(len(requirements))
        (folder / "job").mkdir(parents=True)
        made = _environment([own, brother], requirements, {"KEY": "v"}, folder)
        assert made.pop("env_vars") == {"KEY": "v"}
        if requirements:
            here = "${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}"
            assert made.pop("pip") == [f"{here}/{own.name}", f"{here}/{brother.name}", *requirements]
            assert sorted(path.name for path in Path(made.pop("working_dir")).iterdir()) == [brother.name, own.name]
        else:
            assert [Path(path).read_bytes() for path in made.pop("py_modules")] == [b"a", b"b"]
        assert made == {}


@pytest.mark.parametrize("address", ["ray://head:10001", "ftp://head"])
def test_an_address_of_another_protocol_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="no address of a job server"):
        Cluster.named(address)


def test_the_address_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    with pytest.raises(UsageError, match="--address"):
        Cluster.named(None)
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "head:8265/")
    assert Cluster.named(None).address == "http://head:8265"


def test_what_a_job_prints_is_passed_on_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Into a pipe, too: whoever reads the log of a CI run sees how far the job is."""
    pipe = BytesIO()
    monkeypatch.setattr("sys.stdout", TextIOWrapper(BufferedWriter(pipe), encoding="utf-8"))  # type: ignore[arg-type]
    _heard("embed: 24 of 24")
    assert pipe.getvalue() == b"embed: 24 of 24\n"


def test_a_submission_takes_what_a_run_takes() -> None:
    """But for what is the cluster's, the terminal's, or a store's of this machine."""
    here = {"on", "quiet", "from_trial"}
    assert set(signature(run_command).parameters) - here <= set(signature(submit_command).parameters)
