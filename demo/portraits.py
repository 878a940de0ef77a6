"""Portraits of people who do not exist, drawn as booking photos: 480x600 RGB, front view, plain backdrop.

The same (seed, subject, encounter) always gives the same picture, whatever was drawn before it.
"""

from __future__ import annotations

import functools
import io

import numpy as np
from PIL import Image, ImageFilter

from demo.canvas import HEIGHT, WIDTH, Array, Canvas, curve, stroke, tint
from demo.features import paint_features
from demo.hair import paint_hair_behind, paint_hair_in_front
from demo.head import Sitting, paint_head, paint_neck
from demo.people import Day, Person, invent_day, invent_person

JPEG_QUALITY = 88
_GRAIN = 2  # which stream of the seed: skin, strands and sensor noise
_GRAIN_MARGIN = 97

_EYES_AT = (240.0, 272.0)
_HALF_FACE = 106.0  # pixels in one head unit


def draw_portrait(seed: int, subject: int, encounter: int) -> Image.Image:
    """Returns the photo of subject at encounter, RGB, 480x600."""
    person, day = invent_person(seed, subject), invent_day(seed, subject, encounter)
    rng = np.random.default_rng([seed, subject, encounter, _GRAIN])
    return _draw(person, day, rng)


def portrait_jpeg(seed: int, subject: int, encounter: int) -> bytes:
    """Returns draw_portrait's photo as JPEG bytes."""
    stream = io.BytesIO()
    draw_portrait(seed, subject, encounter).save(stream, "JPEG", quality=JPEG_QUALITY)
    return stream.getvalue()


def contact_sheet(seed: int, subjects: int = 48, columns: int = 8, encounter: int = 1) -> Image.Image:
    """Returns the first subjects' portraits side by side at a third of their size."""
    size = (WIDTH // 3, HEIGHT // 3)
    rows = -(-subjects // columns)
    sheet = Image.new("RGB", (size[0] * columns, size[1] * rows), "white")
    for place in range(subjects):
        small = draw_portrait(seed, place + 1, encounter).resize(size, Image.Resampling.LANCZOS)
        sheet.paste(small, (place % columns * size[0], place // columns * size[1]))
    return sheet


def _draw(person: Person, day: Day, rng: np.random.Generator) -> Image.Image:
    centre = (_EYES_AT[0] + day.shift[0], _EYES_AT[1] + day.shift[1])
    canvas = Canvas(centre, _HALF_FACE * day.scale, day.roll)
    sitting = Sitting(canvas, person, day, rng)
    _paint_backdrop(canvas, day)
    paint_hair_behind(sitting)
    paint_neck(sitting)
    _paint_garment(sitting)
    paint_head(sitting)
    paint_features(sitting)
    paint_hair_in_front(sitting)
    metering = 1 + 0.24 * max(0.0, 1 - person.skin[1] / 190)  # cameras open up for a dark face
    return _photograph(canvas, day, rng, metering)


def _paint_backdrop(canvas: Canvas, day: Day) -> None:
    """The wall: brighter on the side of the light, with height lines in half of the photos."""
    x = np.linspace(-1, 1, WIDTH, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, HEIGHT, dtype=np.float32)[:, None]
    glow = (1 + 0.06 * day.light[0] * x - 0.05 * x * x) - (0.05 * y + 0.05 * y * y)
    np.multiply(glow, np.asarray(day.backdrop, np.float32)[:, None, None], out=canvas.pixels)
    if day.height_lines:
        first = 18 + int(day.shift[1] + 14)
        for number, row in enumerate(range(first, HEIGHT, 48)):
            thick, dark = (3, 0.76) if number % 2 == 0 else (1, 0.86)
            canvas.pixels[:, row : row + thick] *= np.float32(dark)


def _paint_garment(sitting: Sitting) -> None:
    """Shoulders and what covers them. Drawn upright: the body does not roll with the head."""
    canvas, person, day = sitting.canvas, sitting.person, sitting.day
    body = Canvas(canvas.centre, canvas.scale, 0.0, canvas.pixels, canvas.light)
    low, neck, wide = person.chin + 0.36, person.neck, person.shoulders
    dip = {"tee": 0.16, "collar": 0.26, "vee": 0.62, "hood": 0.1}[day.garment]
    right = [(neck * 1.06, low - 0.05), (neck * 1.6, low + 0.18), (wide * 0.8, low + 0.42), (wide, low + 0.75)]
    right += [(wide * 1.08, low + 1.4), (wide * 1.08, 4.4)]
    shoulders = curve(right, steps=6)
    opening = curve([(-neck * 1.06, low - 0.05), (-neck * 0.62, low + dip * 0.75), (0, low + dip)], steps=6)
    opening = np.concatenate([opening, opening[::-1] * (-1, 1)]).astype(np.float32)
    path = np.concatenate([shoulders, shoulders[::-1] * (-1, 1), opening])
    region, weight = body.outline(path)
    u, v = body.grid(region)
    folds = np.sin(u * 4.2 + np.sin(v * 2.2 + person.neck * 9) * 1.4) * np.clip((v - low) / 0.8, 0, 1)
    shade = 1.0 + 0.14 * day.light[0] * u / wide - 0.16 * np.square(u / wide) + 0.05 * folds - 0.05 * (v - low)
    body.darken(body.outline(opening - np.asarray((0, 0.02), np.float32), blur=0.05), 0.3)
    body.paint((region, weight), tint(day.garment_colour, shade))
    seam = {"tee": 0.035, "collar": 0.11, "vee": 0.05, "hood": 0.13}[day.garment]
    edge = body.outline(stroke(opening, [seam * 0.8, seam, seam * 0.8]), blur=0.008)
    body.paint(edge, np.asarray(day.garment_colour) * (0.84 if day.garment != "collar" else 1.1))
    if day.garment in ("collar", "hood"):
        line = stroke(curve([(0, low + dip), (0.01, low + 1.6)]), [0.012])
        body.darken(body.outline(line, blur=0.01), 0.35)


def _photograph(canvas: Canvas, day: Day, rng: np.random.Generator, metering: float) -> Image.Image:
    """Exposes the canvas: brightness, white balance, sensor noise, softness of the lens."""
    exposed = canvas.pixels
    balance = np.asarray((1 + day.warmth, 1.0, 1 - day.warmth), np.float32)[:, None, None]
    exposed *= balance * np.float32(day.exposure * metering)
    down, across = (int(step) for step in rng.integers(0, _GRAIN_MARGIN, 2))
    exposed += _grain()[down : down + HEIGHT, across : across + WIDTH] * np.float32(day.noise)
    np.clip(exposed, 0, 255, out=exposed)
    picture = Image.merge("RGB", [Image.fromarray(channel) for channel in exposed.astype(np.uint8)])
    return picture.filter(ImageFilter.BoxBlur(day.blur)) if day.blur > 0.25 else picture


@functools.cache
def _grain() -> Array:
    """Returns sensor noise of unit strength, larger than a photo so that each photo gets another part of it."""
    rng = np.random.default_rng(_GRAIN)
    return rng.standard_normal((HEIGHT + _GRAIN_MARGIN, WIDTH + _GRAIN_MARGIN), dtype=np.float32)
