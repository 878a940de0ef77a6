"""Charts: axes that fit their values, and names that cannot draw."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from foundation.chart import Panel, draw_charts, write_charts

TEXT = "{http://www.w3.org/2000/svg}text"


def texts(panel):
    return [one.text for one in ElementTree.fromstring(draw_charts([panel])).iter(TEXT)]


def test_logarithmic_axes_of_shares_end_at_all_of_them():
    told = texts(Panel("DET", "FMR", "FNMR", {"": [(0.00002, 1.0), (1.0, 0.004)]}, {}, log="xy", share="xy"))

    assert {"0.001%", "0.01%", "100%"} <= set(told)
    assert "1000%" not in told


def test_a_linear_axis_may_begin_above_nothing():
    told = texts(Panel("CMC", "rank", "found", {"": [(1, 0.91), (50, 0.99)]}, {}, share="y", low=0.9))

    assert "90%" in told
    assert "0%" not in told


@pytest.mark.parametrize("log", ["", "x", "y", "xy"])
@pytest.mark.parametrize("points", [[], [(0.5, 0.5)], [(1.0, 1.0)], [(0.01, 0.2), (0.9, 0.3)]])
def test_whatever_the_points_a_chart_is_drawn_inside_its_frame(log, points):
    drawn = draw_charts([Panel("one", "x", "y", {"line": points}, {}, log=log)])

    for x, y in re.findall(r"([-\d.]+),([-\d.]+)", "".join(re.findall(r'points="([^"]*)"', drawn))):
        assert 70 <= float(x) <= 680
        assert 30 <= float(y) <= 215


def test_a_name_cannot_draw(tmp_path):
    path = tmp_path / "chart.svg"
    write_charts(path, [Panel('<script>"', "x", "y", {"<b>": [(1, 1)]}, {})])

    assert "<script" not in path.read_text()
    ElementTree.parse(path)
