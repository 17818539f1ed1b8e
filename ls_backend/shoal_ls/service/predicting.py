"""Predictions from what a run says: pure, a task in, a prediction out. Shapes are those of the labelling configurations."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from shoal.decisions import NOISE
from shoal_ls.service.controls import SHOAL, Config, Control, read_config
from shoal_ls.service.neighbours import Near
from shoal_ls.service.snapshot import Snapshot
from shoal_ls.task_data import ShownTask

MOST_ITEMS = 1_000
"""Members that a cluster task may show before it is no task of shoal's."""


@dataclass(frozen=True)
class Prediction:
    """What is proposed for a task.

    Attributes:
        result: regions as Label Studio takes them; empty where nothing is proposed.
        score: confidence, 0 to 1: Label Studio serves the lowest first.
        reason: why there is no result.
        ranked: the clusters that were weighed, the likeliest first.
    """

    result: tuple[dict[str, Any], ...] = ()
    score: float = 0.0
    reason: str = ""
    ranked: tuple[Near, ...] = ()

    def json(self, version: str) -> dict[str, Any]:
        """Return it as Label Studio takes it; it ignores what it does not know."""
        answer: dict[str, Any] = {"result": list(self.result), "score": self.score, "model_version": version}
        if self.reason:
            answer["reason"] = self.reason
        if self.ranked:
            answer["ranked"] = [{"cluster": near.cluster, "score": round(near.score, 4)} for near in self.ranked]
        return answer


@dataclass(frozen=True)
class Unseen:
    """A task about an image that the run has not seen.

    Attributes:
        place: path, URI or URL of the image, as the task says it.
        control: that answers it.
        data: of the task.
    """

    place: str
    control: Control
    data: Mapping[str, Any] = field(default_factory=dict)


def config_of(request: Mapping[str, Any]) -> Config:
    """Return the controls of a `/predict` request; shoal's own where it carries none."""
    text = request.get("label_config")
    return read_config(text) if isinstance(text, str) and text.strip() else SHOAL


def predict(
    task: object, snapshot: Snapshot, config: Config, path_of: Callable[[str], str | None] = lambda place: None
) -> Prediction | Unseen:
    """Return what the run says about a task; it never raises for a task of another shape.

    Args:
        task: as Label Studio sends it.
        snapshot: of the run.
        config: controls that may be used.
        path_of: returns the path or URI that an address of Label Studio's means, None where it means none.
    """
    data = task.get("data") if isinstance(task, Mapping) else None
    if not isinstance(data, Mapping):
        return Prediction(reason="the task has no data")
    shown = ShownTask.of(data)
    if shown is None:
        return _foreign(data, snapshot, config, path_of)
    if shown.run != snapshot.run.id and shown.kind == "cluster":
        return Prediction(reason=f"the task is of another run than {snapshot.run.id}, which is served")
    if shown.run == snapshot.run.id and shown.base not in ("", snapshot.base):
        return Prediction(reason="the task shows the numbers of other clusters; `shoal review open` brings it up to date")
    return {"cluster": _cluster, "rescue": _rescue, "image": _image}[shown.kind](shown, data, snapshot, config)


def chosen(ranked: Sequence[Near], control: Control, data: Mapping[str, Any], labels: Mapping[int, str]) -> Prediction:
    """Return the likeliest of the ranked clusters that a control offers.

    A control offers clusters by value (`cluster:7`, `noise`) or by name: values of the task's candidates, or of its choices.
    """
    offers = _offers(control, data)
    for near in ranked:
        names = ("noise",) if near.cluster == NOISE else (f"cluster:{near.cluster}", labels.get(near.cluster, ""))
        value = next((offers[name.casefold()] for name in names if name.casefold() in offers), None)
        if value is not None:
            return Prediction((_choice(control, value),), _confidence(near.score), ranked=tuple(ranked))
    return Prediction(reason=f"{control.name} offers none of the clusters that are likely", ranked=tuple(ranked))


def _cluster(shown: ShownTask, data: Mapping[str, Any], snapshot: Snapshot, config: Config) -> Prediction:
    cluster = shown.cluster
    if cluster is None or not shown.shown or len(shown.shown) > MOST_ITEMS:
        return Prediction(reason="the task shows no images")
    buckets: dict[str, list[str]] = {name: [] for name in _buckets(config)}
    for image in shown.shown:
        buckets[_bucket(snapshot.clusters.get(image), shown, buckets)].append(image)
    moved = any(images for name, images in buckets.items() if name != "keep")
    label = snapshot.labels.get(cluster, shown.label)
    result = [
        _region(config, "verdict", "choices", {"choices": ["edit" if moved else "accept"]}),
        _region(config, "cluster_label", "textarea", {"text": [label]}) if label else None,
        _region(config, "assign", "ranker", {"ranker": buckets}),
    ]
    strengths = [snapshot.strengths.get(image, 0.0) for image in shown.shown]
    doubt = _doubt(data)
    score = sum(strengths) / len(strengths) if doubt is None else 1 - doubt
    return Prediction(tuple(region for region in result if region is not None), _confidence(score))


