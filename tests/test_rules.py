"""The state that rule entries lead to; moments, names and the vocabulary that rules are written in."""

from __future__ import annotations

from typing import Any

import pytest

from access.ledger.chain import Draft, Entry, canonical, seal
from access.ledger.errors import LedgerUnreadable
from access.names import read_name, recordable
from access.rules import rules_from
from access.times import later, read_end, read_moment, shown
from access.vocabulary import load_vocabulary, read_vocabulary
from foundation.errors import InputError

BY = {"operator": "clerk", "credential": "00" * 8}
ADDED = {"kind": "sheriff", "galleries": ["county"], "operations": ["search"], "until": None, "by": BY, "why": "new"}
MORATORIUM = {
    "reason": "law",
    "link": None,
    "from": "2026-03-02T00:00:00.000000Z",
    "until": "2026-03-03T00:00:00.000000Z",
    "named_kinds": ["police"],
    "kinds": ["sheriff"],
    "operations": ["search"],
    "exempt_tenants": [],
    "exempt_purposes": [],
    "by": BY,
}
BASE = [("ledger.created", "ledger", {"format": 1}), ("operator.added", "clerk", {"by": BY, "why": "first"})]


def at(hour: int) -> str:
    return f"2026-03-01T{hour:02}:00:00.000000Z"


def chain(*drafts: tuple[str, str, dict[str, Any]]) -> list[Entry]:
    """Entries written one an hour, from 00:00."""
    entries: list[Entry] = []
    for hour, (type_, subject, body) in enumerate([*BASE, *drafts]):
        last = entries[-1] if entries else None
        entries.append(seal(Draft(type_, subject, body), canonical(body), last, at(hour), b"k" * 32))
    return entries


def reasoned(type_: str, **more: object) -> tuple[str, str, dict[str, Any]]:
    return (type_, "Sheriff", {"by": BY, "why": "because", **more})


def test_a_suspended_licence_is_reinstated_and_every_state_is_known_at_its_time() -> None:
    entries = chain(
        ("tenant.added", "Sheriff", ADDED), reasoned("licence.suspended"), reasoned("licence.reinstated", until=None)
    )
    states = [rules_from(entries, at=at(hour)).tenants["Sheriff"].licence.at(at(hour)) for hour in (2, 3, 4)]
    assert states == ["active", "suspended", "active"]
    assert "Sheriff" not in rules_from(entries, at=at(1)).tenants


def test_a_revoked_licence_never_comes_back() -> None:
    entries = chain(("tenant.added", "Sheriff", ADDED), reasoned("licence.revoked"))
    assert rules_from(entries).tenants["Sheriff"].licence.at(at(23)) == "revoked"
    for change in (reasoned("licence.reinstated", until=None), reasoned("licence.suspended")):
        forged = chain(("tenant.added", "Sheriff", ADDED), reasoned("licence.revoked"), change)
        with pytest.raises(LedgerUnreadable, match=r"entry 5 .*never comes back"):
            rules_from(forged)


def test_a_licence_expires_at_its_own_end_and_not_before() -> None:
    licence = rules_from(chain(("tenant.added", "Sheriff", {**ADDED, "until": at(9)}))).tenants["Sheriff"].licence
    assert licence.at("2026-03-01T08:59:59.999999Z") == "active"
    assert licence.at(at(9)) == "expired"


def test_a_moratorium_is_half_open() -> None:
    rules = rules_from(chain(("moratorium.declared", "june", MORATORIUM)))
    june = rules.moratoria["june"]
    assert june.state("2026-03-01T23:59:59.999999Z") == "upcoming"
    assert june.state("2026-03-02T00:00:00.000000Z") == "in force"
    assert june.state("2026-03-02T23:59:59.999999Z") == "in force"
    assert june.state("2026-03-03T00:00:00.000000Z") == "ended"


