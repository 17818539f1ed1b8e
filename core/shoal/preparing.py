"""What is done to pixels before an embedder sees them: edges cut off, light and contrast evened out, polarity ignored.

Everything here treats an image and its negative alike: the preparation of the negative is the negative of the preparation.
With `polarity`, both get the very same vector.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shoal.errors import StageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

PREPARATION_VERSION = "1"
"""Raise it when the same options would give other pixels; part of the identity of embedders that prepare them."""
_WEIGHTS = (76, 150, 29)
"""Red, green, blue of grey (ITU-R BT.601), in 255ths: the odd sum leaves no ties, so a negative's grey is the negative."""
_GREY_SUM = sum(_WEIGHTS)


class Trim(BaseModel):
    """How much of an upright image is cut off at each edge, as fractions of its height or width."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    top: float = Field(0.0, ge=0, lt=1, description="Fraction of the height cut off at the top.")
    bottom: float = Field(0.0, ge=0, lt=1, description="Fraction of the height cut off at the bottom.")
    left: float = Field(0.0, ge=0, lt=1, description="Fraction of the width cut off at the left.")
    right: float = Field(0.0, ge=0, lt=1, description="Fraction of the width cut off at the right.")

    @model_validator(mode="after")
    def _something_stays(self) -> "Trim":
        for one, other in (("top", "bottom"), ("left", "right")):
            if getattr(self, one) + getattr(self, other) >= 1:
                raise ValueError(f"{one} and {other} together cut off everything; let their sum be below 1")
        return self

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """Top, bottom, left and right, as `shoal.contract.ImageSpec` wants them."""
        return self.top, self.bottom, self.left, self.right


class Preparation(BaseModel):
    """How an embedder's images are prepared; nothing is done by default.

    The order is: EXIF orientation, `trim`, scaling to what the model wants, `grayscale`, `clahe`, the model.

    Source of CLAHE: Zuiderveld, Contrast Limited Adaptive Histogram Equalization, Graphics Gems IV, 1994, by OpenCV. It
    treats dark and bright a little differently; the mean of an image's and of its inverted negative's is taken, which does
    not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trim: Trim = Field(Trim(), description="How much is cut off at each edge, such as burnt-in text.")
    grayscale: bool = Field(False, description="Whether colours become greys.")
    clahe: bool = Field(
        False,
        description="Whether contrast is evened out tile by tile (CLAHE), so that light matters less: of greys, or of a "
        "colour image's brightness. Needs `pip install 'shoal[structural]'`.",
    )
    clip: float = Field(3.0, ge=1, le=40, description="With `clahe`: by how much contrast may grow; less is gentler.")
    grid: int = Field(8, ge=1, le=64, description="With `clahe`: tiles across, and as many down.")
    polarity: bool = Field(
        False,
        description="Whether an image and its negative get the same vector: that of the image and that of its negative are "
        "averaged, which takes twice the time of the model.",
    )

    @property
    def touches_pixels(self) -> bool:
        """Whether it changes pixels once they are scaled."""
        return self.grayscale or self.clahe

    def check(self) -> None:
        """Find out whether the libraries that it needs are there.

        Raises:
            StageError: OpenCV is missing.
        """
        if self.clahe:
            _opencv()

    def prepared(self, images: "Sequence[Pixels]") -> "list[Pixels]":
        """Return uint8 RGB images of the same sizes, each by itself; the given ones stay as they are.

        Raises:
            StageError: OpenCV is missing.
        """
        return self.both(images)[0] if self.touches_pixels else list(images)

    def both(self, images: "Sequence[Pixels]") -> "tuple[list[Pixels], list[Pixels]]":
        """Return the prepared images and their inverses; of the negatives, they are the same two, swapped.

        Raises:
            StageError: OpenCV is missing.
        """
        pairs = [self._pair(image) for image in images]
        return [image for image, _ in pairs], [inverse for _, inverse in pairs]

    def _pair(self, image: "Pixels") -> "tuple[Pixels, Pixels]":
        negative = 255 - image
        if not self.touches_pixels:
            return image, negative
        grey = _grey(image)
        dark = 255 - grey
        even, inverse = self._evened(grey, dark) if self.clahe else (grey, dark)
        return self._painted(image, grey, even), self._painted(negative, dark, inverse)

    def _painted(self, image: "Pixels", grey: "Pixels", even: "Pixels") -> "Pixels":
        """Return the greys `even` as RGB, or the image with its greys moved from `grey` to these."""
        import numpy as np

        if self.grayscale:
            return np.repeat(even[:, :, None], 3, axis=2)
        shift = even.astype(np.int16) - grey
        painted: Pixels = np.clip(image + shift[:, :, None], 0, 255).astype(np.uint8)
        return painted

    def _evened(self, grey: "Pixels", dark: "Pixels") -> "tuple[Pixels, Pixels]":
        """Return an image and its negative, evened out.

        Each is the mean of CLAHE of itself and of the inverse of CLAHE of the other, rounded away from the middle. Their sum
        is 255, but in pixels that would be 127.5: 128 in both.
        """
        import numpy as np

        equalise = _opencv().createCLAHE(clipLimit=self.clip, tileGridSize=(self.grid, self.grid))
        twice = equalise.apply(grey).astype(np.int16) - equalise.apply(dark)
        even = ((255 + twice + (twice >= 0)) >> 1).astype(np.uint8)
        inverse = ((255 - twice + (twice <= 0)) >> 1).astype(np.uint8)
        return even, inverse


def _grey(image: "Pixels") -> "Pixels":
    import numpy as np

    red, green, blue = (image[:, :, channel].astype(np.uint16) * _WEIGHTS[channel] for channel in range(3))
    grey: Pixels = ((red + green + blue + _GREY_SUM // 2) // _GREY_SUM).astype(np.uint8)
    return grey


@lru_cache(maxsize=1)
def _opencv() -> Any:
    """Return OpenCV, held to one thread: a worker's CPUs are counted by Ray.

    Raises:
        StageError: it is missing.
    """
    try:
        import cv2
    except ImportError as error:
        raise StageError("`prepare.clahe` needs OpenCV; run: pip install 'shoal[structural]'") from error
    cv2.setNumThreads(1)
    return cv2
