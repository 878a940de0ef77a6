"""A small seeded fuzzer: valid photos of every common format, and files made from them that lie."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

WIDTHS = (0, 1, 7, 255, 16_384, 30_000, 65_535, 2**24 - 1, 2**31 - 1, 2**32 - 1)
LENGTHS = (0, 1, 2, 3, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "TIFF": ".tif"}


def valid_photos(portrait: Image.Image) -> list[tuple[str, bytes]]:
    """Returns (format, bytes) of the portrait as cameras, phones, scanners and converters write it."""
    small = portrait.convert("RGB").resize((180, 216))
    dark = small.point(lambda value: value // 2)
    exif = Image.Exif()
    exif[0x0112] = 6
    forms: list[tuple[str, Image.Image, dict[str, object]]] = [
        ("JPEG", small, {"quality": 85, "exif": exif}),
        ("JPEG", small, {"progressive": True, "subsampling": 0}),
        ("JPEG", small.convert("CMYK"), {}),
        ("JPEG", small.convert("L"), {"optimize": True}),
        ("PNG", small, {}),
        ("PNG", small.quantize(64), {}),
        ("PNG", small.convert("RGBA"), {"exif": exif}),
        ("PNG", Image.merge("LA", (small.convert("L"), dark.convert("L"))), {}),
        ("WEBP", small, {"quality": 80, "exif": exif}),
        ("WEBP", small, {"lossless": True}),
        ("WEBP", small, {"save_all": True, "append_images": [dark]}),
        ("GIF", small.quantize(64), {}),
        ("GIF", small.quantize(64), {"save_all": True, "append_images": [dark.quantize(64)], "interlace": 1}),
        *(("TIFF", small, {"compression": way}) for way in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg")),
        ("TIFF", small.convert("1"), {"compression": "group4"}),
        ("TIFF", small.convert("L"), {"big_tiff": True, "tiffinfo": {278: 1}}),
    ]
    return [(form, _saved(picture, form, options)) for form, picture, options in forms]


def _saved(picture: Image.Image, form: str, options: dict[str, object]) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


def hostile_files(portrait: Image.Image, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yields count names and contents; the same seed gives the same files."""
    draw = random.Random(seed)
    valid = valid_photos(portrait)
    for number in range(count):
        form, content = draw.choice(valid)
        said = []
        for _ in range(draw.choice((1, 1, 1, 2, 4))):
            mutation = draw.choice(MUTATIONS)
            said.append(mutation.__name__.strip("_"))
            content = mutation(bytearray(content), form, draw, valid)
        yield f"{number:05}-{form.lower()}-{'-'.join(said)}{SUFFIXES[form]}", bytes(content)


def write_hostile_files(folder: Path, portrait: Image.Image, count: int, seed: int) -> None:
    """Writes the files into folder, which must be there."""
    for name, content in hostile_files(portrait, count, seed):
        (folder / name).write_bytes(content)


def _flips(content: bytearray, _form: str, draw: random.Random, _valid: object) -> bytearray:
    """Changes up to 24 bytes, half of the times near the front, where the headers are."""
    reach = min(len(content), 600) if draw.random() < 0.5 else len(content)
    for _ in range(draw.randint(1, 24) if reach else 0):
        content[draw.randrange(reach)] = draw.choice((0, 0xFF, 0x80, draw.randrange(256)))
    return content


def _cut(content: bytearray, _form: str, draw: random.Random, _valid: object) -> bytearray:
    return content[: draw.randint(0, len(content))]


def _splice(content: bytearray, _form: str, draw: random.Random, valid: list[tuple[str, bytes]]) -> bytearray:
    """Puts a piece of another file, or of itself many times over, into the file."""
    other = draw.choice(valid)[1]
    begin = draw.randrange(len(other))
    piece = other[begin : begin + draw.randint(1, 2000)] * draw.choice((1, 1, 50))
    at = draw.randint(0, len(content))
    content[at : at + draw.choice((0, len(piece)))] = piece
    return content


def _lengths(content: bytearray, form: str, draw: random.Random, _valid: object) -> bytearray:
    """Overwrites a length or an offset that the format keeps."""
    places = list(_length_places(bytes(content), form))
    if places:
        at, shape = draw.choice(places)
        _put(content, at, shape, draw.choice((*LENGTHS, draw.randrange(2**32))))
    return _with_checksums(content, form)