def _bucket(cluster: int | None, shown: ShownTask, buckets: Mapping[str, Any]) -> str:
    """Return the bucket of an image by the cluster that it is in now; what has no bucket stays."""
    if cluster == NOISE and "noise" in buckets:
        return "noise"
    if cluster is None or cluster == shown.cluster:
        return "keep"
    return next((name for name in ("alt1", "alt2") if name in buckets and shown.numbers.get(name) == cluster), "keep")


def _buckets(config: Config) -> tuple[str, ...]:
    control = config.controls.get("assign")
    names = control.choices if control is not None else ()
    return names if "keep" in names else ("keep", *names)


def _rescue(shown: ShownTask, data: Mapping[str, Any], snapshot: Snapshot, config: Config) -> Prediction:
    """Say what became of a noise image: confirmed, in another cluster, or noise still and so to be confirmed."""
    suggested = shown.numbers.get("suggested")
    found = snapshot.suggestions.get(shown.subject)
    cluster = snapshot.clusters.get(shown.subject)
    if cluster is None or suggested is None:
        return Prediction(reason="the run does not know this image or suggests nothing for it")
    score = _confidence(found.score if found is not None and found.cluster == suggested else 0.0)
    if cluster in (NOISE, suggested):
        result = [_region(config, "rescue", "choices", {"choices": ["confirm"]})]
    else:
        value = next((value for value, number in shown.candidates.items() if number == cluster), None)
        result = [_region(config, "rescue", "choices", {"choices": ["other" if value else "reject"]})]
        result += [_region(config, "other_cluster", "choices", {"choices": [value]})] if value else []
    return Prediction(tuple(region for region in result if region is not None), score)


def _image(shown: ShownTask, data: Mapping[str, Any], snapshot: Snapshot, config: Config) -> Prediction | Unseen:
    control = config.controls.get("cls") or config.first("Choices", "Image")
    if control is None:
        return Prediction(reason="the labelling configuration has no Choices for an image")
    if shown.subject not in snapshot.clusters:
        return _unseen(data, control, config)
    ranked = snapshot.ranking(shown.subject)
    if shown.subject in snapshot.ranks and shown.subject not in snapshot.decided:
        return chosen(ranked, control, data, snapshot.labels)
    doubt = _doubt(data)
    if (
        snapshot.clusters[shown.subject] == NOISE and shown.subject not in snapshot.decided
    ):  # offered are those nearest to it
        ranked = tuple(Near(number, 0.0) for number in shown.candidates.values() if number != NOISE)[:1]
    if doubt is not None:
        ranked = tuple(replace(near, score=1 - doubt) for near in ranked)
    return chosen(ranked, control, data, snapshot.labels)


def _foreign(
    data: Mapping[str, Any], snapshot: Snapshot, config: Config, path_of: Callable[[str], str | None]
) -> Prediction | Unseen:
    """Answer for a task that shoal did not make: an image, and a choice among names of clusters."""
    control = config.first("Choices", "Image") or config.controls.get("cls")
    if control is None:
        return Prediction(reason="the labelling configuration has no Choices for an image")
    found = _unseen(data, control, config)
    if isinstance(found, Prediction):
        return found
    image = snapshot.image(path_of(found.place) or found.place)
    return found if image is None else _seen(image, control, data, snapshot)


def _seen(image: str, control: Control, data: Mapping[str, Any], snapshot: Snapshot) -> Prediction:
    return chosen(snapshot.ranking(image), control, data, snapshot.labels)


def _unseen(data: Mapping[str, Any], control: Control, config: Config) -> Prediction | Unseen:
    _, own = config.objects.get(control.to_name, ("", ""))
    keys = [key for key in (own, *config.keys("Image"), "image") if key]
    place = next((data[key] for key in keys if isinstance(data.get(key), str) and data[key].strip()), None)
    return Prediction(reason="the task names no image") if place is None else Unseen(place.strip(), control, data)


def _offers(control: Control, data: Mapping[str, Any]) -> dict[str, str]:
    """Return what a control offers: value by value or name, whatever its case."""
    values = list(control.choices)
    candidates = data.get("candidates")
    for item in candidates if control.dynamic and isinstance(candidates, list) else ():
        value = item.get("value") if isinstance(item, Mapping) else item
        values += [value] if isinstance(value, str) else []
    return {value.casefold(): value for value in reversed(values)}


def _choice(control: Control, value: str) -> dict[str, Any]:
    return {"from_name": control.name, "to_name": control.to_name, "type": "choices", "value": {"choices": [value]}}


def _region(config: Config, name: str, kind: str, value: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a region of a control; None where the configuration has no such control."""
    control = config.controls.get(name)
    if control is None:
        return None
    return {"from_name": name, "to_name": control.to_name, "type": kind, "value": dict(value)}


def _doubt(data: Mapping[str, Any]) -> float | None:
    doubt = data.get("doubt")
    return float(doubt) if isinstance(doubt, int | float) and not isinstance(doubt, bool) and 0 <= doubt <= 1 else None


def _confidence(score: float) -> float:
    return round(min(max(score, 0.0), 1.0), 4) if math.isfinite(score) else 0.0
