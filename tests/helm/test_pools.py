"""Worker groups are what values say of them: GPUs, nodes, spot, images, storage, recipes."""

import copy
import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
import yaml

from shoal.runner.placement import NODE_GROUPS, node_groups
from tests.helm.chart import CHART, NEEDED, Doc, cluster_specs, config, example, merged, of_kind, plain, pod, render

pytestmark = pytest.mark.processes

AMOUNTS = {"requests": {"cpu": "6", "memory": "24Gi"}, "limits": {"cpu": "6", "memory": "24Gi"}}
TAINT = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
CHEAP = {"key": "spot", "operator": "Exists", "effect": "NoSchedule"}


def pool(**values: object) -> Doc:
    return {"replicas": 1, "minReplicas": 0, "maxReplicas": 3, "gpus": 1, "resources": AMOUNTS, **values}


def groups(docs: list[Doc]) -> dict[str, Doc]:
    (spec,) = cluster_specs(docs)
    return {group["groupName"]: group for group in spec["workerGroupSpecs"]}


def test_any_number_of_pools() -> None:
    names = [f"pool-{number}" for number in range(12)]
    docs = plain({"ray": {"gpuPools": {name: pool(gpus=number + 1) for number, name in enumerate(names)}}})
    found = groups(docs)
    assert set(found) == {"cpu", *names}
    for number, name in enumerate(names):
        assert (found[name]["replicas"], found[name]["minReplicas"], found[name]["maxReplicas"]) == (1, 0, 3)
        resources = pod(docs, name).container["resources"]
        assert (
            resources["limits"] == resources["requests"] == {"cpu": "6", "memory": "24Gi", "nvidia.com/gpu": str(number + 1)}
        )
    assert not any("gpu" in name for name in pod(docs, "cpu").container["resources"]["limits"])
    assert "nvidia.com/gpu" not in pod(docs, "head").container["resources"]["limits"]


def test_a_pool_goes_to_its_nodes() -> None:
    docs = plain(
        {
            "ray": {
                "gpuPools": {
                    "a100": pool(
                        nodeSelector={"gpu": "a100"}, tolerations=[TAINT], runtimeClassName="nvidia", resource="amd.com/gpu"
                    ),
                    "l4": pool(nodeSelector={"gpu": "l4"}),
                }
            }
        }
    )
    a100, l4 = pod(docs, "a100"), pod(docs, "l4")
    assert (a100.spec["nodeSelector"], l4.spec["nodeSelector"]) == ({"gpu": "a100"}, {"gpu": "l4"})
    assert (a100.spec["tolerations"], l4.spec.get("tolerations")) == ([TAINT], None)
    assert (a100.spec["runtimeClassName"], l4.spec.get("runtimeClassName")) == ("nvidia", None)
    assert a100.container["resources"]["limits"]["amd.com/gpu"] == "1"
    assert "nodeSelector" not in pod(docs, "cpu").spec


@pytest.mark.parametrize("resource", ["nvidia.com/gpu", "nvidia.com/gpu.shared", "nvidia.com/mig-1g.5gb", "amd.com/gpu"])
def test_ray_is_told_of_gpus_whatever_their_resource_is_called(resource: str) -> None:
    """KubeRay and the autoscaler count names that end in `gpu`: of others a pod would have a GPU and Ray none."""
    docs = plain({"ray": {"gpuPools": {"a": pool(resource=resource)}}})
    assert groups(docs)["a"]["rayStartParams"]["num-gpus"] == "1"
    assert "num-gpus" not in groups(docs)["cpu"]["rayStartParams"]
    assert pod(docs, "a").container["resources"]["limits"][resource] == "1"


def test_spot_pools_go_to_spot_nodes_and_ray_is_told() -> None:
    docs = plain(
        {
            "ray": {
                "gpuPools": {
                    "cheap": pool(spot=True, nodeSelector={"gpu": "l4"}, tolerations=[TAINT]),
                    "dear": pool(nodeSelector={"gpu": "l4"}),
                },
                "spot": {"nodeSelector": {"spot": "yes"}, "tolerations": [CHEAP]},
            }
        }
    )
    cheap, dear = pod(docs, "cheap"), pod(docs, "dear")
    assert cheap.spec["nodeSelector"] == {"gpu": "l4", "spot": "yes"}
    assert cheap.spec["tolerations"] == [TAINT, CHEAP]
    assert cheap.env["RAY_NODE_MARKET_TYPE"]["value"] == "spot"
    assert dear.spec["nodeSelector"] == {"gpu": "l4"}
    assert "RAY_NODE_MARKET_TYPE" not in dear.env
    assert "nodeSelector" not in pod(docs, "head").spec


