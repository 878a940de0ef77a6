"""The present state of operators, tenants, licences, credentials, galleries and moratoria: what rule entries lead to.

`access.replay` reads it from the ledger; there is no other place where it is kept. Times are moments (access.times).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

GRANTED = ("search", "index", "evaluate", "test")
"""Operations that a licence can grant. Reading a gallery's facts comes with the gallery."""

OUTSIDE = frozenset({"evaluate", "test"})
"""Of those, what can be done with the asker's own photos, outside every gallery. A test never touches one."""

ASKED_WITH_A_CASE = ("search", "evaluate", "test")
"""Those that need a purpose, a case number and a person."""

COUNTED = frozenset({"search", "test"})
"""Of those, what counts towards a licence's queries a day: each search, each batch of a test."""

TESTERS = "testers"
"""The group of kinds that may test, and may do nothing in a gallery."""

OPERATIONS = (*GRANTED, "read")
"""What can be asked."""

BARRED = (*GRANTED, "new-licences")
"""What a moratorium can bar."""

REVEALING = frozenset({"evaluate", "read", "test"})
"""Operations that a moratorium on search bars too, unless it names them apart."""

APART = OUTSIDE
"""Of those, what a moratorium can name apart."""

ROLES = ("administrator", "licensing-officer", "auditor")
AUTHORITIES = ("vendor", "court", "legislature", "agency")
STATEMENTS = ("offence", "basis", "reference")
"""What a licence can require a query to state."""

SMALLEST_K, LARGEST_K = 2, 50
"""The shortest and the longest candidate list (FBI NGI-IPS: 2 to 50)."""


@dataclass(frozen=True)
class Terms:
    """What a licence grants, and within which bounds. `until` is its own end (not included).

    `mark_fpir`: candidates of a higher false positive identification rate are marked; a share, as text.
    """

    galleries: frozenset[str]
    operations: frozenset[str]
    purposes: frozenset[str]
    until: str | None = None
    largest_k: int = LARGEST_K
    queries_a_day: int | None = None
    must_state: frozenset[str] = frozenset()
    case_pattern: str | None = None
    mark_fpir: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Returns the terms as the ledger keeps them."""
        return {
            name: sorted(value) if isinstance(value, frozenset) else value
            for name, value in ((one, getattr(self, one)) for one in self.__dataclass_fields__)
        }


@dataclass(frozen=True)
class Change:
    """One change of a licence, from `effective` on. `what`: active, suspended, revoked, or terms.

    `terms` are a new licence's; `changed` are those that a later change puts in the place of what stands by then.
    """

    what: str
    effective: str
    entry: int
    made: str
    by: str
    why: str
    terms: Terms | None = None
    changed: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Standing:
    """How a licence stands at one moment: `state` is what operators set; `since` and `why` are that change's."""

    state: str
    since: str
    why: str
    terms: Terms

    def ended(self, now: str) -> bool:
        """Whether the licence's own end has come."""
        return self.terms.until is not None and now >= self.terms.until

    def shown_state(self, now: str) -> str:
        """Returns active, suspended, revoked or expired."""
        return "expired" if self.state != "revoked" and self.ended(now) else self.state


@dataclass(frozen=True)
class Licence:
    """Every change of one licence, its beginning first. A change may be dated ahead; of two from one moment the later
    entry holds."""

    changes: tuple[Change, ...]

    def at(self, now: str) -> Standing | None:
        """Returns how it stands at a moment; None before it has begun."""
        first, *later = self.held()
        assert first.terms is not None
        standing = Standing("active", first.effective, first.why, first.terms)
        for change in later:
            if change.effective > now or standing.state == "revoked":
                break
            terms = replace(standing.terms, **change.changed)
            if change.what == "terms":
                standing = replace(standing, terms=terms)
            else:
                standing = Standing(change.what, change.effective, change.why, terms)
        return None if now < first.effective and standing.state == "active" else standing

    def held(self) -> list[Change]:
        """Returns the changes in the order in which they take effect, the beginning first.

        A suspension holds until it is reinstated: a reinstatement or renewal that was entered before it, and is dated
        ahead, was decided without knowing of it. It still brings its new end, so it stands here as a change of terms.
        """
        first, *later = self.changes
        suspensions = [one for one in later if one.what == "suspended"]
        held = [
            replace(one, what="terms")
            if one.what == "active"
            and any(one.entry < each.entry and each.effective <= one.effective for each in suspensions)
            else one
            for one in later
        ]
        return [first, *sorted(held, key=lambda one: (one.effective, one.entry))]

    def revoked_by(self, moment: str) -> Change | None:
        """Returns the revocation that holds at a moment, if one does."""
        return next((one for one in self.changes if one.what == "revoked" and one.effective <= moment), None)

    def ahead(self, now: str) -> list[Change]:
        """Returns the changes that are still to take effect, soonest first."""
        coming = (one for one in self.held() if one.effective > now)
        return sorted(coming, key=lambda one: (one.effective, one.entry))


