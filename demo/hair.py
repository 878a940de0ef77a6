"""Hair: what hangs behind the head, and what frames the face."""

from __future__ import annotations

import numpy as np
from PIL import Image

from demo.canvas import Array, Region, curve, stroke, tint
from demo.head import Sitting, half_width, head_outline
from demo.people import OVER_EARS

ROUND = {"afro", "curly"}

_VOLUME = {"buzz": 0.015, "short": 0.06, "crop": 0.08, "side": 0.1, "quiff": 0.1, "afro": 0.36, "curly": 0.2}
_VOLUME |= {"tied": 0.07, "bun": 0.06, "ring": 0.03}


def paint_hair_behind(sitting: Sitting) -> None:
    """Paints the hair that lies behind the neck and above the head."""
    person, grow = sitting.person, _grow(sitting)
    if person.hair in OVER_EARS:
        end = {"bob": 1.15, "fringe": 1.5}.get(person.hair, 2.1) + 0.3 * (person.hair_volume - 0.5)
        out = person.cheek_width + grow + 0.10
        right = [(out * 0.9, -0.75), (out, 0.1), (out + 0.05, 0.8), (out + 0.04, end - 0.15), (out * 0.7, end)]
        path = curve([*right, *[(-u, v) for u, v in reversed(right)], (0, person.crown - grow * 0.8)], closed=True)
        _fill(sitting, path, 0.72, blur=0.02)
    if person.hair == "tied":
        side = float(np.sign(person.parting))
        tail = [(0.5, 0.3), (1.15, 0.9), (1.25, 1.6), (1.0, 2.2), (0.75, 1.6), (0.4, 0.9)]
        _fill(sitting, curve([(side * u, v) for u, v in tail], closed=True), 0.8, blur=0.02)
    if person.hair == "bun":
        turn = np.linspace(0, 2 * np.pi, 40)
        bun = np.stack([0.4 * np.cos(turn), person.crown - 0.12 + 0.32 * np.sin(turn)], axis=1)
        _fill(sitting, bun.astype(np.float32), 0.85, blur=0.02)
    if person.hair in ROUND:
        _fill(sitting, _bumpy(sitting, grow), 0.8, blur=0.03)


def paint_hair_in_front(sitting: Sitting) -> None:
    """Paints the hair on the skull and beside the face."""
    canvas, person = sitting.canvas, sitting.person
    if person.hair == "bald":
        return
    grow = _grow(sitting)
    shadow = np.asarray(_hairline(sitting), np.float32)
    canvas.darken(canvas.outline(stroke(curve(shadow), [0.02, 0.05, 0.05, 0.02]), blur=0.05), 0.22)
    if person.hair in ("buzz", "ring"):
        strength = 0.62 + sitting.day.hair_growth if person.hair == "buzz" else 0.8
        _fill(sitting, _cap(sitting, grow), 1.0, blur=0.045, strength=strength)
        return
    _fill(sitting, _cap(sitting, grow), 1.0, blur=0.018)
    if person.hair in OVER_EARS:
        for side in (-1, 1):
            _fill(sitting, _lock(sitting, side, grow), 0.95, blur=0.018)


def _grow(sitting: Sitting) -> float:
    """Returns how far the hair stands off the skull."""
    person = sitting.person
    base = _VOLUME.get(person.hair, 0.11)
    return base * (0.75 + 0.5 * person.hair_volume) * (1 + sitting.day.hair_growth)


def _hairline(sitting: Sitting) -> list[tuple[float, float]]:
    """Returns the edge between forehead and hair, from the left temple to the right."""
    person = sitting.person
    top, wide, part = person.hairline, person.cheek_width, person.parting
    corner = 0.66 if person.woman else 0.74
    low = {"fringe": -person.brow_height - 0.12}.get(person.hair, top)
    if person.hair == "ring":
        top = person.crown + 0.02
        low = top
    ear, temple = half_width(person, np.asarray((-0.02, -0.42), np.float32)) * (0.97, 0.9)
    left, right = (-ear, -0.02), (ear, -0.02)
    inner = [(-temple, -0.42), (-wide * corner, -0.68), (-0.35, low), (0.0, low - 0.03), (0.35, low)]
    inner += [(wide * corner, -0.68), (temple, -0.42)]
    if person.hair == "fringe":
        inner = [(-wide * 0.88, -0.25), (-0.6, low + 0.03), (-0.3, low), (0.0, low + 0.015), (0.3, low)]
        inner += [(0.6, low + 0.03), (wide * 0.88, -0.25)]
    if person.hair in ("side", "crop", "bob", "long"):
        away = -np.sign(part)
        inner[2:5] = [
            (-0.35 + part * 0.3, low + 0.12 * (away < 0)),
            (part, low - 0.12),
            (0.35 + part * 0.3, low + 0.12 * (away > 0)),
        ]
        inner.sort()
    if person.hair == "middle":
        inner[2:5] = [(-0.4, -0.72), (0.0, top - 0.2), (0.4, -0.72)]
    if person.hair == "ring":
        inner[1:6] = [
            (-wide * 0.93, -0.62),
            (-wide * 0.8, -0.98),
            (0.0, top - 0.1),
            (wide * 0.8, -0.98),
            (wide * 0.93, -0.62),
        ]
    return [left, *inner, right]


