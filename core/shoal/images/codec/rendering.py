"""Turns any image into the uint8 RGB pixels that a stage asked for."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .model import Limits, Refused, TargetLike
from .opening import exif_of, open_image, orientation, reason

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

_GAP = 3.0
"""Great reductions go through a box filter first; at three and more the result can't be told from one step (Pillow)."""


def render(opened: "ImageFile", data: bytes, targets: Sequence[TargetLike], limits: Limits) -> "list[Image]":
    """Return an RGB image for each target, of its size.

    A target's pixels never depend on the other targets: pictures are shared only where they would be decoded the same way.

    Args:
        opened: the image, opened from `data` and not yet decoded; it is used up.
        data: the file's bytes.
        targets: what to make.
        limits: what the image may cost.

    Raises:
        Refused: the pixels can't be decoded.
    """
    bases: dict[int, Image] = {}
    answers = []
    turn = orientation(opened, exif_of(opened, data))
    size = opened.size if turn < 5 else (opened.height, opened.width)
    reducible = opened.format in ("JPEG", "MPO")
    for target in targets:
        frame = _frame(size, target)
        step = _step((frame[2] - frame[0], frame[3] - frame[1]), target) if reducible else 1
        if step not in bases:
            # One opened image decodes once, at one scale.
            bases[step] = _base(open_image(data, limits) if bases else opened, step, turn)
        answers.append(_fit(bases[step], size, frame, target))
    return answers


def _frame(size: tuple[int, int], target: TargetLike) -> tuple[int, int, int, int]:
    """Return the part of the upright image that trimming leaves, in its pixels: left, top, right, bottom."""
    up, down, before, after = target.trim
    left, right = _kept(size[0], before, after)
    top, bottom = _kept(size[1], up, down)
    return left, top, right, bottom


def _kept(length: int, before: float, after: float) -> tuple[int, int]:
    """Return where what stays begins and ends; at least a pixel stays."""
    first = min(round(before * length), length - 1)
    return first, max(first + 1, length - round(after * length))


def _step(size: tuple[int, int], target: TargetLike) -> int:
    """Return by how much, 8, 4, 2 or 1, a JPEG may be reduced while it decodes and still be no smaller than asked."""
    scale = max(_scales(size, target))
    return next((step for step in (8, 4, 2) if step * scale <= 1), 1)


def _scales(size: tuple[int, int], target: TargetLike) -> tuple[float, float]:
    """Return the factors that scale the whole image in x and y."""
    x, y = target.width / size[0], target.height / size[1]
    if target.fit == "stretch":
        return x, y
    factor = min(x, y, 1.0) if target.fit == "inside" else max(x, y) * target.overscan
    return factor, factor


def _base(image: "ImageFile", step: int, turn: int) -> "Image":
    """Decode the first frame; return it upright as L or RGB."""
    try:
        if step > 1:
            image.draft(None, (max(1, image.width // step), max(1, image.height // step)))
        image.load()
        return _upright(_flatten(image), turn)
    except MemoryError:
        raise
    except Exception as error:  # decoders raise whatever they meet
        raise Refused(f"its pixels can't be decoded: {reason(error)}") from error


def _flatten(image: "Image") -> "Image":
    """Return any mode as L or RGB; see `shoal.images` for what becomes of each."""
    from PIL import Image

    mode = image.mode
    if mode.startswith("I") or mode == "F":
        return _rescale(image)
    if mode == "LAB":
        return _from_lab(image)
    if mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        return white
    return image if mode in ("L", "RGB") else image.convert("L" if mode == "1" else "RGB")


def _rescale(image: "Image") -> "Image":
    """Return numbers wider than eight bits as L."""
    import numpy as np
    from PIL import Image

    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        return Image.fromarray((values >> 8).astype(np.uint8))
    grey = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(grey.min()), float(grey.max())
    if image.mode == "F" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    span = high - low
    return Image.fromarray(np.rint((grey - low) * (255.0 / span if span > 0 else 0.0)).astype(np.uint8))


def _from_lab(image: "Image") -> "Image":
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    turned = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    if turned is None:
        raise ValueError("the LAB colours can't be converted")
    return turned


def _upright(image: "Image", turn: int) -> "Image":
    """Apply an EXIF orientation."""
    from PIL.Image import Transpose

    ways = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(ways[turn]) if turn in ways else image


def _fit(base: "Image", whole: tuple[int, int], frame: tuple[int, int, int, int], target: TargetLike) -> "Image":
    """Trim, scale, cut and return as RGB.

    Args:
        base: the upright picture, which the decoder may have reduced.
        whole: its width and height before that.
        frame: the part of it that is left by trimming, as `_frame` gives it.
        target: what to make of it.
    """
    from PIL.Image import Resampling

    size = frame[2] - frame[0], frame[3] - frame[1]
    trimmed = size != whole
    x, y = _scales(size, target)
    wide, high = target.width, target.height
    if target.fit == "inside":
        wide, high = min(wide, max(1, round(size[0] * x))), min(high, max(1, round(size[1] * y)))
    if trimmed or (wide, high) != base.size or target.fit == "crop":
        # The part of the original that is kept, in the pixels of the base, whose last row and column may be partial.
        part = (wide / x, high / y) if target.fit == "crop" else size
        left, top = frame[0] + (size[0] - part[0]) / 2, frame[1] + (size[1] - part[1]) / 2
        across, down = _reduced(base.width, whole[0]), _reduced(base.height, whole[1])
        right, bottom = min(base.width, (left + part[0]) / across), min(base.height, (top + part[1]) / down)
        box = (max(0.0, left / across), max(0.0, top / down), right, bottom)
        if trimmed:
            base, box = _cut(base, frame, (across, down), box)
        base = base.resize((wide, high), Resampling[target.resample.upper()], box=box, reducing_gap=_GAP)
    return base if base.mode == "RGB" else base.convert("RGB")


def _cut(
    base: "Image", frame: tuple[int, int, int, int], steps: tuple[int, int], box: tuple[float, float, float, float]
) -> "tuple[Image, tuple[float, float, float, float]]":
    """Cut the frame out of the base, so that no filter sees what was trimmed; return it and the box within it."""
    left, top = frame[0] // steps[0], frame[1] // steps[1]
    right, bottom = -(-frame[2] // steps[0]), -(-frame[3] // steps[1])
    cut = base.crop((left, top, right, bottom))
    within = (max(0.0, box[0] - left), max(0.0, box[1] - top), min(box[2] - left, cut.width), min(box[3] - top, cut.height))
    return cut, within


def _reduced(now: int, before: int) -> int:
    """Return the step, 1, 2, 4 or 8, by which a decoder reduced `before` pixels to `now` (rounded up)."""
    return next(step for step in (1, 2, 4, 8) if -(-before // step) == now)
