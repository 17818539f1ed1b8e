"""`shoal tune` as a Ray job.

ray job submit --working-dir ray_jobs -- python tune.py quickstart s3://bucket/photos --out s3://bucket/out --budget 100

The job finds its cluster by `RAY_ADDRESS`, which Ray sets; what it reads and writes lies where every node reaches it.
"""

import sys

from shoal.cli import main

if __name__ == "__main__":
    main(["tune", *sys.argv[1:]])
