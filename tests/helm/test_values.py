"""Wrong values are refused where they are written, with what mends them."""

import copy
import json
import re
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from tests.helm.chart import CHART, Doc, merged, plain, refusal

pytestmark = pytest.mark.processes

SCHEMA: Doc = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
VALUES: Doc = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
AMOUNTS = {"cpu": "4", "memory": "8Gi"}
POOL = {"replicas": 1, "minReplicas": 0, "maxReplicas": 2, "gpus": 1, "resources": {"requests": AMOUNTS, "limits": AMOUNTS}}
NOWHERE: Doc = {"network": {"namespace": "", "cidrs": []}}

CASES: dict[str, tuple[Doc, str]] = {
    "no image": ({"image": {"repository": ""}}, "/image/repository"),
    "latest": ({"image": {"tag": "latest"}}, "/image/tag"),
    "half a digest": ({"image": {"digest": "sha256:12"}}, "/image/digest"),
    "no token": ({"ray": {"auth": {"existingSecret": ""}}}, "/ray/auth/existingSecret"),
    "an old Ray": ({"ray": {"version": "2.9.0"}}, "/ray/version"),
    "a misspelt value": ({"ray": {"workers": {"replica": 2}}}, "additional properties 'replica' not allowed"),
    "a misspelt table": ({"storag": {}}, "additional properties 'storag' not allowed"),
    "parts of a CPU": ({"ray": {"head": {"resources": {"limits": {"cpu": "1500m"}}}}}, "/ray/head/resources/limits/cpu"),
    "no limit": ({"backend": {"resources": {"limits": None}}}, "/backend/resources"),
    "no GPUs in a pool of GPUs": ({"ray": {"gpuPools": {"a": {**POOL, "gpus": 0}}}}, "/ray/gpuPools/a/gpus"),
    "a pool of a taken name": ({"ray": {"gpuPools": {"cpu": POOL}}}, "'cpu'"),
    "a resource that is no GPU": (
        {"ray": {"gpuPools": {"a": {**POOL, "resource": "google.com/tpu"}}}},
        "/ray/gpuPools/a/resource",
    ),
    "several parts of GPUs": (
        {"ray": {"gpuPools": {"a": {**POOL, "gpus": 2, "resource": "nvidia.com/mig-1g.5gb"}}}},
        "ray.gpuPools.a: a program sees one part of a GPU",
    ),
    "no pod that lends a CPU": ({"ray": {"workers": {"replicas": 0}}}, "no pool has a pod, and the head lends jobs no CPU"),
    "a label of KubeRay's": ({"podLabels": {"ray.io/cluster": "a"}}, "ray.io/cluster"),
    "a label of the chart's": (
        {"ray": {"head": {"podLabels": {"app.kubernetes.io/component": "a"}}}},
        "app.kubernetes.io/component",
    ),
    "an affinity that is none": ({"job": {"submitter": {"affinity": {"nodes": {}}}}}, "'nodes' not allowed"),
    "a spread over nothing": (
        {
            "backend": {
                "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]
            }
        },
        "labelSelector",
    ),
    "a number that would be rounded": ({"env": {"ID": 12345678901234567890}}, "/env/ID"),
    "a deadline that no API takes": ({"job": {"activeDeadlineSeconds": 3000000000}}, "/job/activeDeadlineSeconds"),
    "a secret of the backend among variables": ({"backend": {"env": {"CLIP_TOKEN": "x"}}}, "CLIP_TOKEN"),
    "a shell's letters": ({"job": {"options": ["--set", "a.b=$(id)"]}}, "/job/options/1"),
    "a command of one's own": ({"job": {"command": "organize"}}, "/job/command"),
    "credentials in a store": ({"job": {"out": "s3://user:key@bucket/out"}}, "/job/out"),
    "a password in an address": ({"mlflow": {"uri": "http://me:secret@mlflow"}}, "/mlflow/uri"),
    "another in an address": ({"labelStudio": {"url": "http://me:secret@ls"}}, "/labelStudio/url"),
    "a secret among variables": ({"env": {"OPENAI_API_KEY": "sk-1"}}, "OPENAI_API_KEY"),
    "Ray's token among variables": ({"env": {"RAY_AUTH_MODE": "disabled"}}, "RAY_AUTH_MODE"),
    "a secret without a key": ({"secretEnv": {"A": {"secret": "b"}}}, "/secretEnv/A"),
    "a volume over the image": (
        {"storage": {"volumes": [{"name": "a", "claimName": "a", "mountPath": "/opt/venv"}]}},
        "mountPath",
    ),
    "a volume with a name of the chart's": (
        {"storage": {"volumes": [{"name": "tmp", "claimName": "a", "mountPath": "/data"}]}},
        "/storage/volumes/0/name",
    ),
    "egress to everywhere": ({"networkPolicy": {"egress": [{"ports": [443]}]}}, "/networkPolicy/egress/0"),
    "no network": ({"networkPolicy": {"egress": [{"cidrs": ["everything"], "ports": [443]}]}}, "/networkPolicy/egress/0"),
    "a file name that leads out": ({"recipes": {"../x.yaml": "a"}}, "../x.yaml"),
    "fewer pods than at least": (
        {"ray": {"workers": {"replicas": 0, "minReplicas": 1}}},
        "ray.workers: replicas must lie between",
    ),
    "more pods than at most": (
        {"ray": {"gpuPools": {"a": {**POOL, "replicas": 3}}}},
        "ray.gpuPools.a: replicas must lie between",
    ),
    "spot without a mark": ({"ray": {"workers": {"spot": True}}}, "set|needs ray.spot.nodeSelector or ray.spot.tolerations"),
    "a job without images": ({"job": {"enabled": True, "out": "s3://b/o"}}, "job.enabled needs job.images and job.out"),
    "a backend without a store": ({"backend": {"enabled": True}}, "backend.enabled needs backend.out"),
    "a backend without a password": ({"backend": {"enabled": True, "out": "/data/out"}}, "backend.auth.existingSecret"),
    "decisions without a database": (
        {"backend": {"enabled": True, "out": "s3://b/o", "auth": {"existingSecret": "a"}}},
        "set database.existingSecret",
    ),
    "an ingress without a host": (
        {"backend": {"enabled": True, "out": "/data/o", "auth": {"existingSecret": "a"}, "ingress": {"enabled": True}}},
        "backend.ingress.host",
    ),
    "S3 that can't be reached": (
        {"storage": {"s3": {"enabled": True, **NOWHERE}}},
        "set storage.s3.network.namespace or .cidrs",
    ),
    "MLflow that can't be reached": (
        {"mlflow": {"uri": "http://mlflow:5000", **NOWHERE}},
        "set mlflow.network.namespace or .cidrs",
    ),
    "Label Studio that can't be reached": (
        {"labelStudio": {"url": "http://ls", **NOWHERE}},
        "set labelStudio.network.namespace or .cidrs",
    ),
    "a database that can't be reached": (
        {"database": {"existingSecret": "db", **NOWHERE}},
        "set database.network.namespace or .cidrs",
    ),
    "an autoscaler without Kubernetes": (
        {"ray": {"autoscaling": {"enabled": True}}},
        "kubectl get endpointslices kubernetes",
    ),
    "a name that Ray can't have": ({"fullnameOverride": "1a"}, "set fullnameOverride"),
}


