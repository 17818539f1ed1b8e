"""Pods go where values say, wear labels and annotations of one's own, and may use accounts that are there already."""

import pytest

from tests.helm.chart import PLACED, QUEUE, Doc, example, of_kind, plain, pod, pods, whole

pytestmark = pytest.mark.processes

ALL = ("head", "cpu", "a100", "submitter", "backend")
TAINT = {"key": "jobs", "operator": "Exists", "effect": "NoSchedule"}


@pytest.mark.parametrize("name", ALL)
def test_each_pod_is_placed_and_labelled(name: str) -> None:
    found = pod(whole(), name)
    for word in ("affinity", "topologySpreadConstraints", "priorityClassName"):
        assert found.spec[word] == PLACED[word]
    assert found.labels["team"] == "vision"
    assert found.labels["cost"] == "curation"
    assert found.metadata["annotations"] == {
        "sidecar.istio.io/inject": "false",
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    }


@pytest.mark.parametrize("name", ALL)
def test_nothing_is_said_where_values_say_nothing(name: str) -> None:
    docs = example("air-gapped", {"job": {"enabled": True, "images": "s3://b/photos", "out": "s3://b/out"}})
    found = pod(docs, name)
    assert not {"affinity", "topologySpreadConstraints", "priorityClassName"} & found.spec.keys()
    assert found.metadata.keys() == {"labels"}
    assert {label.partition("/")[0] for label in found.labels} == {"app.kubernetes.io"}
    assert "app.kubernetes.io/version" not in found.labels


def test_what_is_said_of_one_pod_counts_more() -> None:
    docs = plain({"podLabels": {"cost": "a", "team": "b"}, "ray": {"workers": {"podLabels": {"cost": "c"}}}})
    assert {pod(docs, "head").labels["cost"], pod(docs, "head").labels["team"]} == {"a", "b"}
    assert (pod(docs, "cpu").labels["cost"], pod(docs, "cpu").labels["team"]) == ("c", "b")


def test_the_submitter_goes_to_nodes_of_its_own() -> None:
    """Where every node is tainted, a submitter without tolerations would keep its job from ever beginning."""
    job = {"enabled": True, "images": "s3://b/i", "out": "s3://b/o"}
    docs = plain({"job": {**job, "submitter": {"nodeSelector": {"pool": "jobs"}, "tolerations": [TAINT]}}})
    submitter = pod(docs, "submitter").spec
    assert (submitter["nodeSelector"], submitter["tolerations"]) == ({"pool": "jobs"}, [TAINT])
    assert "tolerations" not in pod(docs, "head").spec


def test_queues_are_named_on_what_they_admit() -> None:
    for kind in ("RayCluster", "RayJob"):
        (doc,) = of_kind(whole(), kind)
        assert doc["metadata"]["labels"].items() >= QUEUE.items()


def accounts(docs: list[Doc]) -> dict[str, str]:
    return {each.name: each.spec["serviceAccountName"] for each in pods(docs)}


def test_accounts_that_are_there_are_used_and_not_made() -> None:
    both = {"existing": "pods", "existingForHead": "heads"}
    docs = example("air-gapped", {"serviceAccount": both})
    assert of_kind(docs, "ServiceAccount") == []
    assert accounts(docs) == {"head": "heads", "cpu": "pods", "a100": "pods", "backend": "pods"}
    one = example("air-gapped", {"serviceAccount": {"existing": "pods"}})
    (made,) = of_kind(one, "ServiceAccount")
    assert made["metadata"]["name"] == accounts(one)["head"] == "rel-shoal-head"
    assert accounts(one)["backend"] == "pods"