@dataclass(frozen=True)
class Tenant:
    """An organisation that may ask. `formerly` names the revoked tenant that it was registered anew for."""

    name: str
    kind: str
    licence: Licence
    added: str
    formerly: str | None = None


@dataclass(frozen=True)
class Operator:
    """A person who runs the archive's registry, for an authority."""

    name: str
    role: str
    authority: str
    since: str
    removed: str | None = None


@dataclass(frozen=True)
class Credential:
    """A credential as the ledger knows it: never its secret. `holder` is a tenant's or an operator's name.

    `approver`: whether its person may approve queries of their own organisation.
    """

    id: str
    role: str
    holder: str
    person: str | None
    secret_sha256: str = field(repr=False)
    issued: str
    until: str | None = None
    approver: bool = False
    revoked: str | None = None
    revoked_why: str | None = None

    def usable(self, now: str) -> bool:
        """Whether it is neither revoked nor past its end."""
        return self.revoked is None and (self.until is None or now < self.until)


@dataclass(frozen=True)
class Moratorium:
    """A time during which some tenants may not do some operations: from `start` up to, not including, `until`.

    `named` are the kinds and groups as they were named, `kinds` what they meant at the declaration.
    """

    name: str
    authority: str
    reason: str
    link: str | None
    preset: str | None
    start: str
    until: str | None
    named: tuple[str, ...]
    kinds: frozenset[str]
    tenants: frozenset[str]
    everyone: bool
    operations: frozenset[str]
    apart: frozenset[str]
    exempt_tenants: frozenset[str]
    exempt_kinds: frozenset[str]
    exempt_purposes: frozenset[str]
    declared: str
    entry: int
    lifted: str | None = None
    lifted_why: str | None = None
    end_told: bool = False

    def state(self, now: str) -> str:
        """Returns "upcoming", "in force", "ended" or "lifted"."""
        if self.lifted is not None:
            return "lifted"
        if now < self.start:
            return "upcoming"
        return "ended" if self.until is not None and now >= self.until else "in force"

    def bars(self, operation: str, in_gallery: bool = True) -> bool:
        """Whether it is about this operation. A bar on search bars whatever reveals neighbours in a gallery, unless
        named apart; and tests, which reveal neighbours among photos that nobody vouches for."""
        revealing = operation in REVEALING and "search" in self.operations and (in_gallery or operation == "test")
        return operation in self.operations or (revealing and operation not in self.apart)

    def covers(self, kind: str, names: frozenset[str]) -> bool:
        """Whether it is about a tenant of this kind that bears, or bore, these names."""
        return self.everyone or kind in self.kinds or bool(names & self.tenants)

    def exempts(self, tenant: Tenant) -> bool:
        """Whether it lets the tenant go on whatever the purpose."""
        return tenant.name in self.exempt_tenants or tenant.kind in self.exempt_kinds

    @property
    def subjects(self) -> str:
        """Whom it covers, for people."""
        return "everyone" if self.everyone else ", ".join([*self.named, *sorted(self.tenants)])


@dataclass(frozen=True)
class Proposal:
    """What one operator proposed and a second has to approve. `terms` are the act's own."""

    number: int
    act: str
    subject: str
    terms: Mapping[str, Any]
    why: str
    operator: str
    made: str
    done: int | None = None


@dataclass(frozen=True)
class Rules:
    """The state after some rule entries, by name, id or number. `owners`: gallery to tenant."""

    operators: Mapping[str, Operator]
    tenants: Mapping[str, Tenant]
    credentials: Mapping[str, Credential]
    moratoria: Mapping[str, Moratorium]
    owners: Mapping[str, str]
    proposals: Mapping[int, Proposal]

    def credentials_of(self, role: str, holder: str) -> list[Credential]:
        """Returns the credentials issued to a tenant or operator, oldest first."""
        return [one for one in self.credentials.values() if (one.role, one.holder) == (role, holder)]

    def names_of(self, tenant: Tenant) -> frozenset[str]:
        """Returns the tenant's name and those of the revoked tenants that it was registered anew for."""
        names, earlier = {tenant.name}, tenant.formerly
        while earlier is not None and earlier not in names:
            names.add(earlier)
            earlier = self.tenants[earlier].formerly
        return frozenset(names)

    def operator(self, name: str) -> Operator | None:
        """Returns the operator of this name, unless removed."""
        known = self.operators.get(name)
        return known if known and known.removed is None else None

    def bars(self, tenant: Tenant, operation: str, now: str) -> list[Moratorium]:
        """Returns the moratoria in force that cover the tenant and the operation and do not exempt it whatever the
        purpose."""
        names = self.names_of(tenant)
        return [
            one
            for one in self.moratoria.values()
            if one.state(now) == "in force"
            and one.bars(operation)
            and one.covers(tenant.kind, names)
            and not one.exempts(tenant)
        ]
