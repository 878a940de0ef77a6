"""The bare head: outline, relief, and the light that falls on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from demo.canvas import Array, Canvas, Region, curve, hill, tint
from demo.people import OVER_EARS, Colour, Day, Person

CHEEK_LEVEL = 0.15  # v where the face is widest


@dataclass
class Sitting:
    """One person on one day in front of one canvas."""

    canvas: Canvas
    person: Person
    day: Day
    rng: np.random.Generator

    def place(self, u: float, v: float, depth: float) -> tuple[float, float]:
        """Returns where a point of the face, depth units in front of the ears, lies once the head has turned."""
        return u + self.day.yaw * depth, v + self.day.nod * depth + self.person.lean * u


def half_width(person: Person, v: Array) -> Array:
    """Returns half the width of the head at each v, 0 above the crown and below the chin."""
    level = np.linspace(person.crown, person.chin, 1024)
    above = np.clip((CHEEK_LEVEL - level) / (CHEEK_LEVEL - person.crown), 0, 1)
    below = np.clip((level - CHEEK_LEVEL) / (person.chin - CHEEK_LEVEL), 0, 1)
    skull = (1 - above**2.7) ** (1 / 2.1) * (1 - (1 - person.forehead) * np.sin(above * np.pi))
    jaw = (1 - below**person.jaw_fall) ** (1 / person.jaw_side)
    table = (person.cheek_width * np.where(level < CHEEK_LEVEL, skull, jaw)).astype(np.float32)
    place = np.asarray((v - np.float32(person.crown)) * np.float32(1023 / (person.chin - person.crown)), np.float32)
    return table[np.clip(np.rint(place), 0, 1023).astype(np.int32)]  # powers of whole pictures are slow


def head_outline(person: Person, grow: float = 0.0) -> Array:
    """Returns the outline (n, 2) of the head, made larger by grow."""
    turn = np.linspace(0, np.pi, 50)
    middle, half = (person.crown + person.chin) / 2, (person.chin - person.crown) / 2
    v = np.asarray(middle - half * np.cos(turn), np.float32)
    right = np.stack([half_width(person, v) + grow * np.sin(turn), v - grow * np.cos(turn)], axis=1)
    return np.concatenate([right, right[::-1] * (-1, 1)]).astype(np.float32)


def paint_neck(sitting: Sitting) -> None:
    """Paints neck and ears, which lie behind the face."""
    canvas, person = sitting.canvas, sitting.person
    width, chin = person.neck, person.chin
    sides = [(-width, 0.6), (-width * 0.96, chin - 0.1), (-width * 0.98, chin + 0.25), (-width, chin + 0.5)]
    path = curve([*sides, (0, chin + 1.1), *[(-u, v) for u, v in reversed(sides)]])
    where = canvas.outline(path)
    across, down = canvas.grid(where[0])
    key = sitting.day.light[0]
    round_off = 1 - 0.34 * np.clip(np.abs(across / width), 0, 1.2) ** 2.2 + 0.2 * key * across / width
    under_chin = np.clip((chin + 0.42 - down - 0.25 * np.square(across)) / 0.4, 0, 1)
    cords = hill(np.abs(across) - 0.33 + 0.3 * (down - chin), down - chin - 0.35, 0.1, 0.5)
    tone = round_off * (0.82 - 0.40 * under_chin * under_chin + 0.05 * cords)
    canvas.paint(where, tint(shadow_of(person.skin, 1.0, warm=0.5), tone))
    if person.hair not in OVER_EARS:
        for side in (-1, 1):
            _paint_ear(sitting, side)


def _paint_ear(sitting: Sitting, side: int) -> None:
    canvas, person = sitting.canvas, sitting.person
    tall, u = person.ear_size, side * (person.cheek_width * 0.955 + person.ear_out * 0.6) - sitting.day.yaw * 0.5
    out = 0.1 + person.ear_out
    shape = [(0, -tall * 0.9), (out * 0.8, -tall), (out * 1.05, -tall * 0.3), (out * 0.6, tall * 0.5)]
    shape += [(out * 0.3, tall), (-0.1, tall * 0.8), (-0.15, 0)]
    path = curve([(u + side * x, 0.2 + y) for x, y in shape], closed=True)
    light = 0.86 + 0.22 * side * sitting.day.light[0]
    canvas.paint(canvas.outline(path), shadow_of(person.skin, light, warm=0.5))
    canvas.darken(canvas.blob(u + side * out * 0.3, 0.17, out * 0.55, tall * 0.7, side * 0.15), 0.32)


def paint_head(sitting: Sitting) -> None:
    """Paints the shaded skin of face and skull, and leaves its light on the canvas for what is painted next."""
    canvas, person, day = sitting.canvas, sitting.person, sitting.day
    where = canvas.outline(head_outline(person))
    region, _ = where
    u, v = canvas.grid(region)
    slope_u, slope_v = _slopes(canvas, _relief(sitting, region))
    light = np.array([day.light[0], -day.light[1], 1.0])
    light /= np.linalg.norm(light)
    length = np.sqrt(1 + slope_u**2 + slope_v**2)
    facing = (light[2] - slope_u * light[0] - slope_v * light[1]) / length
    deep = max(0.0, 1 - person.skin[1] / 200)  # dark skin shows its form by gloss more than by shadow
    contrast = day.contrast * (1 + 0.3 * deep)
    shade = (1 - contrast) + contrast * np.maximum(facing, 0) / light[2] ** 0.5
    half_way = np.add(light, (0, 0, 1))
    half_way /= np.linalg.norm(half_way)
    shine = np.maximum((half_way[2] - slope_u * half_way[0] - slope_v * half_way[1]) / length, 0) ** 22
    canvas.light[region] = shade
    colour = _complexion(sitting, u, v) * canvas.light[region]
    colour += (shine * (9 + 42 * deep)).astype(np.float32)
    canvas.paint(where, colour)


def _slopes(canvas: Canvas, height: Array) -> tuple[Array, Array]:
    """Returns the relief's slopes along u and v (the small roll of the head is left out)."""
    down, across = np.gradient(height, np.float32(1 / canvas.scale))
    return np.asarray(across, np.float32), np.asarray(down, np.float32)


