"""Answers in flight: which a moratorium waits for, and what becomes of those whose process dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.connection import Connection

import pytest
from databases import Place, ServerPlace

from access.ledger.ledger import ANSWERS, Ledger


@pytest.fixture
def ledger(place: Place) -> Ledger:
    return place.create()


def test_answers_count_until_they_are_handed_out(ledger: Ledger, place: Place) -> None:
    assert ledger.outstanding(0) == 0
    first, second = ledger.answering(), ledger.answering()
    assert place.open().outstanding(0) == 2
    first.handed_out()
    first.handed_out()
    assert place.open().outstanding(0) == 1
    second.handed_out()
    assert ledger.outstanding(5) == 0


def test_waiting_ends_when_they_are_handed_out_and_does_not_wait_for_later_ones(ledger: Ledger) -> None:
    early, late = ledger.answering(), []
    threading.Timer(0.1, lambda: late.append(ledger.answering())).start()
    threading.Timer(0.3, early.handed_out).start()
    began = time.monotonic()
    assert ledger.outstanding(10) == 0
    assert 0.2 < time.monotonic() - began < 5
    assert ledger.outstanding(0.1) == 1
    late[0].handed_out()


def _answer_and_wait(home_place: Place, told: Connection) -> None:
    kept = home_place.open().answering()
    told.send(os.getpid())
    time.sleep(60)
    kept.handed_out()


def test_a_killed_holder_counts_as_nothing(ledger: Ledger, place: Place) -> None:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_answer_and_wait, args=(place, there))
    process.start()
    assert here.poll(30)
    assert ledger.outstanding(0) == 1
    os.kill(here.recv(), signal.SIGKILL)
    process.join(10)
    assert ledger.outstanding(5) == 0
    if not isinstance(place, ServerPlace):
        assert list((place.home / ANSWERS).iterdir()) == []


def test_a_forked_child_neither_ends_nor_prolongs_an_answer(ledger: Ledger) -> None:
    answering = ledger.answering()
    child = multiprocessing.get_context("fork").Process(target=answering.handed_out)
    child.start()
    child.join(10)
    assert ledger.outstanding(0) == 1
    sleeper = multiprocessing.get_context("fork").Process(target=time.sleep, args=(30,))
    sleeper.start()
    answering.handed_out()
    assert ledger.outstanding(0) == 0
    sleeper.kill()
    sleeper.join(10)


def test_a_home_without_the_folder_gets_it(place: Place) -> None:
    ledger = place.create()
    (place.home / ANSWERS).rmdir()
    answering = ledger.answering()
    assert ledger.outstanding(0) == 1
    answering.handed_out()
