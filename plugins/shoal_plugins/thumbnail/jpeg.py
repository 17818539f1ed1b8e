"""`thumbnail.jpeg`: small JPEG pictures for reports and reviews."""

import io
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa
from pydantic import Field

from shoal.contract import Batch, ImageSpec, Resources, Stage
from shoal.hooks import hookimpl
from shoal.kinds import Thumbnailer

if TYPE_CHECKING:
    from shoal.contract import Pixels


class JpegThumbnailer(Thumbnailer):
    """Makes a small JPEG of each image, of the same shape and never enlarged.

    Take it wherever people will look at the images: the report's map and grids, and Label Studio. 96 pixels are 2 to 4 KB
    an image; take 256 for pages on which details matter. The same pixels always give the same bytes.
    """

    name: ClassVar[str] = "jpeg"
    resources: ClassVar[Resources] = Resources(batch=64)

    size: int = Field(96, ge=8, le=2048, description="Longest side in pixels.")
    quality: int = Field(80, ge=1, le=95, description="JPEG quality, 1 to 95: more is sharper and larger.")

    @property
    def image(self) -> ImageSpec:
        """Return the whole picture within a square of `size`."""
        return ImageSpec(self.size, self.size, fit="inside", resample="bicubic")

    def map(self, batch: Batch) -> pa.Table:
        """Return each picture encoded."""
        return pa.table(
            [pa.array([self._encode(pixels) for pixels in batch.images or []], pa.binary())], schema=self.produces()
        )

    def _encode(self, pixels: "Pixels") -> bytes:
        from PIL import Image

        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=self.quality, optimize=False, subsampling="4:2:0")
        return file.getvalue()


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (JpegThumbnailer,)
