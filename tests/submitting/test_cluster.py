"""A whole cluster: a Ray head with token auth, an S3 server and a third-party plugin, used by both kinds of submit."""

import json
import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.fs as pafs
import pytest

import shoal as package
from shoal.catalogue import runs
from shoal.runner import RunOptions
from shoal.submitting import Cluster, follow
from shoal.tuning import from_trial
from tests.docs.pages import blocks
from tests.loopback_s3 import Bucket, serve
from tests.packages.conftest import HERE as PACKAGES
from tests.packages.conftest import pip
from tests.packages.test_ray import stop, wait_for
from tests.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "cluster.md"
PHOTOS = 24
STEPS = ("embed", "reduce", "cluster", "label", "sample")
BRIGHT = """
shoal: 1
name: bright
steps:
  - use: index.folder
  - use: embed.brightness
"""
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
HEARS = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
"""Who runs tests in the background ignores Ctrl-C, and so would what they start."""

SECRET = "a-secret-that-must-not-be-seen"


@dataclass(frozen=True)
class Head:
    """A Ray cluster of one node and what its clients need."""

    address: str
    token: Path
    environment: dict[str, str]
    folder: Path

    def call(self, *words: str, code: int = 0, **more: str) -> "subprocess.CompletedProcess[str]":
        """Run the command line as somebody at another machine would: no Ray of its own, the token in a file."""
        done = subprocess.run(
            [sys.executable, "-m", "shoal", *words], env={**self.environment, **more}, cwd=self.folder, text=True,
            capture_output=True, timeout=240, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        assert SECRET not in done.stdout + done.stderr
        assert self.token.read_text().strip() not in done.stdout + done.stderr
        return done

    def warm(self) -> None:
        """Wait until the head takes jobs: its server listens before its agent is up, and `ray job submit` fails."""
        cluster = Cluster(self.address, str(self.token))
        name = cluster.submit("true", {}, {}, "first")
        assert follow(cluster, name, print).code == 0

    def submit(self, *words: str, code: int = 0, **more: str) -> "subprocess.CompletedProcess[str]":
        named = ["--address", self.address, "--token-file", str(self.token)]
        return self.call("submit", *words, *named, code=code, **more)


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with pytest.MonkeyPatch.context() as patch, serve(patch, "cluster") as bucket:
        yield bucket


@pytest.fixture(scope="module")
def photos(bucket: Bucket, photo_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two dozen photographs, in the bucket under `in/` and in a folder."""
    folder = tmp_path_factory.mktemp("two-dozen") / "in"
    folder.mkdir()
    for path in sorted(photo_set.rglob("*.webp"))[::9][:PHOTOS]:
        shutil.copy(path, folder)
        bucket.put(f"in/{path.name}", path.read_bytes())
    return folder


@pytest.fixture(scope="module")
def head(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """The head, started by the words of docs/cluster.md, with ports of its own; socket paths must be short.

    The keys of the bucket are in its environment, as a cluster's secrets are.
    """
    folder = tmp_path_factory.mktemp("head")
    port, dashboard, client, agent = (free_port() for _ in range(4))
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "SHOAL_", "PYTHONPATH"))}
    environment = {**kept, "SHOAL_MLFLOW": "off", "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    temporary = Path(tempfile.gettempdir()) / f"shoal-ray-{secrets.token_hex(3)}"
    (said,) = [block.text for block in blocks(PAGE) if "ray start --head" in block.text]
    ours = (
        f"exec ray start --head --block --port {port} --dashboard-port {dashboard} --ray-client-server-port {client} "
        f"--dashboard-agent-listen-port {agent} --disable-usage-stats --temp-dir {temporary} --dashboard-host 127.0.0.1 "
        "--num-cpus 2"
    )
    text = said.replace("ray start --head --dashboard-host 0.0.0.0", ours)
    assert ours in text
    own = {**environment, "PIP_NO_INDEX": "1"}
    command = ["bash", "-euo", "pipefail", "-c", text]
    with (folder / "ray.log").open("w") as log:
        process = subprocess.Popen(command, env=own, cwd=folder, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_for(dashboard, process, folder / "ray.log")
            made = Head(f"http://127.0.0.1:{dashboard}", folder / "token", environment, folder)
            assert made.token.stat().st_mode & 0o077 == 0
            made.warm()
            yield made
        finally:
            stop(process)
            shutil.rmtree(temporary, ignore_errors=True)


@pytest.fixture(scope="module")
def local(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> package.Run:
    """The same run on this machine, in one process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOAL_MLFLOW", "off")
        out = tmp_path_factory.mktemp("local") / "out"
        return package.run("quickstart", photos, out, options=RunOptions(where="local"))


def check_tables(out: str, local: package.Run) -> package.Run:
    """Hold a run's tables against those of the local run."""
    run = package.open(out)
    assert run.record.status == "done"
    assert run.record.hook_errors == []
    assert run.record.accepted == PHOTOS
    for step in STEPS:
        assert run.table(step).equals(local.table(step)), step
    assert run.folder.exists("report.html")
    return run


def test_shoal_submit_follows_to_the_end(head: Head, bucket: Bucket, photos: Path, local: package.Run) -> None:
    """The wheel of this shoal travels, runs, and is what the record names; store and cluster tell how the job stands."""
    out = bucket.uri("submitted")
    done = head.submit("quickstart", bucket.uri("in"), "--out", out, "--follow", "--json")
    told = json.loads(done.stdout)
    assert (told["status"], told["code"]) == ("SUCCEEDED", 0)
    assert f"{PHOTOS} of {PHOTOS} files accepted" in done.stderr
    run = check_tables(out, local)
    assert re.fullmatch(r"\d+\.\d+\.\d+\+h[0-9a-f]{12}", run.record.versions["shoal"]), "not the shoal that was sent ran"
    assert run.record.job == told["job"]
    assert str(run.record.step("embed").where).startswith("ray")  # type: ignore[union-attr]
    (seen,) = json.loads(head.call("status", out, "--json").stdout)
    assert (seen["state"], seen["job"]) == ("done", told["job"])
    jobs = json.loads(head.call("status", "--address", head.address, "--token-file", str(head.token), "--json").stdout)
    assert jobs[-1]["metadata"]["shoal.out"] == out


def test_the_page_is_followed_word_by_word(head: Head, bucket: Bucket, local: package.Run, tmp_path: Path) -> None:
    """Every block of docs/cluster.md that needs a cluster, in the order of the page; the plugin is one of tests/packages.

    Plain `ray job submit` runs first, with the shoal that the cluster has; `shoal submit` finds all of it there.
    """
    (tmp_path / "token").write_text(head.token.read_text())
    (tmp_path / "bright.yaml").write_text(BRIGHT)
    shutil.copytree(ROOT / "ray_jobs", tmp_path / "ray_jobs")
    shutil.copytree(PACKAGES / "good", tmp_path / "my-plugin")
    found = [block for block in blocks(PAGE) if block.said == "not run (cluster: tests/submitting)"]
    assert len(found) == 4
    for block in found:
        text = block.text.replace("http://head:8265", head.address)
        text = re.sub(
            r"s3://bucket/(\w+)", lambda name: shlex.quote(bucket.uri({"photos": "in"}.get(name[1], name[1]))), text
        )
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text], cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False,
            env={**head.environment, "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, f"docs/cluster.md:{block.line}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    last = check_tables(bucket.uri("out"), local)
    first, second = runs(last.store)
    assert first.job.startswith("raysubmit_")
    assert first.step("embed").computed == PHOTOS  # type: ignore[union-attr]
    assert second.job.startswith("shoal-")
    assert {step.computed for step in second.steps} == {0}
    assert package.open(bucket.uri("bright")).table("embed").num_rows == PHOTOS


def test_a_plugin_travels(head: Head, bucket: Bucket, photos: Path, tmp_path: Path) -> None:
    """A pipeline file and a package that only the submitter has; secrets go by name and are never shown."""
    pip("wheel", "--wheel-dir", str(tmp_path), str(PACKAGES / "good"))
    (wheel,) = tmp_path.glob("*.whl")
    (tmp_path / "bright.yaml").write_text(BRIGHT)
    out = bucket.uri("secret")
    words = [str(tmp_path / "bright.yaml"), bucket.uri("in"), "--out", out, "--plugin", str(wheel), "--env", "MY_TOKEN"]
    done = head.submit(*words, "--follow", MY_TOKEN=SECRET)
    assert "safer" in done.stderr
    run = package.open(out)
    assert run.table("embed").num_rows == PHOTOS
    files = pafs.FileSelector("cluster/secret", recursive=True)
    kept = [info.path for info in bucket.filesystem.get_file_info(files) if info.is_file]
    assert kept
    assert not [path for path in kept if SECRET.encode() in bucket.filesystem.open_input_file(path).read()]


def test_the_job_s_exit_code_is_the_command_s(head: Head, bucket: Bucket) -> None:
    missing = head.submit("quickstart", bucket.uri("nowhere"), "--out", bucket.uri("none"), "--follow", code=2)
    assert "does not exist" in missing.stdout
    gone = "s3://no-such-bucket?" + bucket.query
    unreachable = head.submit("quickstart", bucket.uri("in"), "--out", gone, "--follow", code=2)
    assert "the bucket of s3://no-such-bucket" in unreachable.stdout


def test_refusals_are_one_sentence(head: Head, bucket: Bucket, tmp_path: Path) -> None:
    places = ("quickstart", bucket.uri("in"), "--out", bucket.uri("refused"), "--address")
    wrong = tmp_path / "wrong"
    wrong.write_text("0" * 64)
    port = free_port()
    for words, said in {
        (head.address,): "wants a token; name its file with --token-file",
        (head.address, "--token-file", str(wrong)): "refuses the token",
        (head.address, "--token-file", str(tmp_path / "gone")): "can't be read",
        (f"http://127.0.0.1:{port}",): "nobody answers at",
    }.items():
        done = head.call("submit", *places, *words, code=2)
        (line,) = done.stderr.splitlines()
        assert said in line


def test_ctrl_c_leaves_the_job(head: Head, bucket: Bucket, photos: Path, tmp_path: Path) -> None:
    """The first Ctrl-C while following: how to go on and how to stop; the job goes on until somebody stops it."""
    words = ["submit", "quickstart", bucket.uri("in"), "--out", bucket.uri("left"), "--force", "embed"]
    command = [sys.executable, "-c", f"{HEARS}; from shoal.cli import main; main()", *words, "--follow"]
    with subprocess.Popen(
        [*command, "--address", head.address, "--token-file", str(head.token)],
        env=head.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
    ) as follower:  # fmt: skip
        assert follower.stderr is not None
        told = follower.stderr.readline()
        follower.send_signal(signal.SIGINT)
        _, rest = follower.communicate(timeout=60)
    named = re.match(r"JOB (\S+):", told)
    assert named, told + rest
    name = named[1]
    assert follower.returncode == 1
    assert f"--follow-job {name}" in rest
    assert f"--stop-job {name}" in rest
    head.submit("--stop-job", name)
    ended = head.submit("--follow-job", name, code=1)
    assert "was stopped" in ended.stderr


def sent(head: Head, *words: str) -> tuple[Cluster, str]:
    """Send an entry point as `ray job submit --working-dir ray_jobs` does; return the cluster and the job's name."""
    cluster = Cluster(head.address, str(head.token))
    environment = {"working_dir": str(ROOT / "ray_jobs")}
    return cluster, cluster.submit(shlex.join(["python", *words]), environment, {}, f"job-{secrets.token_hex(3)}")


def ran(head: Head, *words: str) -> str:
    """Run an entry point to its end and return what it printed."""
    told: list[str] = []
    ended = follow(*sent(head, *words), told.append)
    assert ended.code == 0, "\n".join([*told, ended.said])
    return "\n".join(told)


def test_tuning_is_a_job(head: Head, bucket: Bucket, photos: Path, tmp_path: Path) -> None:
    """Its results lie in the bucket, and the command that it prints takes them from there."""
    (tmp_path / "space.yaml").write_text("shoal-space: 1\noptions:\n  cluster.k: [2, 3]\n")
    out = bucket.uri("tuned")
    quick = [word for text in ("reduce=pca", "reduce.components=4", "cluster=kmeans") for word in ("--set", text)]
    words = ["--space", str(tmp_path / "space.yaml"), "--search", "grid", "--budget", "2", "--stability", "0"]
    words += ["--neighbors", "3", *quick]
    said = ran(head, "tune.py", "quickstart", bucket.uri("in"), "--out", out, *words)
    assert "2 candidates, 0 failed" in said
    (printed,) = [line for line in said.splitlines() if "--from-trial" in line]
    number, place = re.fullmatch(r"shoal run --from-trial (\d) --out (.*)", printed.strip()).groups()  # type: ignore[union-attr]
    file, source = from_trial(shlex.split(place)[0], number)
    assert source == bucket.uri("in")
    assert "kmeans" in Path(file).read_text()


def test_reviewing_and_serving_are_jobs(head: Head, local: package.Run) -> None:
    """To the first answer: a run that nobody reviewed, and a backend that is up."""
    out = local.store.root.uri
    said = ran(head, "review.py", "status", out, "--json")
    assert json.loads(said[said.index("{\n") :])["run"] == local.id
    port = free_port()
    cluster, name = sent(head, "serve.py", out, "--port", str(port))
    until = time.monotonic() + 120
    while not _healthy(port):
        job = cluster.job(name)
        assert not job.over, cluster.logs(name)
        assert time.monotonic() < until, cluster.logs(name)
        time.sleep(0.2)
    assert cluster.stop(name)
    assert follow(cluster, name, print).job.status == "STOPPED"
    assert not _healthy(port)


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
            return json.load(answer)["status"] == "UP"  # type: ignore[no-any-return]
    except OSError:
        return False
