"""`shoal serve` as a Ray job.

ray job submit --working-dir ray_jobs -- python serve.py /shared/out --host 0.0.0.0

The job finds its cluster by `RAY_ADDRESS`, which Ray sets; what it reads and writes lies where every node reaches it.
"""

import sys

from shoal.cli import main

if __name__ == "__main__":
    main(["serve", *sys.argv[1:]])
