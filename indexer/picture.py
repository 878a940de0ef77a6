"""Small JPEGs for people to look at: a face cut out of its photo, and a probe with its faces numbered."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from foundation.files import digest_bytes
from indexer.limits import Limits
from indexer.locations import Photo
from indexer.outcomes import Outcome, Rejection
from indexer.photo import decode_photo, read_photo

CROP_PIXELS = 240
PICTURE_PIXELS = 1000
MARGIN = 0.45  # of the box on each side: hair, chin and ears belong to a face that people compare

Box = tuple[int, int, int, int]


def crop_face(photo: Photo, root: Path | None, limits: Limits, box: Box, digest: str) -> bytes:
    """Returns a JPEG of at most 240 x 240 pixels around box (left, top, right, bottom, upright pixels).

    Raises Rejection as read_photo and decode_photo do, and MISSING_FILE where the file now holds another
    photo than the one with that SHA-256: a lead must not show a face that was never compared.
    """
    picture = _picture(photo, root, limits, digest)
    left, top, right, bottom = box
    side, x, y = (1 + 2 * MARGIN) * (right - left), (left + right) / 2, (top + bottom) / 2
    around = (round(x - side / 2), round(y - side / 2), round(x + side / 2), round(y + side / 2))
    return _jpeg(picture.crop(around), CROP_PIXELS)


def number_faces(photo: Photo, root: Path | None, limits: Limits, boxes: list[Box], digest: str) -> bytes:
    """Returns a JPEG of at most 1000 x 1000 pixels of the photo with boxes drawn and numbered from 1.

    Raises Rejection as crop_face does.
    """
    picture = _picture(photo, root, limits, digest)
    scale = min(1.0, PICTURE_PIXELS / max(picture.size))
    picture = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=max(14, round(max(picture.size) / 28)))
    for number, box in enumerate(boxes, start=1):
        left, top, right, bottom = (round(value * scale) for value in box)
        draw.rectangle((left, top, right, bottom), outline="black", width=5)
        draw.rectangle((left, top, right, bottom), outline="white", width=2)
        draw.text((left + 6, top + 4), str(number), fill="white", font=font, stroke_width=3, stroke_fill="black")
    return _jpeg(picture, PICTURE_PIXELS)


def _picture(photo: Photo, root: Path | None, limits: Limits, digest: str) -> Image.Image:
    content = read_photo(photo, root, limits)
    if digest_bytes(content) != digest:
        raise Rejection(Outcome.MISSING_FILE, "the file holds another photo now")
    return Image.fromarray(decode_photo(content, limits))


def _jpeg(picture: Image.Image, pixels: int) -> bytes:
    picture.thumbnail((pixels, pixels))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=88)
    return stream.getvalue()
