"""A sheet of pixels, and where the head lies on it: soft ellipses, smooth outlines, light."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

Array = npt.NDArray[np.float32]
Region = tuple[slice, slice]

WIDTH, HEIGHT = 480, 600
_SUPERSAMPLING = 3


@dataclass
class Canvas:
    """A picture in the making, with the head's own coordinates.

    Head coordinates (u, v) have their origin between the eyes, u to the right of the picture, v down; one unit is
    half the width of a middling face. `pixels` is float32 (3, 600, 480), 0..255; `light` is float32 (600, 480), the
    factor by which the light brightens or darkens what is painted with lit=True.
    """

    centre: tuple[float, float]
    scale: float
    angle: float
    pixels: Array = field(default_factory=lambda: np.empty((3, HEIGHT, WIDTH), np.float32))
    light: Array = field(default_factory=lambda: np.ones((HEIGHT, WIDTH), np.float32))

    def to_pixels(self, points: npt.ArrayLike) -> Array:
        """Returns pixel coordinates (n, 2) of head coordinates (n, 2)."""
        u, v = np.asarray(points, np.float32).reshape(-1, 2).T * self.scale
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return np.stack([self.centre[0] + u * cos - v * sin, self.centre[1] + u * sin + v * cos], axis=1)

    def grid(self, region: Region) -> tuple[Array, Array]:
        """Returns u and v, each (height, width), of the region's pixels."""
        y = (np.arange(region[0].start, region[0].stop, dtype=np.float32) - self.centre[1])[:, None] / self.scale
        x = (np.arange(region[1].start, region[1].stop, dtype=np.float32) - self.centre[0])[None, :] / self.scale
        cos, sin = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        return x * cos + y * sin, y * cos - x * sin

    def region(self, pixel_points: Array, margin: float) -> Region:
        """Returns the part of the canvas that holds the points (n, 2) and margin pixels around them."""
        low = np.clip(np.floor(pixel_points.min(axis=0) - margin), 0, (WIDTH, HEIGHT)).astype(int)
        high = np.clip(np.ceil(pixel_points.max(axis=0) + margin + 1), 0, (WIDTH, HEIGHT)).astype(int)
        return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))

    def outline(self, points: npt.ArrayLike, blur: float = 0.0) -> tuple[Region, Array]:
        """Returns the region and the coverage 0..1 of a filled polygon; blur is in head units."""
        corners = self.to_pixels(points)
        radius = blur * self.scale
        region = self.region(corners, 3 * radius + 1)
        height, width = region[0].stop - region[0].start, region[1].stop - region[1].start
        if height <= 0 or width <= 0:
            return region, np.zeros((max(height, 0), max(width, 0)), np.float32)
        tile = Image.new("L", (width * _SUPERSAMPLING, height * _SUPERSAMPLING))
        moved = (corners - (region[1].start, region[0].start)) * _SUPERSAMPLING
        ImageDraw.Draw(tile).polygon(moved.ravel().tolist(), fill=255)
        tile = tile.reduce(_SUPERSAMPLING)
        if radius > 0.3:
            tile = tile.filter(ImageFilter.BoxBlur(radius * 1.4))  # a third of a Gaussian's time
        return region, np.asarray(tile, np.float32) / np.float32(255)

    def blob(self, u: float, v: float, width: float, height: float, turn: float = 0.0) -> tuple[Region, Array]:
        """Returns the region and the weight 0..1 of a soft ellipse that fades from its middle to its edge."""
        reach = max(width, height)
        region = self.region(self.to_pixels([(u - reach, v - reach), (u + reach, v + reach)]), reach * self.scale * 0.2)
        across, down = self.grid(region)
        return region, hill(across - u, down - v, width, height, turn)

    def paint(
        self, where: tuple[Region, Array], colour: npt.ArrayLike, strength: float = 1.0, lit: bool = False
    ) -> None:
        """Lays colour (3,) or (3, height, width) over the region by its weights times strength."""
        region, weight = where
        shade = np.asarray(colour, np.float32)
        if shade.ndim == 1:
            shade = shade[:, None, None]
        if lit:
            shade = shade * self.light[region]
        part = self.pixels[:, region[0], region[1]]
        part += weight * np.float32(strength) * (shade - part)

    def darken(self, where: tuple[Region, Array], strength: float) -> None:
        """Takes away strength (0..1, negative brightens) of the brightness by the region's weights."""
        region, weight = where
        self.pixels[:, region[0], region[1]] *= 1 - weight * np.float32(strength)


def tint(colour: npt.ArrayLike, tone: Array) -> Array:
    """Returns colour (3,) at the brightness tone (height, width), as (3, height, width)."""
    return np.asarray(colour, np.float32)[:, None, None] * np.asarray(tone, np.float32)


def hill(u: Array, v: Array, width: float, height: float, turn: float = 0.0) -> Array:
    """Returns a smooth bump: 1 in the middle, 0 from the edge of the ellipse on."""
    if turn:
        cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        u, v = u * cos + v * sin, v * cos - u * sin
    inside = np.maximum(1 - np.square(u / np.float32(width)) - np.square(v / np.float32(height)), 0)
    return np.square(inside)


def curve(points: npt.ArrayLike, closed: bool = False, steps: int = 8) -> Array:
    """Returns a Catmull-Rom curve (n, 2) through the points (m, 2)."""
    knots = np.asarray(points, np.float32)
    around = np.concatenate([knots[-1:], knots, knots[:2]] if closed else [knots[:1], knots, knots[-1:]])
    t = np.linspace(0, 1, steps, endpoint=False, dtype=np.float32)[None, :, None]
    a, b, c, d = (around[i : len(around) - 3 + i, None, :] for i in range(4))
    path = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    path = path.reshape(-1, 2)
    return path if closed else np.concatenate([path, knots[-1:]])


def stroke(path: Array, widths: npt.ArrayLike) -> Array:
    """Returns the outline (2n, 2) of a line along path (n, 2) whose half-widths run smoothly through widths."""
    along = np.gradient(path, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1) / (np.hypot(along[:, 0], along[:, 1])[:, None] + 1e-6)
    given = np.asarray(widths, np.float32)
    half = np.interp(np.linspace(0, len(given) - 1, len(path)), np.arange(len(given)), given)[:, None]
    return np.concatenate([path + normal * half, (path - normal * half)[::-1]]).astype(np.float32)
