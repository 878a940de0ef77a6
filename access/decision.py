"""The one decision: may this credential do this, now? Pure, and every rule that spoke is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from access import roles
from access.findings import Finding, allows, quoted, refuses
from access.judging import Judge, Party
from access.names import name_problem, tidy
from access.requests import NOTHING_KNOWN, History, Request
from access.rules import ASKED_WITH_A_CASE, OPERATIONS, Credential, Rules, Tenant
from access.times import shown
from access.vocabulary import Vocabulary
from foundation.errors import nearest


@dataclass(frozen=True)
class Who:
    """Who asks: `role` is "tenant", "operator" or "unknown"; `person` the human being, where one is named."""

    role: str
    name: str
    kind: str | None = None
    person: str | None = None
    credential: str | None = None


@dataclass(frozen=True)
class Decision:
    """What the rules say to a request, and on whose credential.

    `mark_fpir`: the strictest cut-off among the licences of who asks, for whom, and the gallery's owner.
    """

    who: Who
    findings: tuple[Finding, ...]
    mark_fpir: str | None = None

    @property
    def outcome(self) -> Literal["allowed", "held", "refused"]:
        """Allowed where a rule allows and none refuses or holds; held where only an approver is missing."""
        effects = {finding.effect for finding in self.findings}
        if "refuses" in effects or "allows" not in effects:
            return "refused"
        return "held" if "holds" in effects else "allowed"

    @property
    def allowed(self) -> bool:
        """Whether the outcome is "allowed"."""
        return self.outcome == "allowed"

    @property
    def reasons(self) -> str:
        """One line: every rule that refused, then what it is held for, then every exemption, with dates."""
        return "; ".join(
            finding.text for effect in ("refuses", "holds", "exempts") for finding in self.findings_that(effect)
        )

    def findings_that(self, effect: str) -> list[Finding]:
        """Returns the findings of one effect."""
        return [finding for finding in self.findings if finding.effect == effect]


def decide(
    rules: Rules,
    vocabulary: Vocabulary,
    credential_id: str | None,
    request: Request,
    now: str,
    history: History = NOTHING_KNOWN,
) -> Decision:
    """Decides a request, at a moment, for the credential that was proven (None: none was).

    Whatever is unknown refuses. All refusals are found, not only the first.
    """
    credential = rules.credentials.get(credential_id) if credential_id else None
    findings = [_credential(credential, now), *_form(request, vocabulary)]
    if credential is None:
        return Decision(Who("unknown", "unknown"), tuple(findings))
    findings += _person(credential, request)
    who = Who(credential.role, credential.holder, None, credential.person or request.operator, credential.id)
    judge = Judge(rules, vocabulary, request, now, history)
    if credential.role == "operator":
        findings += [_house(rules, credential, request), *judge.owner(besides=frozenset())]
        return Decision(who, tuple(findings))
    tenant = rules.tenants.get(credential.holder)
    if credential.role != "tenant" or tenant is None:
        findings.append(refuses("credential", f"credential {credential.id} belongs to nobody that is registered"))
        return Decision(who, tuple(findings))
    findings += judge.tenant(tenant, who.person)
    return Decision(dataclasses.replace(who, kind=tenant.kind), tuple(findings), judge.mark_fpir(tenant))


def check(
    rules: Rules, vocabulary: Vocabulary, tenant: Tenant, request: Request, now: str, history: History
) -> Decision:
    """Decides as if a tenant asked, whatever its credential and person: for a dry run."""
    judge = Judge(rules, vocabulary, request, now, history)
    findings = (*_form(request, vocabulary), *judge.tenant(tenant, request.operator))
    return Decision(Who("tenant", tenant.name, tenant.kind, request.operator), findings)


def blocked(rules: Rules, tenant: Tenant, now: str) -> list[Finding]:
    """Returns every rule that keeps a tenant from searching now, but for purposes that a moratorium exempts."""
    party = Party("", tenant, rules.names_of(tenant))
    judge = Judge(rules, None, Request("search", ""), now, NOTHING_KNOWN)
    return [one for one in (*judge.licence(party), *judge.moratoria(party)) if one.effect == "refuses"]


def decide_act(rules: Rules, credential_id: str | None, act: str, now: str, authority: str | None = None) -> Decision:
    """Decides an operator's act on the registry or the house ("tenant.suspend", "audit.show").

    `authority`: the one whose operators alone may do it. Raises KeyError for an act that access.roles does not know.
    """
    credential = rules.credentials.get(credential_id) if credential_id else None
    findings = [_credential(credential, now)]
    if credential is None:
        return Decision(Who("unknown", "unknown"), tuple(findings))
    tenant = rules.tenants.get(credential.holder) if credential.role == "tenant" else None
    who = Who(credential.role, credential.holder, tenant.kind if tenant else None, credential.person, credential.id)
    operator = rules.operator(credential.holder) if credential.role == "operator" else None
    name = quoted(credential.holder)
    if operator is None:
        findings.append(refuses("role", f"{act} is for operators of this archive, and {name} is none"))
    elif not roles.may(operator.role, act):
        able = " or ".join(sorted(roles.MAY[act]))
        findings.append(refuses("role", f"{act} is for role {able}, and {name} is {operator.role}"))
    elif authority is not None and operator.authority != authority:
        text = f"only operators of the {authority} may do {act} here, and {name} is the {operator.authority}'s"
        findings.append(refuses("authority", text))
    else:
        findings.append(allows("role", f"{name} is {operator.role} of this archive, for the {operator.authority}"))
    return Decision(who, tuple(findings))


def decide_bearer(rules: Rules, credential_id: str | None, now: str) -> Decision:
    """Decides what the bearer of a valid credential may do with it: put a new one in its place."""
    credential = rules.credentials.get(credential_id) if credential_id else None
    if credential is None:
        return Decision(Who("unknown", "unknown"), (_credential(None, now),))
    who = Who(credential.role, credential.holder, None, credential.person, credential.id)
    return Decision(who, (_credential(credential, now),))


def decide_approval(rules: Rules, credential_id: str | None, tenant: str, now: str) -> Decision:
    """Decides whether the bearer may approve a tenant's queries: an operator, or an approver of the same tenant.

    `tenant` is a name that need not be anybody's: who may not approve is not told who is registered.
    """
    credential = rules.credentials.get(credential_id) if credential_id else None
    if credential is None or credential.role != "tenant":
        return decide_act(rules, credential_id, "access.approve", now)
    decision = decide_bearer(rules, credential_id, now)
    name = quoted(credential.person or credential.holder)
    if not credential.approver:
        found = [refuses("role", f"{name} is no approver; ask an operator for a credential with --approver")]
    elif credential.holder != tidy(tenant):
        text = f"{name} approves for {quoted(credential.holder)} only, not for {quoted(tenant)}"
        found = [refuses("role", text)]
    else:
        standing = _standing(rules, rules.tenants[credential.holder], now)
        found = [allows("role", f"{name} is an approver of {quoted(tenant)}"), *standing]
    return dataclasses.replace(decision, findings=(*decision.findings, *found))


def with_new_licence(decision: Decision, rules: Rules, tenant: Tenant, begins: str, now: str) -> Decision:
    """Returns an act's decision with what moratoria on new licences say to the tenant that it would license, now and
    on the day that the licence begins."""
    party = Party("", tenant, rules.names_of(tenant))
    judges = [Judge(rules, None, Request("new-licences", ""), at, NOTHING_KNOWN) for at in sorted({now, begins})]
    spoken = dict.fromkeys(finding for judge in judges for finding in judge.moratoria(party))
    return dataclasses.replace(decision, findings=(*decision.findings, *spoken))


def _standing(rules: Rules, tenant: Tenant, now: str) -> list[Finding]:
    judge = Judge(rules, None, Request("search", ""), now, NOTHING_KNOWN)
    return judge.licence(Party("", tenant, rules.names_of(tenant)))


def _credential(credential: Credential | None, now: str) -> Finding:
    if credential is None:
        return refuses("credential", "the credential is not known here; ask an operator for a new one")
    owner = f"credential {credential.id} of {quoted(credential.holder)}"
    if credential.revoked is not None:
        return refuses("credential", f"{owner} was revoked on {shown(credential.revoked)}: {credential.revoked_why}")
    if not credential.usable(now):
        return refuses("credential", f"{owner} expired on {shown(credential.until)}; ask an operator for a new one")
    return allows("credential", f"{owner} is valid since {shown(credential.issued)}")


def _house(rules: Rules, credential: Credential, request: Request) -> Finding:
    name = quoted(credential.holder)
    operator = rules.operator(credential.holder)
    if operator is None:
        return refuses("role", f"{name} is no operator any more")
    if request.operation not in ("index", "read"):
        text = f"{name} is an operator: operators hold no licence and may not search; ask as a tenant"
        return refuses("role", text)
    if not roles.may(operator.role, f"gallery.{request.operation}"):
        return refuses("role", f"{request.operation} is for administrators, and {name} is {operator.role}")
    return allows("role", f"{name} is {operator.role} of this archive and may {request.operation} its galleries")


def _form(request: Request, vocabulary: Vocabulary) -> Iterator[Finding]:
    """What the request must say whoever asks."""
    if request.operation not in OPERATIONS:
        yield refuses("operation", f"{quoted(request.operation)} is no operation ({', '.join(OPERATIONS)})")
    asked = request.operation in ASKED_WITH_A_CASE or request.operation not in OPERATIONS
    known = sorted(vocabulary.purposes)
    if request.purpose in vocabulary.purposes:
        yield allows("purpose", f"{request.purpose} is a purpose that is allowed here")
    elif request.purpose is not None:
        near = nearest(request.purpose[:100], known)
        yield refuses("purpose", f"unknown purpose {quoted(request.purpose)}{near} (known: {', '.join(known)})")
    elif asked:
        yield refuses("form", f"no purpose is given; name one of: {', '.join(known)}")
    if request.case is not None:
        problem = name_problem(request.case)
        if problem:
            yield refuses("case", f"the case number {problem}")
    elif asked:
        yield refuses("case", "no case number is given; a search belongs to a case")
    bases = sorted(vocabulary.bases)
    if request.basis is not None and request.basis not in bases:
        near = nearest(request.basis[:100], bases)
        yield refuses("statement", f"unknown basis {quoted(request.basis)}{near} (known: {', '.join(bases)})")


def _person(credential: Credential, request: Request) -> list[Finding]:
    if credential.person is not None:
        if request.operator is None or request.operator == credential.person:
            return []
        text = f"the credential is that of {quoted(credential.person)}, and --operator names {quoted(request.operator)}"
        return [refuses("person", text)]
    if request.operator is None:
        if request.operation == "read":
            return []
        return [refuses("person", "the credential is an organisation's; name the person who asks with --operator")]
    problem = name_problem(request.operator)
    return [refuses("person", f"the name given with --operator {problem}")] if problem else []
