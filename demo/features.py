"""What makes a face somebody's: eyes, brows, nose, mouth, beard, lines, marks, glasses."""

from __future__ import annotations

import numpy as np

from demo.canvas import Array, curve, stroke, tint
from demo.head import Sitting, half_width, shadow_of


def paint_features(sitting: Sitting) -> None:
    """Paints everything that lies on the skin, from the back to the front."""
    _paint_folds(sitting)
    _paint_marks(sitting)
    for side in (-1, 1):
        _paint_eye(sitting, side)
    _paint_nose(sitting)
    _paint_beard(sitting)
    _paint_mouth(sitting)
    for side in (-1, 1):
        _paint_brow(sitting, side)
    if sitting.person.glasses:
        _paint_glasses(sitting)


def _paint_eye(sitting: Sitting, side: int) -> None:
    canvas, person = sitting.canvas, sitting.person
    u, v = sitting.place(side * person.eye_gap, person.eye_droop * 0.3, 0.85)
    wide = person.eye_width
    tall = wide * person.eye_open * sitting.day.eye_open
    turn = person.eye_turn

    def at(x: float, y: float) -> tuple[float, float]:
        """x runs from the inner (-1) to the outer corner (1), y down in eye heights; the outer corner is turned up."""
        return u + side * x * wide, v + y * tall - turn * x * wide * 2

    upper = [at(-1, 0.25), at(-0.55, -0.62), at(0.0, -1.0), at(0.55, -0.75), at(1, 0.0)]
    lower = [at(0.55, 0.62), at(0.0, 0.85), at(-0.6, 0.65)]
    dark = shadow_of(person.skin, 0.5)
    canvas.darken(canvas.blob(u - side * 0.04, v - 0.04, wide * 1.75, 0.24), 0.24 + (0.06 if person.woman else 0))
    canvas.darken(canvas.blob(u - side * wide * 0.2, v + tall + 0.07, wide * 1.1, 0.09), 0.08 + 0.10 * _years(sitting))
    crease = [at(x, -1.42 + 0.3 * person.hood + 0.35 * x * x) for x in (-0.85, -0.3, 0.3, 0.95)]
    canvas.paint(canvas.outline(stroke(curve(crease), [0.006, 0.014, 0.008]), blur=0.012), dark, 0.65)
    eyeball = curve([*upper, *lower], closed=True)
    region, white = canvas.outline(eyeball, blur=0.006)
    across, down = canvas.grid(region)
    ball = 1 - 0.35 * np.square((across - u) / wide) - 0.22 * np.clip((v - down) / tall, 0, 1)
    canvas.paint((region, white), tint((230, 224, 218), ball), 0.97)
    size = 0.098 + 0.1 * wide * person.eye_open
    distance = np.hypot(across - u - side * 0.004, down - v + tall * 0.12)
    rim = np.clip((size - distance) * canvas.scale * 0.8, 0, 1).astype(np.float32)
    inner = np.clip(distance / size, 0, 1)
    canvas.paint((region, rim * white), tint(person.iris, 1.05 - 0.65 * inner**3))
    pupil = np.clip((size * 0.42 - distance) * canvas.scale * 0.8, 0, 1).astype(np.float32)
    canvas.paint((region, pupil * white), (14, 11, 11))
    glint = canvas.blob(u + sitting.day.light[0] * 0.06 + 0.02, v - size * 0.5, 0.034, 0.034)
    canvas.paint(glint, (250, 250, 250), 0.95)
    lash = 0.017 + (0.012 if person.woman else 0.0)
    canvas.paint(
        canvas.outline(stroke(curve(upper), [0.008, lash, lash * 1.2, lash * 0.8]), blur=0.006), (32, 22, 19), 0.92
    )
    canvas.paint(
        canvas.outline(stroke(curve([upper[-1], *lower, upper[0]]), [0.006, 0.008, 0.005]), blur=0.008), dark, 0.6
    )


