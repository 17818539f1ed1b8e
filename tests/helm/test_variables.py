"""Variables: each once, numbers as they were written, certificates of a CA of one's own where programs look for them."""

import re

import pytest

from tests.helm.chart import CHART, EVERYTHING, EXAMPLES, Doc, example, merged, plain, pod, pods, refusal, whole

pytestmark = pytest.mark.processes

AIR_GAPPED = str(CHART / "examples" / "air-gapped.yaml")


@pytest.mark.parametrize(
    ("at", "name"),
    [("", "HOME"), ("", "AWS_SECRET_ACCESS_KEY"), ("", "SHOAL_PICTURES_KEY"), ("backend.", "SSL_CERT_FILE")],
)
def test_what_the_chart_sets_is_not_set_again(at: str, name: str) -> None:
    """The API server takes no pod that has a variable twice."""
    given: Doc = {"secretEnv": {name: {"secret": "a", "key": "b"}}}
    told = refusal(merged(EVERYTHING, {"backend": given} if at else given), AIR_GAPPED)
    assert f" {at}env or {at}secretEnv sets {name}, which the chart sets itself; leave it off" in told


def test_what_kuberay_sets_is_not_set_again() -> None:
    told = refusal({"env": {"RAY_CLUSTER_NAME": "a"}})
    assert "env or secretEnv sets RAY_CLUSTER_NAME, which KubeRay sets itself; leave it off" in told


def test_a_variable_has_one_value() -> None:
    told = refusal({"env": {"MODEL": "a"}, "secretEnv": {"MODEL": {"secret": "a", "key": "b"}}})
    assert "env and secretEnv both set MODEL; leave one of them off" in told


def test_a_variable_that_the_chart_does_not_need_is_free() -> None:
    docs = plain({"env": {"AWS_REGION": "eu-central-1", "HF_HOME": "/tmp/hub"}})
    assert pod(docs, "cpu").env["AWS_REGION"]["value"] == "eu-central-1"


def test_numbers_are_written_as_they_were_given() -> None:
    given = {"N": 1000000, "BYTES": 4294967296, "ACCOUNT": "123456789012345678", "SHARE": 0.25, "ON": True, "TEXT": "1e6"}
    docs = plain({"env": given})
    assert {name: pod(docs, "cpu").env[name]["value"] for name in given} == {
        "N": "1000000",
        "BYTES": "4294967296",
        "ACCOUNT": "123456789012345678",
        "SHARE": "0.25",
        "ON": "true",
        "TEXT": "1e6",
    }


def test_large_numbers_of_values_stay_whole() -> None:
    month = 30 * 24 * 3600
    toleration = {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": month}
    docs = plain(
        {
            "cluster": {"enabled": False},
            "job": {"enabled": True, "images": "s3://b/i", "out": "s3://b/o", "activeDeadlineSeconds": month,
                    "backoffLimit": 1000000, "ttlSecondsAfterFinished": month, "submitter": {"tolerations": [toleration]}},
            "ray": {"workers": {"replicas": 1000000, "maxReplicas": 2000000}, "autoscaling": {"idleTimeoutSeconds": month}},
        }
    )  # fmt: skip
    (job,) = (doc["spec"] for doc in docs if doc["kind"] == "RayJob")
    assert (job["activeDeadlineSeconds"], job["backoffLimit"], job["ttlSecondsAfterFinished"]) == (month, 1000000, month)
    (group,) = job["rayClusterSpec"]["workerGroupSpecs"]
    assert (group["replicas"], group["maxReplicas"]) == (1000000, 2000000)
    assert pod(docs, "submitter").spec["tolerations"] == [toleration]
    scaled = whole_with({"ray": {"autoscaling": {"idleTimeoutSeconds": month}}})
    (cluster,) = (doc["spec"] for doc in scaled if doc["kind"] == "RayCluster")
    assert cluster["autoscalerOptions"]["idleTimeoutSeconds"] == month


def whole_with(values: Doc) -> list[Doc]:
    return example("air-gapped", merged(EVERYTHING, values))


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_number_is_written_as_a_power_of_ten(name: str) -> None:
    for each in pods(example(name)):
        assert not re.search(r"\de[+-]\d", str(each.spec))


def test_certificates_lie_where_programs_look_for_them() -> None:
    docs = whole()
    for name in ("head", "cpu", "a100", "backend"):
        found = pod(docs, name)
        places = {found.env[variable]["value"] for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE")}
        (mount,) = (mount for mount in found.container["volumeMounts"] if mount["name"] == "certificates")
        (volume,) = (volume for volume in found.spec["volumes"] if volume["name"] == "certificates")
        assert volume["configMap"] == {"name": "authorities", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
        assert places == {f"{mount['mountPath']}/ca.crt"}
        assert mount["readOnly"] is True
    assert "SSL_CERT_FILE" not in pod(example("air-gapped"), "backend").env
    other = plain({"certificates": {"configMap": "a", "key": "bundle.pem"}})
    (volume,) = (volume for volume in pod(other, "cpu").spec["volumes"] if volume["name"] == "certificates")
    assert volume["configMap"]["items"] == [{"key": "bundle.pem", "path": "ca.crt"}]


def test_the_backend_has_variables_of_its_own() -> None:
    docs = whole()
    backend, head = pod(docs, "backend").env, pod(docs, "head").env
    assert backend["HTTPS_PROXY"]["value"] == "http://proxy.internal:3128"
    assert backend["CLIP_API_KEY"]["valueFrom"]["secretKeyRef"] == {"name": "backend-keys", "key": "clip"}
    assert not {"HTTPS_PROXY", "CLIP_API_KEY"} & head.keys()
    assert not {"OMP_NUM_THREADS", "OPENAI_API_KEY"} & backend.keys()