def _header_lies(content: bytearray, form: str, draw: random.Random, _valid: object) -> bytearray:
    """Overwrites the width, the height, or what says how pixels are kept."""
    places = list(_size_places(bytes(content), form))
    for at, shape in draw.sample(places, min(len(places), draw.choice((1, 1, 2)))):
        _put(content, at, shape, draw.choice((*WIDTHS, draw.randrange(40_000))))
    return _with_checksums(content, form)


Mutation = Callable[[bytearray, str, random.Random, list[tuple[str, bytes]]], bytearray]
MUTATIONS: tuple[Mutation, ...] = (_flips, _cut, _splice, _lengths, _header_lies)


def _put(content: bytearray, at: int, shape: str, value: int) -> None:
    size = struct.calcsize(shape)
    if at + size <= len(content):
        struct.pack_into(shape, content, at, value % 256**size)


def _chunks(content: bytes, form: str) -> Iterator[tuple[int, bytes, int]]:
    """Yields (place, kind, length of the body) of a JPEG's segments, a PNG's or a WebP's chunks."""
    at = {"JPEG": 2, "PNG": 8, "WEBP": 12}[form]
    while at + 8 <= len(content):
        if form == "JPEG":
            kind, length = content[at : at + 2], struct.unpack_from(">H", content, at + 2)[0]
            step = 2 + length
        elif form == "PNG":
            length, kind = struct.unpack_from(">I4s", content, at)
            step = 12 + length
        else:
            kind, length = struct.unpack_from("<4sI", content, at)
            step = 8 + length + length % 2
        yield at, kind, length
        if kind == b"\xff\xda":
            return
        at += step


def _tags(content: bytes) -> Iterator[tuple[int, int]]:
    """Yields (place, tag) of a classic little-endian TIFF's first directory."""
    if content[:4] == b"II*\0" and len(content) >= 8:
        (start,) = struct.unpack_from("<I", content, 4)
        if start + 2 <= len(content):
            (entries,) = struct.unpack_from("<H", content, start)
            for at in range(start + 2, min(start + 2 + 12 * entries, len(content) - 12), 12):
                yield at, struct.unpack_from("<H", content, at)[0]


def _length_places(content: bytes, form: str) -> Iterator[tuple[int, str]]:
    if form == "TIFF":
        yield 4, "<I"
        for at, _ in _tags(content):
            yield from ((at + 2, "<H"), (at + 4, "<I"), (at + 8, "<I"))
    elif form == "GIF":
        yield from ((at, "<B") for at in range(13, min(len(content), 2000), 7))
    else:
        offset, shape = {"JPEG": (2, ">H"), "PNG": (0, ">I"), "WEBP": (4, "<I")}[form]
        yield from ((at + offset, shape) for at, _, _ in _chunks(content, form))
        if form == "WEBP":
            yield 4, "<I"


def _size_places(content: bytes, form: str) -> Iterator[tuple[int, str]]:
    if form == "TIFF":
        yield from ((at + 8, "<I") for at, tag in _tags(content) if tag in (256, 257, 258, 259, 262, 277, 278, 284))
    elif form == "GIF":
        yield from ((6, "<H"), (8, "<H"), (10, "<B"))
        at = content.find(b",")
        if at > 0:
            yield from ((at + 5, "<H"), (at + 7, "<H"), (at + 9, "<B"))
    else:
        for at, kind, _ in _chunks(content, form):
            if form == "JPEG" and kind in (b"\xff\xc0", b"\xff\xc2"):
                yield from ((at + 4, ">B"), (at + 5, ">H"), (at + 7, ">H"), (at + 9, ">B"), (at + 11, ">B"))
            elif kind == b"IHDR":
                yield from ((at + 8, ">I"), (at + 12, ">I"), (at + 16, ">B"), (at + 17, ">B"), (at + 20, ">B"))
            elif kind == b"VP8X":
                yield from ((at + 12, "<H"), (at + 15, "<H"), (at + 8, "<B"))
            elif kind == b"VP8 ":
                yield from ((at + 14, "<H"), (at + 16, "<H"))
            elif kind == b"VP8L":
                yield at + 9, "<I"


def _with_checksums(content: bytearray, form: str) -> bytearray:
    """Mends a PNG's checksums, so that its decoder gets as far as the lie."""
    if form == "PNG":
        for at, _, length in list(_chunks(bytes(content), form)):
            end = at + 8 + length
            if end + 4 <= len(content):
                struct.pack_into(">I", content, end, zlib.crc32(content[at + 4 : end]))
    return content