def _cap(sitting: Sitting, grow: float) -> Array:
    """Returns the outline of the hair on the skull: over the crown, back along the hairline."""
    person = sitting.person
    down = 0.22 if not person.woman else 0.05
    outer = head_outline(person, grow) if person.hair not in ROUND else _bumpy(sitting, grow)
    outer = outer[outer[:, 1] < down]
    outer = outer[np.argsort(np.arctan2(outer[:, 0], -outer[:, 1] + 0.1))]
    if person.hair == "quiff":
        lift = 0.2 * person.hair_volume * np.exp(-np.square((outer[:, 0] - person.parting * 0.5) / 0.5))
        outer = outer - np.stack([np.zeros_like(lift), lift * (outer[:, 1] < -0.9)], axis=1)
    return np.concatenate([outer, curve(_hairline(sitting))[::-1]]).astype(np.float32)


def _lock(sitting: Sitting, side: int, grow: float) -> Array:
    """Returns the outline of the hair that falls beside the face."""
    person = sitting.person
    end = {"bob": 1.1, "fringe": 1.45}.get(person.hair, 2.0) + 0.3 * (person.hair_volume - 0.5)
    wide = person.cheek_width
    points = [
        (wide * 0.72, -0.85),
        (wide * 0.93, -0.35),
        (wide * 0.94, 0.2),
        (wide * 0.92, 0.7),
        (wide * 0.9, end * 0.8),
    ]
    points += [
        (wide * 0.95, end),
        (wide + grow + 0.1, end * 0.85),
        (wide + grow + 0.13, 0.6),
        (wide + grow + 0.04, -0.2),
    ]
    points += [(wide * 0.85 + grow, -0.8)]
    return curve([(side * u, v) for u, v in points], closed=True)


def _bumpy(sitting: Sitting, grow: float) -> Array:
    """Returns the outline of round hair, uneven as curls are."""
    person = sitting.person
    turn = np.linspace(-np.pi * 0.78, np.pi * 0.78, 90)
    curls = np.random.default_rng(int(abs(person.parting) * 1e6)).normal(0, 1, 90)
    curls = np.convolve(curls, [0.25, 0.5, 0.25], mode="same") * (0.022 if person.hair == "afro" else 0.045)
    out = person.cheek_width + grow
    high = -person.crown - 0.2 + grow
    u = np.sin(turn) * (out + curls)
    v = -0.2 - np.cos(turn) * (high + curls)
    if not (person.woman and person.hair == "curly"):
        return np.stack([u, v], axis=1).astype(np.float32)
    return np.stack([u * 1.06, np.where(v > -0.2, -0.2 + (v + 0.2) * 1.5, v)], axis=1).astype(np.float32)


def _fill(sitting: Sitting, path: Array, tone: float, blur: float, strength: float = 1.0) -> None:
    canvas = sitting.canvas
    region, weight = canvas.outline(path, blur=blur)
    shade = _strands(sitting, region) * np.float32(tone)
    canvas.paint((region, weight), tint(sitting.person.hair_colour, shade) + np.float32(4), strength)


def _strands(sitting: Sitting, region: Region) -> Array:
    """Returns the brightness (height, width) of hair: strands, a sheen on top, darker away from the light."""
    person, rng = sitting.person, sitting.rng
    height, width = region[0].stop - region[0].start, region[1].stop - region[1].start
    if person.hair in ROUND or person.hair in ("buzz", "ring"):
        coarse, depth = (max(height // 4, 1), max(width // 4, 1)), 0.22
    else:
        coarse, depth = (max(height // 40, 1), max(width // 3, 1)), 0.20
    noise = rng.normal(0, 1, coarse).astype(np.float32)
    tile = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
    u, v = sitting.canvas.grid(region)
    sheen = 0.28 * np.exp(-np.square((np.hypot(u, v + 0.2) - 1.0) / 0.2)) * np.clip(0.2 - v * 1.5, 0, 1)
    side = 1 + 0.22 * sitting.day.light[0] * np.clip(u, -1.3, 1.3)
    return (np.maximum(0.82 + sheen + depth * np.asarray(tile), 0.3) * side).astype(np.float32)
