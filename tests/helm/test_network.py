"""Who may talk to whom: everything is closed, and opened by name."""

import ipaddress
from typing import Any

import pytest

from tests.helm.chart import EXAMPLES, Doc, example, of_kind, plain, pod, pods, walk, whole
from tests.helm.network import Place, isolated, reaches

pytestmark = pytest.mark.processes

CASES = {**{name: lambda name=name: example(name) for name in EXAMPLES}, "plain": plain, "whole": whole}


def policies(docs: list[Doc]) -> list[Doc]:
    return of_kind(docs, "NetworkPolicy")


def own(docs: list[Doc], name: str) -> Place:
    return Place(pod(docs, name).labels)


OUTSIDE: dict[str, Place] = {
    "stranger": Place({"app": "other"}),
    "another release": Place(
        {
            "app.kubernetes.io/instance": "two",
            "app.kubernetes.io/part-of": "shoal",
            "app.kubernetes.io/component": "ray-head",
        }
    ),
    "operator": Place({}, "kuberay-system"),
    "scientist": Place({}, "data-science"),
    "prometheus": Place({}, "monitoring"),
    "label studio": Place({"app.kubernetes.io/name": "label-studio"}, "label-studio"),
    "beside label studio": Place({"app": "other"}, "label-studio"),
    "ingress": Place({}, "ingress-nginx"),
    "postgres": Place({"app": "postgres"}, "postgres"),
    "dns": Place({"k8s-app": "kube-dns"}, "kube-system"),
    "kubernetes": Place(address="10.0.0.1"),
    "s3": Place(address="10.20.0.10"),
    "mlflow": Place(address="10.20.0.20"),
    "vault": Place(address="10.9.9.9"),
    "proxy": Place(address="10.8.8.8"),
    "internet": Place(address="93.184.216.34"),
}

OPEN = {
    ("head", "cpu", 40000),
    ("cpu", "head", 6379),
    ("cpu", "a100", 40000),
    ("a100", "cpu", 12345),
    ("head", "head", 8265),
    ("submitter", "head", 8265),
    ("operator", "head", 8265),
    ("scientist", "head", 8265),
    ("prometheus", "head", 8080),
    ("prometheus", "cpu", 8080),
    ("prometheus", "a100", 8080),
    ("prometheus", "backend", 9090),
    ("label studio", "backend", 9090),
    ("ingress", "backend", 9090),
    ("head", "backend", 9090),
    ("backend", "label studio", 8080),
    ("head", "label studio", 8080),
    ("backend", "postgres", 5432),
    ("head", "postgres", 5432),
    ("head", "kubernetes", 443),
    ("backend", "proxy", 3128),
    ("head", "vault", 8200),
    ("cpu", "vault", 8200),
    ("a100", "vault", 8200),
    *((name, "s3", 443) for name in ("head", "cpu", "a100", "backend")),
    *((name, "mlflow", 443) for name in ("head", "cpu", "a100")),
    *((name, "dns", 53) for name in ("head", "cpu", "a100", "backend", "submitter")),
}
PORTS = (22, 53, 443, 3128, 5432, 6379, 8080, 8200, 8265, 9090, 10001, 12345, 40000, 52365)


def test_what_is_open_is_this_and_nothing_else() -> None:
    values = {
        "networkPolicy": {"dashboardNamespaces": ["data-science"], "egress": [{"cidrs": ["10.9.9.9/32"], "ports": [8200]}]}
    }
    docs = example("air-gapped", _everything(values))
    places = {**OUTSIDE, **{each.name: Place(each.labels) for each in pods(docs)}}
    ours, ray = {each.name for each in pods(docs)}, {"head", "cpu", "a100"}
    found = {
        (source, target, port)
        for source in places
        for target in places
        for port in PORTS
        if {source, target} & ours and reaches(policies(docs), places[source], places[target], port)
    }
    among = {(source, target, port) for source in ray for target in ray for port in PORTS}
    assert found - among == OPEN - among
    assert found >= among


def _everything(values: Doc) -> Doc:
    from tests.helm.chart import EVERYTHING, merged

    return merged(EVERYTHING, values)


def test_names_are_asked_for_by_udp() -> None:
    docs = whole()
    assert all(reaches(policies(docs), Place(each.labels), OUTSIDE["dns"], 53, "UDP") for each in pods(docs))
    assert not reaches(policies(docs), own(docs, "head"), OUTSIDE["s3"], 443, "UDP")


