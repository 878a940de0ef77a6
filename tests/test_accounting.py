"""Every planned photo is accounted for, and what was rejected can be tried again from its list."""

import csv
import io
import json

import pytest

from indexer.accounting import Accounting, AccountingError, rejections_csv

COMPLETE = {
    "planned": 15,
    "enrolled": 4,
    "rejected": {"NO_FACE": 2, "SMALL_FACE": 1},
    "duplicates": 1,
    "held": 2,
    "updated": 3,
    "suppressed": 2,
}


def test_a_sum_that_fits_is_told_in_full():
    told = Accounting(**COMPLETE).as_json()
    assert told == {**COMPLETE, "rejected_total": 3}
    assert list(told["rejected"]) == ["NO_FACE", "SMALL_FACE"]


@pytest.mark.parametrize("field", ["planned", "enrolled", "duplicates", "held", "updated", "suppressed"])
@pytest.mark.parametrize("by", [-1, 1])
def test_a_sum_that_is_off_by_one_anywhere_is_an_error(field, by):
    with pytest.raises(AccountingError, match=r"photos were planned and .* nothing was published"):
        Accounting(**{**COMPLETE, field: COMPLETE[field] + by})


def test_the_share_of_rejections_is_of_the_photos_looked_at():
    assert Accounting(**COMPLETE).rejected_share == 3 / 8
    assert Accounting(planned=5, enrolled=0, held=5).rejected_share == 0


@pytest.mark.parametrize(
    "name",
    ["with spaces.jpg", 'it\'s "quoted", so.jpg', "two\nlines.jpg", "re\rturn.jpg", "\r\n.jpg", "😀.jpg"],
)
def test_any_name_survives_the_list_of_rejections(name):
    row = {
        "photo": name,
        "subject": "S;1",
        "encounter": None,
        "taken": "",
        "disposition": "charged",
        "further": json.dumps({"agency": 'a"b', "height": "180"}),
        "outcome": "NO_FACE",
        "detail": "no face in 5 x 5 pixels",
    }
    other = {**row, "photo": "other.jpg", "further": None}
    text = rejections_csv([row, other]).decode()
    read = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    assert [line["photo"] for line in read] == [name, "other.jpg"]
    assert (read[0]["agency"], read[0]["height"], read[1]["agency"]) == ('a"b', "180", "")
    assert (read[0]["rejected_as"], read[0]["rejected_because"]) == ("NO_FACE", "no face in 5 x 5 pixels")


def test_no_rejections_are_a_list_with_a_header():
    assert rejections_csv([]).decode().split(",")[0] == "photo"
    assert len(rejections_csv([]).decode().splitlines()) == 1
