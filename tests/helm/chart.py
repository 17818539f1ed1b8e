"""Renders the chart with the real Helm, and finds the pods in what comes out."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "shoal"
EXAMPLES = tuple(sorted(path.stem for path in (CHART / "examples").glob("*.yaml")))
HELM = shutil.which("helm", path=str(Path(sys.executable).parent)) or shutil.which("helm")

Doc = dict[str, Any]

NEEDED: Doc = {"image": {"repository": "registry.example.com/shoal"}, "ray": {"auth": {"existingSecret": "shoal-ray"}}}
"""The two values that have no default."""

PLACED: Doc = {
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}]}]
            }
        }
    },
    "topologySpreadConstraints": [
        {
            "maxSkew": 1,
            "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"team": "vision"}},
        }
    ],
    "priorityClassName": "batch",
    "podLabels": {"cost": "curation"},
    "podAnnotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
}
"""What every pod may be told of where it goes and what it is labelled with."""

QUEUE: Doc = {"kueue.x-k8s.io/queue-name": "gpus"}

EVERYTHING: Doc = {
    "job": {"enabled": True, "images": "s3://b/photos", "out": "s3://b/out", "submitter": {**PLACED}, "labels": QUEUE},
    "cluster": {"labels": QUEUE},
    "env": {"OMP_NUM_THREADS": 1},
    "secretEnv": {"OPENAI_API_KEY": {"secret": "keys", "key": "openai"}},
    "certificates": {"configMap": "authorities"},
    "podLabels": {"team": "vision"},
    "podAnnotations": {"sidecar.istio.io/inject": "false"},
    "ray": {
        "head": {**PLACED},
        "workers": {**PLACED, "spot": True},
        "gpuPools": {"a100": {**PLACED}},
        "autoscaling": {"enabled": True},
        "spot": {"nodeSelector": {"spot": "yes"}},
    },
    "backend": {
        **PLACED,
        "env": {"HTTPS_PROXY": "http://proxy.internal:3128"},
        "secretEnv": {"CLIP_API_KEY": {"secret": "backend-keys", "key": "clip"}},
        "egress": [{"cidrs": ["10.8.8.8/32"], "ports": [3128]}],
    },
    "networkPolicy": {"apiServer": {"cidrs": ["10.0.0.1/32"]}},
}
"""What the example of an air-gapped cluster leaves off."""


@dataclass(frozen=True)
class Pod:
    """A pod that the chart leads to: its metadata and its spec, by whatever resource makes it."""

    name: str
    metadata: Doc
    spec: Doc

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.metadata["labels"])

    @property
    def component(self) -> str:
        return self.labels["app.kubernetes.io/component"]

    @property
    def container(self) -> Doc:
        (container,) = self.spec["containers"]
        return container

    @property
    def env(self) -> dict[str, Doc]:
        return {variable["name"]: variable for variable in self.container["env"]}


def example(name: str, values: Doc | None = None) -> list[Doc]:
    """Return the resources of an example, some of its values changed."""
    return render(json.dumps(values or {}), str(CHART / "examples" / f"{name}.yaml"))


def plain(values: Doc | None = None) -> list[Doc]:
    """Return the resources of the defaults and the values that are needed, some changed."""
    return render(json.dumps(merged(NEEDED, values or {})))


def whole() -> list[Doc]:
    """Return the resources with everything turned on."""
    return example("air-gapped", EVERYTHING)


def refusal(values: Doc, *files: str) -> str:
    """Return what Helm says of values that it refuses."""
    done = _helm("template", "rel", str(CHART), json.dumps(merged(NEEDED, values)), *files)
    assert done.returncode, "the values were taken"
    return done.stderr


def notes(values: Doc) -> str:
    """Return what `helm install` would print; a dry run on the client asks no cluster."""
    done = _helm("install", "rel", str(CHART), json.dumps(merged(NEEDED, values)), options=("--dry-run=client",))
    assert not done.returncode, done.stderr
    return done.stdout.split("NOTES:")[1]


@cache
def render(values: str, *files: str, chart: str = str(CHART)) -> list[Doc]:
    """Return the resources that Helm makes of files of values and a JSON text that counts more."""
    done = _helm("template", "rel", chart, values, *files)
    assert not done.returncode, done.stderr
    return [doc for doc in yaml.load_all(done.stdout, yaml.CSafeLoader) if doc]


def _helm(command: str, name: str, chart: str, values: str, *files: str, options: tuple[str, ...] = ()) -> Any:
    assert HELM is not None
    told = [word for file in files for word in ("--values", file)]
    line = [HELM, command, name, chart, "--namespace", "ml", *told, "--values", "-", *options]
    return subprocess.run(line, input=values, capture_output=True, text=True, check=False, timeout=60)


def merged(one: Doc, other: Doc) -> Doc:
    """Return values as Helm merges them: tables join, all else is replaced."""
    both = {**one, **other}
    for key in one.keys() & other.keys():
        if isinstance(one[key], dict) and isinstance(other[key], dict):
            both[key] = merged(one[key], other[key])
    return both


def of_kind(docs: list[Doc], kind: str) -> list[Doc]:
    """Return the resources of a kind."""
    return [doc for doc in docs if doc["kind"] == kind]


def config(docs: list[Doc], suffix: str) -> dict[str, str]:
    """Return the files of a ConfigMap by the end of its name: recipes, groups."""
    (found,) = (doc["data"] for doc in of_kind(docs, "ConfigMap") if doc["metadata"]["name"].endswith(f"-{suffix}"))
    return dict(found)


def cluster_specs(docs: list[Doc]) -> list[Doc]:
    """Return the specs of Ray clusters: of those that stay and of those that a job brings."""
    own = [doc["spec"]["rayClusterSpec"] for doc in of_kind(docs, "RayJob") if "rayClusterSpec" in doc["spec"]]
    return [doc["spec"] for doc in of_kind(docs, "RayCluster")] + own


def pods(docs: list[Doc]) -> Iterator[Pod]:
    """Yield every pod, labelled as the operator will label it where that matters."""
    for spec in cluster_specs(docs):
        yield _pod("head", spec["headGroupSpec"]["template"])
        for group in spec["workerGroupSpecs"]:
            yield _pod(group["groupName"], group["template"])
    for job in of_kind(docs, "RayJob"):
        yield _pod("submitter", job["spec"]["submitterPodTemplate"])
    for deployment in of_kind(docs, "Deployment"):
        yield _pod("backend", deployment["spec"]["template"])


def _pod(name: str, template: Doc) -> Pod:
    return Pod(name, template["metadata"], template["spec"])


def pod(docs: list[Doc], name: str) -> Pod:
    """Return the pod of a name: head, a worker group's, submitter, backend."""
    (found,) = (each for each in pods(docs) if each.name == name)
    return found


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every leaf with where it lies."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from walk(part, f"{path}.{key}")
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from walk(part, f"{path}[{number}]")
    else:
        yield path, value
