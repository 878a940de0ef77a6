"""A ranked list from near faces: one line a subject or one an encounter, 2 to 50 of them."""

import numpy as np
import pytest
from handmade import label, write_version

from foundation.errors import InputError
from search.candidates import format_distance, list_candidates, require_list
from search.faces import GalleryFaces

PROBE = np.zeros(128, np.float32)


def at_distances(tmp_path, people):
    """Opens a gallery of (subject, distance from the probe), in this order."""
    vectors = np.zeros((len(people), 128), np.float32)
    vectors[:, 0] = [distance for _, distance in people]
    labels = [label(row, subject=subject) for row, (subject, _) in enumerate(people)]
    return GalleryFaces(write_version(tmp_path, vectors, labels))


def lines(candidates):
    return [(one.rank, one.subject, round(one.distance, 4)) for one in candidates]


def test_a_subject_stands_once_with_its_nearest_encounter(tmp_path):
    faces = at_distances(tmp_path, [("A", 0.5), ("B", 0.2), ("A", 0.1), ("B", 0.4), ("C", 0.3)])

    assert lines(list_candidates(faces, PROBE, 20, "subject")) == [(1, "A", 0.1), (2, "B", 0.2), (3, "C", 0.3)]


def test_by_encounter_every_photo_stands(tmp_path):
    faces = at_distances(tmp_path, [("A", 0.5), ("B", 0.2), ("A", 0.1), ("B", 0.4), ("C", 0.3)])

    listed = lines(list_candidates(faces, PROBE, 20, "encounter"))

    assert listed == [(1, "A", 0.1), (2, "B", 0.2), (3, "C", 0.3), (4, "B", 0.4), (5, "A", 0.5)]


def test_a_photo_without_a_subject_stands_for_itself(tmp_path):
    faces = at_distances(tmp_path, [(None, 0.1), (None, 0.2), ("A", 0.3), ("A", 0.4)])

    assert lines(list_candidates(faces, PROBE, 20, "subject")) == [(1, None, 0.1), (2, None, 0.2), (3, "A", 0.3)]


def test_a_subject_named_like_a_location_is_not_that_photo(tmp_path):
    faces = at_distances(tmp_path, [(None, 0.1), (label(0)["location"], 0.2)])

    assert len(list_candidates(faces, PROBE, 20, "subject")) == 2


def test_one_subject_with_hundreds_of_photos_does_not_crowd_out_the_others(tmp_path):
    faces = at_distances(tmp_path, [("A", 0.1 + row / 1e4) for row in range(600)] + [("B", 0.9), ("C", 0.8)])

    assert lines(list_candidates(faces, PROBE, 3, "subject")) == [(1, "A", 0.1), (2, "C", 0.8), (3, "B", 0.9)]


@pytest.mark.parametrize("by", ["subject", "encounter"])
@pytest.mark.parametrize("k", [2, 3, 49, 50])
def test_a_list_is_the_beginning_of_every_longer_one(tmp_path, by, k):
    draw = np.random.default_rng(3)
    people = [(f"S{draw.integers(60):02d}", round(float(draw.uniform(0, 1)), 1)) for _ in range(300)]
    faces = at_distances(tmp_path, people)  # rounded: most distances are shared by many

    listed = list_candidates(faces, PROBE, k, by)

    assert len(listed) == k
    assert listed == list_candidates(faces, PROBE, 50, by)[:k]
    assert listed == list_candidates(faces, PROBE, k, by)
    assert [one.rank for one in listed] == list(range(1, k + 1))


def test_a_gallery_smaller_than_the_list_gives_all_its_subjects(tmp_path):
    faces = at_distances(tmp_path, [("A", 0.1), ("B", 0.2), ("A", 0.3)])

    assert len(list_candidates(faces, PROBE, 50, "subject")) == 2
    assert len(list_candidates(faces, PROBE, 50, "encounter")) == 3


def test_an_empty_gallery_gives_an_empty_list(tmp_path):
    assert list_candidates(at_distances(tmp_path, []), PROBE, 20, "subject") == []


@pytest.mark.parametrize("k", [-3, 0, 1, 51, 1000])
def test_a_length_outside_2_to_50_is_refused_and_never_clamped(tmp_path, k):
    with pytest.raises(InputError, match=f"-k is {k}; a candidate list has 2 to 50 lines"):
        require_list(k, "subject")
    with pytest.raises(InputError):
        list_candidates(at_distances(tmp_path, [("A", 0.1)]), PROBE, k, "subject")


def test_an_unknown_by_is_refused():
    with pytest.raises(InputError, match="--by is 'photo'; give one of subject, encounter"):
        require_list(20, "photo")


def test_a_distance_is_told_with_four_decimals(tmp_path):
    one = list_candidates(at_distances(tmp_path, [("A", 0.25)]), PROBE, 2, "subject")[0]

    assert (format_distance(1), format_distance(0.00004)) == ("1.0000", "0.0000")
    assert one.as_json()["distance"] == "0.2500"
    assert one.as_json()["box"] == [10, 10, 90, 90]
