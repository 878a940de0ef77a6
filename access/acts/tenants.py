"""Acts on tenants: register, change terms, suspend, reinstate, revoke, credentials."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from access.acts.desk import (
    CREDENTIAL_SPAN,
    Desk,
    FromTerms,
    issued,
    new_name,
    person_named,
    revoked_credential,
    standing_tenant,
    tenant_named,
)
from access.cases import read_pattern
from access.credentials import NewCredential, make_credential
from access.fpir import read_fpir, strictest_fpir
from access.ledger.chain import Draft, Entry
from access.names import read_name, read_reason
from access.rules import GRANTED, LARGEST_K, OUTSIDE, SMALLEST_K, STATEMENTS, TESTERS, Licence, Rules, Tenant, Terms
from access.times import later, read_end, read_moment, shown
from access.vocabulary import Vocabulary, one_of
from foundation.errors import InputError


@dataclass(frozen=True)
class WantedTerms:
    """A licence's terms as an operator words them; None leaves a term as it is, or at its default in a new licence."""

    galleries: Sequence[str] | None = None
    operations: Sequence[str] | None = None
    purposes: Sequence[str] | None = None
    until: str | None = None
    duration: str | None = None
    largest_k: int | None = None
    queries_a_day: int | None = None
    must_state: Sequence[str] | None = None
    case_pattern: str | None = None
    mark_fpir: str | None = None

    def changed(self, vocabulary: Vocabulary, now: str) -> dict[str, Any]:
        """Returns the terms that are named, by name. Raises InputError for a value that is not allowed."""
        changed: dict[str, Any] = {}
        if self.galleries:
            changed["galleries"] = frozenset(read_name(one, "--gallery") for one in self.galleries)
        if self.operations:
            changed["operations"] = frozenset(one_of(one, GRANTED, "operation") for one in self.operations)
        if self.purposes:
            changed["purposes"] = frozenset(one_of(one, vocabulary.purposes, "purpose") for one in self.purposes)
        if self.must_state:
            wanted = [one for one in self.must_state if one != "nothing"]
            changed["must_state"] = frozenset(one_of(one, STATEMENTS, "statement") for one in wanted)
        if self.largest_k is not None:
            changed["largest_k"] = _between(self.largest_k, SMALLEST_K, LARGEST_K, "--largest-k")
        if self.queries_a_day is not None:
            changed["queries_a_day"] = _between(self.queries_a_day, 0, 1_000_000, "--queries-a-day")
        if self.case_pattern is not None:
            changed["case_pattern"] = read_pattern(self.case_pattern)
        if self.mark_fpir is not None:
            changed["mark_fpir"] = None if self.mark_fpir == "none" else read_fpir(self.mark_fpir, "--mark-fpir")
        end = read_end(self.until, self.duration, now, now)
        if end is not None:
            changed["until"] = end
        return changed


