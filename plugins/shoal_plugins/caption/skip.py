"""`caption.skip`: no captions."""

from typing import ClassVar

import pyarrow as pa

from shoal.contract import Batch, Stage
from shoal.hooks import hookimpl
from shoal.kinds import Captioner


class Skip(Captioner):
    """Says nothing about any image.

    Take it to run a recipe without captions (`--set caption=skip`) and without changing it: every caption is null, no
    picture is read and no model is loaded. Clusters that are named from captions are then called `cluster_00`,
    `cluster_01` and so on.
    """

    name: ClassVar[str] = "skip"

    def map(self, batch: Batch) -> pa.Table:
        """Return a null for each row."""
        return pa.table([pa.nulls(len(batch), pa.string())], schema=self.produces())


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the captioner."""
    return (Skip,)