@pytest.mark.parametrize("case", CASES)
def test_wrong_values_are_refused(case: str) -> None:
    values, told = CASES[case]
    assert re.search(told.partition("|")[2] or re.escape(told), refusal(values))


def test_each_value_is_described_and_each_description_has_its_value() -> None:
    """A value that the schema does not know would be refused, one that it alone knows would have no default."""
    assert set(_paths(VALUES)) == set(_described(SCHEMA)) - {"global"}


def test_objects_refuse_what_they_do_not_know() -> None:
    for path, part in _objects(SCHEMA):
        assert "additionalProperties" in part, path
        assert part["additionalProperties"] is not True, path


def test_the_schema_is_one_and_the_defaults_fit_it_but_for_what_must_be_given() -> None:
    Draft7Validator.check_schema(SCHEMA)
    wrong = {"/".join(map(str, error.absolute_path)) for error in Draft7Validator(SCHEMA).iter_errors(VALUES)}
    assert wrong == {"image/repository", "ray/auth/existingSecret"}


def test_policies_are_not_asked_for_where_there_are_none() -> None:
    values = {
        "mlflow": {"uri": "http://mlflow:5000"},
        "ray": {"autoscaling": {"enabled": True}},
        "networkPolicy": {"enabled": False},
    }
    assert not [doc for doc in plain(values) if doc["kind"] == "NetworkPolicy"]


TABLES_OF_THE_USER = {
    *("env", "secretEnv", "recipes", "gpuPools", "nodeSelector", "affinity"),
    *("annotations", "labels", "podLabels", "podAnnotations"),
}


def _paths(values: Doc, path: str = "") -> list[str]:
    found = []
    for name, value in values.items():
        here = f"{path}.{name}".lstrip(".")
        inside = isinstance(value, dict) and name not in TABLES_OF_THE_USER
        found += _paths(value, here) if inside else [here]
    return found


def _described(schema: Doc, path: str = "") -> list[str]:
    found = []
    for name, part in schema.get("properties", {}).items():
        here = f"{path}.{name}".lstrip(".")
        whole = _resolved(part)
        inside = "properties" in whole and name not in TABLES_OF_THE_USER
        found += _described(whole, here) if inside else [here]
    return [each for each in found if not each.endswith("ephemeral-storage")]


def _resolved(part: Doc) -> Doc:
    found: Any = SCHEMA["definitions"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part
    return merged(copy.copy(part), found)


def _objects(part: Any, path: str = "") -> list[tuple[str, Doc]]:
    found = (
        [(path, part)] if isinstance(part, dict) and part.get("type") == "object" and path != ".properties.global" else []
    )
    for name, inner in part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ():
        found += _objects(inner, f"{path}.{name}")
    return found
