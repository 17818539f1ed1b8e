"""Whether cuML can be used here: it installs and imports without a GPU and fails on first use, so one fit is tried."""

from functools import cache
from importlib.util import find_spec


@cache
def reason_against_cuml() -> str | None:
    """Return None where cuML works on this machine, else why not, as a clause."""
    if find_spec("cuml") is None:
        return "cuML is not installed"
    try:
        import cupy

        if not cupy.cuda.is_available():
            return "CUDA finds no GPU"
        import numpy as np
        from cuml.cluster import KMeans

        KMeans(n_clusters=1).fit(np.zeros((4, 2), dtype=np.float32))
    except Exception as error:  # a driver that does not fit, a broken library: anything may come
        return f"cuML failed a trial run ({type(error).__name__}: {error})"
    return None
