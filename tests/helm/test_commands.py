"""What the chart runs exists: commands, options, recipes, variables, ports, versions."""

import inspect
import re
import shlex
import string
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.main import get_command

import shoal
from shoal.cli.app import build
from shoal.decisions import database
from shoal.host import Host
from shoal.pipeline import parse, recipes
from shoal_ls import client
from shoal_ls.service import app, auth, pictures, serving
from shoal_plugins.track import mlflow
from tests.helm.chart import CHART, EXAMPLES, ROOT, Doc, cluster_specs, config, example, notes, of_kind, plain, pod, whole

pytestmark = pytest.mark.processes

JOB = {"enabled": True, "images": "s3://b/photos", "out": "s3://b/out"}
SCHEMA: Doc = yaml.safe_load((CHART / "values.schema.json").read_text(encoding="utf-8"))


def parsed(line: list[str]) -> dict[str, Any]:
    """Return the arguments as `shoal` reads them; an option that it does not have raises."""
    assert line[0] == "shoal"
    name, command, rest, context = "shoal", get_command(build(line[1:2])), line[1:], None
    while hasattr(command, "resolve_command"):  # a group, as `shoal` and `shoal review` are
        group: Any = command
        context = group.make_context(name, rest, parent=context)
        name, command, rest = group.resolve_command(context, rest)
    found: dict[str, Any] = command.make_context(name, rest, parent=context).params
    return found


def entrypoint(docs: list[Doc]) -> list[str]:
    (job,) = of_kind(docs, "RayJob")
    return shlex.split(job["spec"]["entrypoint"])


def test_a_job_is_a_command_of_shoal() -> None:
    found = parsed(entrypoint(example("gpu-pool")))
    assert (found["images"], found["out_"], found["set_"]) == (
        "s3://photos/2026",
        "s3://shoal/2026",
        ["cluster.min_samples=3"],
    )
    tune = parsed(entrypoint(plain({"job": {**JOB, "command": "tune", "options": ["--budget", "20"]}})))
    assert (tune["images"], tune["budget"]) == ("s3://b/photos", 20)


def test_the_default_recipe_is_one() -> None:
    assert recipes.find(entrypoint(plain({"job": JOB}))[2])


@pytest.mark.parametrize("name", EXAMPLES)
def test_recipes_of_examples_are_pipelines(name: str) -> None:
    for file, text in config(example(name), "recipes").items():
        assert parse(text, Host(allow=()), where=file).steps


WORD = re.compile(SCHEMA["properties"]["job"]["properties"]["options"]["items"]["pattern"])
LETTERS = string.ascii_letters + string.digits + "._:/=,%+-"


@given(st.text(LETTERS, min_size=1, max_size=40))
def test_a_word_that_the_schema_takes_means_nothing_to_a_shell(word: str) -> None:
    taken = WORD.fullmatch(word) is not None
    assert taken is (word[0] in string.ascii_letters + string.digits + "-")
    assert shlex.quote(word) == word


@pytest.mark.parametrize("letter", list(" \t\n\"'`$&|;<>()[]{}*?!#~\\^@"))
def test_a_letter_that_a_shell_reads_is_not_taken(letter: str) -> None:
    assert not WORD.fullmatch(f"a{letter}b")
    assert not re.fullmatch(SCHEMA["definitions"]["place"]["pattern"], f"s3://a{letter}b")


def test_the_backend_is_a_command_of_shoal() -> None:
    container = pod(
        example("air-gapped", {"backend": {"run": "2026", "allowHosts": ["a.internal", "b.internal"]}}), "backend"
    ).container
    found = parsed([*container["command"], *container["args"]])
    assert (found["out"], found["host"], found["port"], str(found["state"])) == (
        "s3://shoal/out",
        "0.0.0.0",
        9090,
        "/var/lib/shoal",
    )
    assert (found["label_studio"], str(found["document_root"])) == (
        "http://label-studio.label-studio.svc:8080",
        "/data/photos",
    )
    assert (found["run"], list(found["allow_host"])) == ("2026", ["a.internal", "b.internal"])
    assert container["ports"] == [{"name": "http", "containerPort": found["port"]}]


