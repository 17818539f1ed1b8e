"""Ports for the servers that tests start.

A port that the system hands out by itself (`bind` to 0) may be handed out again before the server binds it: to another test,
to one of Ray's workers, or to any connection that is made meanwhile. These lie below that range, and above Ray's workers'.
"""

import random
import socket

FIRST, LAST = 20_000, 32_000
_CHOICE = random.SystemRandom()  # tests and Hypothesis seed the other one: two workers would choose alike


def free_port() -> int:
    """Return a port of the loopback that nobody listens on and that the system gives to nobody."""
    while True:
        port = _CHOICE.randrange(FIRST, LAST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
