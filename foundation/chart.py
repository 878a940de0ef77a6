"""Line charts as SVG, for reports and for the benchmarks' results; no plotting library is among the pins."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM = 720, 260, 70, 40, 45
NAMES, VALUES, NAMES_TOP, BAR, LONGEST_NAME = 190, 70, 46, 24, 30  # of a chart of bars
DASHES = ("", "6 3", "2 3")
COLOURS = ("#1f6fb4", "#c4562b", "#3a8a4d")


@dataclass(frozen=True)
class Panel:
    """One chart. lines: name -> points; marks: name -> points drawn as crosses, such as targets.

    log: the axes, of "x" and "y", that are logarithmic. share: those whose values are shares, told in percent. low:
    where a linear y axis begins.
    """

    title: str
    x: str
    y: str
    lines: Mapping[str, Sequence[tuple[float, float]]]
    marks: Mapping[str, Sequence[tuple[float, float]]]
    log: str = ""
    share: str = ""
    low: float = 0.0


@dataclass(frozen=True)
class Bar:
    """One line of a Bars chart. value: a share, None where text stands in its place. low, high: of its interval."""

    name: str
    text: str
    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Bars:
    """Shares side by side, each with its interval as a bar. log: for a logarithmic axis. whole: drawn as a line."""

    title: str
    bars: Sequence[Bar]
    log: bool = False
    whole: float | None = None


def write_charts(path: Path, panels: Sequence[Panel]) -> None:
    """Writes the panels below one another as one SVG file."""
    path.write_text(draw_charts(panels) + "\n", encoding="utf-8")


def draw_charts(panels: Sequence[Panel]) -> str:
    """Returns the panels below one another as SVG."""
    title = escape("; ".join(panel.title for panel in panels), quote=True)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT * len(panels)}" role="img" '
        f'aria-label="{title}" '
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
    ]
    for number, panel in enumerate(panels):
        parts += [f'<g transform="translate(0 {number * HEIGHT})">', *_drawn(panel), "</g>"]
    return "\n".join([*parts, "</svg>"])


def draw_bars(chart: Bars) -> str:
    """Returns the shares below one another as SVG."""
    ends = [one for bar in chart.bars for one in (bar.low, bar.value, bar.high) if one is not None]
    ends += [] if chart.whole is None else [chart.whole]
    positive = [one for one in ends if one > 0]
    log = chart.log and bool(positive)
    axis = Panel(chart.title, "", "", {}, {}, log="x" if log else "", share="x")
    across = _ticks(positive if log else ends, "x", axis, 0.0)
    first, last = (math.log10(one) if log else one for one in (across[0], across[-1]))
    height = NAMES_TOP + BAR * len(chart.bars) + 24

    def place(share: float) -> float:
        here = math.log10(max(share, across[0])) if log else share
        return NAMES + (WIDTH - VALUES - NAMES) * (here - first) / (last - first)

    title = escape(chart.title, quote=True)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}" '
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>',
        f'<text x="0" y="16" font-weight="bold">{title}</text>',
    ]
    foot = height - 22
    for tick in across:
        x = place(tick)
        out.append(f'<line x1="{x:.0f}" x2="{x:.0f}" y1="{NAMES_TOP - 6}" y2="{foot}" stroke="#ddd"/>')
        out.append(f'<text x="{x:.0f}" y="{foot + 16}" text-anchor="middle">{_share(tick)}</text>')
    if chart.whole is not None and (chart.whole > 0 or not log):
        x = place(chart.whole)
        out.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{NAMES_TOP - 6}" y2="{foot}" stroke="#111" stroke-dasharray="4 3"/>'
        )
        out.append(f'<text x="{x:.0f}" y="{NAMES_TOP - 10}" text-anchor="middle" fill="#111">all photos</text>')
    for number, bar in enumerate(chart.bars):
        y = NAMES_TOP + BAR * number + BAR / 2
        name = bar.name if len(bar.name) <= LONGEST_NAME else bar.name[: LONGEST_NAME - 1] + "\u2026"
        out.append(f'<text x="{NAMES - 10}" y="{y + 4:.0f}" text-anchor="end">{escape(name)}</text>')
        if bar.value is None:
            out.append(
                f'<text x="{NAMES + 4}" y="{y + 4:.0f}" fill="#555" font-style="italic">{escape(bar.text)}</text>'
            )
            continue
        out.append(f'<text x="{WIDTH - VALUES + 10}" y="{y + 4:.0f}">{escape(bar.text)}</text>')
        if bar.low is not None and bar.high is not None:
            low, high = place(bar.low), place(bar.high)
            out.append(
                f'<rect x="{low:.1f}" y="{y - 5:.1f}" width="{high - low:.1f}" height="10" fill="{COLOURS[0]}" '
                'opacity=".35"/>'
            )
        out.append(f'<circle cx="{place(bar.value):.1f}" cy="{y:.1f}" r="4" fill="{COLOURS[0]}"/>')
    return "\n".join([*out, "</svg>"])


def _share(share: float) -> str:
    return f"{100 * share:.6f}".rstrip("0").rstrip(".") + "%"


def _drawn(panel: Panel) -> list[str]:
    points = [point for line in [*panel.lines.values(), *panel.marks.values()] for point in line]
    across = _ticks([x for x, _ in points], "x", panel, 0.0)
    up = _ticks([y for _, y in points], "y", panel, panel.low)

    def at(value: float, ticks: list[float], log: bool, begin: float, end: float) -> float:
        first, last, here = (math.log10(one) if log else one for one in (ticks[0], ticks[-1], value))
        return begin + (end - begin) * (here - first) / (last - first)

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            at(x, across, "x" in panel.log, LEFT, WIDTH - RIGHT),
            at(y, up, "y" in panel.log, HEIGHT - BOTTOM, 35),
        )

    def told(tick: float, axis: str) -> str:
        return _share(tick) if axis in panel.share else f"{tick:,.10g}"

    out = [f'<text x="{LEFT}" y="20" font-weight="bold">{escape(panel.title)}</text>']
    out += [f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 10}" text-anchor="end">{escape(panel.x)}</text>']
    out += [f'<text x="12" y="{HEIGHT / 2}" transform="rotate(-90 12 {HEIGHT / 2})">{escape(panel.y)}</text>']
    for tick in across:
        x, y = place(tick, up[0])
        out.append(f'<text x="{x:.0f}" y="{y + 16:.0f}" text-anchor="middle">{told(tick, "x")}</text>')
    for tick in up:
        x, y = place(across[0], tick)
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.0f}" y2="{y:.0f}" stroke="#ddd"/>')
        out.append(f'<text x="{LEFT - 6}" y="{y + 4:.0f}" text-anchor="end">{told(tick, "y")}</text>')
    names = [*panel.lines, *panel.marks]
    for number, name in enumerate(names):
        colour = COLOURS[number % len(COLOURS)]
        dashes = (
            f' stroke-dasharray="{DASHES[number % len(DASHES)]}"' if number else ""
        )  # told apart on grey paper, too
        out.append(
            f'<text x="{WIDTH - RIGHT}" y="{20 + 14 * number}" text-anchor="end" fill="{colour}">{escape(name)}</text>'
        )
        if name in panel.lines:
            drawn = " ".join("{:.1f},{:.1f}".format(*place(*point)) for point in panel.lines[name])
            out.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="1.5"{dashes}/>')
        for point in panel.marks.get(name, ()):
            x, y = place(*point)
            out.append(f'<path d="M{x - 5:.1f} {y:.1f}h10M{x:.1f} {y - 5:.1f}v10" stroke="{colour}" stroke-width="2"/>')
    return out


def _ticks(values: Sequence[float], axis: str, panel: Panel, bottom: float) -> list[float]:
    high = max(values, default=1.0)
    if axis in panel.log:
        low = min(values, default=0.1)
        last = math.ceil(math.log10(high * 1.001))
        last = min(last, 0) if axis in panel.share else last
        return [10.0**power for power in range(min(math.floor(math.log10(low)), last - 1), last + 1)]
    span = max(high - bottom, 1e-9)
    step = 10 ** math.floor(math.log10(span))
    step = next(step * part for part in (0.2, 0.5, 1.0, 2.0) if span / (step * part) <= 6)
    return [bottom + step * number for number in range(math.ceil(round(span / step, 9)) + 1)]
