"""Training in a process of its own: the backend answers meanwhile."""

import os
import subprocess
import sys
from typing import BinaryIO

from shoal.catalogue import Run
from shoal_ls.learning.examples import examples
from shoal_ls.learning.features import reviewed_clusters
from shoal_ls.learning.heads import Heads
from shoal_ls.learning.training import LEAST_FITTED, LEAST_HELD

ENOUGH = 20
"""New decisions that are worth a training."""

LOG = "train.log"


def due(run: Run, enough: int = ENOUGH) -> bool:
    """Tell whether there are enough decisions that no head was made of: nothing is computed for that."""
    found = examples(reviewed_clusters(run))
    if len(found.fitted) < LEAST_FITTED or len(found.held) < LEAST_HELD:
        return False
    records = Heads(run.store, run.id).records()
    return found.decided - (records[-1].decided if records else 0) >= enough


def train_in_background(run: Run, enough: int = ENOUGH) -> "subprocess.Popen[bytes] | None":
    """Start a training where enough new decisions were taken, and return its process; None where it is not due.

    What it says goes to `heads/RUN/train.log` of a store on a local disk. Two at once do no harm: the second ends at once.

    Args:
        run: that the decisions are about.
        enough: new decisions that are worth a training.
    """
    if not due(run, enough):
        return None
    command = [sys.executable, "-m", "shoal_ls.learning", run.store.root.uri, run.id]
    with _log(run) as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # noqa: S603  (no shell)


def _log(run: Run) -> BinaryIO:
    folder = Heads(run.store, run.id).folder.local
    if folder is None:
        return open(os.devnull, "wb")
    folder.mkdir(parents=True, exist_ok=True)
    return (folder / LOG).open("ab")
