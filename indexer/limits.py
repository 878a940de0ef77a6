"""What a photo and its face must be to be enrolled. Every limit has its unit and its reason."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from foundation.errors import InputError

# What a face must be. Other limits say what is read at all; only these can change without a look at the photos.
OF_QUALITY = (
    "min_eye_distance",
    "max_yaw",
    "min_brightness",
    "max_brightness",
    "min_sharpness",
    "min_confidence",
)
WHOLE = frozenset({"max_bytes", "max_pixels", "max_side", "decode_memory"})
LONGEST_DECODING = 3600.0


@dataclass(frozen=True)
class Limits:
    """Limits of one job. Raises InputError for a value that is no finite number, below zero, or no whole number
    where bytes or pixels are counted.

    max_bytes, max_pixels: of the file and of the decoded picture (a 48-megapixel phone photo fits).
    max_side: pixels of the longer side. A phone's panorama fits (16,000 or so), and what is longer at the same number
        of pixels is so narrow that no face in it could be seen, but takes many times as long to decode.
    decode_seconds, decode_memory: of one photo in the helper process; memory is address space in bytes.
    min_eye_distance: pixels between the eyes' centres in the upright photo; ISO/IEC 19794-5 asks 90 of
        new photos, 24 is where a 150-pixel chip has been enlarged about three times.
    max_yaw: nose off the middle of the eyes, in eye distances; 0 is frontal. Of 1,157 press photos and portraits the
        furthest turned measured 0.96, the two full profiles at hand 1.8 and 4.7.
    min_brightness, max_brightness: mean grey of the face, 0 to 255. Far outside what skin of any tone
        shows in a readable photo (36 to 208 over the mugshots, portraits and press photos measured), since
        a limit inside that range would reject people by their skin.
    min_sharpness: see indexer.quality.sharpness; readable photos measured 2.7 or more.
    min_confidence: the detector's score, a logit; it tells no face below 0.5.
    """

    max_bytes: int = 50_000_000
    max_pixels: int = 120_000_000
    max_side: int = 30_000
    decode_seconds: float = 60.0
    decode_memory: int = 4_000_000_000
    min_eye_distance: float = 24.0
    max_yaw: float = 1.0
    min_brightness: float = 20.0
    max_brightness: float = 235.0
    min_sharpness: float = 2.0
    min_confidence: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            whole = "whole " if field.name in WHOLE else ""
            number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or value < 0:
                raise InputError(f"limit {field.name} is {value!r}; give a {whole}number of 0 or more")
        if not 0 < self.decode_seconds <= LONGEST_DECODING:
            raise InputError(
                f"limit decode_seconds is {self.decode_seconds!r}; give more than 0 and at most {LONGEST_DECODING:g}"
            )

    @property
    def of_quality(self) -> dict[str, float]:
        """The limits that a face is held against, which a gallery remembers."""
        return {name: float(getattr(self, name)) for name in OF_QUALITY}

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> Limits:
        """Returns the defaults with settings laid over them. Raises InputError for an unknown name."""
        from foundation.settings import refuse_unknown_keys

        refuse_unknown_keys(settings, (field.name for field in fields(cls)), "limits")
        return cls(**settings)
