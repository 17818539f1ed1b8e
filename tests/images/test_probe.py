"""Headers: size, format, mode, frames, and the texts that a picture carries."""

import struct

import pytest
from PIL import Image, PngImagePlugin, TiffImagePlugin

from shoal.errors import ImageError
from shoal.images import Limits, probe
from tests.images.pictures import encode, oriented, scene

PACKET = """<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4">
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">A pier at dawn</rdf:li></rdf:Alt></dc:description>
<dc:subject><rdf:Bag><rdf:li>pier</rdf:li><rdf:li>sea</rdf:li></rdf:Bag></dc:subject>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
@pytest.mark.parametrize("limits", [Limits(), Limits(isolate="always")])
def test_every_format(kind, limits):
    facts = probe(encode(scene(31, 17), kind), limits)
    assert (facts.width, facts.height, facts.format, facts.frames) == (31, 17, kind, 1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("turn", [6, 3])
def test_size_is_that_of_the_upright_picture(kind, turn):
    facts = probe(encode(scene(31, 17), kind, exif=oriented(turn)))
    assert (facts.width, facts.height) == ((17, 31) if turn == 6 else (31, 17))


@pytest.mark.parametrize("value", [0, 9, 4242])
def test_an_odd_orientation_is_none(value):
    assert probe(encode(scene(31, 17), exif=oriented(value))).width == 31


def test_exif_texts():
    exif = Image.Exif()
    exif[0x010F] = "Canon\0"
    exif[0x010E] = "Ein Stück Küste".encode()
    exif[0x9C9C] = "日本 comment".encode("utf-16-le") + b"\0\0"
    exif[0x9C9E] = "sea;pier".encode("utf-16-le") + b"\0\0"
    inner = exif.get_ifd(0x8769)
    inner[0x829A] = TiffImagePlugin.IFDRational(1, 200)
    inner[0x9286] = b"UNICODE\0" + "hello".encode("utf-16-le")
    inner[0x927C] = b"\x01\x02" * 50
    exif.get_ifd(0x8825)[1] = "N"
    texts = dict(probe(encode(scene(8, 8), exif=exif)).exif)
    assert texts == {
        "Make": "Canon",
        "ImageDescription": "Ein Stück Küste",
        "XPComment": "日本 comment",
        "XPKeywords": "sea;pier",
        "ExposureTime": "1/200",
        "UserComment": "hello",
        "GPSLatitudeRef": "N",
    }


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "TIFF"])
def test_xmp_texts(kind):
    data = (
        encode(scene(8, 8), kind, xmp=PACKET.encode())
        if kind != "TIFF"
        else encode(scene(8, 8), kind, tiffinfo={700: PACKET.encode()})
    )
    texts = dict(probe(data).exif)
    assert texts["XMP:description"] == "A pier at dawn"
    assert texts["XMP:subject"] == "pier, sea"
    assert texts["XMP:Rating"] == "4"


def test_xmp_with_entities_is_not_read():
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa">]>' + PACKET.replace("A pier", "&a;")
    facts = probe(encode(scene(8, 8), xmp=bomb.encode()))
    assert not [name for name, _ in facts.exif if name.startswith("XMP:")]


def test_iptc_texts():
    records = b"".join(
        b"\x1c\x02" + bytes([number]) + struct.pack(">H", len(text)) + text
        for number, text in ((25, b"sea"), (25, b"pier"), (120, "Überfahrt".encode()))
    )
    block = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(records)) + records + b"\0" * (len(records) % 2)
    body = b"Photoshop 3.0\0" + block
    jpeg = encode(scene(8, 8))
    data = jpeg[:2] + b"\xff\xed" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]
    texts = dict(probe(data).exif)
    assert texts == {"IPTC:Keywords": "sea, pier", "IPTC:Caption-Abstract": "Überfahrt"}


def test_png_texts_and_comments():
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a cat, 30 steps")
    info.add_itxt("Title", "猫", lang="ja")
    assert dict(probe(encode(scene(8, 8), "PNG", pnginfo=info)).exif) == {
        "Text:parameters": "a cat, 30 steps",
        "Text:Title": "猫",
    }
    assert dict(probe(encode(scene(8, 8), comment=b"by hand")).exif) == {"Comment": "by hand"}


def test_texts_are_bounded_and_printable():
    exif = Image.Exif()
    exif[0x010E] = "x" * 50_000
    texts = dict(probe(encode(scene(8, 8), exif=exif)).exif)
    assert len(texts["ImageDescription"]) == 4000


def test_broken_exif_costs_nothing():
    jpeg = encode(scene(31, 17))
    for body in (b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01" * 60):
        data = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]
        assert probe(data).width == 31


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"hello", "its content is no image of a known format; allowed formats are JPEG, PNG, WEBP, BMP, TIFF, GIF"),
        (b"\xff\xd8\xff", "its JPEG header is broken"),
        (b"\x89PNG\r\n\x1a\n", "its PNG header is broken"),
        (b"RIFF\0\0\0\0WEBP", "its header says 0 x 0 pixels"),
        (b"II*\0\x08\0\0\0", "its TIFF header is broken"),
    ],
)
def test_reasons(data, message):
    with pytest.raises(ImageError) as caught:
        probe(data)
    assert str(caught.value).startswith(message)


def test_only_allowed_formats():
    with pytest.raises(ImageError, match="it is a PNG file; allowed formats are JPEG"):
        probe(encode(scene(8, 8), "PNG"), Limits(formats=("JPEG",)))


def test_other_formats_can_be_allowed():
    data = encode(scene(20, 10), "JPEG2000")
    assert probe(data, Limits(formats=("JPEG", "JPEG2000"))).format == "JPEG2000"
    with pytest.raises(ImageError, match="its image header is broken"):
        probe(b"nothing", Limits(formats=("JPEG", "JPEG2000")))
