"""Many processes ask while operators forbid and allow: no answer lies between the two, on either database."""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from databases import Place, ServerPlace
from rulebook import SEARCH

from access.acts.moratoria import Moratoria, MoratoriumTerms
from access.acts.operators import Operators
from access.acts.tenants import Tenants, WantedTerms
from access.gate import Gate, Refused
from access.homes import make_home
from access.ledger.errors import LedgerBusy
from access.ledger.ledger import Ledger, Recorded
from access.ledger.verification import verify

PROCESSES = 8
QUERIES = 190
SECONDS = 12
"""Of each process: 1,520 queries together where the machine is quiet, fewer where they would take much longer."""
SHERIFFS = ("Sheriff 0", "Sheriff 1", "Sheriff 2", "Sheriff 3")


@dataclass(frozen=True)
class Asker:
    """Who asks in one process, and for whom."""

    name: str
    credential: str
    beneficiary: str | None


def _ask_often(home: Path, asker: Asker, told: Connection) -> None:
    outcomes = {"allowed": 0, "refused": 0, "held": 0, "busy": 0}
    try:
        _count_answers(home, asker, outcomes)
    except Exception as error:
        told.send((outcomes, repr(error)))
        raise
    told.send((outcomes, None))


def _count_answers(home: Path, asker: Asker, outcomes: dict[str, int]) -> None:
    gate, deadline = Gate.open(home), time.monotonic() + SECONDS
    request = replace(SEARCH, case=f"of {asker.name}", beneficiary=asker.beneficiary)
    for count in range(QUERIES):
        if time.monotonic() > deadline:
            return
        try:
            gate.answer(gate.ask(asker.credential, request), {"count": count})
            gate.handed_out()
        except Refused as refused:
            outcomes[refused.decision.outcome] += 1
        except LedgerBusy:  # nothing was answered: on a disk that is slow SQLite may let one process wait for long
            outcomes["busy"] += 1
        else:
            outcomes["allowed"] += 1


@dataclass
class Rush:
    """What a run left: its ledger, and what every process counted."""

    ledger: Ledger
    entries: list[Recorded]
    outcomes: list[dict[str, int]]
    errors: list[str | None]


def _forbid_and_allow(gate: Gate, first: str, second: str, round_: int) -> None:
    """Bars all sheriffs, then lifts that; suspends one, then reinstates it. Pauses, so that others get in between."""
    moratoria, name = Moratoria(gate, first), f"m{round_}"
    moratoria.declare(MoratoriumTerms(name, "law", ["police"]))
    gate.outstanding(2)
    time.sleep(0.03)
    number = moratoria.lift(name, "the law is in force").number
    Moratoria(gate, second).approve_change("moratorium.lift", name, number)
    time.sleep(0.06)
    sheriff = SHERIFFS[round_ % len(SHERIFFS)]
    Tenants(gate, second).suspend(sheriff, "audit overdue")
    time.sleep(0.03)
    Tenants(gate, first).reinstate(sheriff, "audit passed")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def rush(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Rush:
    """8 processes ask: four sheriffs, two who ask for a sheriff, and two that nothing is about."""
    home = tmp_path_factory.mktemp("rush") / "home"
    with pytest.MonkeyPatch.context() as patch:
        url = None
        if request.param == "postgresql":
            place: Place = ServerPlace(home, request.getfixturevalue("postgresql"))
            assert isinstance(place, ServerPlace)
            patch.setenv("AFTERFACT_LEDGER_OWNER", place.owner_url)
            url = place.url
        first = make_home(home, "clerk", url=url).text
    gate = Gate.open(home)
    second = Operators(gate, first).add("second", "licensing-officer", "so that there are two").text
    askers = []
    for number in range(PROCESSES):
        name = SHERIFFS[number] if number < 4 else f"Rescue {number}"
        kind = "sheriff" if number < 4 else "anti-trafficking-organisation"
        credential = Tenants(gate, first).add(name, kind, WantedTerms(galleries=["county"])).text
        askers.append(Asker(name, credential, SHERIFFS[number - 4] if number in (4, 5) else None))
    context = multiprocessing.get_context("fork")
    processes, ends = [], []
    for asker in askers:
        here, there = context.Pipe(duplex=False)
        processes.append(context.Process(target=_ask_often, args=(home, asker, there)))
        ends.append(here)
    for process in processes:
        process.start()
    round_ = 0
    patient = Gate(Ledger(home, wait_seconds=60))
    while any(process.is_alive() for process in processes):
        _forbid_and_allow(patient, first, second, round_)
        round_ += 1
    for process in processes:
        process.join(60)
    told = [end.recv() for end in ends]
    ledger = Ledger(home)
    return Rush(ledger, list(ledger.stream()), [one for one, _ in told], [error for _, error in told])


def test_every_process_ends_well(rush: Rush) -> None:
    assert rush.errors == [None] * PROCESSES
    assert sum(sum(one.values()) for one in rush.outcomes) > 200


def test_both_answers_and_refusals_came_about_in_several_rounds(rush: Rush) -> None:
    types = [one.entry.type for one in rush.entries]
    assert types.count("moratorium.declared") == types.count("moratorium.lifted") >= 2
    assert all(one["allowed"] and one["refused"] for one in rush.outcomes[:4])


def test_whom_nothing_is_about_is_always_answered(rush: Rush) -> None:
    assert all(one["allowed"] and not one["refused"] and not one["held"] for one in rush.outcomes[6:])


def test_entries_are_numbered_without_a_gap(rush: Rush) -> None:
    assert [one.entry.number for one in rush.entries] == list(range(1, len(rush.entries) + 1))


def test_the_ledger_holds_as_many_answers_as_were_given(rush: Rush) -> None:
    counted = {ending: sum(one[ending] for one in rush.outcomes) for ending in ("allowed", "refused", "held")}
    types = [one.entry.type for one in rush.entries]
    assert types.count("search.answered") == counted["allowed"]
    assert types.count("search.refused") == counted["refused"]
    assert counted["held"] == 0


def test_no_answer_lies_between_what_forbids_it_and_what_lifts_that(rush: Rush) -> None:
    barred: dict[str, set[str]] = {}
    wrong = []
    for one in rush.entries:
        type_, subject = one.entry.type, one.entry.subject
        if type_ == "moratorium.declared":
            barred[subject] = set(SHERIFFS)
        elif type_ == "licence.suspended":
            barred[subject] = {subject}
        elif type_ in ("moratorium.lifted", "licence.reinstated"):
            del barred[subject]
        elif type_ == "search.answered":
            parties = {subject, one.body["request"]["beneficiary"]}
            wrong += [one.entry.number for names in barred.values() if names & parties]
    assert wrong == []


def test_the_whole_ledger_verifies(rush: Rush) -> None:
    found = verify(rush.ledger)
    assert (found.intact, found.number) == (True, len(rush.entries))


def test_nothing_is_in_flight_afterwards(rush: Rush) -> None:
    assert rush.ledger.outstanding(0) == 0
