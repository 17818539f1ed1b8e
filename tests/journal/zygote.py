"""Runs organise, undo and resume in processes that kill themselves: started once by the tests, it forks for each order.

An order is a line of JSON; the answer is one too: `status` of the process as `os.waitstatus_to_exitcode` gives it (-9 where
it was killed) and the number of `steps` that it took where it ended by itself.
"""

import json
import os
import signal
import sys
import threading
import time

import pyarrow.parquet as pq

from shoal import journal
from shoal.journal import batches, steps


class Counter:
    """Counts steps from all threads and ends the process at the one asked for."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.count = 0
        self.lock = threading.Lock()

    def __call__(self, name: str) -> None:
        with self.lock:
            self.count += 1
            if self.count == self.last:
                os.kill(os.getpid(), signal.SIGKILL)


def obey(order: dict[str, object]) -> int:
    """Do one order in this process and return the number of steps."""
    counter = Counter(int(str(order["kill_at"])))
    steps.on_step = counter
    batches.BATCH = int(str(order["batch"]))
    root = str(order["root"])
    if order["act"] == "organize":
        journal.organize(pq.read_table(str(order["plan"])), root, str(order["mode"]), workers=3)  # type: ignore[arg-type]
    elif order["act"] == "undo":
        journal.undo(root, workers=3)
    else:
        journal.resume(root, workers=3)
    return counter.count


def serve() -> None:
    """Answer orders until there are no more."""
    for line in sys.stdin:
        order = json.loads(line)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(write, str(obey(order)).encode())
                os._exit(0)
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
                os._exit(1)
        os.close(write)
        if order.get("kill_after_ms"):
            time.sleep(float(order["kill_after_ms"]) / 1000)
            os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        taken = os.read(read, 100).decode()
        os.close(read)
        print(json.dumps({"status": status, "steps": int(taken or 0)}), flush=True)


if __name__ == "__main__":
    serve()
