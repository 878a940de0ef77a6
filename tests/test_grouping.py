"""Groups by a list's columns: bands, intersections, missing values, and columns that are refused."""

from __future__ import annotations

import pytest

from foundation.errors import InputError
from indexer.grouping import By

PEOPLE = [
    {"sex": "F", "race": "B", "age": "31.9"},
    {"sex": "M", "race": "W", "age": "29"},
    {"sex": " F ", "race": "W", "age": "NA"},
    {"race": "B", "age": "104"},
]


def groups(text, columns=PEOPLE):
    return By.read(text).groups(columns, "list.csv").groupings


def told(grouping):
    return [grouping.names[place] for place in grouping.members]


def test_a_missing_value_is_a_group_of_its_own():
    (sex,) = groups("sex")

    assert sex.names == ("F", "M", "not stated")
    assert told(sex) == ["F", "M", "F", "not stated"]


def test_several_columns_are_taken_alone_and_together():
    sex, race, both = groups("sex,race")

    assert (sex.title, race.title, both.title) == ("sex", "race", "sex and race")
    assert told(both) == ["F, B", "M, W", "F, W", "not stated, B"]


def test_numbers_are_taken_in_bands_in_their_order():
    (age,) = groups("age:10")

    assert age.names == ("20 to below 30", "30 to below 40", "100 to below 110", "not stated")


def test_a_column_whose_name_has_a_colon_is_itself():
    (odd,) = groups("a:10", [{"a:10": "x"}, {"a:10": "y"}])

    assert odd.names == ("x", "y")


@pytest.mark.parametrize(
    ("text", "columns", "says"),
    [
        ("gender", PEOPLE, r"--by 'gender': list.csv has no such column \(columns: age, race, sex\)"),
        ("sexx", PEOPLE, r"no such column; did you mean 'sex'\?"),
        ("sex", [{}, {}], r"it has none of its own"),
        ("sex", [{"sex": "F"}, {"sex": "F"}], "has one value only, 'F'; a comparison needs two groups"),
        ("sex", [{"sex": "F"}, {}], "one value only, 'F', and none for the others"),
        ("sex", [{"sex": ""}, {"sex": "n/a"}], "states no value for any photo"),
        ("age", [{"age": f"{one}.5"} for one in range(20)], "20 values there, which tell photos apart.*--by age:10"),
        ("name", [{"name": f"N{one // 2}"} for one in range(400)], "200 values there.*name a column of kinds"),
        ("sex:10", PEOPLE, "has 'F' there, which is no number"),
        ("age:0", PEOPLE, "'0' is no width of a band"),
        ("sex,sex", PEOPLE, "--by is 'sex,sex'; name columns of the list, each once"),
        ("sex,", PEOPLE, "name columns"),
    ],
)
def test_columns_that_group_nobody_are_refused(text, columns, says):
    with pytest.raises(InputError, match=says):
        groups(text, columns)


@pytest.mark.parametrize(("at", "rate", "distance"), [("0.1%", 0.001, None), ("0.45", None, 0.45)])
def test_a_cut_off_is_a_rate_or_a_distance(at, rate, distance):
    by = By.read("sex", at)

    assert by.rate == (None if rate is None else pytest.approx(rate))
    assert by.distance == distance


@pytest.mark.parametrize("at", ["near", "-1", "0", "nan", "0%"])
def test_a_cut_off_that_is_neither_is_refused(at):
    with pytest.raises(InputError, match=r"give a rate such as 0\.1%, or a distance such as 0\.45"):
        By.read("sex", at)