def test_the_backend_takes_an_option_off_that_has_no_value() -> None:
    docs = plain({"backend": {"enabled": True, "out": "/data/out", "auth": {"existingSecret": "a"}}})
    container = pod(docs, "backend").container
    assert parsed([*container["command"], *container["args"]])["label_studio"] in ("", None)
    assert "SHOAL_PICTURES_KEY" not in pod(docs, "backend").env


def test_ray_has_the_options_that_it_is_started_with() -> None:
    from ray.scripts.scripts import start

    known = {option.removeprefix("--") for parameter in start.params for option in parameter.opts}
    (spec,) = cluster_specs(whole())
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    for group in groups:
        assert group["rayStartParams"].keys() <= known
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        container = group["template"]["spec"]["containers"][0]
        exported = {"name": "metrics", "containerPort": int(group["rayStartParams"]["metrics-export-port"])}
        assert exported in container["ports"]


def test_ray_reads_the_variables_and_the_token_of_the_autoscaler() -> None:
    from ray._raylet import NODE_MARKET_TYPE_ENV
    from ray.autoscaler._private.kuberay import node_provider

    assert pod(whole(), "cpu").env[NODE_MARKET_TYPE_ENV]["value"] == "spot"
    (spec,) = cluster_specs(whole())
    places = [mount["mountPath"] for mount in spec["autoscalerOptions"]["volumeMounts"]]
    (token,) = (place for place in places if f"{place}/token" == node_provider.IN_CLUSTER_TOKEN_PATH)
    assert f"{token}/ca.crt" == node_provider.IN_CLUSTER_CA_CERT_PATH


def test_shoal_reads_the_variables() -> None:
    head = set(pod(whole(), "head").env)
    assert {database.VARIABLE, client.KEY, auth.USER, auth.PASSWORD, pictures.VARIABLE, mlflow.URI} <= head
    assert mlflow.SWITCH in pod(plain(), "head").env
    assert {client.KEY, auth.PASSWORD, pictures.VARIABLE, "AWS_SECRET_ACCESS_KEY"} <= set(
        serving.SECRETS
    )  # cut out of its logs


def test_paths_that_are_asked_are_served() -> None:
    served = set(re.findall(r'@app\.(?:get|post)\("([^"]+)"', inspect.getsource(app)))
    asked = {
        pod(whole(), "backend").container[probe]["httpGet"]["path"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe")
    }
    asked |= {end["path"] for end in of_kind(whole(), "ServiceMonitor")[0]["spec"]["endpoints"]}
    assert asked == {"/health", "/metrics"} <= served


def test_versions_are_those_of_the_package_and_its_pins() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["appVersion"] == shoal.__version__
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    (spec,) = cluster_specs(plain())
    assert f"ray=={spec['rayVersion']}" in pins
    assert pod(plain(), "head").container["image"] == f"registry.example.com/shoal:{shoal.__version__}"


def test_notes_tell_how_to_go_on() -> None:
    told = notes({"job": JOB, "backend": {"enabled": True, "out": "/data/out", "auth": {"existingSecret": "who"}}})
    (line,) = (line for line in told.splitlines() if "ray job submit" in line)
    assert parsed(shlex.split(line.partition(" -- ")[2]))["pipeline"] == "quickstart"
    names = {doc["metadata"]["name"] for doc in plain({"job": JOB})}
    assert set(re.findall(r"get ray(?:cluster|job) (\S+)", told)) <= names
    assert "http://rel-shoal-backend.ml.svc:9090" in told
    assert "WARNING" not in told
    assert "WARNING" in notes({"networkPolicy": {"enabled": False}})