def _paint_brow(sitting: Sitting, side: int) -> None:
    canvas, person = sitting.canvas, sitting.person
    u, v = sitting.place(side * (person.eye_gap + 0.015), -person.brow_height - sitting.day.brow_lift, 0.95)
    long, turn = person.brow_length, person.brow_turn
    knots = [(-1.0, 0.035), (-0.4, -person.brow_arch * 0.6), (0.3, -person.brow_arch), (1.0, 0.055)]
    path = curve([(u + side * x * long, v + y - turn * x * long) for x, y in knots])
    thick = person.brow_thick
    where = canvas.outline(stroke(path, [thick * 0.75, thick, thick * 0.8, thick * 0.2]), blur=0.016)
    region, weight = where
    hairs = 0.78 + 0.22 * sitting.rng.random(weight.shape, dtype=np.float32)
    deep = np.minimum(np.asarray(person.hair_colour) * 0.72, np.asarray(person.skin) * 0.62)
    canvas.paint((region, weight * hairs), deep, 0.92)


def _paint_nose(sitting: Sitting) -> None:
    canvas, person, day = sitting.canvas, sitting.person, sitting.day
    u, v = sitting.place(0.0, person.nose_end, 1.35)
    wide = person.nose_width
    dark = shadow_of(person.skin, 0.42)
    shade = -1 if day.light[0] > 0 else 1
    canvas.darken(canvas.blob(u, v + 0.06, wide * 1.5, 0.13), 0.30)
    canvas.darken(
        canvas.blob(u + shade * wide * 0.9, v - 0.22, 0.13, 0.36, -shade * 0.2), 0.3 * abs(day.light[0]) + 0.05
    )
    for side in (-1, 1):
        nostril = canvas.blob(u + side * wide * 0.47, v + 0.005, wide * 0.36, 0.052, side * 0.3)
        canvas.paint(nostril, dark, 1.0)
        wing = [(wide * 0.72, 0.01), (wide * 0.98, -0.02), (wide * 1.02, -0.1), (wide * 0.86, -0.17)]
        path = curve([(u + side * x, v + y) for x, y in wing])
        canvas.paint(canvas.outline(stroke(path, [0.006, 0.014, 0.003]), blur=0.014), dark, 0.6)
        bridge = [(person.nose_bridge * 1.1, -v - 0.16), (person.nose_bridge * 0.85, -v + 0.05), (wide * 0.6, -0.2)]
        path = curve([(u + side * x, v + y) for x, y in bridge])
        canvas.darken(canvas.outline(stroke(path, [0.02, 0.03, 0.005]), blur=0.04), 0.14)


def _paint_mouth(sitting: Sitting) -> None:
    canvas, person, day = sitting.canvas, sitting.person, sitting.day
    u, v = sitting.place(0.0, person.nose_end + person.mouth_low, 1.05)
    wide = person.mouth_width * (1 + 0.09 * day.smile)
    corner = v - 0.055 * day.smile
    up, low = person.lip_upper * (1 - 0.12 * day.smile), person.lip_lower * (1 - 0.08 * day.smile)
    skin = np.asarray(person.skin)
    deep = max(0.0, 1 - person.skin[1] / 200)
    rosy = skin * (0.88, 0.60, 0.60) + np.asarray((36, 22, 26)) * deep
    lips = skin * 0.86 + (rosy - skin * 0.86) * min(1.0, person.lip_colour)
    middle = [
        (u - wide, corner),
        (u - wide * 0.4, v - 0.006),
        (u, v + 0.01),
        (u + wide * 0.4, v - 0.006),
        (u + wide, corner),
    ]
    bow = [(u + wide * 0.55, v - up * 0.75), (u + wide * 0.18, v - up), (u, v - up * 0.8)]
    bow += [(u - wide * 0.18, v - up), (u - wide * 0.55, v - up * 0.75)]
    canvas.paint(canvas.outline(curve([*middle, *bow], closed=True), blur=0.01), lips * 0.84, lit=True)
    bottom = [(u + wide * 0.6, v + low * 0.75), (u, v + low), (u - wide * 0.6, v + low * 0.75)]
    canvas.paint(canvas.outline(curve([*middle, *bottom], closed=True), blur=0.012), lips, lit=True)
    canvas.darken(canvas.blob(u, v + low * 0.5, wide * 0.5, low * 0.4), -0.10)
    canvas.darken(canvas.blob(u, v + low + 0.06, wide * 0.75, 0.085), 0.24)
    parting = stroke(curve(middle), [0.007, 0.015, 0.019, 0.015, 0.007])
    canvas.paint(canvas.outline(parting, blur=0.007), shadow_of(person.skin, 0.3), 0.92)
    for side in (-1, 1):
        canvas.darken(canvas.blob(u + side * (wide + 0.02), corner, 0.075, 0.07), 0.22)
    canvas.darken(canvas.blob(u, v - up - 0.1, 0.05, 0.12), 0.10)