class Tenants(Desk):
    """What an operator does to tenants and their licences. A change may be dated ahead with `start`."""

    def add(
        self,
        name: str,
        kind: str,
        wanted: WantedTerms,
        *,
        person: str | None = None,
        approver: bool = False,
        start: str = "now",
        reason: str = "registration",
    ) -> NewCredential:
        """Registers a tenant with an active licence and its first credential, which is returned to be shown once.

        The credential is `person`'s own, or the organisation's for None; an `approver` may approve queries of others
        in the same organisation.
        """
        order = self._order(kind, wanted, person, approver, None, start)
        credential, why = make_credential(), read_reason(reason)
        self.act(
            "tenant.add",
            lambda rules, now: _registration(rules, now, name, order(rules, now), why, credential),
            licensee=lambda _rules, now: (_licensee(name, kind, None, now), _start(start, now)),
        )
        return credential

    def propose_anew(
        self,
        name: str,
        kind: str,
        wanted: WantedTerms,
        formerly: str,
        *,
        person: str | None = None,
        approver: bool = False,
        start: str = "now",
        reason: str = "registration",
    ) -> Entry:
        """Proposes to register an organisation anew whose licence was revoked. A second operator approves it."""
        order = self._order(kind, wanted, person, approver, formerly, start)
        return self.propose("tenant.add", read_name(name, "tenant name"), order, reason, _anew(name))

    def approve_anew(self, name: str, number: int) -> NewCredential:
        """Registers what propose_anew proposed; returns the first credential, to be shown once."""
        credential = make_credential()
        name = read_name(name, "tenant name")

        def licensee(rules: Rules, now: str) -> tuple[Tenant, str] | None:
            terms = rules.proposals[number].terms if number in rules.proposals else {}
            if "formerly" not in terms:
                return None
            return _licensee(name, terms["kind"], terms["formerly"], now), max(terms["from"], now)

        self.approve("tenant.add", name, number, _anew(name, credential), licensee=licensee)
        return credential

    def _order(
        self, kind: str, wanted: WantedTerms, person: str | None, approver: bool, formerly: str | None, start: str
    ) -> Callable[[Rules, str], dict[str, Any]]:
        vocabulary = self.gate.vocabulary
        one_of(kind, vocabulary.kinds, "kind")
        owner = _approving_person(person, approver)
        blank = _blank(vocabulary, kind, wanted)

        def order(rules: Rules, now: str) -> dict[str, Any]:
            begins = _start(start, now)
            return {
                "kind": kind,
                "formerly": tenant_named(rules, formerly).name if formerly is not None else None,
                "from": begins,
                "terms": replace(blank, **wanted.changed(vocabulary, begins)).as_json(),
                "person": owner,
                "approver": approver,
            }

        return order

    def change_terms(self, name: str, wanted: WantedTerms, reason: str, start: str = "now") -> Entry:
        """Puts new terms in the place of those that are named; a longer end is a new licence."""
        if wanted == WantedTerms():
            raise InputError("nothing to change; name a term, such as --gallery or --largest-k")
        why = read_reason(reason)

        def drafts(rules: Rules, now: str) -> list[Draft]:
            begins = _start(start, now)
            tenant = standing_tenant(rules, name, begins)
            changed = wanted.changed(self.gate.vocabulary, begins)
            terms = {key: sorted(value) if isinstance(value, frozenset) else value for key, value in changed.items()}
            return [Draft("licence.terms", tenant.name, {"from": begins, "terms": terms, "why": why})]

        def licensee(rules: Rules, now: str) -> tuple[Tenant, str] | None:
            begins = _start(start, now)
            tenant = standing_tenant(rules, name, begins)
            before = _terms_at(tenant, begins)
            after = replace(before, **wanted.changed(self.gate.vocabulary, begins))
            return (tenant, begins) if _widens(before, after) else None

        return self.act("tenant.terms", drafts, licensee=licensee)

    def suspend(self, name: str, reason: str, start: str = "now") -> Entry:
        """Suspends a licence until it is reinstated, by an entry after this one."""
        why = read_reason(reason)

        def drafts(rules: Rules, now: str) -> list[Draft]:
            begins = _start(start, now)
            tenant = standing_tenant(rules, name, begins)
            standing = tenant.licence.at(begins)
            reinstated = any(one.what == "active" for one in tenant.licence.ahead(begins))
            if standing and standing.state == "suspended" and not reinstated:
                raise InputError(f"the licence of {tenant.name!r} is suspended already")
            return [Draft("licence.suspended", tenant.name, {"from": begins, "why": why})]

        return self.act("tenant.suspend", drafts)

    def reinstate(
        self, name: str, reason: str, *, until: str | None = None, duration: str | None = None, start: str = "now"
    ) -> Entry:
        """Ends a suspension; with a new end, renews a licence that has expired or soon will."""
        why = read_reason(reason)

        def drafts(rules: Rules, now: str) -> list[Draft]:
            begins = _start(start, now)
            tenant = standing_tenant(rules, name, begins)
            end = read_end(until, duration, begins, now)
            standing = tenant.licence.at(begins)
            if standing is None:
                raise InputError(f"the licence of {tenant.name!r} has not begun; there is nothing to reinstate")
            if end is None and standing.ended(begins):
                ended = shown(standing.terms.until)
                raise InputError(f"the licence of {tenant.name!r} expired on {ended}; give a new end with --until")
            if end is None and standing.state == "active":
                raise InputError(f"the licence of {tenant.name!r} is active; there is nothing to reinstate")
            return [Draft("licence.reinstated", tenant.name, {"from": begins, "until": end, "why": why})]

        def licensee(rules: Rules, now: str) -> tuple[Tenant, str] | None:
            begins = _start(start, now)
            tenant = standing_tenant(rules, name, begins)
            before = _terms_at(tenant, begins)
            end = read_end(until, duration, begins, now)
            return (tenant, begins) if end is not None and _widens(before, replace(before, until=end)) else None

        return self.act("tenant.reinstate", drafts, licensee=licensee)

    def revoke(self, name: str, reason: str, start: str = "now") -> Entry:
        """Revokes a licence for good."""
        why = read_reason(reason)

        def drafts(rules: Rules, now: str) -> list[Draft]:
            begins = _start(start, now)
            tenant = standing_tenant(rules, name, begins)
            return [Draft("licence.revoked", tenant.name, {"from": begins, "why": why})]

        return self.act("tenant.revoke", drafts)

    def issue_credential(
        self, name: str, person: str | None, reason: str, *, span: str = CREDENTIAL_SPAN, approver: bool = False
    ) -> NewCredential:
        """Issues a further credential to a tenant: a person's own, or the organisation's where person is None."""
        why, owner = read_reason(reason), _approving_person(person, approver)
        credential = make_credential()

        def drafts(rules: Rules, now: str) -> list[Draft]:
            holder = standing_tenant(rules, name, now).name
            return [issued(credential, "tenant", holder, owner, why, later(now, span, "--for"), approver)]

        self.act("tenant.credential", drafts)
        return credential

    def revoke_credential(self, name: str, public_id: str, reason: str) -> Entry:
        """Revokes one of a tenant's credentials, named by its public id."""
        why = read_reason(reason)

        def drafts(rules: Rules, _now: str) -> list[Draft]:
            return [revoked_credential(rules, "tenant", tenant_named(rules, name).name, public_id, why)]

        return self.act("tenant.credential", drafts)


