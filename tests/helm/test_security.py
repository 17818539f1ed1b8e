"""Pods fit Kubernetes' restricted level, take what they are promised, and say how they are."""

import re

import pytest

from tests.helm.chart import EXAMPLES, ROOT, Doc, cluster_specs, example, of_kind, plain, pod, pods, whole

CASES = {**{name: lambda name=name: example(name) for name in EXAMPLES}, "plain": plain, "whole": whole}
NAMES = ("head", "cpu", "a100", "submitter", "backend")

pytestmark = pytest.mark.parametrize("case", CASES)


def securities(docs: list[Doc]) -> list[Doc]:
    """Return what is said of each container, the autoscaler's among them, which KubeRay makes."""
    scalers = [
        spec["autoscalerOptions"]["securityContext"] for spec in cluster_specs(docs) if spec["enableInTreeAutoscaling"]
    ]
    return [each.container["securityContext"] for each in pods(docs)] + scalers


def test_containers_have_no_privileges_and_write_nowhere_but_in_volumes(case: str) -> None:
    for said in securities(CASES[case]()):
        assert said == {
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }


def test_pods_run_as_the_user_of_the_image(case: str) -> None:
    (user,) = re.findall(r"^USER (\d+):\d+$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    for each in pods(CASES[case]()):
        said = each.spec["securityContext"]
        assert (said["runAsNonRoot"], said["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
        assert {said["runAsUser"], said["runAsGroup"], said["fsGroup"]} == {int(user)} != {0}


def test_pods_share_nothing_with_their_node(case: str) -> None:
    for each in pods(CASES[case]()):
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & each.spec.keys()
        kinds = {kind for volume in each.spec["volumes"] for kind in volume.keys() - {"name"}}
        assert kinds <= {"emptyDir", "persistentVolumeClaim", "configMap", "projected"}
        assert not any("hostPort" in port for port in each.container.get("ports", []))


def test_what_is_written_is_bounded_and_where_programs_write_there_is_a_volume(case: str) -> None:
    for each in pods(CASES[case]()):
        volumes = {volume["name"]: volume for volume in each.spec["volumes"]}
        assert all(volume["emptyDir"].get("sizeLimit") for volume in volumes.values() if "emptyDir" in volume)
        mounts = {mount["mountPath"]: mount for mount in each.container["volumeMounts"]}
        assert {mount["name"] for mount in mounts.values()} <= volumes.keys()
        assert {"/tmp", each.env["HOME"]["value"]} <= mounts.keys()
        if each.component.startswith("ray-") and each.name != "submitter":
            assert {"/tmp/ray", "/dev/shm"} <= mounts.keys()


def test_containers_have_requests_and_limits(case: str) -> None:
    docs = CASES[case]()
    said = [each.container["resources"] for each in pods(docs)]
    said += [spec["autoscalerOptions"]["resources"] for spec in cluster_specs(docs) if spec["enableInTreeAutoscaling"]]
    assert said
    for resources in said:
        assert {"cpu", "memory"} <= resources["requests"].keys() & resources["limits"].keys()


def test_what_serves_is_probed(case: str) -> None:
    for each in pods(CASES[case]()):
        if each.name == "submitter":  # a job: it ends
            continue
        for probe in ("readinessProbe", "livenessProbe"):
            at = each.container[probe]["httpGet"]
            named = {port["name"]: port["containerPort"] for port in each.container["ports"]}
            assert named.get(at["port"], at["port"]) == (9090 if each.name == "backend" else 52365)
            assert at["path"] == ("/health" if each.name == "backend" else "/api/healthz")


def test_no_pod_can_ask_kubernetes_but_the_autoscaler(case: str) -> None:
    docs = CASES[case]()
    assert all(account["automountServiceAccountToken"] is False for account in of_kind(docs, "ServiceAccount"))
    accounts = {account["metadata"]["name"] for account in of_kind(docs, "ServiceAccount")}
    for each in pods(docs):
        assert each.spec["automountServiceAccountToken"] is False
        assert each.spec["serviceAccountName"] in accounts
        token = [volume["name"] for volume in each.spec["volumes"] if "projected" in volume]
        assert not token or each.name == "head"
        assert not {mount["name"] for mount in each.container["volumeMounts"]} & set(token)
    for spec in cluster_specs(docs):
        volumes = {volume["name"] for volume in spec["headGroupSpec"]["template"]["spec"]["volumes"]}
        mounts = {mount["name"] for mount in spec.get("autoscalerOptions", {}).get("volumeMounts", [])}
        assert mounts <= volumes
        assert ("kubernetes" in mounts) is spec["enableInTreeAutoscaling"] is ("kubernetes" in volumes)


def test_images_have_a_version(case: str) -> None:
    for each in pods(CASES[case]()):
        name, _, version = each.container["image"].rpartition("@" if "@" in each.container["image"] else ":")
        assert name
        assert version
        assert version != "latest"
        assert "/" not in version


def test_everything_is_tried(case: str) -> None:
    """The other tests loop: here it is said over what."""
    found = {each.name for each in pods(CASES[case]())}
    wanted = {"plain": {"head", "cpu"}, "cpu-only": {"head", "cpu"}, "gpu-pool": {"head", "cpu", "l4", "submitter"}}
    assert found == wanted.get(case, set(NAMES) if case == "whole" else set(NAMES) - {"submitter"})
    assert pod(CASES[case](), "head").component == "ray-head"