def _paint_beard(sitting: Sitting) -> None:
    person, canvas = sitting.person, sitting.canvas
    if person.beard == "none":
        return
    region = canvas.region(canvas.to_pixels([(-1.15, 0.0), (1.15, person.chin + 0.1)]), 0.12 * canvas.scale)
    u, v = canvas.grid(region)
    u, v = np.abs(u - sitting.day.yaw), v - sitting.day.nod
    ragged = sitting.rng.normal(0, 0.012, u.shape).astype(np.float32)  # hairs, not a painted edge
    zone = _beard_zone(sitting, u + ragged, v + ragged)
    inside = (half_width(person, np.clip(v, -1, person.chin - 0.01)) + 0.02 - u) / 0.04
    below = (person.chin + 0.045 - v) / 0.05
    dense = person.beard_dense + sitting.day.beard_growth
    dense = 0.26 * dense + 0.03 if person.beard == "stubble" else 0.97 * min(dense + 0.1, 1.0)
    grain = 0.72 + 0.28 * sitting.rng.random(u.shape, dtype=np.float32)
    weight = zone * np.clip(np.minimum(inside, below), 0, 1) * grain * dense
    colour = np.minimum(np.asarray(person.hair_colour) * 0.85, np.asarray(person.skin) * 0.78)
    canvas.paint((region, weight.astype(np.float32)), colour, lit=True)


def _beard_zone(sitting: Sitting, u: Array, v: Array) -> Array:
    """Returns where the beard grows, 0..1; u counts from the middle of the face to either side."""
    person = sitting.person
    nose, wide = person.nose_end, person.mouth_width
    mouth = nose + person.mouth_low
    droop = mouth - 0.01 + 0.16 * np.square(u / wide)
    moustache = _ramp(v - nose - 0.06 - 0.16 * np.square(u / wide)) * _ramp(droop - v) * _ramp(wide * 1.22 - u)
    if person.beard == "moustache":
        return moustache
    bottom = mouth + person.lip_lower
    radius = np.hypot(u / (wide * 1.28), (v - mouth - 0.12) / (person.chin + 0.1 - mouth))
    mouth_bare = np.hypot(u / (wide * 1.04), (v - mouth - 0.01) / (person.lip_lower + 0.05))
    goatee = _ramp((1 - radius) * 0.5) * _ramp((mouth_bare - 1) * 0.2) * _ramp(v - mouth + 0.06)
    patch = _ramp(v - bottom - 0.05) * _ramp(wide * 1.1 - u)
    if person.beard == "goatee":
        return np.maximum(moustache, np.maximum(goatee, patch * _ramp((1 - radius) * 0.5)))
    cheek_line = mouth - 0.10 - 0.62 * np.clip(u - 0.42, 0, 1) ** 1.3 - 0.9 * np.clip(u - 0.8, 0, 1)
    cheeks = _ramp((v - cheek_line) * 0.6) * _ramp(u - wide * 1.04)
    return np.maximum.reduce([moustache, goatee, cheeks, _ramp(v - bottom - 0.05)])


def _ramp(distance: Array) -> Array:
    """Returns 0 outside and 1 inside of an edge, by the distance (head units) to the inside."""
    return np.clip(distance / 0.06 + 0.5, 0, 1)


def _years(sitting: Sitting) -> float:
    """Returns how far age shows: 0 up to about 30, 1 from 70 on."""
    return float(np.clip((sitting.person.age - 30) / 40, 0, 1))


