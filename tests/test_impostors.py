"""All comparisons of different people: the nearest listed, the others counted."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation import impostors
from evaluation.impostors import distances_between, nearest_impostors


@pytest.fixture
def faces():
    random = np.random.default_rng(4)
    return random.normal(0, 0.1, (1200, 128)).astype(np.float32), random.integers(0, 300, 1200)


def every_distance(embeddings, subjects):
    first, second = np.triu_indices(len(embeddings), 1)
    apart = subjects[first] != subjects[second]
    return np.sort(distances_between(embeddings, first[apart], second[apart]))


def test_the_nearest_are_those_of_a_plain_comparison_and_all_are_counted(faces, monkeypatch):
    monkeypatch.setattr(impostors, "PROBED", 100_000)  # fewer than there are: not all are listed
    embeddings, subjects = faces
    whole = every_distance(embeddings, subjects)

    found = nearest_impostors(embeddings, subjects, 1).trials(subjects)

    listed = np.sort(found.distances)
    assert found.count == len(whole)
    assert 0.025 < len(listed) / len(whole) < 0.035
    assert listed == pytest.approx(whole[: len(listed)])
    assert (found.first != found.second).all()


def test_a_photo_without_a_face_is_in_no_comparison(faces):
    embeddings, subjects = (one[:100] for one in faces)
    embeddings = embeddings.copy()
    embeddings[:50] = np.nan

    found = nearest_impostors(embeddings, subjects, 1).trials(subjects)

    assert found.count == len(every_distance(embeddings[50:], subjects[50:]))


def test_where_there_is_one_subject_there_are_none(faces):
    assert nearest_impostors(faces[0], np.zeros(1200, dtype=np.int64), 1) is None
