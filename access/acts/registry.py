"""The operators' acts: tenants, credentials, licences, moratoria. Each is checked and recorded in one transaction."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from access.credentials import NewCredential, make_credential
from access.gate import Gate
from access.ledger.chain import Draft, Entry
from access.names import read_name, read_reason, recordable
from access.rules import OPERATIONS, Rules, Tenant
from access.times import read_end, read_moment, shown
from access.vocabulary import one_of
from foundation.errors import InputError


@dataclass(frozen=True)
class MoratoriumTerms:
    """A moratorium as an operator words it. Times are ISO 8601 with a zone, or "now"; `duration` is 1y, 30d, 12h.

    `kinds` may name groups. No operation named means search; no end named means until further notice.
    """

    name: str
    reason: str
    kinds: Sequence[str]
    start: str = "now"
    until: str | None = None
    duration: str | None = None
    operations: Sequence[str] = ()
    exempt_tenants: Sequence[str] = ()
    exempt_purposes: Sequence[str] = ()
    link: str | None = None


class Registry:
    """Acts by one operator, whose credential text it is given.

    Every act raises InputError for a value that is not allowed, Refused (recorded) where the credential is not an
    operator's, and LedgerError where the ledger cannot be relied on. Reasons are kept for good.
    """

    def __init__(self, gate: Gate, credential_text: str) -> None:
        self._gate = gate
        self._credential_text = credential_text

    def add_tenant(
        self,
        name: str,
        kind: str,
        galleries: Iterable[str],
        *,
        operations: Iterable[str] = (),
        until: str | None = None,
        duration: str | None = None,
        person: str | None = None,
        reason: str = "registration",
    ) -> NewCredential:
        """Registers a tenant with an active licence and its first credential, which is returned to be shown once.

        `operations` come on top of search. The credential is `person`'s own, or the organisation's for None.
        """
        name = _new_name(name, "tenant name")
        one_of(kind, self._gate.vocabulary.kinds, "kind")
        granted = _names(galleries, "--gallery")
        if not granted:
            raise InputError("a tenant needs at least one gallery; give --gallery")
        operations = sorted({"search", *(one_of(operation, OPERATIONS, "operation") for operation in operations)})
        why, owner = read_reason(reason), _person(person)
        credential = make_credential()

        def drafts(rules: Rules, now: str) -> list[Draft]:
            _refuse_known(name, rules.tenants, "tenant")
            end = read_end(until, duration, now, now)
            terms = {"kind": kind, "galleries": granted, "operations": operations, "until": end, "why": why}
            return [Draft("tenant.added", name, terms), issued(credential, "tenant", name, owner, why)]

        self._act("tenant.add", drafts)
        return credential

    def grant(self, name: str, galleries: Iterable[str], operations: Iterable[str], reason: str) -> Entry:
        """Grants a tenant further galleries and operations."""
        granted = _names(galleries, "--gallery")
        wanted = sorted({one_of(operation, OPERATIONS, "operation") for operation in operations})
        if not granted and not wanted:
            raise InputError("nothing to grant; give --gallery or --may")
        why = read_reason(reason)

        def drafts(rules: Rules, _now: str) -> list[Draft]:
            tenant = _standing(rules, name)
            return [Draft("tenant.granted", tenant.name, {"galleries": granted, "operations": wanted, "why": why})]

        return self._act("tenant.grant", drafts)

    def suspend(self, name: str, reason: str) -> Entry:
        """Suspends a licence until it is reinstated."""
        why = read_reason(reason)

        def drafts(rules: Rules, _now: str) -> list[Draft]:
            tenant = _standing(rules, name)
            if tenant.licence.state == "suspended":
                raise InputError(f"the licence of {tenant.name!r} is suspended already")
            return [Draft("licence.suspended", tenant.name, {"why": why})]

        return self._act("tenant.suspend", drafts)

    def reinstate(self, name: str, reason: str, *, until: str | None = None, duration: str | None = None) -> Entry:
        """Ends a suspension; with a new end, renews a licence that has expired or soon will."""
        why = read_reason(reason)

        def drafts(rules: Rules, now: str) -> list[Draft]:
            tenant = _standing(rules, name)
            end = read_end(until, duration, now, now)
            if end is None and tenant.licence.ended(now):
                ended = shown(tenant.licence.until)
                raise InputError(f"the licence of {tenant.name!r} expired on {ended}; give a new end with --until")
            if end is None and tenant.licence.state == "active":
                raise InputError(f"the licence of {tenant.name!r} is active; there is nothing to reinstate")
            return [Draft("licence.reinstated", tenant.name, {"until": end, "why": why})]

        return self._act("tenant.reinstate", drafts)

    def revoke(self, name: str, reason: str) -> Entry:
        """Revokes a licence for good."""
        why = read_reason(reason)

        def drafts(rules: Rules, _now: str) -> list[Draft]:
            return [Draft("licence.revoked", _standing(rules, name).name, {"why": why})]

        return self._act("tenant.revoke", drafts)

    def issue_credential(self, name: str, person: str | None, reason: str) -> NewCredential:
        """Issues a further credential to a tenant: a person's own, or the organisation's where person is None."""
        why, owner = read_reason(reason), _person(person)
        credential = make_credential()

        def drafts(rules: Rules, _now: str) -> list[Draft]:
            return [issued(credential, "tenant", _standing(rules, name).name, owner, why)]

        self._act("tenant.credential", drafts)
        return credential

    def revoke_credential(self, name: str, public_id: str, reason: str) -> Entry:
        """Revokes one of a tenant's credentials, named by its public id."""
        why, public_id = read_reason(reason), _public_id(public_id)

        def drafts(rules: Rules, _now: str) -> list[Draft]:
            tenant = tenant_named(rules, name)
            valid = [one.id for one in rules.credentials_of("tenant", tenant.name) if one.revoked is None]
            if public_id not in valid:
                known = ", ".join(valid) or "none"
                raise InputError(f"{tenant.name!r} has no valid credential {public_id} (valid: {known})")
            return [Draft("credential.revoked", tenant.name, {"credential": public_id, "why": why})]

        return self._act("tenant.credential", drafts)

    def declare(self, terms: MoratoriumTerms) -> Entry:
        """Declares a moratorium. It binds every decision recorded after its entry; past answers stay as they are."""
        name = _new_name(terms.name, "moratorium name")
        vocabulary = self._gate.vocabulary
        if not terms.kinds:
            raise InputError("a moratorium covers at least one kind; give --kind")
        kinds = sorted(vocabulary.expand(terms.kinds))
        operations = sorted({one_of(one, OPERATIONS, "operation") for one in terms.operations or ("search",)})
        purposes = sorted({one_of(purpose, vocabulary.purposes, "purpose") for purpose in terms.exempt_purposes})
        reason, link = read_reason(terms.reason), _link(terms.link)

        def drafts(rules: Rules, now: str) -> list[Draft]:
            _refuse_known(name, rules.moratoria, "moratorium")
            start = read_moment(terms.start, now, "--from")
            body = {
                "reason": reason,
                "link": link,
                "from": start,
                "until": read_end(terms.until, terms.duration, start, now),
                "named_kinds": sorted(set(terms.kinds)),
                "kinds": kinds,
                "operations": operations,
                "exempt_tenants": sorted({tenant_named(rules, tenant).name for tenant in terms.exempt_tenants}),
                "exempt_purposes": purposes,
            }
            return [Draft("moratorium.declared", name, body)]

        return self._act("moratorium.declare", drafts)

    def lift(self, name: str, reason: str) -> Entry:
        """Lifts a moratorium that is upcoming or in force."""
        why = read_reason(reason)

        def drafts(rules: Rules, now: str) -> list[Draft]:
            known = one_of(read_name(name, "moratorium"), rules.moratoria, "moratorium")
            state = rules.moratoria[known].state(now)
            if state in ("ended", "lifted"):
                raise InputError(f"moratorium {known!r} is {state} already")
            return [Draft("moratorium.lifted", known, {"why": why})]

        return self._act("moratorium.lift", drafts)

    def _act(self, act: str, drafts: Callable[[Rules, str], list[Draft]]) -> Entry:
        return self._gate.act(self._credential_text, act, drafts)[-1]