def _paint_folds(sitting: Sitting) -> None:
    """Lines that come with age, and the hollow under the cheekbones of thin faces."""
    canvas, person, years = sitting.canvas, sitting.person, _years(sitting)
    mouth, wide = person.nose_end + person.mouth_low, person.mouth_width
    for side in (-1, 1):
        path = [
            (person.nose_width * 1.15, person.nose_end - 0.08),
            (wide * 1.15, mouth - 0.2),
            (wide * 1.3, mouth + 0.05),
        ]
        line = curve([sitting.place(side * x, y, 0.95) for x, y in path])
        depth = 0.10 + 0.30 * years + 0.12 * max(0.0, sitting.day.smile)
        canvas.darken(canvas.outline(stroke(line, [0.012, 0.022, 0.006]), blur=0.022), depth)
        if person.cheek_full < 0:
            canvas.darken(canvas.blob(side * 0.72, 0.72, 0.2, 0.42, side * 0.35), -0.3 * person.cheek_full)
        if years > 0.25:
            corner = person.eye_gap + person.eye_width + 0.05
            for rise in (-0.06, 0.0, 0.07):
                foot = curve(
                    [sitting.place(side * corner, rise * 0.4, 0.7), sitting.place(side * (corner + 0.12), rise, 0.6)]
                )
                canvas.darken(canvas.outline(stroke(foot, [0.008, 0.004]), blur=0.008), 0.28 * years)
            bag = [
                sitting.place(side * (person.eye_gap + x), 0.15 + y, 0.8) for x, y in ((-0.18, 0), (0, 0.06), (0.17, 0))
            ]
            canvas.darken(canvas.outline(stroke(curve(bag), [0.006, 0.012, 0.004]), blur=0.012), 0.3 * years)
    if years > 0.3 and person.hair != "fringe":
        for row in range(3):
            level = -person.brow_height - 0.16 - 0.11 * row
            crease = curve([sitting.place(x, level - 0.03 * np.cos(x * 5), 0.9) for x in (-0.45, -0.2, 0.0, 0.2, 0.45)])
            canvas.darken(canvas.outline(stroke(crease, [0.002, 0.009, 0.002]), blur=0.009), 0.3 * years)
    if person.chin_cleft:
        canvas.darken(canvas.blob(*sitting.place(0, person.chin - 0.13, 1.0), 0.03, 0.09), 0.3)


def _paint_marks(sitting: Sitting) -> None:
    canvas, person = sitting.canvas, sitting.person
    for u, v, size in person.moles:
        canvas.paint(
            canvas.blob(*sitting.place(u, v, 0.85), size * 1.5, size * 1.5), shadow_of(person.skin, 0.38), 0.95
        )
    if person.scar:
        path = curve([sitting.place(person.scar * x, y, 0.8) for x, y in ((0.5, 0.32), (0.58, 0.5), (0.6, 0.68))])
        pale = np.asarray(person.skin) * (1.0, 0.86, 0.84) + (10, 4, 4)
        canvas.paint(canvas.outline(stroke(path, [0.006, 0.016, 0.006]), blur=0.006), pale, 0.85, lit=True)


def _paint_glasses(sitting: Sitting) -> None:
    canvas, person = sitting.canvas, sitting.person
    corners = 2.0 if person.glasses == 1 else 4.0
    turn = np.linspace(0, 2 * np.pi, 48)
    for side in (-1, 1):
        u, v = sitting.place(side * (person.eye_gap + 0.01), 0.05, 1.0)
        x = np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** (2 / corners) * 0.31
        y = np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** (2 / corners) * (0.27 if person.glasses == 1 else 0.21)
        ring = stroke(np.stack([u + x, v + y], axis=1).astype(np.float32), [0.014])
        canvas.paint(canvas.outline(ring), person.glasses_colour, 0.95)
        arm = curve([(u + side * 0.31, v - 0.05), (side * person.cheek_width * 0.99, -0.02)])
        canvas.paint(canvas.outline(stroke(arm, [0.014])), person.glasses_colour, 0.9)
    left, right = (sitting.place(side * (person.eye_gap - 0.3), 0.0, 1.1) for side in (-1, 1))
    bridge = curve([left, ((left[0] + right[0]) / 2, left[1] - 0.05), right])
    canvas.paint(canvas.outline(stroke(bridge, [0.014])), person.glasses_colour, 0.95)