def _blank(vocabulary: Vocabulary, kind: str, wanted: WantedTerms) -> Terms:
    """Returns a new licence's terms where nothing is named: searches for every purpose, or a tester's tests."""
    if kind not in vocabulary.groups.get(TESTERS, frozenset()):
        if not wanted.galleries:
            raise InputError("a tenant needs at least one gallery; give --gallery")
        return Terms(frozenset(), frozenset({"search"}), frozenset(vocabulary.purposes))
    if wanted.galleries:
        raise InputError(f"a tenant of kind {kind} touches no gallery; leave --gallery")
    if not OUTSIDE.issuperset(wanted.operations or ()):
        raise InputError(f"a tenant of kind {kind} may {', '.join(sorted(OUTSIDE))} and nothing else; see --may")
    return Terms(frozenset(), OUTSIDE, frozenset({"testing"}))


def _anew(name: str, credential: NewCredential | None = None) -> FromTerms:
    """Returns what registers an organisation anew; without a credential it only says whether that can be done."""

    def drafts(rules: Rules, now: str, order: Mapping[str, Any], why: str) -> list[Draft]:
        before = tenant_named(rules, order["formerly"])
        standing = before.licence.at(now)
        if standing is None or standing.state != "revoked":
            raise InputError(f"the licence of {before.name!r} is not revoked; leave --formerly out, or revoke it first")
        return _registration(rules, now, name, order, why, credential or make_credential())

    return drafts


def _registration(
    rules: Rules, now: str, name: str, order: Mapping[str, Any], why: str, credential: NewCredential
) -> list[Draft]:
    name = new_name(name, "tenant name", rules.tenants)
    begins = max(order["from"], now)
    body = {"kind": order["kind"], "formerly": order["formerly"], "from": begins, "terms": order["terms"], "why": why}
    until = later(begins, CREDENTIAL_SPAN, "--for")
    return [
        Draft("tenant.added", name, body),
        issued(credential, "tenant", name, order["person"], why, until, order["approver"]),
    ]


def _licensee(name: str, kind: str, formerly: str | None, now: str) -> Tenant:
    return Tenant(name, kind, Licence(()), now, formerly)


def _approving_person(person: str | None, approver: bool) -> str | None:
    if approver and person is None:
        raise InputError("--approver is for a person's own credential; give --person")
    return person_named(person)


def _between(value: int, low: int, high: int, what: str) -> int:
    if not low <= value <= high:
        raise InputError(f"{what} is {value}; give {low} to {high:,}")
    return value


def _start(text: str, now: str) -> str:
    start = read_moment(text, now, "--from")
    if start < now:
        raise InputError(
            f"--from {text!r} lies before now, {shown(now)}: what was answered stays answered; give a later one"
        )
    return start


def _terms_at(tenant: Tenant, begins: str) -> Terms:
    standing = tenant.licence.at(begins)
    terms = standing.terms if standing else tenant.licence.changes[0].terms
    assert terms is not None
    return terms


def _widens(before: Terms, after: Terms) -> bool:
    """Whether terms grant something that they did not: that is a new licence in the eyes of a moratorium."""
    more = any(getattr(after, name) - getattr(before, name) for name in ("galleries", "operations", "purposes"))
    longer = before.until is not None and (after.until is None or after.until > before.until)
    day, later_day = before.queries_a_day, after.queries_a_day
    further = longer or (day is not None and (later_day is None or later_day > day))
    unmarked = before.mark_fpir is not None and strictest_fpir(before.mark_fpir, after.mark_fpir) != after.mark_fpir
    shorter = before.must_state - after.must_state
    # Whether one pattern allows more than another is not told apart: any other one counts as wider.
    freer = before.case_pattern is not None and after.case_pattern != before.case_pattern
    return more or further or unmarked or bool(shorter) or freer or after.largest_k > before.largest_k
