"""Dry runs: how every tenant stands at a moment and by which rule, whom a moratorium would bar, what it found past."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from access.decision import blocked
from access.findings import Finding
from access.ledger.ledger import Ledger
from access.rules import ASKED_WITH_A_CASE, Moratorium, Rules, Tenant, Terms
from access.times import shown


def outlook(rules: Rules, tenant: Tenant, now: str) -> dict[str, Any]:
    """Returns how a tenant stands at a moment: "may search" or "blocked", by which rules, and until when."""
    first = tenant.licence.changes[0]
    standing = tenant.licence.at(now)
    terms = standing.terms if standing else first.terms
    assert terms is not None
    barred = blocked(rules, tenant, now)
    exempt = [sorted(rules.moratoria[one.name].exempt_purposes) for one in barred if one.name]
    changes = [one for one in tenant.licence.ahead(now) if one.what != "terms"]
    return {
        "name": tenant.name,
        "kind": tenant.kind,
        "licence": standing.shown_state(now) if standing else "not begun",
        "since": standing.since if standing else first.effective,
        "why": standing.why if standing else first.why,
        "until": terms.until,
        "next": [{"what": one.what, "from": one.effective, "why": one.why} for one in changes],
        "state": _state(terms, barred, exempt),
        "blocked_by": [_short(rules, tenant, one) for one in barred],
        "blocked_because": [one.text for one in barred],
        "barred_by": [one.name for one in rules.bars(tenant, "search", now)],
        "terms": terms.as_json(),
    }


def _state(terms: Terms, barred: list[Finding], exempt: list[list[str]]) -> str:
    """Returns what the tenant may do. A purpose is exempt only where every rule that bars it exempts that purpose."""
    if not barred:
        return f"may {', '.join(sorted(terms.operations))}"
    purposes = set.intersection(*map(set, exempt)) if exempt and len(exempt) == len(barred) else set()
    return f"blocked, but for {', '.join(sorted(purposes))}" if purposes else "blocked"


def _short(rules: Rules, tenant: Tenant, finding: Finding) -> str:
    if finding.name is not None:
        return f"moratorium {finding.name!r}, until {shown(rules.moratoria[finding.name].until)}"
    return finding.text.removeprefix(f"the licence of {tenant.name!r} ").replace("is ", "licence ", 1)


def whom_it_bars(moratorium: Moratorium, rules: Rules, now: str) -> list[dict[str, Any]]:
    """Returns, for every tenant, what a moratorium would do to it from its start on."""
    told = []
    for tenant in sorted(rules.tenants.values(), key=lambda one: one.name):
        standing = tenant.licence.at(now)
        if moratorium.exempts(tenant):
            effect = "exempt"
        elif not moratorium.covers(tenant.kind, rules.names_of(tenant)):
            effect = "not covered"
        else:
            but = f", but for {', '.join(sorted(moratorium.exempt_purposes))}" if moratorium.exempt_purposes else ""
            effect = f"barred from {', '.join(sorted(moratorium.operations))}{but}"
        licence = standing.shown_state(now) if standing else "not begun"
        told.append({"tenant": tenant.name, "kind": tenant.kind, "effect": effect, "licence": licence})
    return told


def answers_inside(ledger: Ledger, rules: Rules, moratorium: Moratorium) -> Iterator[dict[str, Any]]:
    """Yields the answers that a moratorium, had it stood then, would have refused: for people to review.

    Tenants are judged by their names and kinds, the exemptions as they stand now.
    """
    for recorded in ledger.stream(since=moratorium.start, until=moratorium.until):
        entry, body = recorded.entry, recorded.body
        room, _, ending = entry.type.partition(".")
        if ending != "answered" or entry.number > moratorium.entry:
            continue
        request = body["request"]
        if not moratorium.bars(room, in_gallery=bool(request["gallery"])):
            continue
        names = {entry.subject, request["beneficiary"] or entry.subject, rules.owners.get(request["gallery"], "")}
        parties = [rules.tenants[name] for name in names if name in rules.tenants]
        # A purpose exempts only where one has to be stated, with the case that an approver is asked about.
        purpose = request["purpose"] if room in ASKED_WITH_A_CASE else None
        if any(_would_refuse(moratorium, rules, one, purpose) for one in parties):
            yield {
                "entry": entry.number,
                "time": entry.time,
                "operation": room,
                "tenant": entry.subject,
                "beneficiary": request["beneficiary"] or entry.subject,
                "person": body["who"]["person"],
                "purpose": request["purpose"],
                "gallery": request["gallery"],
            }


def _would_refuse(moratorium: Moratorium, rules: Rules, tenant: Tenant, purpose: str | None) -> bool:
    covered = moratorium.covers(tenant.kind, rules.names_of(tenant)) and not moratorium.exempts(tenant)
    return covered and purpose not in moratorium.exempt_purposes
