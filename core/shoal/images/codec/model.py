"""The plain types of the codec: limits, what a header says, what pixels are wanted."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
MAX_PIXELS = 1024 * 1024 * 1024 // 4 // 3
"""Pillow's MAX_IMAGE_PIXELS: a quarter of a gibibyte of RGB. Pillow warns above it; here it is an error."""


@dataclass(frozen=True)
class Limits:
    """What one image may cost before it is refused.

    Attributes:
        formats: names of the Pillow formats that are read; the content decides, never the file's extension.
        max_pixels: largest width times height.
        max_file_bytes: largest file.
        seconds: longest time for one image; a decoder that is stuck is killed.
        memory: bytes that decoding one image may allocate.
        isolate: `auto` decodes plain JPEG, PNG and WebP of moderate size, whose cost their header bounds, in this
            process and all else in a guarded child process; `always` sends every image to the child.
    """

    formats: tuple[str, ...] = FORMATS
    max_pixels: int = MAX_PIXELS
    max_file_bytes: int = 512 * 2**20
    seconds: float = 20.0
    memory: int = 2 * 2**30
    isolate: Literal["auto", "always"] = "auto"

    def __post_init__(self) -> None:
        """Refuse limits under which nothing could be read, or that bound nothing."""
        if min(self.max_pixels, self.max_file_bytes, self.seconds, self.memory) <= 0 or not self.seconds < 86_400:
            raise ValueError("limits of an image are above zero, and seconds below a day")


@dataclass(frozen=True)
class Probe:
    """What the header of an image says.

    Attributes:
        width, height: size in pixels after EXIF orientation.
        format: Pillow's name; a JPEG with several pictures (MPO) is `JPEG`.
        mode: Pillow's mode of the file's own pixels: `RGB`, `L`, `CMYK`, `I;16`, ...
        frames: pictures in the file; the first is the one that is decoded.
        exif: (tag name, text) of EXIF, and of the captions in XMP, IPTC, PNG texts and comments under the prefixes
            `XMP:`, `IPTC:`, `Text:`.
    """

    width: int
    height: int
    format: str
    mode: str
    frames: int
    exif: tuple[tuple[str, str], ...] = ()


class Target(NamedTuple):
    """The fields of `shoal.contract.ImageSpec`, which the child can't import."""

    width: int
    height: int
    fit: str
    resample: str
    overscan: float
    trim: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


class TargetLike(Protocol):
    """An `ImageSpec` or a `Target`."""

    @property
    def width(self) -> int:
        """Target width in pixels."""

    @property
    def height(self) -> int:
        """Target height in pixels."""

    @property
    def fit(self) -> str:
        """`stretch`, `crop` or `inside`."""

    @property
    def resample(self) -> str:
        """Filter of the last scaling step."""

    @property
    def overscan(self) -> float:
        """Multiple of the target to scale to before a crop."""

    @property
    def trim(self) -> tuple[float, float, float, float]:
        """Fractions cut off first, at the top, bottom, left and right."""


class Refused(Exception):  # noqa: N818  (an answer about an image, not a fault)
    """An image that can't be read; the message is one sentence."""


_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
)


def sniff(data: bytes) -> str | None:
    """Return the format that the first bytes name, or None for one that is not among shoal's own."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return next((name for magic, name in _MAGIC if data.startswith(magic)), None)


def check_bytes(data: bytes, limits: Limits) -> tuple[str, ...]:
    """Return the formats as which to open the bytes.

    Raises:
        Refused: the file is empty, too large, or in no allowed format.
    """
    if not data:
        raise Refused("the file is empty")
    if len(data) > limits.max_file_bytes:
        raise Refused(f"the file has {len(data)} bytes, more than the allowed {limits.max_file_bytes}")
    found = sniff(data)
    if found is not None and found in limits.formats:
        return (found,)
    others = tuple(name for name in limits.formats if name not in FORMATS)
    if found is None and others:
        return others
    what = f"it is a {found} file" if found else "its content is no image of a known format"
    raise Refused(f"{what}; allowed formats are {', '.join(limits.formats)}")


def webp_size(data: bytes) -> tuple[int, int]:
    """Return the width and height that a WebP header claims, or (0, 0): libwebp fills a canvas before Pillow can look."""
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    return 0, 0


def check_pixels(width: int, height: int, limits: Limits) -> None:
    """Refuse an image whose header claims no pixel, or more than allowed."""
    if width < 1 or height < 1:
        raise Refused(f"its header says {width} x {height} pixels")
    if width * height > limits.max_pixels:
        raise Refused(f"it has {width} x {height} pixels, more than the allowed {limits.max_pixels}")
