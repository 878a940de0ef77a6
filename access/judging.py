"""What licences, moratoria and earlier refusals say to a request: to who asks, for whom, and to the gallery's owner."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from access.cases import fits_pattern
from access.findings import Finding, allows, holds, quoted, refuses
from access.fpir import strictest_fpir
from access.questions import question
from access.requests import Approval, History, Request
from access.rules import ASKED_WITH_A_CASE, COUNTED, GRANTED, SMALLEST_K, TESTERS, Moratorium, Rules, Standing, Tenant
from access.times import shown
from access.vocabulary import Vocabulary
from foundation.errors import nearest

POLICY = frozenset({"moratorium", "licence", "purpose", "gallery", "operation", "kind", "beneficiary"})
"""Rules whose refusal makes a later try under another purpose or tenant suspicious. Faults of form are none."""

_HOW = "afterfact access approve"


@dataclass(frozen=True)
class Party:
    """A tenant that a request touches. `part` begins its findings: "" for who asks, "beneficiary ", "owner "."""

    part: str
    tenant: Tenant
    names: frozenset[str]

    @property
    def shown(self) -> str:
        """The tenant's name, quoted, after its part."""
        return f"{self.part}{quoted(self.tenant.name)}"


@dataclass(frozen=True)
class Judge:
    """One request under one state of the rules."""

    rules: Rules
    vocabulary: Vocabulary | None
    request: Request
    now: str
    history: History

    def tenant(self, tenant: Tenant, person: str | None) -> list[Finding]:
        """Judges a tenant's request: its own licence and moratoria, its beneficiary's, the owner's, and its past."""
        asking = self._party("", tenant)
        findings = [*self.licence(asking), *self.grants(asking), *self.moratoria(asking)]
        names = {tenant.name}
        beneficiary = self.request.beneficiary or tenant.name
        if beneficiary != tenant.name:
            known = self.rules.tenants.get(beneficiary)
            if known is None:
                near = nearest(beneficiary[:100], sorted(self.rules.tenants))
                text = f"{quoted(beneficiary)}, for whom it is, is no tenant here{near}; have it registered first"
                findings.append(refuses("beneficiary", text))
            else:
                party = self._party("beneficiary ", known)
                findings += [*self.licence(party), *self.grants(party), *self.moratoria(party)]
                names.add(known.name)
        findings += self.owner(besides=frozenset(names))
        findings += self._statements(tenant, beneficiary)
        return [*findings, *self._approvals(tenant, beneficiary, person, findings)]

    def owner(self, besides: frozenset[str]) -> Iterator[Finding]:
        """Judges the gallery's owner, where it has one that is not among the parties already judged."""
        owner = self.rules.owners.get(self.request.gallery)
        if owner is not None and owner not in besides:
            party = self._party("owner ", self.rules.tenants[owner])
            yield from self.licence(party)
            yield from self.moratoria(party)

    def mark_fpir(self, tenant: Tenant) -> str | None:
        """Returns the strictest cut-off among the licences of who asks, for whom, and the gallery's owner."""
        names = (tenant.name, self.request.beneficiary, self.rules.owners.get(self.request.gallery))
        parties = [self.rules.tenants[name] for name in names if name is not None and name in self.rules.tenants]
        standings = [party.licence.at(self.now) for party in parties]
        return strictest_fpir(*(standing.terms.mark_fpir for standing in standings if standing is not None))

    def licence(self, party: Party) -> list[Finding]:
        """Says how the party's licence stands."""
        standing = party.tenant.licence.at(self.now)
        whose = f"the licence of {party.shown}"
        if standing is None:
            begins = shown(party.tenant.licence.changes[0].effective)
            return [refuses("licence", f"{whose} begins on {begins}")]
        since = f"since {shown(standing.since)}"
        found = []
        if standing.state == "revoked":
            found.append(refuses("licence", f"{whose} is revoked {since}, for good: {standing.why}"))
        elif standing.state == "suspended":
            until = [one for one in party.tenant.licence.ahead(self.now) if one.what == "active"]
            end = f"until {shown(until[0].effective)}" if until else "until it is reinstated"
            found.append(refuses("licence", f"{whose} is suspended {since}, {end}: {standing.why}"))
        if standing.state != "revoked" and standing.ended(self.now):
            found.append(refuses("licence", f"{whose} expired on {shown(standing.terms.until)}"))
        if not found:
            end = f"until {shown(standing.terms.until)}" if standing.terms.until else "without an end"
            found.append(allows("licence", f"{whose} is active {since}, {end}"))
        return found

    def grants(self, party: Party) -> Iterator[Finding]:
        """Says what the party's licence grants of what is asked."""
        request, name = self.request, party.shown
        if self.vocabulary and party.tenant.kind not in self.vocabulary.kinds:
            text = f"{name} is of kind {party.tenant.kind!r}, which configs/kinds.yaml does not know"
            yield refuses("kind", text)
        yield from self._testers(party)
        standing = party.tenant.licence.at(self.now)
        if standing is None:
            return
        terms = standing.terms
        if not request.outside_galleries:
            yield _granted("gallery", request.gallery, terms.galleries, name)
        if request.operation in GRANTED:
            yield _granted("operation", request.operation, terms.operations, name)
        if request.purpose is not None and self.vocabulary and request.purpose in self.vocabulary.purposes:
            yield _granted("purpose", request.purpose, terms.purposes, name)
        if request.k is not None and request.k < SMALLEST_K:
            yield refuses("k", f"a list of {request.k:.9g} is asked for, and one has {SMALLEST_K} at least; raise -k")
        if request.k is not None and request.k > terms.largest_k:
            text = (
                f"a list of {request.k:.9g} is asked for, and the licence of {name} allows {terms.largest_k}; lower -k"
            )
            yield refuses("k", text)
        times = self.history.today.get(party.tenant.name, 0)
        if request.operation in COUNTED and terms.queries_a_day is not None and times >= terms.queries_a_day:
            text = f"{name} has asked {times} times today, and its licence allows {terms.queries_a_day} a day (UTC)"
            yield refuses("day", text)

    def _testers(self, party: Party) -> Iterator[Finding]:
        """Says what sets testers apart, whatever a licence grants: they alone test, and they touch no gallery."""
        if self.vocabulary is None:
            return
        kind, testers = party.tenant.kind, self.vocabulary.groups.get(TESTERS, frozenset())
        if kind in testers and not self.request.outside_galleries:
            yield refuses("kind", f"{party.shown} is of kind {kind}: it tests photos of its own and touches no gallery")
        if kind not in testers and self.request.operation == "test":
            able = ", ".join(sorted(testers)) or "no kind here"
            text = f"{party.shown} is of kind {kind}, and the testers' interface is for {able} only"
            yield refuses("kind", f"{text}; to measure error rates: afterfact evaluate")

    def moratoria(self, party: Party) -> Iterator[Finding]:
        """Says what every moratorium in force says to the party."""
        for moratorium in self.rules.moratoria.values():
            finding = self._moratorium(moratorium, party)
            if finding is not None:
                yield finding

    def _moratorium(self, moratorium: Moratorium, party: Party) -> Finding | None:
        in_gallery = not self.request.outside_galleries
        if moratorium.state(self.now) != "in force" or not moratorium.bars(self.request.operation, in_gallery):
            return None
        named = f"moratorium {quoted(moratorium.name)}"
        span = f"from {shown(moratorium.start)} until {shown(moratorium.until)}"
        exempt, by_purpose = [], False
        if party.tenant.name in moratorium.exempt_tenants:
            exempt.append(f"tenant {party.shown}")
        if party.tenant.kind in moratorium.exempt_kinds:
            exempt.append(f"kind {party.tenant.kind}")
        covered = moratorium.covers(party.tenant.kind, party.names)
        # Elsewhere nobody looks at a purpose, and no approver is asked about it.
        stated = self.request.purpose if self.request.operation in ASKED_WITH_A_CASE else None
        if covered and not exempt and stated in moratorium.exempt_purposes:
            exempt, by_purpose = [f"purpose {self.request.purpose}"], True
        if exempt:
            rule = "exempt-purpose" if by_purpose else "moratorium"
            return Finding(rule, "exempts", f"{named} ({span}) exempts {' and '.join(exempt)}", moratorium.name)
        if not covered:
            return None
        link = f" ({moratorium.link})" if moratorium.link else ""
        whom = f"{party.shown}, {party.tenant.kind}," if party.part else party.tenant.kind
        text = f"{named} bars {whom} from {self.request.operation} {span}: {moratorium.reason}{link}"
        return Finding("moratorium", "refuses", text, moratorium.name)

    def _statements(self, tenant: Tenant, beneficiary: str) -> Iterator[Finding]:
        """Says what the licences of who asks and for whom require a search to state, and it does not."""
        if self.request.operation not in ASKED_WITH_A_CASE:
            return
        known = self.rules.tenants.get(beneficiary)
        for party in (tenant, *([known] if known and known is not tenant else [])):
            standing: Standing | None = party.licence.at(self.now)
            if standing is None:
                continue
            for name in sorted(standing.terms.must_state):
                if not (getattr(self.request, name) or "").strip():
                    text = f"the licence of {quoted(party.name)} requires a query to state its {name}; give --{name}"
                    yield refuses("statement", text)
            pattern = standing.terms.case_pattern
            if pattern and self.request.case is not None and not fits_pattern(self.request.case, pattern):
                # The case number itself stays out: a finding is kept for good, and a case may have to be erased.
                text = f"case numbers of {quoted(party.name)} look like {quoted(pattern)} (#: a digit, @: a letter)"
                yield refuses("case", f"{text}, and the one given does not")

    def _approvals(
        self, tenant: Tenant, beneficiary: str, person: str | None, spoken: list[Finding]
    ) -> Iterator[Finding]:
        """Says where an approver is needed: for an exempt purpose, and for what was refused under another name."""
        purpose = self.request.purpose
        asked = (tenant.name, beneficiary, purpose)
        standing = [
            one for one in self.history.approved if one.approves(*asked, self.now) and self._still_approves(one)
        ]
        exempted = [one for one in spoken if one.rule == "exempt-purpose"]
        if exempted:
            fitting = [one for one in standing if one.person.casefold() != (person or "").casefold()]
            text = f"the exemption of purpose {purpose} needs a named approver other than who asks"
            yield _approved(fitting[-1]) if fitting else holds("approver", f"{text}: {_HOW}")
        same = question(self.rules, self.vocabulary, tenant.name, self.request.beneficiary, purpose)
        tried = [one for one in self.history.refused if one.question != same]
        if tried:
            by_operator = [one for one in standing if one.role == "operator" and one.number > tried[-1].number]
            text = (
                f"this {tried[-1].on} was refused before under another purpose or tenant (ledger entry "
                f"{tried[-1].number}); an operator has to approve it: {_HOW}"
            )
            yield _approved(by_operator[-1]) if by_operator else holds("earlier", text)

    def _still_approves(self, approval: Approval) -> bool:
        """Whether who approved may still do so: a removed operator's or a revoked credential's word has no weight."""
        if approval.role == "operator":
            return self.rules.operator(approval.holder) is not None
        return approval.holder == approval.tenant and any(
            one.approver and one.person == approval.person and one.usable(self.now)
            for one in self.rules.credentials_of("tenant", approval.holder)
        )

    def _party(self, part: str, tenant: Tenant) -> Party:
        return Party(part, tenant, self.rules.names_of(tenant))


def _granted(rule: str, what: str, granted: frozenset[str], name: str) -> Finding:
    if what in granted:
        return allows(rule, f"{rule} {what!r} is granted to {name}")
    shown_grants = ", ".join(sorted(granted)) or "none"
    return refuses(rule, f"{rule} {quoted(what)} is not granted to {name} (granted: {shown_grants})")


def _approved(approval: Approval) -> Finding:
    whose = "operator" if approval.role == "operator" else f"of {quoted(approval.holder)}"
    return allows("approver", f"approved by {quoted(approval.person)}, {whose} (ledger entry {approval.number})")
