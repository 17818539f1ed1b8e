"""The chart's pages say what is: the table of values, Secrets, addresses, commands."""

import re
import shlex
import subprocess
import sys

import pytest
import yaml

from tests.helm.chart import CHART, ROOT, Pod, notes, of_kind, pods, whole
from tests.helm.test_commands import JOB, parsed

pytestmark = pytest.mark.processes

PAGE = (ROOT / "docs" / "how-to" / "kubernetes.md").read_text(encoding="utf-8")
VALUES = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))


def value(path: str) -> object:
    found = VALUES
    for name in path.split("."):
        found = found[name]
    return found


def test_the_table_of_values_is_that_of_the_chart() -> None:
    line = [sys.executable, str(ROOT / "helm" / "values_table.py"), "--check"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def test_values_that_pages_name_exist() -> None:
    readme = (CHART / "README.md").read_text(encoding="utf-8").partition("## Values")[0]
    named = re.findall(r"`((?:\w+\.)+\w+)(?:=\w+)?`", PAGE + readme) + re.findall(r"--set ((?:\w+\.)+\w+)=", PAGE)
    files = {"constraints.txt", "values.yaml"}
    paths = {name for name in named if name not in files and name.split(".")[0] in VALUES}
    assert len(paths) > 15
    for path in paths:
        value(path)


SECRETS = {
    "ray.auth.existingSecret": "shoal-ray",
    "storage.s3.existingSecret": "shoal-s3",
    "mlflow.existingSecret": "shoal-mlflow",
    "labelStudio.existingSecret": "shoal-label-studio",
    "database.existingSecret": "shoal-database",
    "backend.auth.existingSecret": "shoal-backend",
    "secretEnv": "keys",
    "backend.secretEnv": "backend-keys",
}


def test_each_secret_goes_to_the_pods_that_the_page_says() -> None:
    rows = dict(re.findall(r"^\| `([\w.]+)` \| .* \| (.*?) \|$", PAGE, re.MULTILINE))
    assert rows.keys() == SECRETS.keys()
    docs = whole()
    for path, secret in SECRETS.items():
        said = {name for word in rows[path].split(", ") for name in {"workers": ["cpu", "a100"]}.get(word, [word])}
        assert said == {each.name for each in pods(docs) if secret in _secrets_of(each)}, path


def _secrets_of(pod: Pod) -> set[str]:
    return {said["valueFrom"]["secretKeyRef"]["name"] for said in pod.env.values() if "valueFrom" in said}


def test_commands_of_the_page_are_those_of_shoal() -> None:
    lines = re.findall(r"^ray job submit .* -- (?:python -m )?(shoal (?:.*\\\n)*.*)", PAGE, re.MULTILINE)
    lines += re.findall(r"^shoal submit .*", PAGE, re.MULTILINE)
    run, review, submit = (parsed(shlex.split(line.replace("\\\n", " "))) for line in lines)
    assert (run["pipeline"], run["out_"]) == ("quickstart", "s3://shoal/2026")
    assert review["images"] == "http"
    assert (submit["pipeline"], submit["out_"], submit["follow"]) == ("./mine.yaml", "s3://shoal/2026", True)


def test_addresses_are_those_of_the_release() -> None:
    told = notes({"job": JOB, "backend": {"enabled": True, "out": "/data/out", "auth": {"existingSecret": "a"}}})
    assert (
        "http://rel-shoal-backend.ml.svc:9090" in told
    )  # of a release called `rel`; one called `shoal` leaves the double off
    (service,) = of_kind(whole(), "Service")
    assert service["metadata"]["name"] == "rel-shoal-backend"
    assert "http://shoal-backend.ml.svc:9090" in PAGE
