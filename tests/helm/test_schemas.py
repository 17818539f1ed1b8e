"""Every resource is one that the API servers and the operators take."""

import copy
import subprocess

import pytest

from tests.helm.chart import CHART, EXAMPLES, HELM, Doc, example, of_kind, plain, whole
from tests.helm.schemas import VERSIONS, mistakes

pytestmark = pytest.mark.processes

CASES = {
    **{name: lambda name=name: example(name) for name in EXAMPLES},
    "plain": plain,
    "whole": whole,
    "without policies": lambda: plain({"networkPolicy": {"enabled": False}, "podDisruptionBudget": {"enabled": False}}),
    "nothing but accounts": lambda: plain({"cluster": {"enabled": False}}),
    "state of one's own": lambda: example("air-gapped", {"backend": {"state": {"existingClaim": "inbox"}}}),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", CASES)
def test_resources_are_taken(case: str, version: str) -> None:
    docs = CASES[case]()
    assert [mistake for doc in docs for mistake in mistakes(doc, version)] == []


@pytest.mark.parametrize("case", CASES)
def test_names_are_unique_and_short_enough(case: str) -> None:
    names = [(doc["kind"], doc["metadata"]["name"]) for doc in CASES[case]()]
    assert len(names) == len(set(names))
    assert all(len(name) <= {"RayCluster": 53, "RayJob": 47}.get(kind, 63) for kind, name in names)


@pytest.mark.parametrize("name", EXAMPLES)
def test_helm_lint_has_nothing_to_say(name: str) -> None:
    line = [HELM, "lint", "--strict", "--quiet", str(CHART), "--values", str(CHART / "examples" / f"{name}.yaml")]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_long_names_are_cut_and_still_fit() -> None:
    docs = plain(
        {"fullnameOverride": "a" * 60, "job": {"enabled": True, "images": "s3://b/i", "out": "s3://b/o", "name": "b" * 11}}
    )
    (job,) = of_kind(docs, "RayJob")
    assert len(job["metadata"]["name"]) == 47


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("RayCluster", "spec.headGroupSpec.template.spec.containers.0.volumeMount"),
        ("RayCluster", "spec.authOptions.secret"),
        ("RayJob", "spec.submitterPodTemplate.spec.serviceAcountName"),
        ("Deployment", "spec.template.spec.containers.0.readinesProbe"),
        ("NetworkPolicy", "spec.ingres"),
        ("PodMonitor", "spec.podMetricsEndpoints.0.ports"),
    ],
)
def test_the_schemas_find_a_misspelt_field(kind: str, path: str) -> None:
    doc: Doc = copy.deepcopy(of_kind(whole(), kind)[0])
    *parents, last = path.split(".")
    place = doc
    for parent in parents:
        place = place[int(parent)] if parent.isdecimal() else place[parent]  # type: ignore[index]
    place[last] = {}
    assert any(last in mistake for mistake in mistakes(doc, VERSIONS[-1]))
