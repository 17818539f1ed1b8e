"""The page about clusters: the metrics that it names are those of the installed Ray and of the plugin for MLflow."""

import re
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "cluster.md").read_text()


def test_ray_s_metrics_are_ray_s() -> None:
    """Held against the panels that Ray brings for Grafana."""
    spec = find_spec("ray")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    panels = Path(spec.submodule_search_locations[0]) / "dashboard/modules/metrics/dashboards/default_dashboard_panels.py"
    named = set(re.findall(r"`(ray_\w+)`", PAGE))
    assert len(named) > 5
    assert {name for name in named if name not in panels.read_text()} == set()


def test_mlflow_s_metrics_are_the_plugin_s() -> None:
    from shoal.records import RunRecord, RunView, StepRecord
    from shoal_plugins.track.mlflow import _metrics

    step = StepRecord(step="STEP", stage="embed.lite0", version="1", seconds=1.0, computed=1)
    record = RunRecord(id="r", pipeline="p", source="s", started="t", steps=[step])
    logged = set(_metrics(RunView(id="r", folder="f", store="s", record=record)))
    assert {name for name in logged if f"`{name}`" not in PAGE} == set()
