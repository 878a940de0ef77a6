"""What a detector is: where the faces of a photo are, and what is known of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Detection:
    """A face's box, as dlib's HOG would put it, in pixels of the upright photo, and the detector's score (a logit).

    It may reach beyond the photo's edge. roll: degrees by which it must be turned about its middle to be upright,
    0 where it is upright enough; the box is that of the turned face. yaw: the nose off the middle of the eyes along
    their line, in eye distances, by the detector's own points (0 frontal).
    """

    left: int
    top: int
    right: int
    bottom: int
    score: float
    roll: float = 0.0
    yaw: float = 0.0

    @property
    def width(self) -> int:
        return self.right - self.left


class Detector(Protocol):
    """Finds faces. name goes into the digest of a job's settings: another name, other segments."""

    name: str

    def copies(self, rgb: np.ndarray, every_look: bool = False) -> list[np.ndarray]:
        """Returns the small copies that faces() looks at in any case; rgb and they are uint8 (rows, columns, 3).

        Made apart for those with several photos at hand: all the copies, then all the looks, take less time.
        """

    def faces(
        self, rgb: np.ndarray, every_look: bool = False, copies: Sequence[np.ndarray] | None = None
    ) -> list[Detection]:
        """Returns the faces of the cheapest looks that leave no room for another, largest first; or those that every
        look together shows. copies: what copies() made of the same photo for the same looks."""
