"""`afterfact access`: dry runs of the decision, approvals, galleries' owners, one's own credential."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from access.acts.desk import tenant_named
from access.acts.operators import rotate
from access.acts.queries import APPROVAL_SPAN, Queries
from access.commands.shared import (
    approve_option,
    only_one_of,
    open_gate,
    proposed_reason_option,
    reason_option,
    save_option,
    tell,
    tell_issued,
    tell_two,
)
from access.credentials import saved_credential
from access.requests import Request
from access.rules import GRANTED
from access.times import read_moment, shown
from access.vocabulary import one_of
from foundation.errors import EXIT_DONE, EXIT_REFUSED
from foundation.terminal import CONTEXT, as_json, credential_option, print_json, print_table, printable, read_credential


@click.group(context_settings=CONTEXT)
def access() -> None:
    """Check what would be decided; approve queries; name a gallery's owner; rotate your credential.

    \b
    Example:
      afterfact access check --tenant "Vandan County Sheriff" --operation search --purpose robbery
    """


@access.command()
@click.option("--tenant", required=True, metavar="NAME", help="Who would ask.")
@click.option("--operation", default="search", show_default=True, help=f"One of {', '.join(GRANTED)}.")
@click.option("--purpose", help="Why it would ask.")
@click.option("--gallery", help="Which gallery. Default: the first one granted.")
@click.option("--case", default="check", show_default=True, help="For which case.")
@click.option("--beneficiary", metavar="NAME", help="For which tenant. Default: its own.")
@click.option("-k", "k", type=int, help="How long a candidate list.")
@click.option("--offence", help="The offence that it would state.")
@click.option("--basis", help="The basis that it would state.")
@click.option("--reference", help="The reference that it would state.")
@click.option("--at", "at", default="now", show_default=True, metavar="DATE", help="When: ISO 8601 with a zone.")
@credential_option
@as_json
@click.pass_context
def check(
    context: click.Context,
    tenant: str,
    at: str,
    gallery: str | None,
    credential_file: Path | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Tell what would be decided, and every rule that speaks. Searches nothing, records nothing.

    A moment that is past is judged by the rules as they were known then, one to come by the rules of now.

    \b
    Example:
      afterfact access check --tenant "Vandan County Sheriff" --operation search --purpose robbery
      afterfact access check --tenant "Vandan County Sheriff" --purpose robbery --at 2027-01-01T00:00Z

    Exit codes: 0 it would be allowed, 3 refused or held.
    """
    gate = open_gate(context)
    rules, now = gate.admit(read_credential(credential_file), "access.check")
    moment = read_moment(at, now, "--at")
    one_of(asked["operation"], GRANTED, "operation")
    if moment < now:
        rules = gate.rules_at(moment)
    who = tenant_named(rules, tenant)
    standing = who.licence.at(moment)
    granted = sorted(standing.terms.galleries) if standing else []
    request = Request(gallery=gallery or (granted[0] if granted else ""), operator="whoever asks", **asked)
    decision = gate.check(rules, who, request, moment)
    if as_json:
        findings = [asdict(one) for one in decision.findings]
        print_json({"at": moment, "outcome": decision.outcome, "allowed": decision.allowed, "findings": findings})
    else:
        what = f"{request.operation} of gallery {request.gallery!r} by {who.name}, {shown(moment)}"
        click.echo(printable(f"{decision.outcome.upper()}: {what}"))
        print_table(["rule", "effect", "what it says"], [(one.rule, one.effect, one.text) for one in decision.findings])
    context.exit(EXIT_DONE if decision.allowed else EXIT_REFUSED)


@access.command()
@click.option("--tenant", required=True, metavar="NAME", help="Whose queries.")
@click.option("--case", required=True, help="On which case.")
@click.option("--purpose", required=True, help="For which purpose.")
@click.option("--beneficiary", metavar="NAME", help="For which tenant they ask. Default: their own.")
@click.option("--for", "span", default=APPROVAL_SPAN, show_default=True, metavar="SPAN", help="How long it stands.")
@reason_option
@credential_option
@as_json
@click.pass_context
def approve(context: click.Context, credential_file: Path | None, as_json: bool, **about: Any) -> None:
    """Approve a tenant's queries on one case for one purpose.

    Needed under an exempt purpose (an operator, or an approver of the asking organisation other than who asks), and
    where a case or probe was refused before under another purpose or tenant (an operator).

    \b
    Example:
      afterfact access approve --tenant "Vandan County Sheriff" --case 2026-0117 --purpose missing-person \\
        --reason "reported missing on 4 March, report 88"
    """
    entry = Queries(open_gate(context), read_credential(credential_file)).approve_query(**about)
    tell(f"Approved {about['purpose']} on case {about['case']} for {entry.subject}", entry, as_json)


@access.command()
@click.argument("gallery")
@click.option("--tenant", metavar="NAME", help="Whose photos it holds.")
@proposed_reason_option
@approve_option
@credential_option
@as_json
@click.pass_context
def owner(
    context: click.Context,
    gallery: str,
    tenant: str | None,
    reason: str | None,
    number: int | None,
    credential_file: Path | None,
    as_json: bool,
) -> None:
    """Name the tenant whose photos a gallery holds: its licence and moratoria then bind every query there.

    Another owner in the place of one takes two operators.

    \b
    Example:
      afterfact access owner county --tenant "Vandan County Sheriff" --reason "agreement of 4 March"
    """
    queries = Queries(open_gate(context), read_credential(credential_file))
    only_one_of(number, {"--tenant": tenant, "--reason": reason})
    if number is not None:
        entry = queries.approve_owner(gallery, number)
    else:
        entry = queries.own(gallery, tenant or "", reason or "")
    tell_two(f"Named the owner of gallery {gallery}", entry, f"afterfact access owner {shlex.quote(gallery)}", as_json)


@access.command("rotate")
@save_option
@credential_option
@as_json
@click.pass_context
def rotate_(context: click.Context, save_credential: Path | None, credential_file: Path | None, as_json: bool) -> None:
    """Put a new credential in the place of your own, which is revoked at once. Its end stays the same.

    \b
    Example:
      afterfact access rotate --save-credential new.txt --credential-file old.txt
    """
    text = read_credential(credential_file)
    with saved_credential(save_credential) as save:
        made = rotate(open_gate(context), text)
        save(made.text)
    tell_issued("Rotated; the old credential is revoked.", "bearer", made, save_credential, as_json)
