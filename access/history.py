"""What the ledger knows about a request, and the traces by which a later request will find this one.

A trace is a text under which an entry can be found again; the database holds it only as a keyed digest, so that a
copy of it tells no case number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from access.cases import same_case, very_case
from access.decision import Decision
from access.judging import POLICY
from access.ledger.chain import Entry
from access.ledger.ledger import View
from access.names import name_problem
from access.questions import question
from access.requests import Approval, Earlier, History, Request
from access.rules import ASKED_WITH_A_CASE, COUNTED, Rules
from access.vocabulary import Vocabulary

MOST_READ = 200
"""How many refusals of one case or probe are read. There are no more different questions than tenants, beneficiaries
and purposes; where there are, whoever asks is held."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


def read_history(
    view: View, rules: Rules, vocabulary: Vocabulary, request: Request, tenant: str | None, at: str | None = None
) -> History:
    """Returns what the ledger knows about a tenant's request; nothing for an operation without a case. `at`: on which
    day its queries are counted, where it is not today."""
    if tenant is None or request.operation not in ASKED_WITH_A_CASE:
        return History()
    now = at or view.now
    refused: list[Earlier] = []
    for on, trace in _refusal_traces(request):
        entries = view.find(trace, MOST_READ)
        refused += [_earlier(entry, on, rules, vocabulary) for entry in entries]
        if len(entries) == MOST_READ:
            refused.append(Earlier(entries[0].number, on, None))
    case = request.case if _is_traced(request.case) else None
    approved = [_approval(entry) for entry in view.find(approval_trace(case))] if case else []
    today = {
        name: view.count(_day_trace(now, name))
        for name in {tenant, request.beneficiary or tenant}
        if _is_limited(rules, name, now)
    }
    return History(
        tuple(sorted(refused, key=lambda one: one.number)), tuple(sorted(approved, key=lambda one: one.number)), today
    )


def kept_traces(request: Request, decision: Decision, now: str) -> list[str]:
    """Returns the traces that stay for good: an answered search or batch of a test counts for who asked and for whom,
    that day."""
    if request.operation not in COUNTED or not decision.allowed:
        return []
    return [_day_trace(now, name) for name in sorted({decision.who.name, request.beneficiary or decision.who.name})]


def erasable_traces(
    rules: Rules, vocabulary: Vocabulary, request: Request, decision: Decision, history: History
) -> list[str]:
    """Returns the traces that go when the entry's details are erased.

    A refusal that was found already is not traced again: repeating it cannot push others out of sight.
    """
    if request.operation not in ASKED_WITH_A_CASE:
        return []
    traces = [probe_trace(request.probe)] if request.probe and _DIGEST.fullmatch(request.probe) else []
    if decision.outcome == "refused" and any(one.rule in POLICY for one in decision.findings_that("refuses")):
        asked = question(rules, vocabulary, decision.who.name, request.beneficiary, request.purpose)
        known = {one.on for one in history.refused if one.question in (asked, None)}
        traces += [trace for on, trace in _refusal_traces(request) if on not in known]
    return traces


def approval_trace(case: str) -> str:
    """Returns the trace of approvals for a case."""
    return f"approved:{very_case(case)}"


def probe_trace(digest: str) -> str:
    """Returns the trace of every search with a probe photo, by the SHA-256 of its bytes."""
    return f"probe:{digest}"


def _refusal_traces(request: Request) -> Iterable[tuple[str, str]]:
    if request.case is not None and _is_traced(request.case):
        yield "case", f"refused-case:{same_case(request.case)}"
    if request.probe and _DIGEST.fullmatch(request.probe):
        yield "probe", f"refused-probe:{request.probe}"


def _day_trace(now: str, tenant: str) -> str:
    return f"day:{now[:10]}:{tenant}"


def _is_limited(rules: Rules, name: str, now: str) -> bool:
    tenant = rules.tenants.get(name)
    standing = tenant.licence.at(now) if tenant else None
    return standing is not None and standing.terms.queries_a_day is not None


def _is_traced(case: str | None) -> bool:
    """Whether it is a case number at all: what is none is refused for that, and leads nowhere."""
    return case is not None and name_problem(case) is None


def _earlier(entry: Entry, on: str, rules: Rules, vocabulary: Vocabulary) -> Earlier:
    body = json.loads(entry.body)
    request = body["request"]
    return Earlier(
        entry.number,
        on,
        question(rules, vocabulary, body["who"]["name"], request["beneficiary"], request["purpose"]),
    )


def _approval(entry: Entry) -> Approval:
    body = json.loads(entry.body)
    who = body["who"]
    return Approval(
        number=entry.number,
        time=entry.time,
        until=body["until"],
        tenant=body["tenant"],
        beneficiary=body["beneficiary"],
        purpose=body["purpose"],
        role=who["role"],
        holder=who["name"],
        person=who["person"] or who["name"],
    )
