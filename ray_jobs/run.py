"""`shoal run` as a Ray job: ray job submit --working-dir ray_jobs -- python run.py quickstart PHOTOS --out OUT.

The job finds its cluster by `RAY_ADDRESS`, which Ray sets; PHOTOS and OUT are places that every node reaches.
"""

import sys

from shoal.cli import main

if __name__ == "__main__":
    main(["run", *sys.argv[1:]])