@pytest.mark.parametrize(
    ("draft", "says"),
    [
        (("tenant.added", "Sheriff", {**ADDED, "beneficiary": "x"}), "beneficiary"),
        (("tenant.added", "Sheriff", {**ADDED, "operations": ["evaluate"]}), "evaluate"),
        (("moratorium.declared", "june", {k: v for k, v in MORATORIUM.items() if k != "until"}), "until"),
        (reasoned("licence.suspended"), "Sheriff"),
        (("operator.added", "clerk", {"by": BY, "why": "again"}), "second time"),
    ],
)
def test_an_entry_not_understood_in_every_part_is_refused(draft: tuple[str, str, dict[str, Any]], says: str) -> None:
    with pytest.raises(LedgerUnreadable, match=f"entry 3 .*{says}"):
        rules_from(chain(draft))


def test_secrets_digests_stay_out_of_repr() -> None:
    body = {"credential": "ab" * 8, "role": "operator", "person": "clerk", "secret_sha256": "s" * 64}
    rules = rules_from(chain(("credential.issued", "clerk", {**body, "by": BY, "why": "first"})))
    assert "ssss" not in repr(rules)


NOW = "2026-03-01T12:00:00.000000Z"


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
def test_moments(text: str, moment: str) -> None:
    assert read_moment(text, NOW, "--from") == moment


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("2020-06-10", "names no time zone"),
        ("2020-06-10T00:00", "names no time zone"),
        ("soon", "is no ISO 8601"),
        ("2020-06-31T00:00Z", "is no ISO 8601"),
        ("0001-01-01T00:00+05:00", "outside the years"),
    ],
)
def test_moments_that_are_none(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_moment(text, NOW, "--from")


def test_durations() -> None:
    start = "2020-06-10T00:00:00.000000Z"
    assert later(start, "1y", "--for") == "2021-06-10T00:00:00.000000Z"
    assert later(start, "30d", "--for") == "2020-07-10T00:00:00.000000Z"
    assert later(start, "12h", "--for") == "2020-06-10T12:00:00.000000Z"
    assert later("2020-02-29T00:00:00.000000Z", "1y", "--for") == "2021-03-01T00:00:00.000000Z"
    for wrong in ("1m", "0d", "-1d", "y", "9999y", "1.5d", "٣d"):
        with pytest.raises(InputError, match="--for"):
            later(start, wrong, "--for")


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


def test_the_installed_vocabulary() -> None:
    words = load_vocabulary()
    assert words.groups["police"] == {"municipal-police", "sheriff", "state-police"}
    assert words.groups["police"] < words.groups["law-enforcement"] <= words.groups["government"]
    assert words.expand(["police", "corrections"]) == words.groups["police"] | {"corrections"}
    assert {"homicide", "missing-person", "exoneration-review", "testing"} <= set(words.purposes)
    assert not {word for word in words.purposes if "immigra" in word or "protest" in word or "intelligence" in word}
    with pytest.raises(InputError, match="did you mean 'sheriff'"):
        words.expand(["sherif"])


@pytest.mark.parametrize(
    ("kinds", "says"),
    [
        ({"kind": {}}, "unknown key 'kind'"),
        ({"kinds": {"a": ""}, "groups": {"g": ["a"]}}, "no sentence"),
        ({"kinds": {"A b": "x"}, "groups": {"g": ["a"]}}, "lower-case"),
        ({"kinds": {"sheriff": "x"}, "groups": {"g": ["sherif"]}}, "did you mean 'sheriff'"),
        ({"kinds": {"a": "x"}, "groups": {"a": ["a"]}}, "no kind's name"),
        ({"kinds": {"a": "x"}, "groups": {"g": []}}, "not a list"),
        ({"kinds": {"a": "x"}}, "groups"),
    ],
)
def test_a_vocabulary_that_is_not_as_it_should_be(kinds: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_vocabulary(kinds, {"purposes": {"homicide": "x"}})
