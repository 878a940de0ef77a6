"""Who is drawn: an invented person from a seed, and how that person looks on one day.

Lengths are in head units (half the width of a middling face), angles in radians, colours are RGB 0..255.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]
Generator = np.random.Generator

_PERSON, _DAY = 0, 1  # which stream of the seed: who somebody is, how they look on a day

SKINS = [
    (236, 200, 178),
    (228, 186, 158),
    (219, 172, 138),
    (194, 142, 106),
    (160, 110, 78),
    (134, 91, 66),
    (110, 75, 56),
]
HAIRS = [(30, 25, 24), (46, 33, 27), (72, 48, 34), (104, 70, 44), (146, 104, 62), (196, 158, 98), (142, 66, 34)]
GREY = (176, 174, 170)
IRISES = [(58, 36, 24), (84, 56, 34), (110, 88, 54), (96, 112, 82), (92, 124, 150), (128, 140, 150)]
CLOTHES = [(212, 104, 44), (120, 126, 132), (52, 60, 78), (38, 40, 44), (134, 46, 48), (72, 96, 74), (196, 196, 192)]
CLOTHES += [(92, 124, 160), (150, 130, 104), (86, 64, 92)]

MEN_HAIR = ["bald", "ring", "buzz", "short", "crop", "side", "quiff", "afro", "curly", "long"]
MEN_ODDS = [0.09, 0.06, 0.19, 0.18, 0.12, 0.12, 0.08, 0.05, 0.06, 0.05]
WOMEN_HAIR = ["long", "bob", "fringe", "tied", "bun", "afro", "curly", "crop", "middle"]
WOMEN_ODDS = [0.22, 0.14, 0.13, 0.14, 0.09, 0.06, 0.09, 0.04, 0.09]
OVER_EARS = {"long", "middle", "bob", "fringe"}
BEARDS = ["none", "stubble", "moustache", "goatee", "full"]


@dataclass(frozen=True)
class Person:
    """What stays the same from one encounter to the next."""

    woman: bool
    age: float
    skin: Colour
    cheek_width: float
    crown: float  # v of the top of the skull
    chin: float  # v of the chin
    jaw_fall: float  # exponents of the lower face: high and low make it square, low and high pointed
    jaw_side: float
    forehead: float
    eye_gap: float
    eye_width: float
    eye_open: float
    eye_turn: float
    eye_droop: float
    iris: Colour
    hood: float
    brow_height: float
    brow_thick: float
    brow_turn: float
    brow_arch: float
    brow_length: float
    nose_end: float
    nose_width: float
    nose_bridge: float
    nose_height: float
    mouth_low: float
    mouth_width: float
    lip_upper: float
    lip_lower: float
    lip_colour: float
    ear_size: float
    ear_out: float
    cheek_full: float
    chin_cleft: bool
    neck: float
    shoulders: float
    hair: str
    hair_colour: Colour
    hair_volume: float
    hairline: float
    parting: float
    beard: str
    beard_dense: float
    glasses: int  # 0 none, 1 round, 2 square
    glasses_colour: Colour
    moles: tuple[tuple[float, float, float], ...]
    freckles: float
    scar: float
    lean: float  # how far left and right differ


@dataclass(frozen=True)
class Day:
    """What changes from one encounter to the next."""

    roll: float
    shift: tuple[float, float]
    scale: float
    yaw: float
    nod: float
    light: tuple[float, float]  # from the left (-) or right (+), from below (-) or above (+)
    contrast: float
    exposure: float
    warmth: float
    smile: float
    brow_lift: float
    eye_open: float
    beard_growth: float
    hair_growth: float
    backdrop: Colour
    height_lines: bool
    garment: str
    garment_colour: Colour
    noise: float
    blur: float


def _mix(table: list[Colour] | list[tuple[int, int, int]], place: float) -> Colour:
    """Returns the colour at place (0..1) along the table."""
    at = np.linspace(0, 1, len(table))
    red, green, blue = (float(np.interp(place, at, [colour[i] for colour in table])) for i in range(3))
    return red, green, blue


def _blend(a: Colour, b: Colour, part: float) -> Colour:
    return (a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part, a[2] + (b[2] - a[2]) * part)


def invent_person(seed: int, subject: int) -> Person:
    """Returns the person with this number; the same numbers always give the same person."""
    rng = np.random.default_rng([seed, subject, _PERSON])
    woman = bool(rng.random() < 0.4)
    age = float(np.clip(rng.gamma(5, 4.2) + 17, 18, 80))
    tone = float(rng.random())
    skin = _mix(SKINS, tone)
    skin = (skin[0] * rng.uniform(0.98, 1.02), skin[1] * rng.uniform(0.96, 1.04), skin[2] * rng.uniform(0.95, 1.02))
    dark = float(np.clip(tone * 1.6 - 0.2, 0, 1))  # darker skin mostly comes with darker hair and eyes
    grey = float(np.clip((age - rng.normal(48, 8)) / 22, 0, 0.95))
    natural = HAIRS[int(rng.integers(0, 3))] if rng.random() < 0.35 + 0.65 * dark else HAIRS[int(rng.integers(1, 7))]
    iris = _mix(IRISES, rng.random() * (1 - 0.75 * dark))
    styles, odds = (WOMEN_HAIR, WOMEN_ODDS) if woman else (MEN_HAIR, MEN_ODDS)
    moles = tuple(
        (float(rng.uniform(-0.65, 0.65)), float(rng.uniform(0.15, 1.2)), float(rng.uniform(0.016, 0.034)))
        for _ in range(int(rng.choice([0, 0, 0, 1, 1, 2])))
    )
    nose_end, mouth_low = float(rng.uniform(0.48, 0.68)), float(rng.uniform(0.29, 0.40))
    return Person(
        woman=woman,
        age=age,
        skin=skin,
        cheek_width=float(rng.uniform(0.92, 1.09)),
        crown=float(rng.uniform(-1.42, -1.28)),
        chin=nose_end + mouth_low + float(rng.uniform(0.42, 0.62) - 0.03 * woman),
        jaw_fall=float(rng.uniform(2.0, 2.9) - 0.25 * woman),
        jaw_side=float(rng.uniform(1.9, 2.4) - 0.08 * woman),
        forehead=float(rng.uniform(0.9, 1.0)),
        eye_gap=float(rng.uniform(0.405, 0.495)),
        eye_width=float(rng.uniform(0.195, 0.26)),
        eye_open=float(rng.uniform(0.36, 0.58) + 0.05 * woman),
        eye_turn=float(rng.normal(0.03, 0.06)),
        eye_droop=float(rng.uniform(-0.02, 0.05)),
        iris=iris,
        hood=float(rng.uniform(0.0, 1.0)),
        brow_height=float(rng.uniform(0.24, 0.36) + 0.02 * woman),
        brow_thick=float(rng.uniform(0.03, 0.075) - 0.02 * woman),
        brow_turn=float(rng.normal(-0.02, 0.08)),
        brow_arch=float(rng.uniform(0.01, 0.09) + 0.02 * woman),
        brow_length=float(rng.uniform(0.27, 0.36)),
        nose_end=nose_end,
        nose_width=float(rng.uniform(0.15, 0.27) - 0.015 * woman),
        nose_bridge=float(rng.uniform(0.08, 0.15)),
        nose_height=float(rng.uniform(0.25, 0.46)),
        mouth_low=mouth_low,
        mouth_width=float(rng.uniform(0.29, 0.44)),
        lip_upper=float(rng.uniform(0.035, 0.095)),
        lip_lower=float(rng.uniform(0.06, 0.13)),
        lip_colour=float(rng.uniform(0.3, 0.8) + 0.3 * woman),
        ear_size=float(rng.uniform(0.26, 0.37)),
        ear_out=float(rng.uniform(0.03, 0.13)),
        cheek_full=float(rng.uniform(-0.7, 0.8)),
        chin_cleft=bool(rng.random() < 0.15),
        neck=float(rng.uniform(0.68, 0.86) - 0.12 * woman),
        shoulders=float(rng.uniform(1.95, 2.35) - 0.2 * woman),
        hair=str(rng.choice(styles, p=odds)),
        hair_colour=_blend(natural, GREY, grey),
        hair_volume=float(rng.uniform(0.3, 1.0)),
        hairline=float(rng.uniform(-1.0, -0.78) - (0 if woman else 0.15 * max(0.0, (age - 40) / 40))),
        parting=float(rng.choice([-1, 1]) * rng.uniform(0.2, 0.5)),
        beard="none" if woman else str(rng.choice(BEARDS, p=[0.38, 0.24, 0.1, 0.12, 0.16])),
        beard_dense=float(rng.uniform(0.6, 0.95)),
        glasses=int(rng.choice([0, 1, 2], p=[0.9, 0.04, 0.06])),
        glasses_colour=CLOTHES[int(rng.integers(1, 5))],
        moles=moles,
        freckles=float(max(0, rng.normal(-0.6, 0.7)) * (tone < 0.35)),
        scar=float(rng.choice([0, -1, 1], p=[0.92, 0.04, 0.04])),
        lean=float(rng.normal(0, 0.012)),
    )


def invent_day(seed: int, subject: int, encounter: int) -> Day:
    """Returns how subject looks, and is photographed, at this encounter."""
    rng = np.random.default_rng([seed, subject, encounter, _DAY])
    tone = rng.uniform(118, 206)
    tint = rng.normal(0, 4, 3)
    return Day(
        roll=float(np.clip(rng.normal(0, 0.03), -0.07, 0.07)),
        shift=(float(rng.uniform(-14, 14)), float(rng.uniform(-12, 12))),
        scale=float(rng.uniform(0.95, 1.05)),
        yaw=float(np.clip(rng.normal(0, 0.03), -0.07, 0.07)),
        nod=float(np.clip(rng.normal(0, 0.02), -0.04, 0.04)),
        light=(float(rng.uniform(-0.42, 0.42)), float(rng.uniform(0.15, 0.55))),
        contrast=float(rng.uniform(0.42, 0.6)),
        exposure=float(rng.uniform(0.93, 1.09)),
        warmth=float(rng.normal(0, 0.02)),
        smile=float(np.clip(rng.normal(0.2, 0.3), -0.4, 0.9)),
        brow_lift=float(rng.normal(0, 0.012)),
        eye_open=float(rng.uniform(0.9, 1.08)),
        beard_growth=float(rng.uniform(-0.15, 0.15)),
        hair_growth=float(rng.uniform(-0.12, 0.12)),
        backdrop=(float(tone + tint[0]), float(tone + tint[1]), float(tone + tint[2] + 4)),
        height_lines=bool(rng.random() < 0.5),
        garment=str(rng.choice(["tee", "collar", "vee", "hood"], p=[0.4, 0.2, 0.25, 0.15])),
        garment_colour=CLOTHES[int(rng.integers(0, len(CLOTHES)))],
        noise=float(rng.uniform(0.8, 3.5)),
        blur=float(rng.uniform(0.0, 0.8)),
    )
