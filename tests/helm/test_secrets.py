"""Secrets come by reference, each to the pods that need it, and Ray is never without its token."""

import re

import pytest

from tests.helm.chart import EXAMPLES, Doc, cluster_specs, example, of_kind, plain, pod, pods, walk, whole

pytestmark = pytest.mark.processes

CASES = {**{name: lambda name=name: example(name) for name in EXAMPLES}, "plain": plain, "whole": whole}

S3, MLFLOW = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}, {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"}
REVIEW = {"SHOAL_DATABASE", "LABEL_STUDIO_API_KEY", "SHOAL_BACKEND_USER", "SHOAL_BACKEND_PASSWORD", "SHOAL_PICTURES_KEY"}
TOKEN, OWN = {"RAY_AUTH_TOKEN"}, {"OPENAI_API_KEY"}
GIVEN = {
    "head": TOKEN | S3 | MLFLOW | REVIEW | OWN,
    "cpu": TOKEN | S3 | MLFLOW | OWN,
    "a100": TOKEN | S3 | MLFLOW | OWN,
    "submitter": TOKEN,
    "backend": S3 | REVIEW | {"CLIP_API_KEY"},
}
SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDEN|_DATABASE$|_USER(NAME)?$")


@pytest.mark.parametrize("case", CASES)
def test_no_secret_is_written_down(case: str) -> None:
    docs = CASES[case]()
    assert of_kind(docs, "Secret") == []
    for each in pods(docs):
        for name, variable in each.env.items():
            assert ("valueFrom" in variable) is bool(SECRET.search(name)), name
            if "valueFrom" in variable:
                assert variable["valueFrom"]["secretKeyRef"].keys() == {"name", "key"}
    for path, text in walk(docs):
        assert not re.search(r"://[^/\s]*@", str(text)), path


@pytest.mark.parametrize("name", GIVEN)
def test_each_pod_has_the_secrets_that_it_needs_and_no_other(name: str) -> None:
    given = {variable for variable, said in pod(whole(), name).env.items() if "valueFrom" in said}
    assert given == GIVEN[name]


def test_secrets_are_taken_from_where_values_say() -> None:
    docs = example(
        "air-gapped",
        {
            "storage": {"s3": {"existingSecret": "a", "accessKeyIdKey": "b", "secretAccessKeyKey": "c"}},
            "mlflow": {"existingSecret": "d", "usernameKey": "e", "passwordKey": "f"},
            "labelStudio": {"existingSecret": "g", "tokenKey": "h"},
            "database": {"existingSecret": "i", "urlKey": "j"},
            "backend": {"auth": {"existingSecret": "k", "usernameKey": "l", "passwordKey": "m", "picturesKeyKey": "n"}},
            "ray": {"auth": {"existingSecret": "o"}},
            "secretEnv": {"OPENAI_API_KEY": {"secret": "p", "key": "q"}},
        },
    )
    at = {name: said["valueFrom"]["secretKeyRef"] for name, said in pod(docs, "head").env.items() if "valueFrom" in said}
    assert {name: (said["name"], said["key"]) for name, said in at.items()} == {
        "AWS_ACCESS_KEY_ID": ("a", "b"),
        "AWS_SECRET_ACCESS_KEY": ("a", "c"),
        "MLFLOW_TRACKING_USERNAME": ("d", "e"),
        "MLFLOW_TRACKING_PASSWORD": ("d", "f"),
        "LABEL_STUDIO_API_KEY": ("g", "h"),
        "SHOAL_DATABASE": ("i", "j"),
        "SHOAL_BACKEND_USER": ("k", "l"),
        "SHOAL_BACKEND_PASSWORD": ("k", "m"),
        "SHOAL_PICTURES_KEY": ("k", "n"),
        "RAY_AUTH_TOKEN": ("o", "auth_token"),
        "OPENAI_API_KEY": ("p", "q"),
    }


@pytest.mark.parametrize("case", CASES)
def test_ray_wants_a_token_everywhere(case: str) -> None:
    docs = CASES[case]()
    for spec in cluster_specs(
        docs
    ):  # KubeRay gives it to the autoscaler, to init containers, and shows it when it asks the head
        assert spec["authOptions"] == {"mode": "token", "secretName": "shoal-ray"}
    named = {"name": "shoal-ray", "key": "auth_token"}
    for each in pods(docs):
        if each.name != "backend":
            assert each.env["RAY_AUTH_MODE"]["value"] == "token"
            assert each.env["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"] == named


@pytest.mark.parametrize("case", CASES)
def test_no_variable_is_set_twice(case: str) -> None:
    docs = CASES[case]()
    lists = [each.container["env"] for each in pods(docs)]
    # KubeRay names these itself before it adds what the chart says.
    kuberay = ["RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_CLUSTER_NAME"]
    scalers = [spec["autoscalerOptions"]["env"] for spec in cluster_specs(docs) if spec["enableInTreeAutoscaling"]]
    for names in [[v["name"] for v in each] for each in lists] + [[v["name"] for v in each] + kuberay for each in scalers]:
        assert len(names) == len(set(names))


def test_without_keys_the_identity_of_the_account_counts() -> None:
    docs = example(
        "cpu-only", {"storage": {"s3": {"existingSecret": ""}}, "serviceAccount": {"annotations": {"cloud/role": "shoal"}}}
    )
    assert not pod(docs, "head").env.keys() & S3
    accounts: list[Doc] = of_kind(docs, "ServiceAccount")
    assert [account["metadata"]["annotations"] for account in accounts] == [{"cloud/role": "shoal"}] * 2
