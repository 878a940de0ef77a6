"""What a probe's quality means for its list: a sentence for each thing wrong, none for a good probe."""

from dataclasses import replace

import pytest

from indexer.quality import Quality
from search import advice
from search.advice import advise

GOOD = Quality(score=1.0, eye_distance=90.0, yaw=0.0, roll=0.0, brightness=110.0, sharpness=50.0)


def test_a_good_probe_needs_no_advice():
    assert advise(GOOD) == []


@pytest.mark.parametrize(
    ("measure", "limit", "worse", "word"),
    [
        ("eye_distance", advice.SMALL_EYES, -0.01, "small"),
        ("sharpness", advice.BLURRED, -0.01, "blurred"),
        ("yaw", advice.TURNED, 0.01, "turned"),
        ("yaw", -advice.TURNED, -0.01, "turned"),
        ("roll", advice.TILTED, 0.01, "tilted"),
        ("roll", -advice.TILTED, -0.01, "tilted"),
        ("brightness", advice.DARK, -0.01, "dark"),
        ("brightness", advice.BRIGHT, 0.01, "bright"),
        ("score", advice.UNSURE, -0.01, "barely sure"),
    ],
)
def test_each_measure_speaks_beyond_its_limit_and_not_at_it(measure, limit, worse, word):
    told = advise(replace(GOOD, **{measure: limit + worse}))

    assert len(told) == 1
    assert word in told[0]
    assert advise(replace(GOOD, **{measure: limit})) == []


def test_every_fault_is_told_and_the_small_face_with_its_size():
    told = advise(Quality(score=0.0, eye_distance=17.6, yaw=0.9, roll=-40.0, brightness=10.0, sharpness=0.5))

    assert len(told) == 6
    assert "18 pixels between the eyes" in told[0]
