"""Makes `crds.json` of the definitions of KubeRay and the Prometheus operator; the chart's resources are checked against it.

python tests/helm/trim_crds.py KUBERAY_CHECKOUT PROMETHEUS_OPERATOR_CHECKOUT, both at the versions that SOURCES names.

Pod templates of the definitions become references to Kubernetes' own schemas; every object refuses what it does not know;
parts that the chart never uses are left out, and so refused.
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

SOURCES = {
    "kuberay": (
        "ray-project/kuberay v1.7.0, Apache-2.0",
        "helm-chart/kuberay-operator/crds",
        ["ray.io_rayclusters", "ray.io_rayjobs"],
    ),
    "prometheus": (
        "prometheus-operator/prometheus-operator v0.93.0, Apache-2.0",
        "example/prometheus-operator-crd",
        ["monitoring.coreos.com_podmonitors", "monitoring.coreos.com_servicemonitors"],
    ),
}
KUBERNETES = {
    "template": "io.k8s.api.core.v1.PodTemplateSpec",
    "submitterPodTemplate": "io.k8s.api.core.v1.PodTemplateSpec",
    "securityContext": "io.k8s.api.core.v1.SecurityContext",
}
LISTS = {"env": "io.k8s.api.core.v1.EnvVar", "volumeMounts": "io.k8s.api.core.v1.VolumeMount"}
UNUSED = {
    "headService",
    "envFrom",
    "gcsFaultToleranceOptions",
    "historyServerOptions",
    "networkPolicy",
    "tlsOptions",
    "deletionStrategy",
    "ingressOptions",
    "oauth2",
    "authorization",
    "tlsConfig",
    "scrapeClass",
    "status",
}
KEPT = ("type", "enum", "required", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "items")


def main(kuberay: str, prometheus: str) -> None:
    """Write `crds.json` beside this file."""
    found: dict[str, Any] = {"sources": [source for source, _, _ in SOURCES.values()], "schemas": {}}
    for folder, (_, place, names) in zip((kuberay, prometheus), SOURCES.values(), strict=True):
        for name in names:
            definition = yaml.safe_load((Path(folder) / place / f"{name}.yaml").read_text(encoding="utf-8"))["spec"]
            version = next(v for v in definition["versions"] if v["name"] == "v1")
            key = f"{definition['group']}/v1/{definition['names']['kind']}"
            found["schemas"][key] = trimmed(version["schema"]["openAPIV3Schema"]["properties"]["spec"])
    text = json.dumps(found, indent=1, sort_keys=True)
    Path(__file__).with_name("crds.json").write_text(text + "\n", encoding="utf-8")


def trimmed(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema of JSON Schema's own words that refuses unknown properties."""
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    kept = {word: schema[word] for word in KEPT if word in schema}
    if "items" in kept:
        kept["items"] = trimmed(kept["items"])
    if "properties" in schema:
        kept["properties"] = {
            name: _property(name, part) for name, part in schema["properties"].items() if name not in UNUSED
        }
        kept["additionalProperties"] = False
    elif "additionalProperties" in schema:
        kept["additionalProperties"] = trimmed(schema["additionalProperties"])
    return kept


def _property(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    if name in KUBERNETES:
        return {"$ref": f"kubernetes#/$defs/{KUBERNETES[name]}"}
    if name in LISTS:
        return {"type": "array", "items": {"$ref": f"kubernetes#/$defs/{LISTS[name]}"}}
    return trimmed(schema)


if __name__ == "__main__":
    main(*sys.argv[1:])