def test_images() -> None:
    digest = "sha256:" + "a" * 64
    docs = plain(
        {
            "image": {"registry": "mirror:5000", "repository": "x/shoal", "tag": "7", "digest": digest},
            "ray": {
                "gpuPools": {
                    "cuda": pool(image={"tag": "7-cuda"}),
                    "other": pool(image={"repository": "x/gpu", "digest": digest}),
                }
            },
        }
    )
    found = {name: pod(docs, name).container["image"] for name in ("head", "cuda", "other")}
    assert found == {
        "head": f"mirror:5000/x/shoal@{digest}",
        "cuda": "mirror:5000/x/shoal:7-cuda",
        "other": f"mirror:5000/x/gpu@{digest}",
    }


def test_a_job_uses_the_cluster_that_stays_or_brings_its_own() -> None:
    job = {"enabled": True, "images": "s3://b/i", "out": "s3://b/o"}
    (shared,) = of_kind(plain({"job": job}), "RayJob")
    assert shared["spec"]["clusterSelector"] == {
        "ray.io/cluster": of_kind(plain({"job": job}), "RayCluster")[0]["metadata"]["name"]
    }
    assert (
        not {"rayClusterSpec", "shutdownAfterJobFinishes", "backoffLimit"} & shared["spec"].keys()
    )  # KubeRay refuses them together
    docs = plain({"job": job, "cluster": {"enabled": False}})
    (own,) = of_kind(docs, "RayJob")
    assert of_kind(docs, "RayCluster") == []
    assert own["spec"]["shutdownAfterJobFinishes"] is True
    assert "clusterSelector" not in own["spec"]
    staying = dict(of_kind(plain(), "RayCluster")[0]["spec"])
    assert staying.pop("upgradeStrategy") == {"type": "Recreate"}  # KubeRay takes it of a cluster alone, of no job's
    assert own["spec"]["rayClusterSpec"] == staying


def test_jobs_and_recipes_leave_the_cluster_that_stays_alone() -> None:
    """Whatever changes its pods ends the jobs that run there."""
    more = {"job": {"enabled": True, "images": "s3://b/i", "out": "s3://b/o"}}
    recipes = {name: {"recipes": {f"{name}.yaml": "shoal: 1"}} for name in ("one", "two")}
    (alone,), (busy,) = (of_kind(plain(values), "RayCluster") for values in ({}, more))
    (one,), (two,) = (of_kind(plain(values), "RayCluster") for values in recipes.values())
    assert alone == busy == one == two


def test_the_autoscaler_alone_says_how_many_pods_there_are() -> None:
    scaled = plain({"ray": {"autoscaling": {"enabled": True}}, "networkPolicy": {"apiServer": {"cidrs": ["10.0.0.1/32"]}}})
    assert "replicas" not in groups(scaled)["cpu"]  # an upgrade would set it back
    assert (groups(scaled)["cpu"]["minReplicas"], groups(scaled)["cpu"]["maxReplicas"]) == (0, 8)
    assert groups(plain())["cpu"]["replicas"] == 2


AUTOSCALED: Doc = {
    "ray": {"autoscaling": {"enabled": True}, "gpuPools": {"a": pool(gpus=2), "b": pool(gpus=2), "c": pool(maxReplicas=5)}},
    "networkPolicy": {"apiServer": {"cidrs": ["10.0.0.1/32"]}},
}


def test_the_driver_is_told_of_nodes_that_may_come(tmp_path: Path) -> None:
    """With no worker yet it would find no CPU, and refuse each run."""
    docs = plain(AUTOSCALED)
    file = tmp_path / "groups.json"
    file.write_text(config(docs, "groups")["groups.json"], encoding="utf-8")
    assert node_groups(str(file)) == Counter({(4.0, 0.0): 8, (6.0, 2.0): 6, (6.0, 1.0): 5})
    head = pod(docs, "head")
    at = Path(head.env[NODE_GROUPS]["value"])
    (mount,) = (mount for mount in head.container["volumeMounts"] if mount["mountPath"] == str(at.parent))
    (volume,) = (volume for volume in head.spec["volumes"] if volume["name"] == mount["name"])
    assert (volume["configMap"]["name"], at.name) == ("rel-shoal-groups", "groups.json")
    assert NODE_GROUPS not in pod(docs, "cpu").env
    assert NODE_GROUPS not in pod(plain(), "head").env


