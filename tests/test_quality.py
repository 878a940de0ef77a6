"""Measures of a face, and the limits held against them."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageFilter

from demo.portraits import draw_portrait
from indexer.detector import Detection
from indexer.extraction import extract_faces
from indexer.limits import Limits
from indexer.outcomes import Rejection
from indexer.quality import Quality, measure_quality, require_quality, sharpness

GOOD = Quality(score=1.0, eye_distance=60.0, yaw=0.0, roll=0.0, brightness=120.0, sharpness=20.0)
BOX = Detection(0, 0, 100, 100, 1.0)


@pytest.mark.parametrize(
    ("measure", "value", "outcome", "limit"),
    [
        ("score", -0.1, "LOW_CONFIDENCE", "min_confidence is 0"),
        ("eye_distance", 23.9, "SMALL_FACE", "min_eye_distance is 24"),
        ("yaw", 1.01, "EXTREME_POSE", "max_yaw is 1"),
        ("yaw", -1.01, "EXTREME_POSE", "max_yaw is 1"),
        ("brightness", 19.9, "LOW_BRIGHTNESS", "min_brightness is 20"),
        ("brightness", 235.1, "HIGH_BRIGHTNESS", "max_brightness is 235"),
        ("sharpness", 1.9, "LOW_SHARPNESS", "min_sharpness is 2"),
    ],
)
def test_each_limit_rejects_by_its_own_name_and_tells_both_numbers(measure, value, outcome, limit):
    with pytest.raises(Rejection) as raised:
        require_quality(replace(GOOD, **{measure: value}), Limits())
    assert raised.value.outcome.value == outcome
    assert f"{value:.2f}" in raised.value.detail
    assert limit in raised.value.detail


def test_a_face_exactly_at_its_limits_is_kept():
    require_quality(GOOD, Limits())
    at = Quality(score=0.0, eye_distance=24.0, yaw=-1.0, roll=0.0, brightness=20.0, sharpness=2.0)
    require_quality(at, Limits())


def test_yaw_is_zero_in_front_and_grows_to_either_side():
    chip = np.zeros((150, 150, 3), np.uint8)

    def yaw(nose):
        eyes = [(90.0, 50.0), (70.0, 50.0), (10.0, 50.0), (30.0, 50.0)]
        return measure_quality(BOX, np.array([*eyes, nose]), chip).yaw

    assert yaw((50.0, 80.0)) == pytest.approx(0)
    assert yaw((80.0, 80.0)) == pytest.approx(0.5)
    assert yaw((20.0, 80.0)) == pytest.approx(-0.5)


def test_roll_and_eye_distance_are_measured_in_the_photo():
    quality = measure_quality(
        BOX, np.array([(40.0, 40.0), (40.0, 40.0), (0.0, 0.0), (0.0, 0.0), (20.0, 20.0)]), np.zeros((150, 150, 3), "u1")
    )
    assert quality.eye_distance == pytest.approx(np.hypot(40, 40))
    assert quality.roll == pytest.approx(45)


def test_landmarks_in_one_point_are_no_division_by_zero():
    quality = measure_quality(BOX, np.zeros((5, 2)), np.zeros((150, 150, 3), np.uint8))
    assert quality.eye_distance == 0
    assert np.isfinite(quality.yaw)


def test_sharpness_falls_with_blur_and_not_with_light():
    grey = draw_portrait(5, 1, 1).convert("L").resize((150, 150))
    sharp = sharpness(grey)
    assert sharpness(grey.filter(ImageFilter.GaussianBlur(4))) < sharp / 4
    assert sharpness(grey.point(lambda value: value // 2)) == pytest.approx(sharp, rel=0.1)
    assert sharpness(Image.new("L", (90, 90), 128)) == 0


def test_a_turned_portrait_measures_its_roll(tmp_path):
    portrait = draw_portrait(5, 1, 1)
    upright, turned = tmp_path / "0.png", tmp_path / "12.png"
    portrait.save(upright)
    portrait.rotate(-12, resample=Image.Resampling.BICUBIC, fillcolor=portrait.getpixel((2, 2))).save(turned)
    rolls = [extract_faces(path, tmp_path, Limits()).faces[0].quality.roll for path in (upright, turned)]
    assert rolls[1] - rolls[0] == pytest.approx(12, abs=4)
