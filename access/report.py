"""The yearly report: what was asked, answered, refused, held and exempted, counted from the ledger's own entries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from access.ledger.ledger import Recorded

NULL_OUTCOMES = "no candidates"


@dataclass
class YearReport:
    """Counts of one calendar year (UTC). Answered queries without a candidate are counted, not left out."""

    year: int
    entries: int = 0
    asked: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    """By operation, tenant, purpose and outcome."""
    beneficiaries: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Queries asked for another agency, by who asked and for whom."""
    refused_by: Counter[str] = field(default_factory=Counter)
    """Refusals, by sort of rule; one refusal may have several."""
    exempted: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Answers that an exemption let through, by moratorium and tenant."""
    held: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Queries held for an approver, by tenant and sort of rule ("earlier": refused before under another name)."""
    approved: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Approvals, by tenant and approver."""
    acts: Counter[str] = field(default_factory=Counter)
    """Entries that change the rules, the house or the ledger, by type."""
    wrong_credentials: int = 0

    def add(self, recorded: Recorded) -> None:
        """Counts one entry."""
        self.entries += 1
        entry, body = recorded.entry, recorded.body
        room, _, ending = entry.type.partition(".")
        if entry.type == "credentials.refused":
            self._add_strangers(body)
        elif entry.type == "query.approved":
            self.approved[body["tenant"], body["who"]["person"] or body["who"]["name"]] += 1
        elif ending in ("answered", "refused", "held") and "request" in body:
            self._add_query(room, ending, entry.subject, body)
        else:
            self.acts[entry.type] += 1

    def as_json(self) -> dict[str, Any]:
        """Returns the report for machines."""
        names = ("operation", "tenant", "purpose", "outcome")
        return {
            "year": self.year,
            "entries": self.entries,
            "queries": [{**dict(zip(names, key, strict=True)), "count": n} for key, n in sorted(self.asked.items())],
            "for_another_agency": _pairs(self.beneficiaries, "tenant", "beneficiary"),
            "refused_by_rule": dict(sorted(self.refused_by.items())),
            "exemptions_used": _pairs(self.exempted, "moratorium", "tenant"),
            "held": _pairs(self.held, "tenant", "rule"),
            "approvals": _pairs(self.approved, "tenant", "approver"),
            "acts": dict(sorted(self.acts.items())),
            "wrong_credentials": self.wrong_credentials,
        }

    def _add_query(self, operation: str, ending: str, tenant: str, body: dict[str, Any]) -> None:
        request = body["request"]
        outcome = _outcome(operation, body["answer"]) if ending == "answered" else ending
        self.asked[operation, tenant, request["purpose"] or "-", outcome] += 1
        if request["beneficiary"] and request["beneficiary"] != tenant:
            self.beneficiaries[tenant, request["beneficiary"]] += 1
        # A decision tells of a moratorium for each party; its exemption was used once. Whoever is exempt by name or by
        # kind counts, also where the moratorium would not cover them: an overseer asks how often the exempt searched.
        exempted = {one["name"] for one in body["findings"] if one["effect"] == "exempts"}
        self.exempted.update((name, tenant) for name in exempted if ending == "answered")
        for finding in body["findings"]:
            if finding["effect"] == "refuses":
                self.refused_by[finding["rule"]] += 1
            elif finding["effect"] == "holds":
                self.held[tenant, finding["rule"]] += 1

    def _add_strangers(self, body: dict[str, Any]) -> None:
        # Told at 1, 2, 4, 8, ... a day and host: each entry after the first doubles the one before it.
        self.wrong_credentials += body["wrong"] - body["wrong"] // 2
        if body["earlier"] and body["earlier"]["day"][:4] == str(self.year):
            told = 1 << (body["earlier"]["wrong"].bit_length() - 1)
            self.wrong_credentials += body["earlier"]["wrong"] - told


def report_year(year: int, entries: Iterable[Recorded]) -> YearReport:
    """Returns the report of a year's entries."""
    report = YearReport(year)
    for recorded in entries:
        report.add(recorded)
    return report


def _outcome(operation: str, answer: dict[str, Any]) -> str:
    outcome = str(answer.get("outcome", "answered"))
    return NULL_OUTCOMES if outcome == "CANDIDATES" and not answer.get("candidates") else outcome


def _pairs(counts: Counter[tuple[str, str]], one: str, other: str) -> list[dict[str, Any]]:
    return [{one: key[0], other: key[1], "count": count} for key, count in sorted(counts.items())]
