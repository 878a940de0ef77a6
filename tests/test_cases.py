"""Case numbers: two spellings of one are one, and the pattern that a licence can ask for."""

from __future__ import annotations

import pytest

from access.cases import fits_pattern, read_pattern, same_case, very_case
from foundation.errors import InputError


@pytest.mark.parametrize(
    "spelling", ["2026-117A", "2026-117a", " 2026-117A ", "2026-117 A", "2026 - 117\u00a0a", "2026-\u2009117A"]
)
def test_spaces_and_letter_case_make_no_other_case(spelling: str) -> None:
    assert same_case(spelling) == same_case("2026-117A")


@pytest.mark.parametrize("spelling", ["2026\u2013117A", "2026\u2011117A", "２０２６-117A", "2026-117Ａ"])
def test_signs_that_look_alike_make_no_other_case(spelling: str) -> None:
    assert same_case(spelling) == same_case("2026-117A")


@pytest.mark.parametrize("spelling", ["2026117A", "2026/117A", "2026_117A", "2026-117A."])
def test_signs_between_digits_make_no_other_case(spelling: str) -> None:
    assert same_case(spelling) == same_case("2026-117A")


@pytest.mark.parametrize(
    "spelling", ["2026-117a", "2026 - 117\u00a0a", "2026\u2013117A", "２０２６-117Ａ", "2026/117_A."]
)
def test_leave_for_a_case_serves_its_other_spellings(spelling: str) -> None:
    assert very_case(spelling) == very_case("2026-117A")


@pytest.mark.parametrize("other", ["2026-11-7A", "20261-17A", "2026117A", "2026-1 17A", "2026-118A", "2026-117"])
def test_leave_for_a_case_serves_none_whose_numbers_are_others(other: str) -> None:
    assert very_case(other) != very_case("2026-117A")


@pytest.mark.parametrize("other", ["2026-118A", "2026-117B", "2026-1177A", "2025-117A", "2026-117"])
def test_another_digit_or_letter_is_another_case(other: str) -> None:
    assert same_case(other) != same_case("2026-117A")


@pytest.mark.parametrize(
    ("case", "pattern", "fits"),
    [
        ("2026-0117", "2026-####", True),
        ("2026-117", "2026-####", False),
        ("2026-01170", "2026-####", False),
        ("x2026-0117", "2026-####", False),
        ("2026-011a", "2026-####", False),
        ("AB-17", "@@-##", True),
        ("A1-17", "@@-##", False),
        ("A_-17", "@@-##", False),
        ("2026/anything at all", "2026/*", True),
        ("2026/", "2026/*", True),
        ("2026.0117", "2026.####", True),
        ("2026-0117", "2026.####", False),
        ("(17)", "(##)", True),
        ("aaa", "a+", False),
    ],
)
def test_a_pattern_means_what_its_signs_say_and_the_whole_number(case: str, pattern: str, fits: bool) -> None:
    assert fits_pattern(case, pattern) is fits


@pytest.mark.parametrize("digits", ["٠١١٧", "۰۱۱۷", "０１１７", "²¹¹⁷"])
def test_digits_of_another_script_do_not_pass_for_a_second_spelling_of_a_case(digits: str) -> None:
    assert not fits_pattern(f"2026-{digits}", "2026-####")


@pytest.mark.parametrize("pattern", ["", "  ", "#" * 65, "*-*", "2026\n####", "20\u202e26"])
def test_a_pattern_that_is_none_is_refused_with_an_example(pattern: str) -> None:
    with pytest.raises(InputError, match=r"^--case-pattern .*2026-####"):
        read_pattern(pattern)


@pytest.mark.parametrize("pattern", ["2026-####", "@@##*", "#" * 64, "*"])
def test_a_pattern_is_kept_as_it_was_written(pattern: str) -> None:
    assert read_pattern(pattern) == pattern


def test_a_hostile_pattern_and_number_take_no_time() -> None:
    assert not fits_pattern("1" * 64 + "x", read_pattern("#" * 31 + "*" + "#" * 32))
