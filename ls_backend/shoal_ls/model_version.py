"""The one name of what predictions were made from: the same in `/setup`, in predictions and in projects' settings."""

import hashlib
import json

from shoal.catalogue import Run
from shoal.decisions import Decisions
from shoal.records import clustering, labelling


def model_version(run: Run, head: str = "") -> str:
    """Return the content hash of a run's clusters, names, reviews and head: `shoal-` and 12 hexadecimal digits.

    Args:
        run: the run.
        head: version of the head that its predictions come from; empty without.
    """
    decisions = Decisions.found(run.store)
    current = decisions.current(run.id) if decisions else None
    steps = [run.record.step(name) for name in (clustering(run.record), labelling(run.record)) if name]
    made = [[step.stage, step.fingerprint, step.digest] for step in steps if step]
    text = json.dumps([run.id, made, current.number if current else 0, head])
    return f"shoal-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
