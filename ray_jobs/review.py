"""`shoal review` as a Ray job.

ray job submit --working-dir ray_jobs -- python review.py sync /shared/out

The job finds its cluster by `RAY_ADDRESS`, which Ray sets; what it reads and writes lies where every node reaches it.
"""

import sys

from shoal.cli import main

if __name__ == "__main__":
    main(["review", *sys.argv[1:]])
