"""Texts of an image: EXIF tags, and the captions that XMP, IPTC, PNG texts and comments hold."""

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL.Image import Exif
    from PIL.ImageFile import ImageFile

_MAX_TEXT = 4000
_MAX_TAGS = 256
_MAX_BLOCK = 1 << 18
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_POINTERS = (_EXIF_IFD, _GPS_IFD, 0xA005, 0x927C, 0x014A)
_IPTC = {(2, 5): "ObjectName", (2, 25): "Keywords", (2, 80): "By-line", (2, 105): "Headline", (2, 116): "CopyrightNotice",
         (2, 120): "Caption-Abstract"}  # fmt: skip
_XMP = {"title", "description", "subject", "creator", "rights", "Headline", "UserComment", "Rating", "Label"}


def texts(image: "ImageFile", exif: "Exif") -> tuple[tuple[str, str], ...]:
    """Return (name, text) pairs in the file's order; what is broken or no text is left out."""
    found: list[tuple[str, str]] = []
    for source in (_exif(exif), _xmp(image), _iptc(image), _comments(image)):
        try:
            for name, text in source:
                if text and len(found) < _MAX_TAGS:
                    found.append((_clean(name)[:100], text))
        except MemoryError:
            raise
        except Exception:  # noqa: S112  (a broken caption never costs an image)
            continue
    return tuple(found)


def _clean(text: str) -> str:
    text = text.replace("\0", "").strip()[:_MAX_TEXT]
    return text.encode("utf-8", "replace").decode("utf-8")


def _exif(exif: "Exif") -> "Iterator[tuple[str, str]]":
    if not exif:
        return
    from PIL.ExifTags import GPSTAGS, TAGS

    for ifd, names in ((None, TAGS), (_EXIF_IFD, TAGS), (_GPS_IFD, GPSTAGS)):
        if ifd is not None and ifd not in exif:
            continue
        for tag, value in (exif if ifd is None else exif.get_ifd(ifd)).items():
            if tag not in _POINTERS:
                yield names.get(tag, f"0x{tag:04X}"), _exif_text(names.get(tag, ""), value)


def _exif_text(name: str, value: Any) -> str:
    if isinstance(value, bytes):
        return _exif_bytes(name, value)
    if isinstance(value, tuple):
        if name.startswith("XP"):
            return _exif_bytes(name, bytes(value))
        return _clean(" ".join(_exif_text("", part) for part in value[:64]))
    if hasattr(value, "denominator") and not isinstance(value, (int, float)):
        return str(value.numerator) if value.denominator == 1 else f"{value.numerator}/{value.denominator}"
    with suppress(UnicodeError):  # the standard says ASCII and Pillow reads Latin-1, but cameras and editors write UTF-8
        value = str(value).encode("latin-1").decode("utf-8")
    return _clean(str(value))


def _exif_bytes(name: str, value: bytes) -> str:
    value = value[: 4 * _MAX_TEXT]
    if name.startswith("XP"):
        return _clean(value.decode("utf-16-le", "replace"))
    if name == "UserComment":
        code, value = value[:8], value[8:]
        if code.startswith(b"UNICODE"):
            return _clean(value.decode("utf-16-le" if value[1:2] == b"\0" else "utf-16-be", "replace"))
    text = _clean(value.decode("utf-8", "replace"))
    return text if text.isprintable() and "\ufffd" not in text else ""


def _xmp(image: "ImageFile") -> "Iterator[tuple[str, str]]":
    raw = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if not raw or len(raw) > _MAX_BLOCK:
        return
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
    if "<!" in text:  # no document type, so no entities to expand
        return
    start, end = text.find("<"), text.rfind(">")
    body = re.sub(r"<\?.*?\?>", "", text[start : end + 1], flags=re.DOTALL)
    for node in ElementTree.fromstring(body).iter():  # noqa: S314  (document types are refused above)
        for name, value in node.attrib.items():
            if _local(name) in _XMP:
                yield f"XMP:{_local(name)}", _clean(value)
        if _local(node.tag) in _XMP:
            parts = (" ".join(part.split()) for part in node.itertext())
            yield f"XMP:{_local(node.tag)}", _clean(", ".join(part for part in parts if part))


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _iptc(image: "ImageFile") -> "Iterator[tuple[str, str]]":
    if "photoshop" not in image.info and image.format != "TIFF":
        return
    from PIL.IptcImagePlugin import getiptcinfo

    for key, value in (getiptcinfo(image) or {}).items():
        if key in _IPTC:
            parts = value if isinstance(value, list) else [value]
            yield f"IPTC:{_IPTC[key]}", _clean(", ".join(part.decode("utf-8", "replace") for part in parts))


def _comments(image: "ImageFile") -> "Iterator[tuple[str, str]]":
    comment = image.info.get("comment")
    if comment:
        yield "Comment", _clean(comment.decode("utf-8", "replace") if isinstance(comment, bytes) else str(comment))
    if image.format == "PNG":
        for key, value in image.info.items():
            if isinstance(key, str) and isinstance(value, str) and key != "XML:com.adobe.xmp":
                yield f"Text:{key}", _clean(value)
