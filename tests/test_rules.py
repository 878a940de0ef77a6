"""The state that rules are kept as: licences in time, moratoria in time, moments, names, the vocabulary."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rulebook import EVERYTHING, LONG_AGO, NOW, change, just_before, licence, moratorium, moved, registry, tenant

from access.names import read_name, recordable
from access.rules import Licence
from access.times import later, read_end, read_moment, shown
from access.vocabulary import load_vocabulary, read_vocabulary
from foundation.errors import InputError

TOMORROW, NEXT_WEEK = moved(NOW, days=1), moved(NOW, days=7)


def states(of: Licence, *moments: str) -> list[str]:
    standings = [of.at(moment) for moment in moments]
    return [
        standing.shown_state(moment) if standing else "-" for standing, moment in zip(standings, moments, strict=True)
    ]


def test_a_licence_is_nothing_before_it_begins_and_active_from_its_first_moment() -> None:
    assert states(licence(begins=NOW), just_before(NOW), NOW) == ["-", "active"]


def test_a_licence_expires_at_its_own_end_and_not_before() -> None:
    assert states(licence(until=NOW), just_before(NOW), NOW) == ["active", "expired"]


def test_a_suspension_dated_ahead_begins_on_its_day() -> None:
    suspended = licence(change("suspended", TOMORROW, 2))
    assert states(suspended, NOW, just_before(TOMORROW), TOMORROW) == ["active", "active", "suspended"]


def test_a_suspension_ends_with_its_reinstatement() -> None:
    back = licence(change("suspended", NOW, 2), change("active", TOMORROW, 3))
    assert states(back, just_before(NOW), NOW, just_before(TOMORROW), TOMORROW) == [
        "active",
        "suspended",
        "suspended",
        "active",
    ]


def test_of_two_changes_at_one_moment_the_later_entry_holds() -> None:
    suspended, back = change("suspended", NOW, 3), change("active", NOW, 2)
    assert states(licence(suspended, back), NOW) == ["suspended"]
    assert states(licence(back, suspended), NOW) == ["suspended"]
    assert states(licence(change("suspended", NOW, 2), change("active", NOW, 3)), NOW) == ["active"]


def test_a_renewal_moves_the_end_and_keeps_the_other_terms() -> None:
    renewed = licence(change("active", NOW, 2, changed={"until": NEXT_WEEK}), until=NOW, largest_k=7)
    assert states(renewed, NOW, just_before(NEXT_WEEK), NEXT_WEEK) == ["active", "active", "expired"]
    standing = renewed.at(NOW)
    assert standing is not None
    assert standing.terms.largest_k == 7


def test_new_terms_hold_from_their_day_and_do_not_end_a_suspension() -> None:
    narrow = change("terms", TOMORROW, 3, changed={"galleries": frozenset()})
    suspended = licence(change("suspended", NOW, 2), narrow)
    before, after = suspended.at(NOW), suspended.at(TOMORROW)
    assert before is not None
    assert after is not None
    assert (before.state, before.terms.galleries) == ("suspended", {"county"})
    assert (after.state, after.terms.galleries) == ("suspended", frozenset())


def test_a_revoked_licence_is_shown_as_revoked_even_past_its_end() -> None:
    assert states(licence(change("revoked", NOW, 2), until=TOMORROW), TOMORROW) == ["revoked"]


def test_what_is_dated_ahead_is_told_soonest_first() -> None:
    both = licence(change("revoked", NEXT_WEEK, 2), change("suspended", TOMORROW, 3))
    assert [one.what for one in both.ahead(NOW)] == ["suspended", "revoked"]


def test_a_suspension_dated_before_the_licence_begins_never_lets_it_begin_early() -> None:
    early = licence(change("suspended", NOW, 2), begins=TOMORROW)
    assert states(early, NOW)[0] != "active"
    assert states(early, TOMORROW) == ["suspended"]


def test_new_terms_dated_before_the_licence_begins_do_not_begin_it() -> None:
    early = licence(change("terms", NOW, 2, terms=EVERYTHING), begins=TOMORROW)
    assert states(early, NOW, just_before(TOMORROW), TOMORROW) == ["-", "-", "active"]


def test_a_licence_revoked_before_it_begins_never_begins() -> None:
    early = licence(change("revoked", NOW, 2), begins=TOMORROW)
    assert "active" not in states(early, NOW, TOMORROW, NEXT_WEEK)


changes = st.lists(
    st.tuples(st.sampled_from(["suspended", "active", "revoked", "terms"]), st.integers(0, 9)), max_size=12
)


@given(changes, st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_once_revoked_a_licence_is_revoked_for_good_in_whatever_order_changes_come(
    drawn: list[tuple[str, int]], order: random.Random
) -> None:
    made = [
        change(what, moved(NOW, hours=hour), entry, terms=EVERYTHING if what == "terms" else None)
        for entry, (what, hour) in enumerate(drawn, start=2)
    ]
    order.shuffle(made)
    found = states(licence(*made), *(moved(NOW, hours=hour) for hour in range(-1, 11)))
    revoked = [hour for what, hour in drawn if what == "revoked"]
    assert [hour - 1 for hour, state in enumerate(found) if state == "revoked"] == (
        list(range(min(revoked), 11)) if revoked else []
    )


def test_a_moratorium_is_half_open() -> None:
    day = moratorium(start=NOW, until=TOMORROW)
    seen = [day.state(one) for one in (just_before(NOW), NOW, just_before(TOMORROW), TOMORROW)]
    assert seen == ["upcoming", "in force", "in force", "ended"]


def test_a_lifted_moratorium_is_lifted_whatever_its_interval() -> None:
    assert moratorium(start=TOMORROW, lifted=NOW).state(NEXT_WEEK) == "lifted"


@pytest.mark.parametrize(
    ("fields", "barred"),
    [
        ({}, {"search", "evaluate", "read"}),
        ({"apart": {"evaluate"}}, {"search", "read"}),
        ({"operations": {"search", "evaluate"}, "apart": {"evaluate"}}, {"search", "evaluate", "read"}),
        ({"operations": {"index"}}, {"index"}),
        ({"operations": {"new-licences"}}, {"new-licences"}),
        ({"operations": {"evaluate"}}, {"evaluate"}),
    ],
)
def test_a_bar_on_search_bars_whatever_reveals_neighbours_unless_named_apart(
    fields: dict[str, Any], barred: set[str]
) -> None:
    june = moratorium(**fields)
    assert {one for one in ("search", "index", "evaluate", "read", "new-licences") if june.bars(one)} == barred


def test_a_tenant_registered_anew_bears_every_earlier_name() -> None:
    line = [tenant("A"), tenant("B", formerly="A"), tenant("C", formerly="B")]
    rules = registry(*line, moratoria=[moratorium(kinds=set(), tenants={"A"})])
    assert [rules.names_of(one) for one in line] == [{"A"}, {"A", "B"}, {"A", "B", "C"}]
    assert all(rules.bars(one, "search", NOW) for one in line)


def test_an_exemption_of_the_old_name_is_none_of_the_new_one() -> None:
    old, new = tenant("A"), tenant("B", formerly="A")
    rules = registry(old, new, moratoria=[moratorium(exempt_tenants={"A"})])
    assert [one.name for one in rules.bars(old, "search", NOW)] == []
    assert [one.name for one in rules.bars(new, "search", NOW)] == ["june"]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", NOW),
        ("2020-06-10T00:00Z", "2020-06-10T00:00:00.000000Z"),
        ("2020-06-10T00:00-07:00", "2020-06-10T07:00:00.000000Z"),
        ("2020-06-10 00:00:00.000001+00:00", "2020-06-10T00:00:00.000001Z"),
        ("0900-01-01T00:00Z", "0900-01-01T00:00:00.000000Z"),
    ],
)
def test_a_date_is_read_with_its_zone_to_the_microsecond(text: str, moment: str) -> None:
    assert read_moment(text, NOW, "--from") == moment


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("2020-06-10", "names no time zone"),
        ("2020-06-10T00:00", "names no time zone"),
        ("soon", "is no ISO 8601"),
        ("", "is no ISO 8601"),
        ("2020-06-31T00:00Z", "is no ISO 8601"),
        ("0001-01-01T00:00+05:00", "outside the years"),
    ],
)
def test_a_date_that_is_none_or_has_no_zone_is_refused(text: str, says: str) -> None:
    with pytest.raises(InputError, match=f"^--from .*{says}"):
        read_moment(text, NOW, "--from")


@pytest.mark.parametrize(
    ("start", "duration", "end"),
    [
        ("2020-06-10T00:00:00.000000Z", "1y", "2021-06-10T00:00:00.000000Z"),
        ("2020-06-10T00:00:00.000000Z", "30d", "2020-07-10T00:00:00.000000Z"),
        ("2020-06-10T00:00:00.000000Z", "2w", "2020-06-24T00:00:00.000000Z"),
        ("2020-06-10T00:00:00.000000Z", "12h", "2020-06-10T12:00:00.000000Z"),
        ("2020-02-29T00:00:00.000000Z", "1y", "2021-03-01T00:00:00.000000Z"),
        ("2020-02-29T00:00:00.000000Z", "4y", "2024-02-29T00:00:00.000000Z"),
    ],
)
def test_a_duration_ends_where_a_calendar_says(start: str, duration: str, end: str) -> None:
    assert later(start, duration, "--for") == end


@pytest.mark.parametrize("wrong", ["1m", "0d", "-1d", "y", "9999y", "1.5d", "٣d", ""])
def test_a_duration_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(InputError, match=r"^--for"):
        later(LONG_AGO, wrong, "--for")


def test_one_end_that_is_after_the_start() -> None:
    with pytest.raises(InputError, match="both name the end"):
        read_end("now", "1y", NOW, NOW)
    with pytest.raises(InputError, match="is not after the start"):
        read_end("now", None, NOW, NOW)
    assert read_end(None, None, NOW, NOW) is None


def test_moments_are_shown_as_exactly_as_they_are() -> None:
    assert shown("2020-06-10T00:00:00.000000Z") == "2020-06-10 00:00 UTC"
    assert shown("2020-06-10T10:00:10.000000Z") == "2020-06-10 10:00:10 UTC"
    assert shown("2020-06-10T00:00:00.120000Z") == "2020-06-10 00:00:00.12 UTC"
    assert shown(None) == "further notice"


def test_names_are_composed_and_visible() -> None:
    assert read_name("Jose\u0301", "name") == "José"
    for wrong in ("", "  ", "a\nb", "a\u202eb", "a\u200bb", " a", "x" * 65):
        with pytest.raises(InputError, match="name"):
            read_name(wrong, "name")


def test_what_strangers_sent_can_be_recorded() -> None:
    assert recordable("a\udcff" * 1000) == "a\\udcff" * 250


def test_the_installed_groups_hold_each_other() -> None:
    words = load_vocabulary()
    assert words.groups["police"] == {"municipal-police", "sheriff", "state-police"}
    assert words.groups["police"] < words.groups["law-enforcement"] < words.groups["government"]
    assert words.expand(["police", "corrections"]) == words.groups["police"] | {"corrections"}
    assert {"independent-tester", "research"}.isdisjoint(words.groups["government"])


def test_what_is_absent_from_the_purposes_on_purpose() -> None:
    words = load_vocabulary()
    assert {"homicide", "missing-person", "exoneration-review", "testing"} <= set(words.purposes)
    absent = ("immigra", "protest", "assembly", "intelligence")
    assert [word for word in words.purposes if any(one in word for one in absent)] == []


def test_an_unknown_kind_is_named_with_its_nearest_spelling() -> None:
    with pytest.raises(InputError, match="did you mean 'sheriff'"):
        load_vocabulary().expand(["sherif"])


ONE = {"word": "A sentence."}


@pytest.mark.parametrize(
    ("kinds", "says"),
    [
        ({"kind": {}}, "unknown key 'kind'; did you mean 'kinds'"),
        ({"kinds": {"a": ""}, "groups": {"g": ["a"]}}, "no sentence"),
        ({"kinds": {"A b": "x"}, "groups": {"g": ["a"]}}, "lower-case"),
        ({"kinds": {"sheriff": "x"}, "groups": {"g": ["sherif"]}}, "did you mean 'sheriff'"),
        ({"kinds": {"a": "x"}, "groups": {"a": ["a"]}}, "no kind's name"),
        ({"kinds": {"a": "x"}, "groups": {"g": []}}, "not a list"),
        ({"kinds": {"a": "x"}, "groups": {"g": ["h"], "h": ["a"]}}, "no group above it"),
        ({"kinds": {"a": "x"}}, "groups"),
    ],
)
def test_kinds_that_are_not_as_they_should_be_are_refused(kinds: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_vocabulary(kinds, {"purposes": ONE}, {"bases": ONE})


def test_purposes_and_bases_need_a_sentence_each() -> None:
    kinds = {"kinds": {"a": "x"}, "groups": {"g": ["a"]}}
    with pytest.raises(InputError, match=r"purposes\.yaml.*'word' has no sentence"):
        read_vocabulary(kinds, {"purposes": {"word": None}}, {"bases": ONE})
    with pytest.raises(InputError, match=r"bases\.yaml"):
        read_vocabulary(kinds, {"purposes": ONE}, {"bases": {}})