def test_more_nodes_at_most_change_no_pod() -> None:
    """KubeRay makes pods anew for what changes in a spec, but for numbers of replicas."""
    more = plain({**AUTOSCALED, "ray": {**AUTOSCALED["ray"], "workers": {"maxReplicas": 1000000}}})
    assert "1000000" in config(more, "groups")["groups.json"]
    (one,), (other,) = copy.deepcopy([cluster_specs(plain(AUTOSCALED)), cluster_specs(more)])
    said = [spec["workerGroupSpecs"][0].pop("maxReplicas") for spec in (one, other)]
    assert said == [8, 1000000]
    assert one == other


def test_a_new_chart_alone_changes_no_pod(tmp_path: Path) -> None:
    """With its version on pods each upgrade would make the cluster anew, and end the jobs on it."""
    newer = shutil.copytree(CHART, tmp_path / "shoal")
    told = yaml.safe_load((newer / "Chart.yaml").read_text(encoding="utf-8"))
    (newer / "Chart.yaml").write_text(yaml.safe_dump({**told, "version": "9.8.7", "appVersion": "9.8.7"}), encoding="utf-8")
    values = {"image": {"tag": "mine"}, "backend": {"enabled": True, "out": "/data/o", "auth": {"existingSecret": "a"}}}
    old, new = plain(values), render(json.dumps(merged(NEEDED, values)), chart=str(newer))
    assert cluster_specs(old) == cluster_specs(new)
    (one,), (other,) = of_kind(old, "Deployment"), of_kind(new, "Deployment")
    assert one["spec"] == other["spec"]
    assert other["metadata"]["labels"]["helm.sh/chart"] == "shoal-9.8.7"


def test_recipes_lie_where_the_job_looks() -> None:
    docs = example("gpu-pool")
    (job,) = of_kind(docs, "RayJob")
    file = job["spec"]["entrypoint"].split()[2]
    assert file == "/etc/shoal/recipes/captions.yaml"
    assert file.rpartition("/")[2] in config(docs, "recipes")
    for name in ("head", "cpu", "l4"):
        found = pod(docs, name)
        (mount,) = (mount for mount in found.container["volumeMounts"] if mount["name"] == "recipes")
        (volume,) = (volume for volume in found.spec["volumes"] if volume["name"] == "recipes")
        assert (mount["mountPath"], mount["readOnly"]) == ("/etc/shoal/recipes", True)
        assert volume["configMap"]["name"] == "rel-shoal-recipes"


def test_volumes_are_where_the_program_runs_and_the_backend_too() -> None:
    docs = example("air-gapped")
    for name in ("head", "cpu", "a100", "backend"):
        found = pod(docs, name)
        mounts = {mount["mountPath"]: mount for mount in found.container["volumeMounts"]}
        claims = {
            volume["name"]: volume["persistentVolumeClaim"]
            for volume in found.spec["volumes"]
            if "persistentVolumeClaim" in volume
        }
        for place, claim in {"/data/models": "models", "/data/photos": "photos"}.items():
            assert mounts[place]["readOnly"] is True
            assert claims[mounts[place]["name"]] == {"claimName": claim, "readOnly": True}
    assert pod(docs, "head").env["HF_HOME"]["value"] == "/data/models"


def test_the_inbox_outlives_the_release_and_has_one_writer() -> None:
    docs = example("air-gapped")
    (claim,), (backend,) = of_kind(docs, "PersistentVolumeClaim"), of_kind(docs, "Deployment")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert (backend["spec"]["replicas"], backend["spec"]["strategy"]) == (1, {"type": "Recreate"})
    state = {volume["name"]: volume for volume in pod(docs, "backend").spec["volumes"]}["state"]
    assert state["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


def test_the_head_is_kept_and_runs_no_batch() -> None:
    docs = plain()
    (budget,) = of_kind(docs, "PodDisruptionBudget")
    assert budget["spec"]["minAvailable"] == 1  # Kubernetes takes nothing else of pods whose owner has no scale
    (spec,) = cluster_specs(docs)
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert of_kind(plain({"podDisruptionBudget": {"enabled": False}}), "PodDisruptionBudget") == []
