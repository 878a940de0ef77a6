"""Bad and odd photo files, each with the outcome that indexing it is expected to have."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter, ImageOps, features

Maker = Callable[[Image.Image, Image.Image], bytes]

VAST_SIDE = 60_000  # pixels; 3.6 gigapixels, more than any reader should unpack
_OUTSIDE = "/etc/hosts"  # what the link out of the archive points at: there on every Unix, and no photo

_UNDO = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@dataclass(frozen=True)
class Spoiled:
    """One bad or odd file: its name below the folder, the outcomes it may have, and what it is."""

    name: str
    expected: frozenset[str]
    about: str


def write_spoiled(folder: Path, portrait: Image.Image, second_portrait: Image.Image) -> list[Spoiled]:
    """Writes the bad and odd files into folder and returns them in the order a list of photos should have.

    Both portraits are RGB with one face each, of two different people. The list holds one name without a file.
    HEIC and AVIF are left out where their encoder is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    entries = _entries()
    for spoiled, make in entries:
        (folder / spoiled.name).write_bytes(make(portrait, second_portrait))
    missing = Spoiled("never-written.jpg", frozenset({"MISSING_FILE"}), "A line of the list whose file is not there.")
    link = Spoiled("leads-outside.jpg", frozenset({"OUTSIDE_ARCHIVE"}), "A link to a file outside the archive.")
    path = folder / link.name
    path.unlink(missing_ok=True)
    path.symlink_to(_OUTSIDE)
    return [spoiled for spoiled, _ in entries] + [missing, link]


def _entries() -> list[tuple[Spoiled, Maker]]:
    """Returns every file made of bytes, with the function that makes them."""
    entries: list[tuple[Spoiled, Maker]] = []

    def add(name: str, outcomes: str, about: str, make: Maker) -> None:
        entries.append((Spoiled(name, frozenset(outcomes.split()), about), make))

    add("empty.jpg", "UNREADABLE_IMAGE", "A file of no bytes.", lambda a, b: b"")
    add("text.jpg", "UNREADABLE_IMAGE", "Text under a photo's name.", lambda a, b: b"This is a note, not a photo.\n")
    add("truncated.jpg", "UNREADABLE_IMAGE", "A JPEG that ends half-way.", lambda a, b: _half(_jpeg(a, "truncated")))
    add("truncated.png", "UNREADABLE_IMAGE", "A PNG that ends half-way.", lambda a, b: _half(_save(a, "PNG")))
    add("garbage-behind.jpg", "ENROLLED", "A whole JPEG with 4 KiB of other bytes behind it.", garbage_behind)
    add("grey-16-bit.png", "ENROLLED", "A grey PNG of 16 bits a pixel.", grey_16_bit)
    add("colour-16-bit.png", "ENROLLED", "A colour PNG of 16 bits a channel.", colour_16_bit)
    add("palette.png", "ENROLLED", "A PNG with a palette of 256 colours.", lambda a, b: _save(a.quantize(256), "PNG"))
    add("grey.jpg", "ENROLLED", "A grey JPEG.", lambda a, b: _jpeg(a.convert("L"), "grey"))
    add("cmyk.jpg", "ENROLLED", "A JPEG in printing colours (CMYK).", lambda a, b: _jpeg(a.convert("CMYK"), "cmyk"))
    for orientation in range(1, 9):
        about = f"A JPEG stored with EXIF orientation {orientation}; upright once that is undone."
        add(f"exif-{orientation}.jpg", "ENROLLED", about, _oriented(orientation))
    add("animated.gif", "ENROLLED UNREADABLE_IMAGE", "A GIF of two frames.", lambda a, b: _animated(a, b, "GIF"))
    add("animated.webp", "ENROLLED UNREADABLE_IMAGE", "A WebP of two frames.", lambda a, b: _animated(a, b, "WEBP"))
    if _heif_installed():
        add("phone.heic", "ENROLLED", "An HEIC photo, as phones make them.", _heic)
    if features.check("avif"):
        add("phone.avif", "ENROLLED", "An AVIF photo.", lambda a, b: _save(a, "AVIF", quality=85, max_threads=1))
    add("vast.png", "IMAGE_TOO_LARGE", "A small file that unpacks to 60,000 x 60,000 pixels.", lambda a, b: vast_png())
    add(
        "one-pixel.png",
        "NO_FACE SMALL_FACE UNREADABLE_IMAGE",
        "One pixel.",
        lambda a, b: _save(_plain((1, 1), 128), "PNG"),
    )
    add("nobody.jpg", "NO_FACE", "A wall with nobody in front of it.", nobody)
    add("two-people.jpg", "MULTIPLE_FACES", "Two people side by side.", two_people)
    add("far-away.jpg", "SMALL_FACE NO_FACE", "A face 40 pixels wide in a picture of 2,400 x 1,800.", far_away)
    add("black.jpg", "NO_FACE LOW_BRIGHTNESS", "Nothing but black.", lambda a, b: _jpeg(_plain(a.size, 0), "black"))
    add("dim.jpg", "LOW_BRIGHTNESS NO_FACE", "A face at a twelfth of its brightness.", lambda a, b: _levels(a, 0.08, 0))
    add(
        "blown-out.jpg",
        "HIGH_BRIGHTNESS NO_FACE",
        "A face washed out to near white.",
        lambda a, b: _levels(a, 0.22, 205),
    )
    add("blurred.jpg", "LOW_SHARPNESS NO_FACE", "A face out of focus.", blurred)
    for name, about in (
        ("name with spaces.jpg", "A sound photo whose name has spaces."),
        ('it\'s "quoted".jpg', "A sound photo whose name has both kinds of quotes."),
        ("two\nlines.jpg", "A sound photo whose name has a line break."),
        ("smile-\N{GRINNING FACE}.jpg", "A sound photo whose name has an emoji."),
    ):
        add(name, "ENROLLED", about, _named(name))
    add(
        "twin-first.jpg",
        "ENROLLED",
        "A sound photo that comes again under another name.",
        lambda a, b: _jpeg(b, "twin"),
    )
    add("twin-second.jpg", "DUPLICATE", "The same bytes as twin-first.jpg.", lambda a, b: _jpeg(b, "twin"))
    return entries


