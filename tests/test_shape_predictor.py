"""The landmarks are dlib's own, to the pixel, and its file is read whole or not at all."""

import dlib
import numpy as np
import pytest
from PIL import Image

from demo.portraits import draw_portrait
from indexer.blazeface import BlazeFaceDetector
from indexer.models import converted_landmarks, landmarks_file, network_file
from indexer.shape_predictor import TOGETHER, ShapePredictor, convert_trees
from indexer.weights import WeightsError


@pytest.fixture(scope="module")
def predictor():
    with np.load(converted_landmarks()) as tables:
        return ShapePredictor(tables)


@pytest.fixture(scope="module")
def dlibs():
    return dlib.shape_predictor(str(landmarks_file()))


def boxes_in(rgb, seed):
    """Where the face is, and boxes moved and scaled at random: of half a face, beyond the edge, of no face at all."""
    (found, *_) = BlazeFaceDetector().faces(rgb)
    numbers, side = np.random.default_rng(seed), found.width
    moves = [(0, 0, 0), *numbers.integers(-side // 2, side // 2 + 1, (6, 3)).tolist()]
    return [
        (found.left + x - more, found.top + y - more, found.right + x + more, found.bottom + y + more)
        for x, y, more in moves
    ]


def require_dlibs_points(predictor, dlibs, photos):
    faces = [(rgb, box) for seed, rgb in enumerate(photos) for box in boxes_in(rgb, seed)]
    expected = [[(one.x, one.y) for one in dlibs(rgb, dlib.rectangle(*box)).parts()] for rgb, box in faces]
    np.testing.assert_array_equal(predictor.points(faces), expected)


def test_drawn_faces_get_dlibs_points(predictor, dlibs):
    photos = [np.asarray(draw_portrait(4, number, 1).resize((240, 300))) for number in range(1, 5)]
    assert len(photos) * 7 > TOGETHER
    require_dlibs_points(predictor, dlibs, photos)


@pytest.mark.parametrize("name", ["meds", "london", "lfw"])
def test_real_faces_get_dlibs_points(predictor, dlibs, real_photos, name):
    paths = sorted(real_photos(name).rglob("*.jpg"))[:24]
    require_dlibs_points(predictor, dlibs, [np.asarray(Image.open(path).convert("RGB")) for path in paths])


def test_a_face_gets_the_same_points_alone(predictor):
    rgb = np.asarray(draw_portrait(4, 5, 1))
    faces = [(rgb, box) for box in boxes_in(rgb, 5)]
    np.testing.assert_array_equal(predictor.points(faces), [predictor.points([one])[0] for one in faces])


@pytest.mark.parametrize("box", [(0, 0, 0, 0), (40, 40, 40, 40), (-900, -900, -800, -800), (9, 9, 100_000, 100_000)])
def test_a_box_of_nothing_is_no_error(predictor, dlibs, box):
    rgb = np.asarray(draw_portrait(4, 6, 1).resize((60, 75)))
    expected = [(one.x, one.y) for one in dlibs(rgb, dlib.rectangle(*box)).parts()]
    np.testing.assert_array_equal(predictor.points([(rgb, box)])[0], expected)


def test_no_faces_have_no_points(predictor):
    assert predictor.points([]).shape == (0, 5, 2)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.999999])
def test_a_file_that_is_cut_off_is_refused(tmp_path, share):
    content = landmarks_file().read_bytes()
    path = tmp_path / "landmarks.dat"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(WeightsError, match=r"landmarks\.dat is cut off .*reinstall"):
        convert_trees(path)


def test_another_of_dlibs_models_is_refused():
    with pytest.raises(WeightsError, match="reinstall"):
        convert_trees(network_file())
