"""The one decision: may this credential do this, now? Pure, and every rule that spoke is told."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from access.names import name_problem, recordable, tidy
from access.rules import OPERATIONS, Credential, Licence, Moratorium, Rules, Tenant
from access.times import shown
from access.vocabulary import Vocabulary
from foundation.errors import nearest


@dataclass(frozen=True)
class Request:
    """What is asked. `operator` names the person who asks, where the credential is an organisation's.

    `operation` is "search" or "index". `purpose` and `case` are needed for a search.
    """

    operation: str
    gallery: str
    purpose: str | None = None
    case: str | None = None
    operator: str | None = None

    def tidied(self) -> Request:
        """Returns the request with every text in Unicode's composed form, as names are kept."""
        texts = {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
        return dataclasses.replace(self, **{name: tidy(text) for name, text in texts.items()})


@dataclass(frozen=True)
class Finding:
    """What one rule said. `rule` is its sort ("licence", "moratorium", ...); `name` names a moratorium."""

    rule: str
    effect: Literal["refuses", "allows", "exempts"]
    text: str
    name: str | None = None


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
    """What the rules say to a request, and on whose credential."""

    who: Who
    findings: tuple[Finding, ...]

    @property
    def allowed(self) -> bool:
        """Whether a rule allows and none refuses. No finding at all is a refusal."""
        effects = {finding.effect for finding in self.findings}
        return "allows" in effects and "refuses" not in effects

    @property
    def reasons(self) -> str:
        """One line: every rule that refused, then every exemption, with its dates."""
        spoken = [finding.text for finding in self.findings if finding.effect == "refuses"]
        spoken += [finding.text for finding in self.findings if finding.effect == "exempts"]
        return "; ".join(spoken)


def decide(rules: Rules, vocabulary: Vocabulary, credential_id: str | None, request: Request, now: str) -> Decision:
    """Decides a search or an index run, at a moment, for the credential that was proven (None: none was).

    Whatever is unknown refuses. All refusals are found, not only the first.
    """
    credential = rules.credentials.get(credential_id) if credential_id else None
    findings = [_credential(credential)]
    if request.operation not in OPERATIONS:
        findings.append(
            _refuses("operation", f"{_quoted(request.operation)} is no operation ({', '.join(OPERATIONS)})")
        )
    findings += _purpose(request, vocabulary)
    findings += _case(request)
    if credential is None:
        return Decision(Who("unknown", "unknown"), tuple(findings))
    findings += _person(credential, request)
    who = Who(credential.role, credential.holder, None, credential.person or request.operator, credential.id)
    if credential.role == "operator":
        findings.append(_house(credential, request))
        return Decision(who, tuple(findings))
    tenant = rules.tenants.get(credential.holder)
    if credential.role != "tenant" or tenant is None:
        findings.append(_refuses("credential", f"credential {credential.id} belongs to nobody that is registered"))
        return Decision(who, tuple(findings))
    findings += _licence(tenant, now)
    findings += _grants(tenant, request, vocabulary)
    for moratorium in rules.moratoria.values():
        findings += _moratorium(moratorium, tenant, request, now)
    return Decision(dataclasses.replace(who, kind=tenant.kind), tuple(findings))


def decide_act(rules: Rules, credential_id: str | None, act: str) -> Decision:
    """Decides an operator's act on the registry or the house ("tenant.suspend", "audit.show")."""
    credential = rules.credentials.get(credential_id) if credential_id else None
    findings = [_credential(credential)]
    if credential is None:
        return Decision(Who("unknown", "unknown"), tuple(findings))
    tenant = rules.tenants.get(credential.holder) if credential.role == "tenant" else None
    who = Who(credential.role, credential.holder, tenant.kind if tenant else None, credential.person, credential.id)
    if credential.role == "operator" and credential.holder in rules.operators:
        findings.append(_allows("role", f"{_quoted(credential.holder)} is an operator of this archive"))
    else:
        findings.append(
            _refuses("role", f"{act} is for operators of this archive, and {_quoted(credential.holder)} is none")
        )
    return Decision(who, tuple(findings))


def _credential(credential: Credential | None) -> Finding:
    if credential is None:
        return _refuses("credential", "the credential is not known here; ask an operator for a new one")
    owner = f"credential {credential.id} of {_quoted(credential.holder)}"
    if credential.revoked is not None:
        return _refuses("credential", f"{owner} was revoked on {shown(credential.revoked)}: {credential.revoked_why}")
    return _allows("credential", f"{owner} is valid since {shown(credential.issued)}")


def _house(credential: Credential, request: Request) -> Finding:
    name = _quoted(credential.holder)
    if request.operation == "index":
        return _allows("role", f"{name} is an operator of this archive and may index it")
    return _refuses("role", f"{name} is an operator: operators hold no licence and may not search; ask as a tenant")


def _purpose(request: Request, vocabulary: Vocabulary) -> list[Finding]:
    known = sorted(vocabulary.purposes)
    if request.purpose is None:
        if request.operation == "index":
            return []
        return [_refuses("purpose", f"no purpose is given; name one of: {', '.join(known)}")]
    if request.purpose in vocabulary.purposes:
        return [_allows("purpose", f"{request.purpose} is a purpose that is allowed here")]
    near = nearest(request.purpose[:100], known)
    return [_refuses("purpose", f"unknown purpose {_quoted(request.purpose)}{near} (known: {', '.join(known)})")]


def _case(request: Request) -> list[Finding]:
    if request.operation == "index" and request.case is None:
        return []
    if request.case is None:
        return [_refuses("case", "no case number is given; a search belongs to a case")]
    problem = name_problem(request.case)
    return [_refuses("case", f"the case number {problem}")] if problem else []


def _person(credential: Credential, request: Request) -> list[Finding]:
    if credential.person is not None:
        if request.operator is None or request.operator == credential.person:
            return []
        text = f"the credential is {_quoted(credential.person)}'s own, and --operator names {_quoted(request.operator)}"
        return [_refuses("person", text)]
    if request.operator is None:
        return [_refuses("person", "the credential is an organisation's; name the person who asks with --operator")]
    problem = name_problem(request.operator)
    return [_refuses("person", f"the name given with --operator {problem}")] if problem else []


def _licence(tenant: Tenant, now: str) -> list[Finding]:
    licence: Licence = tenant.licence
    since = f"since {shown(licence.since)}"
    whose = f"the licence of {_quoted(tenant.name)}"
    found = []
    if licence.state == "revoked":
        found.append(_refuses("licence", f"{whose} is revoked {since}, for good: {licence.why}"))
    elif licence.state == "suspended":
        found.append(_refuses("licence", f"{whose} is suspended {since}, until it is reinstated: {licence.why}"))
    if licence.state != "revoked" and licence.ended(now):
        found.append(_refuses("licence", f"{whose} expired on {shown(licence.until)}"))
    if not found:
        end = f"until {shown(licence.until)}" if licence.until else "without an end"
        found.append(_allows("licence", f"{whose} is active {since}, {end}"))
    return found


def _grants(tenant: Tenant, request: Request, vocabulary: Vocabulary) -> list[Finding]:
    name = _quoted(tenant.name)
    found = []
    if tenant.kind not in vocabulary.kinds:
        found.append(_refuses("kind", f"{name} is of kind {tenant.kind!r}, which configs/kinds.yaml does not know"))
    if request.gallery in tenant.galleries:
        found.append(_allows("gallery", f"gallery {request.gallery!r} is granted to {name}"))
    else:
        granted = ", ".join(sorted(tenant.galleries))
        text = f"gallery {_quoted(request.gallery)} is not granted to {name} (granted: {granted})"
        found.append(_refuses("gallery", text))
    if request.operation in tenant.operations:
        found.append(_allows("operation", f"{request.operation} is granted to {name}"))
    elif request.operation in OPERATIONS:
        granted = ", ".join(sorted(tenant.operations))
        found.append(_refuses("operation", f"{request.operation} is not granted to {name} (granted: {granted})"))
    return found


def _moratorium(moratorium: Moratorium, tenant: Tenant, request: Request, now: str) -> list[Finding]:
    if moratorium.state(now) != "in force" or not moratorium.covers(tenant.kind, request.operation):
        return []
    named = f"moratorium {_quoted(moratorium.name)}"
    span = f"from {shown(moratorium.start)} until {shown(moratorium.until)}"
    exempt = []
    if tenant.name in moratorium.exempt_tenants:
        exempt.append(f"tenant {_quoted(tenant.name)}")
    if request.purpose in moratorium.exempt_purposes:
        exempt.append(f"purpose {request.purpose}")
    if exempt:
        return [Finding("moratorium", "exempts", f"{named} ({span}) exempts {' and '.join(exempt)}", moratorium.name)]
    link = f" ({moratorium.link})" if moratorium.link else ""
    text = f"{named} bars {tenant.kind} from {request.operation} {span}: {moratorium.reason}{link}"
    return [Finding("moratorium", "refuses", text, moratorium.name)]


def _allows(rule: str, text: str) -> Finding:
    return Finding(rule, "allows", text)


def _refuses(rule: str, text: str) -> Finding:
    return Finding(rule, "refuses", text)


def _quoted(text: str) -> str:
    return repr(recordable(text[:100]))
