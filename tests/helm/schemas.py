"""Checks rendered resources against the API of Kubernetes and the definitions of KubeRay and the Prometheus operator."""

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from tests.helm.chart import Doc

VERSIONS = ("1.30.0", "1.37.0")
"""The oldest Kubernetes that Chart.yaml takes, and the newest."""

CRDS = json.loads(Path(__file__).with_name("crds.json").read_text(encoding="utf-8"))["schemas"]


def mistakes(doc: Doc, version: str) -> list[str]:
    """Return what the API server of a version would not take; unknown fields are among it."""
    errors = validator(doc["apiVersion"], doc["kind"], version).iter_errors(doc)
    return [f"{doc['kind']} {doc['metadata']['name']}: {error.json_path}: {error.message}" for error in errors]


@cache
def validator(api: str, kind: str, version: str) -> Draft202012Validator:
    """Return the validator of a kind of resource."""
    definitions = _definitions(version)
    contents = Resource.from_contents(definitions)
    registry: Registry[Any] = Registry().with_resources([("kubernetes", contents), (definitions["$id"], contents)])
    if f"{api}/{kind}" in CRDS:
        schema: Doc = {
            "type": "object",
            "required": ["metadata", "spec"],
            "additionalProperties": False,
            "properties": {
                "apiVersion": {},
                "kind": {},
                "spec": CRDS[f"{api}/{kind}"],
                "metadata": {"$ref": "kubernetes#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"},
            },
        }
    else:
        schema = {"$ref": f"kubernetes#/$defs/{_definition(definitions, api, kind)}"}
    return Draft202012Validator(schema, registry=registry)


@cache
def _definitions(version: str) -> Doc:
    folder = files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}-local-strict"
    loaded: Doc = json.loads((folder / "_definitions.json").read_text(encoding="utf-8"))
    return loaded


def _definition(definitions: Doc, api: str, kind: str) -> str:
    group, _, version = api.rpartition("/")
    wanted = {"group": group, "version": version, "kind": kind}
    return next(
        name for name, one in definitions["$defs"].items() if wanted in one.get("x-kubernetes-group-version-kind", [])
    )