@pytest.mark.parametrize("case", CASES)
def test_every_pod_is_closed_in_both_directions(case: str) -> None:
    docs = CASES[case]()
    for each in pods(docs):
        assert isolated(policies(docs), Place(each.labels)) == {"Ingress", "Egress"}
    (deny,) = (policy for policy in policies(docs) if policy["metadata"]["name"].endswith("-deny"))
    assert not {"ingress", "egress"} & deny["spec"].keys()
    assert all(isolated([deny], Place(each.labels)) == {"Ingress", "Egress"} for each in pods(docs))
    for policy in policies(docs):  # an empty list of peers would mean everybody
        for rule in [*(policy["spec"].get("ingress") or []), *(policy["spec"].get("egress") or [])]:
            assert rule.get("to") or rule.get("from")


@pytest.mark.parametrize("case", CASES)
def test_every_policy_selects_a_pod(case: str) -> None:
    docs = CASES[case]()
    for policy in policies(docs):
        assert any(isolated([policy], Place(each.labels)) for each in pods(docs)), policy["metadata"]["name"]


def test_without_job_backend_and_links_nothing_but_ray_is_open() -> None:
    docs = plain()
    head, cpu = own(docs, "head"), own(docs, "cpu")
    known = {"operator": (8265,), "dns": (53,)}
    for name, place in OUTSIDE.items():
        for port in PORTS:
            wanted = port in known.get(name, ())
            assert (reaches(policies(docs), place, head, port) or reaches(policies(docs), head, place, port)) is wanted, (
                name,
                port,
            )
    assert reaches(policies(docs), head, cpu, 40000)


@pytest.mark.parametrize("case", CASES)
def test_selectors_match_labels(case: str) -> None:
    docs = CASES[case]()
    found = list(pods(docs))
    for doc in docs:
        if doc["kind"] in ("Service", "Deployment", "PodDisruptionBudget", "PodMonitor"):
            asked = doc["spec"]["selector"]
            policy = {
                "metadata": {},
                "spec": {"podSelector": asked if doc["kind"] != "Service" else {"matchLabels": asked}, "policyTypes": ["x"]},
            }
            chosen = {each.name for each in found if isolated([policy], Place(each.labels))}
            wanted = {
                "PodDisruptionBudget": {"head"},
                "PodMonitor": {each.name for each in found if each.component in ("ray-head", "ray-worker")},
            }
            assert chosen == wanted.get(doc["kind"], {"backend"}), doc["kind"]


def test_kuberays_own_labels_are_left_to_it() -> None:
    """Its services choose heads by these: a chart that sets them would leave workers without a head."""
    for each in pods(whole()):
        assert not {"app.kubernetes.io/name", "app.kubernetes.io/created-by"} & each.labels.keys()
        assert not [label for label in each.labels if label.startswith("ray.io/")]


def test_ports_of_services_and_monitors_are_those_of_containers() -> None:
    docs = whole()
    (service,), (ingress,) = of_kind(docs, "Service"), of_kind(docs, "Ingress")
    (pod_monitor,), (service_monitor,) = of_kind(docs, "PodMonitor"), of_kind(docs, "ServiceMonitor")
    ports = {port["name"]: port["containerPort"] for port in pod(docs, "backend").container["ports"]}
    assert ports == {"http": 9090}
    (said,) = service["spec"]["ports"]
    assert (said["name"], said["port"], said["targetPort"]) == ("http", 9090, "http")
    at = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert (at["name"], at["port"]) == (service["metadata"]["name"], {"name": "http"})
    assert service_monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert [endpoint["port"] for endpoint in service_monitor["spec"]["endpoints"]] == ["http"]
    for name in ("head", "cpu", "a100"):
        assert {"name": pod_monitor["spec"]["podMetricsEndpoints"][0]["port"], "containerPort": 8080} in pod(
            docs, name
        ).container["ports"]


def test_air_gapped_names_nothing_outside() -> None:
    docs = example("air-gapped")
    for path, text in walk(docs):
        for host in _hosts(text):
            assert host.endswith((".internal", ".svc")), path
        if path.endswith(".cidr"):
            assert ipaddress.ip_network(text).is_private, path
    for each in pods(docs):
        assert each.container["image"].startswith("mirror.internal:5000/")
        assert each.spec["imagePullSecrets"] == [{"name": "mirror"}]
        assert {each.env[name]["value"] for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")} == {"1"}
        assert each.name == "backend" or each.env["RAY_USAGE_STATS_ENABLED"]["value"] == "0"


def _hosts(text: Any) -> list[str]:
    words = str(text).split("://")
    return (
        [words[1].split("/")[0].split(":")[0]]
        if len(words) == 2 and words[0].rpartition("=")[2] in ("http", "https")
        else []
    )
