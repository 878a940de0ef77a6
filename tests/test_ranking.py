"""Searches against a slow and plain computation of the same ranks."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.ranking import LONGEST, search_all
from evaluation.rates import OUT_OF_REACH


def plainly(faces, whose, probe, wanted):
    """Returns rank, mate's distance and nearest other's distance of one probe, by comparing it with every subject."""
    distances = np.sqrt(((faces.astype(np.float64) - probe) ** 2).sum(axis=1))
    nearest = {subject: distances[whose == subject].min() for subject in np.unique(whose)}
    mate = nearest.pop(wanted, np.inf)
    ahead = sum(one <= mate for one in nearest.values())
    rank = ahead + 1 if np.isfinite(mate) and ahead < LONGEST else OUT_OF_REACH
    return rank, mate, min(nearest.values())


@pytest.mark.parametrize(("subjects", "each"), [(30, 2), (150, 3), (8, 60)])
def test_ranks_are_those_of_a_plain_search(subjects, each):
    random = np.random.default_rng(subjects)
    whose = np.repeat(np.arange(subjects), each)
    faces = random.normal(0, 0.1, (len(whose), 128)).astype(np.float32)
    wanted = np.arange(subjects + 5)  # the last five are of nobody enrolled
    probes = random.normal(0, 0.1, (len(wanted), 128)).astype(np.float32)

    made = search_all(faces, whose, probes, wanted)

    for number in range(len(wanted)):
        rank, mate, other = plainly(faces, whose, probes[number], wanted[number])
        assert made.ranks[number] == rank
        assert made.mates[number] == pytest.approx(mate)
        assert made.others[number] == pytest.approx(other)


def test_a_model_that_gives_everybody_the_same_embedding_finds_nobody_first():
    faces = np.ones((10, 128), dtype=np.float32)

    made = search_all(faces, np.arange(10), faces, np.arange(10))

    assert made.ranks.tolist() == [10] * 10


def test_a_probe_without_a_face_finds_nobody_and_is_nobodys_candidate():
    faces = np.zeros((3, 128), dtype=np.float32)
    probes = np.full((1, 128), np.nan, dtype=np.float32)

    made = search_all(faces, np.arange(3), probes, np.array([1]))

    assert (made.ranks[0], made.mates[0], made.others[0]) == (OUT_OF_REACH, np.inf, np.inf)


def test_nobody_is_found_where_nobody_is_enrolled():
    probes = np.zeros((2, 128), dtype=np.float32)

    made = search_all(np.empty((0, 128), dtype=np.float32), np.empty(0, dtype=np.int64), probes, np.array([0, 1]))

    assert not np.isfinite(made.others).any()
