"""A limit that could not mean anything is refused before a photo is looked at."""

import pytest

from foundation.errors import InputError
from indexer.limits import Limits


def test_given_limits_lie_over_the_usual_ones():
    limits = Limits.from_settings({"min_eye_distance": 40, "max_bytes": 1000})
    assert (limits.min_eye_distance, limits.max_bytes) == (40, 1000)
    assert limits.max_pixels == Limits().max_pixels


def test_an_unknown_limit_is_refused_with_the_nearest_name():
    with pytest.raises(InputError, match="limits: unknown key 'min_eye_distanse'; did you mean 'min_eye_distance'"):
        Limits.from_settings({"min_eye_distanse": 40})


@pytest.mark.parametrize("value", [-1, "40", None, True, float("nan"), float("inf"), [40]])
@pytest.mark.parametrize("name", ["min_eye_distance", "max_bytes"])
def test_what_is_no_number_of_zero_or_more_is_refused(name, value):
    with pytest.raises(InputError, match=f"limit {name} is .*give a (whole )?number of 0 or more"):
        Limits(**{name: value})


@pytest.mark.parametrize("name", ["max_bytes", "max_pixels", "max_side", "decode_memory"])
def test_bytes_and_pixels_are_whole_numbers(name):
    """A fraction would stop every helper at its start."""
    with pytest.raises(InputError, match=f"limit {name} is 4000000000.0; give a whole number"):
        Limits(**{name: 4e9})


@pytest.mark.parametrize("seconds", [0, 3601])
def test_a_photo_has_some_time_and_not_for_ever(seconds):
    with pytest.raises(InputError, match=f"decode_seconds is {seconds}; give more than 0 and at most 3600"):
        Limits(decode_seconds=seconds)