def garbage_behind(portrait: Image.Image, _: Image.Image) -> bytes:
    """Returns a whole JPEG followed by bytes that mean nothing."""
    return _jpeg(portrait, "garbage") + np.random.default_rng(0).bytes(4096)


def grey_16_bit(portrait: Image.Image, _: Image.Image) -> bytes:
    """Returns a PNG of mode I;16, which a careless conversion to 8 bits turns white."""
    return _save(Image.fromarray(np.asarray(portrait.convert("L")).astype(np.uint16) * 257), "PNG")


def colour_16_bit(portrait: Image.Image, _: Image.Image) -> bytes:
    """Returns an RGB PNG of 16 bits a channel, which Pillow reads and does not write."""
    wide = (np.asarray(portrait.convert("RGB")).astype(">u2") * 257).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in wide)
    return _png(portrait.width, portrait.height, 16, 2, zlib.compress(rows, 6))


def nobody(portrait: Image.Image, _: Image.Image) -> bytes:
    """Returns the wall behind the portrait, made of the strip above the head."""
    return _jpeg(portrait.crop((0, 0, portrait.width, 20)).resize(portrait.size), "nobody")


def two_people(portrait: Image.Image, second: Image.Image) -> bytes:
    """Returns both portraits side by side."""
    both = Image.new("RGB", (portrait.width + second.width, max(portrait.height, second.height)))
    both.paste(portrait, (0, 0))
    both.paste(second, (portrait.width, 0))
    return _jpeg(both, "two people")


def far_away(portrait: Image.Image, _: Image.Image) -> bytes:
    """Returns the portrait, its face 40 pixels wide, on a wall of 2,400 x 1,800."""
    small = portrait.resize((90, 112), Image.Resampling.LANCZOS)
    wall = Image.new("RGB", (2400, 1800), small.getpixel((2, 2)))
    wall.paste(small, (1150, 800))
    return _jpeg(wall, "far away")


def blurred(portrait: Image.Image, _: Image.Image) -> bytes:
    """Returns the portrait far out of focus."""
    return _jpeg(portrait.filter(ImageFilter.GaussianBlur(9)), "blurred")


def vast_png(side: int = VAST_SIDE) -> bytes:
    """Returns a black, 1-bit grey PNG of side x side pixels (side a multiple of 1,000), never held unpacked.

    A fully flushed piece of a deflate stream refers to nothing before it, so the piece for 1,000 black rows can
    simply be repeated. Of black rows, Adler-32 is 1 in its low half and their number of bytes in its high half.
    """
    rows, row = 1000, 1 + (side + 7) // 8
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    piece = deflate.compress(bytes(rows * row)) + deflate.flush(zlib.Z_FULL_FLUSH)
    checksum = struct.pack(">HH", side * row % 65521, 1)
    return _png(side, side, 1, 0, b"\x78\xda" + piece * (side // rows) + b"\x03\x00" + checksum)


def _png(width: int, height: int, depth: int, colour_type: int, packed: bytes) -> bytes:
    """Returns a PNG file around a zlib stream of rows."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    written = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


def _save(picture: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


def _jpeg(picture: Image.Image, comment: str) -> bytes:
    """Returns JPEG bytes that differ by comment, so that one picture under two names is no duplicate."""
    return _save(picture, "JPEG", quality=90, comment=comment.encode())


def _half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _plain(size: tuple[int, int], level: int) -> Image.Image:
    return Image.new("RGB", size, (level, level, level))


def _levels(picture: Image.Image, factor: float, floor: float) -> bytes:
    """Returns picture with every value made factor times as large, plus floor."""
    return _jpeg(
        picture.point([round(min(255, value * factor + floor)) for value in range(256)] * 3), f"levels {floor}"
    )


def _named(name: str) -> Maker:
    """Returns a maker of a sound photo; flipping it makes it another face than the portrait's."""
    return lambda a, b: _jpeg(ImageOps.mirror(b), name)


def _oriented(orientation: int) -> Maker:
    def make(portrait: Image.Image, _: Image.Image) -> bytes:
        stored = portrait.transpose(_UNDO[orientation]) if orientation in _UNDO else portrait
        exif = Image.Exif()
        exif[0x0112] = orientation
        return _save(stored, "JPEG", quality=90, exif=exif)

    return make


def _animated(first: Image.Image, second: Image.Image, form: str) -> bytes:
    return _save(first, form, save_all=True, append_images=[second], duration=500, loop=0)


def _heif_installed() -> bool:
    try:
        import pillow_heif
    except ImportError:
        return False
    return bool(pillow_heif.libheif_info()["encoders"])


def _heic(portrait: Image.Image, _: Image.Image) -> bytes:
    import pillow_heif

    stream = io.BytesIO()
    pillow_heif.from_pillow(portrait).save(stream, quality=85)
    return stream.getvalue()
