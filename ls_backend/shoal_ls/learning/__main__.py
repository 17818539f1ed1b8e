"""`python -m shoal_ls.learning OUT RUN`: one training, as the backend starts it."""

import sys

import shoal
from shoal.errors import ShoalError
from shoal_ls.learning.training import train


def main(out: str, run: str) -> int:
    """Train a head and say what became of it."""
    try:
        print(train(shoal.open(out, run)).told)
    except ShoalError as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
