"""Fits a head to decisions, and lets it take over where it is better on decisions that no head was fitted to."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shoal.catalogue import Run
from shoal.decisions import now
from shoal.errors import UsageError
from shoal.records import RunRecord, RunView
from shoal.runner.telling import tell
from shoal_ls.learning.examples import Examples, examples
from shoal_ls.learning.features import embedder, embeddings, reviewed_clusters
from shoal_ls.learning.head import Head, HeadRecord, packed
from shoal_ls.learning.heads import RECORD, Heads

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST_FITTED = 10
LEAST_HELD = 5
"""Fewer held-out decisions tell heads apart by luck."""

BACKGROUND_WEIGHT = 0.1
"""Of an image that nobody decided about, against 1 of a decision."""

INVERSE_REGULARISATION = 100.0
ITERATIONS = 500


@dataclass(frozen=True)
class Trained:
    """What became of a training.

    Attributes:
        head: that was made.
        current: whether predictions use it from now on.
        told: one sentence with the figures.
    """

    head: Head
    current: bool
    told: str


@dataclass(frozen=True)
class _Matrix:
    """Embeddings and clusters of some images."""

    vectors: "NDArray[np.float32]"
    clusters: "NDArray[np.int32]"


def train(run: Run) -> Trained:
    """Fit a head to the decisions about a run and make it current if it beats what predicts now.

    Raises:
        UsageError: there are too few decisions, they are all for one cluster, or they are those of the last head.
        BusyError: a head of the run is being trained already.
    """
    heads = Heads(run.store, run.id)
    with heads.alone():
        found = examples(reviewed_clusters(run))
        _check(found, run)
        records = heads.records()
        if records and records[-1].digest == found.digest:
            raise UsageError(
                f"head {records[-1].number} of run {run.id} was made of these {found.decided} decisions already; "
                "take more of them first"
            )
        return _train(run, heads, found)


def _train(run: Run, heads: Heads, found: Examples) -> Trained:
    fitted, held, background = (_matrix(run, part) for part in (found.fitted, found.held, found.background))
    classes, weights, bias = _fit(fitted, background)
    data = packed(classes, weights, bias)
    made, before = embedder(run), heads.current()
    usable = before is not None and before.record.fingerprint == made.fingerprint
    rival, rival_right = _rival(before if usable else None, fitted, background, held)
    draft = HeadRecord(
        run=run.id, number=heads.next_number(), made=now(), step=made.step, fingerprint=made.fingerprint,
        digest=found.digest, decided=found.decided, fitted=len(found.fitted), held=len(found.held),
        background=len(found.background), accuracy=0.0, rival=rival, rival_accuracy=rival_right,
        weights=hashlib.sha256(data).hexdigest(),
    )  # fmt: skip
    accuracy = _accuracy(Head(draft, classes, weights, bias), held)
    head = heads.add(draft.model_copy(update={"accuracy": accuracy}), data)
    if head.record.better:
        heads.promote(head.record.number)
    _track(run, heads, head.record)
    return Trained(head, head.record.better, _words(head.record))


def _check(found: Examples, run: Run) -> None:
    needs = f"a head needs {LEAST_FITTED} decisions to fit and {LEAST_HELD} held out, for two clusters at least"
    if len(found.fitted) < LEAST_FITTED or len(found.held) < LEAST_HELD:
        raise UsageError(
            f"run {run.id} has {found.decided} decisions about where an image belongs ({len(found.held)} of them held out); "
            f"{needs}: review more, then `shoal review sync`"
        )
    if len(set(found.fitted.values())) < 2:
        raise UsageError(f"all decisions about run {run.id} are for one cluster; {needs}: review others, too")


def _matrix(run: Run, images: Mapping[str, int]) -> _Matrix:
    import numpy as np

    from shoal.vectors import unit_length

    ids = sorted(images)
    return _Matrix(unit_length(embeddings(run, ids)), np.array([images[image] for image in ids], dtype=np.int32))


def _fit(fitted: _Matrix, background: _Matrix) -> "tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]":
    """Return classes, weights and bias of a multinomial logistic regression."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    weights = np.concatenate([np.ones(len(fitted.clusters)), np.full(len(background.clusters), BACKGROUND_WEIGHT)])
    model = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=ITERATIONS)
    vectors = np.concatenate([fitted.vectors, background.vectors])
    clusters = np.concatenate([fitted.clusters, background.clusters])
    with threadpool_limits(limits=1):  # the same decisions give the same weights
        model.fit(vectors, clusters, sample_weight=weights)
    coefficients, bias = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # scikit-learn keeps one row for two classes: the second's against none
        coefficients, bias = np.vstack([-coefficients, coefficients]) / 2, np.concatenate([-bias, bias]) / 2
    return model.classes_.astype(np.int32), coefficients.astype(np.float32), bias.astype(np.float32)


def _rival(before: Head | None, fitted: _Matrix, background: _Matrix, held: _Matrix) -> tuple[str, float]:
    """Return what a new head has to beat, and the share of held-out decisions that it gets right."""
    import numpy as np

    from shoal.vectors import unit_length

    if before is not None:
        return f"head {before.record.number}", _accuracy(before, held)
    clusters = np.concatenate([fitted.clusters, background.clusters])
    vectors = np.concatenate([fitted.vectors, background.vectors])
    known = np.unique(clusters)
    centroids = unit_length(np.stack([vectors[clusters == cluster].mean(axis=0) for cluster in known]))
    nearest = known[np.argmax(held.vectors @ centroids.T, axis=1)]
    return "nearest centroid", float(np.mean(nearest == held.clusters))


def _accuracy(head: Head, held: _Matrix) -> float:
    import numpy as np

    classes, shares = head.probabilities(held.vectors)
    return float(np.mean(classes[np.argmax(shares, axis=1)] == held.clusters))


def _track(run: Run, heads: Heads, record: HeadRecord) -> None:
    """Tell the plugins that hear of runs, MLflow's among them, as of a run with two scores; their trouble is not ours."""
    scores = {"accuracy": record.accuracy, "rival_accuracy": record.rival_accuracy}
    told = RunRecord(
        id=f"{run.id}-head-{record.number}", pipeline=f"head of {run.record.pipeline}", source=run.record.source,
        status="done", started=record.made, images=record.decided, clusters=run.record.clusters,
        scores=scores | {"fitted": float(record.fitted), "held_out": float(record.held)},
    )  # fmt: skip
    folder = (heads.folder / str(record.number)).uri
    seen = RunView(id=told.id, folder=folder, store=run.store.root.uri, record=told, artefacts=(f"{folder}/{RECORD}",))
    tell(run.host, run.store, told, "shoal_run_done", seen=seen)


def _words(record: HeadRecord) -> str:
    right, rival = round(record.accuracy * record.held), round(record.rival_accuracy * record.held)
    figures = f"right in {right} of {record.held} held-out decisions, {record.rival} in {rival}"
    end = "predictions use it from now on" if record.better else f"no better, so {record.rival} stays"
    return f"head {record.number}: {figures}; {end}"