def issued(credential: NewCredential, role: str, holder: str, person: str | None, why: str) -> Draft:
    """Returns the entry that makes a credential valid. Only the digest of its secret is in it."""
    body = {
        "credential": credential.id,
        "role": role,
        "person": person,
        "secret_sha256": credential.secret_sha256,
        "why": why,
    }
    return Draft("credential.issued", holder, body)


def tenant_named(rules: Rules, name: str) -> Tenant:
    """Returns the tenant of this name. Raises InputError with the nearest spelling."""
    return rules.tenants[one_of(read_name(name, "tenant"), rules.tenants, "tenant")]


def _standing(rules: Rules, name: str) -> Tenant:
    tenant = tenant_named(rules, name)
    if tenant.licence.state == "revoked":
        raise InputError(
            f"the licence of {tenant.name!r} was revoked on {shown(tenant.licence.since)} and never comes back; "
            "register the organisation under another name"
        )
    return tenant


def _refuse_known(name: str, known: Iterable[str], what: str) -> None:
    same = [one for one in known if one.casefold() == name.casefold()]
    if same:
        raise InputError(f"{what} {same[0]!r} is there already; give another name")


def _new_name(text: str, what: str) -> str:
    name = read_name(text, what)
    if name.casefold() == "unknown":
        raise InputError(f"{what} {name!r} stands for strangers in the ledger; give another name")
    return name


def _names(texts: Iterable[str], what: str) -> list[str]:
    return sorted({read_name(text, what) for text in texts})


def _person(text: str | None) -> str | None:
    return None if text is None else read_name(text, "--person")


def _link(text: str | None) -> str | None:
    if text is None:
        return None
    if not re.fullmatch(r"https?://[^\s\"'<>]{1,490}", text) or not text.isprintable():
        raise InputError(f"--link {recordable(text[:80])!r} is no http or https address")
    return text


def _public_id(text: str) -> str:
    # A whole credential, pasted by mistake, must not come back in an error.
    if not re.fullmatch(r"[0-9a-f]{16}", text):
        raise InputError("--revoke takes a credential's public id: the 16 digits between its two dots")
    return text