def _relief(sitting: Sitting, region: Region) -> Array:
    """Returns how far each point of the region stands out, in head units."""
    canvas, person = sitting.canvas, sitting.person
    u, v = canvas.grid(region)
    inside = np.clip(np.square(u) / (np.square(half_width(person, v)) + 0.1), 0, 1)
    under = np.clip((v - person.chin + 0.34) / 0.34, 0, 1)
    height = np.zeros_like(canvas.light)
    height[region] = 0.85 * np.sqrt(1.06 - inside) - 0.10 * np.square(np.square((v - 0.15) / 1.25))
    height[region] -= 0.22 * np.square(under)
    mouth, lip = person.nose_end + person.mouth_low, person.lip_lower
    bumps = [
        (person.mouth_width * 1.5, 0.26, 0.10, (0.0, mouth, 1.0)),
        (person.mouth_width * 0.8, lip * 1.3, 0.05, (0.0, mouth + lip * 0.6, 1.0)),  # lower lip
        (person.mouth_width * 0.8, 0.09, -0.05, (0.0, mouth + lip * 1.6 + 0.04, 1.0)),  # hollow below it
        (0.34, 0.20, 0.10, (0.0, person.chin - 0.17, 1.0)),
    ]
    for side in (-1, 1):
        bumps += [
            (0.36, 0.26, -0.17, (side * person.eye_gap, 0.0, 0.8)),  # eye socket
            (person.eye_width * 1.2, 0.18, 0.09, (side * person.eye_gap, 0.0, 0.8)),  # eyeball
            (0.46, 0.17, 0.07, (side * 0.40, -person.brow_height, 0.9)),  # brow ridge
            (0.40, 0.34, 0.09 + 0.05 * person.cheek_full, (side * 0.58, 0.34, 0.7)),  # cheekbone
            (0.30, 0.40, 0.05 * person.cheek_full, (side * 0.60, 0.85, 0.5)),  # cheek below it
            (person.nose_width * 0.62, 0.13, 0.11, (side * person.nose_width * 0.72, person.nose_end - 0.07, 1.1)),
        ]
    for width, tall, up, at in bumps:
        part, weight = canvas.blob(*sitting.place(*at), width, tall)
        height[part] += np.float32(up) * weight
    part = canvas.region(canvas.to_pixels([(-0.6, -0.2), (0.6, 0.9)]), 0.1 * canvas.scale)
    height[part] += _nose(sitting, *canvas.grid(part))
    return height[region]


def _nose(sitting: Sitting, u: Array, v: Array) -> Array:
    """Returns the height of the bridge, which widens and grows to the tip and drops off below it."""
    person = sitting.person
    top, tip = -0.14, person.nose_end - 0.08
    down = np.clip((v - top) / (tip - top), 0, 1)
    drop = np.clip((person.nose_end + 0.04 - v) / 0.15, 0, 1)
    middle = sitting.place(0.0, 0.0, 1.0)[0] + sitting.day.yaw * 0.4 * down
    spread = person.nose_bridge + (person.nose_width * 0.75 - person.nose_bridge) * down**2
    ridge = np.exp(-0.5 * np.square((u - middle) / (spread * 0.62)))
    rise = (0.12 + 0.88 * down**1.4) * np.minimum(down * 6, 1)
    return np.asarray(person.nose_height * rise * drop**0.8 * ridge, np.float32)


def _complexion(sitting: Sitting, u: Array, v: Array) -> Array:
    """Returns the colour of the unlit skin, (3, height, width): ruddy cheeks and nose, blotches, freckles."""
    person = sitting.person
    ruddy = hill(u, v - person.nose_end + 0.05, 0.26, 0.22)
    for side in (-1, 1):
        ruddy = ruddy + 0.7 * hill(u - side * 0.58, v - 0.45, 0.36, 0.32)
    blotches = sitting.rng.normal(0, 1, (14, 11)).astype(np.float32)
    skin = tint(person.skin, 1 + 0.012 * _spread(blotches, u.shape))
    skin *= 1 - tint((0.0, 0.09, 0.08), ruddy)
    if person.freckles > 0:
        specks = sitting.rng.random(u.shape, dtype=np.float32) > 0.975
        zone = np.clip(hill(u, v - 0.32, 0.85, 0.42) * 2, 0, 1)
        skin *= 1 - tint((0.6, 0.9, 1), specks * zone * min(0.26, 0.2 * person.freckles))
    return skin


def _spread(coarse: Array, shape: tuple[int, ...]) -> Array:
    """Returns coarse values enlarged smoothly to shape."""
    return np.asarray(Image.fromarray(coarse).resize((shape[1], shape[0]), Image.Resampling.BICUBIC), np.float32)


def shadow_of(colour: Colour, factor: float, warm: float = 1.0) -> Colour:
    """Returns colour darkened and warmed, as skin is in its folds."""
    return colour[0] * factor, colour[1] * factor * (1 - 0.1 * warm), colour[2] * factor * (1 - 0.14 * warm)
