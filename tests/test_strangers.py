"""Wrong credentials: refused alike, counted beside the ledger, told in it now and then, so that no disk is filled."""

from __future__ import annotations

import multiprocessing
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from officials import forged, open_shell, types_after
from rulebook import SEARCH, House, open_house

from access.acts.operators import rotate
from access.acts.queries import Queries
from access.acts.tenants import Tenants
from access.credentials import authenticate, make_credential
from access.gate import Gate, Refused, Request
from access.ledger.errors import LedgerUnreadable
from access.ledger.ledger import Ledger
from access.report import report_year
from access.strangers import count_stranger

STRANGER = make_credential().text


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = open_house(tmp_path)
    house.register("Sheriff", "sheriff")
    return house


def knock(gate: Gate, text: str = STRANGER) -> Refused:
    with pytest.raises(Refused) as caught:
        gate.ask(text, SEARCH)
    return caught.value


def told(house: House) -> list[dict[str, Any]]:
    """Returns what the ledger was told, oldest first: day, count and the day before's rest."""
    found = house.gate.ledger.recent(100, type="credentials.refused")
    return [{name: one.body[name] for name in ("day", "wrong", "earlier")} for one in reversed(found)]


def wrong_in_report(house: House) -> int:
    return int(report_year(2026, house.gate.ledger.stream()).as_json()["wrong_credentials"])


def test_a_thousand_wrong_ones_leave_ten_entries_that_tell_the_count(house: House) -> None:
    before = house.gate.ledger.head().number
    for _ in range(1000):
        knock(house.gate)
    assert types_after(house.gate.ledger, before) == ["credentials.refused"] * 10
    assert [one["wrong"] for one in told(house)] == [2**power for power in range(10)]
    assert wrong_in_report(house) == 512


def test_an_unknown_id_and_a_wrong_secret_look_the_same(house: House) -> None:
    unknown, wrong = knock(house.gate), knock(house.gate, forged(house.credentials["Sheriff"]))
    knock(house.gate)
    third = knock(house.gate, forged(house.clerk))
    same = {str(one).split("): ")[-1] for one in (unknown, wrong, third)}
    assert len(same) == 1
    assert {one.decision.who for one in (unknown, wrong, third)} == {unknown.decision.who}
    assert {one.decision.findings for one in (unknown, wrong, third)} == {unknown.decision.findings}


def test_an_unknown_id_is_compared_as_a_known_one_is(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []

    def compare(one: str, other: str) -> bool:
        compared.append((len(one), len(other)))
        return False

    rules = house.gate.rules()[0]
    monkeypatch.setattr("access.credentials.hmac.compare_digest", compare)
    for text in (STRANGER, forged(house.clerk)):
        authenticate(rules, text)
    assert compared == [(64, 64), (64, 64)]


def test_an_entry_says_day_count_and_host_and_nothing_of_what_was_shown(house: House) -> None:
    knock(house.gate)
    (entry,) = house.gate.ledger.recent(1, details=True)
    assert set(entry.body) == {"day", "wrong", "host", "earlier"}
    assert (entry.entry.subject, entry.details) == ("unknown", None)


def test_one_that_is_only_counted_has_no_receipt_and_says_so(house: House) -> None:
    assert [knock(house.gate).receipt is not None for _ in range(4)] == [True, True, False, True]
    assert "wrong credentials are counted in the ledger" in str(knock(house.gate))


def test_the_count_is_kept_across_processes(house: House) -> None:
    for _ in range(5):
        knock(Gate(Ledger(house.path, clock=house.clock)))
    assert [one["wrong"] for one in told(house)] == [1, 2, 4]


def test_a_new_day_begins_anew_and_tells_the_rest_of_the_old_one(house: House) -> None:
    for _ in range(7):
        knock(house.gate)
    house.clock.now = "2026-03-02T00:00:00.000000Z"
    knock(house.gate)
    assert told(house)[-1] == {"day": "2026-03-02", "wrong": 1, "earlier": {"day": "2026-03-01", "wrong": 7}}
    assert wrong_in_report(house) == 8


ACTS: dict[str, Callable[[House], Any]] = {
    "ask": lambda house: house.gate.ask(STRANGER, SEARCH),
    "read": lambda house: house.gate.readable(STRANGER, ["county"]),
    "index": lambda house: house.gate.ask(STRANGER, Request("index", "county")),
    "an act": lambda house: Tenants(house.gate, STRANGER).suspend("Sheriff", "x"),
    "reading the ledger": lambda house: house.gate.admit(STRANGER, "audit.show"),
    "rotating": lambda house: rotate(house.gate, STRANGER),
    "recording": lambda house: house.gate.record(STRANGER, "gallery.rolled-back", "county", {}),
    "approving": lambda house: Queries(house.gate, STRANGER).approve_query("Sheriff", "26-1", "robbery", "x"),
    "approving for nobody": lambda house: Queries(house.gate, STRANGER).approve_query("No", "26-1", "robbery", "x"),
}


@pytest.mark.parametrize("act", ACTS)
def test_a_wrong_credential_is_counted_wherever_it_is_shown(house: House, act: str) -> None:
    with pytest.raises(Refused, match="not known here"):
        ACTS[act](house)
    assert [one["wrong"] for one in told(house)] == [1]


@pytest.mark.parametrize("text", ["", "af1", "x" * 100_000, "\x00\udcff", "af1.0000000000000000." + "A" * 44])
def test_what_is_no_credential_at_all_is_counted_the_same(house: House, text: str) -> None:
    knock(house.gate, text)
    assert [one["wrong"] for one in told(house)] == [1]


def test_a_strangers_long_question_is_not_kept(house: House) -> None:
    with pytest.raises(Refused):
        house.gate.ask(STRANGER, replace(SEARCH, case="x" * 100_000, purpose="y" * 100_000))
    assert len(house.gate.ledger.head().body) < 1000


def test_a_revoked_credential_is_no_strangers(house: House) -> None:
    house.tenants.revoke_credential("Sheriff", house.credentials["Sheriff"].split(".")[1], "lost")
    assert "was revoked" in str(knock(house.gate, house.credentials["Sheriff"]))
    assert told(house) == []


def test_a_count_that_cannot_be_kept_answers_nothing(house: House) -> None:
    (house.path / "strangers").mkdir()
    with pytest.raises(LedgerUnreadable, match="wrong credentials cannot be counted"):
        house.gate.ask(STRANGER, SEARCH)


@pytest.mark.parametrize("content", ["", "nonsense", "2026-03-01 -5", "2026-03-01", "\xff" * 40])
def test_a_count_that_is_none_begins_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / "strangers").write_text(content, encoding="latin-1")
    assert count_stranger(tmp_path, "2026-03-01")[0].wrong == 1
    assert count_stranger(tmp_path, "2026-03-01")[0].wrong == 2


def test_the_count_is_a_file_for_its_owner_alone(house: House) -> None:
    knock(house.gate)
    assert stat.S_IMODE((house.path / "strangers").stat().st_mode) == 0o600


def _knock_often(home: Path) -> None:
    gate = Gate.open(home)
    for _ in range(20):
        knock(gate)


def test_many_at_once_are_all_counted(tmp_path: Path) -> None:
    home = open_shell(tmp_path).home
    context = multiprocessing.get_context("fork")
    knocking = [context.Process(target=_knock_often, args=(home,)) for _ in range(4)]
    for one in knocking:
        one.start()
    for one in knocking:
        one.join(60)
    day = datetime.now(UTC).date().isoformat()
    assert [one.exitcode for one in knocking] == [0] * 4
    assert (home / "strangers").read_text().split() == [day, "80"]
