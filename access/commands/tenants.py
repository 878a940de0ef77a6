"""`afterfact tenant`: who may ask."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from access.acts.tenants import Tenants, WantedTerms
from access.commands.shared import (
    approve_option,
    only_approves,
    open_gate,
    reason_option,
    save_option,
    start_option,
    tell,
    tell_in_force,
    tell_issued,
    tell_two,
)
from access.commands.tenant_views import list_, show
from access.credentials import saved_credential
from access.rules import GRANTED, LARGEST_K, STATEMENTS
from foundation.errors import InputError
from foundation.terminal import CONTEXT, as_json, credential_option, read_credential

_TERMS = tuple(one.name for one in fields(WantedTerms))
_person = click.option(
    "--person", metavar="NAME", help="Whose own credential it is. Default: the organisation's, used with --operator."
)
_approver = click.option("--approver", is_flag=True, help="This person may approve colleagues' queries.")


def _terms_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that name a licence's terms."""
    for option in reversed(
        (
            click.option(
                "--gallery", "galleries", multiple=True, help="A gallery it may search; none for a tester. Repeatable."
            ),
            click.option("--may", "operations", multiple=True, help=f"One of {', '.join(GRANTED)}. Repeatable."),
            click.option(
                "--purpose", "purposes", multiple=True, help="A purpose it may search for; see configs/purposes.yaml."
            ),
            click.option("--until", metavar="DATE", help="End of its licence, ISO 8601 with a zone."),
            click.option("--for", "duration", metavar="SPAN", help="Or how long its licence lasts: 1y, 30d, 12h."),
            click.option("--largest-k", type=int, help=f"Longest candidate list, 2 to {LARGEST_K}."),
            click.option("--queries-a-day", type=int, help="How many searches, or batches of a test, a UTC day."),
            click.option(
                "--must-state",
                multiple=True,
                help=f"What a query must state: {', '.join(STATEMENTS)}, or nothing. Repeatable.",
            ),
            click.option(
                "--mark-fpir",
                metavar="SHARE",
                help="Mark candidates that more than this share of people not in the gallery get, say 0.01; or none.",
            ),
            click.option("--case-pattern", help="What case numbers look like: 2026-####, # a digit, @ a letter."),
        )
    ):
        command = option(command)
    return command


@click.group(context_settings=CONTEXT)
def tenant() -> None:
    """Register tenants; suspend, reinstate and revoke their licences.

    \b
    Example:
      afterfact tenant add "Vandan County Sheriff" --kind sheriff --gallery county
      afterfact tenant suspend "Vandan County Sheriff" --reason "audit overdue"
    """


@tenant.command()
@click.argument("name")
@click.option("--kind", help="Its kind, for good; see configs/kinds.yaml.")
@_terms_options
@_person
@_approver
@click.option("--formerly", metavar="NAME", help="The revoked tenant it is registered anew for. Takes two operators.")
@start_option
@click.option("--reason", default="registration", show_default=True, metavar="TEXT", help="Why; kept for good.")
@approve_option
@save_option
@credential_option
@as_json
@click.pass_context
def add(
    context: click.Context,
    name: str,
    kind: str | None,
    formerly: str | None,
    number: int | None,
    save_credential: Path | None,
    credential_file: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Register a tenant, with an active licence and its first credential.

    Without --may it may search, without --purpose for every purpose in configs/purposes.yaml. A tester has no gallery:
    without --may it may test and evaluate photos of its own, without --purpose for testing.

    \b
    Example:
      afterfact tenant add "Vandan County Sheriff" --kind sheriff --gallery county --person "D. Ito" --for 1y
      afterfact tenant add "Find Them" --kind anti-trafficking-organisation --gallery county \\
        --purpose human-trafficking --purpose missing-person --largest-k 10
      afterfact tenant add "Kestrel Laboratory" --kind independent-tester --person "R. Okafor" --queries-a-day 500
    """
    tenants = Tenants(open_gate(context), read_credential(credential_file))
    wanted = _wanted(given)
    if number is not None:
        only_approves(context)
    if number is None and kind is None:
        raise InputError("--kind is missing; see configs/kinds.yaml")
    if number is None and formerly is not None:
        if save_credential is not None:
            raise InputError("a proposal issues no credential; leave --save-credential to who approves it")
        entry = tenants.propose_anew(name, kind or "", wanted, formerly, **given)
        tell_two("", entry, f"afterfact tenant add {shlex.quote(name)}", as_json)
        return
    with saved_credential(save_credential) as save:
        if number is not None:
            made = tenants.approve_anew(name, number)
        else:
            made = tenants.add(name, kind or "", wanted, **given)
        save(made.text)
    tell_issued(f"Registered {name}.", name, made, save_credential, as_json)


@tenant.command()
@click.argument("name")
@_terms_options
@start_option
@reason_option
@credential_option
@as_json
@click.pass_context
def terms(
    context: click.Context,
    name: str,
    start: str,
    reason: str,
    credential_file: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Change a licence's terms; each option replaces that whole term, all others stay.

    \b
    Example:
      afterfact tenant terms "Vandan County Sheriff" --gallery county --gallery cold-cases --reason "agreement 4"
      afterfact tenant terms "Vandan County Sheriff" --must-state basis --queries-a-day 200 --reason "policy 12"
    """
    tenants = Tenants(open_gate(context), read_credential(credential_file))
    entry = tenants.change_terms(name, _wanted(given), reason, start)
    tell(f"Changed the terms of {name}", entry, as_json)


@tenant.command()
@click.argument("name")
@reason_option
@start_option
@credential_option
@as_json
@click.pass_context
def suspend(
    context: click.Context, name: str, reason: str, start: str, credential_file: Path | None, as_json: bool
) -> None:
    """Suspend a tenant's licence until it is reinstated.

    A renewal or reinstatement that was entered before, and is dated ahead, does not end it; its new end still holds.

    \b
    Example:
      afterfact tenant suspend "Vandan County Sheriff" --reason "audit overdue"
    """
    gate = open_gate(context)
    entry = Tenants(gate, read_credential(credential_file)).suspend(name, reason, start)
    tell_in_force(f"Suspended the licence of {name}", entry, gate, as_json)


@tenant.command()
@click.argument("name")
@reason_option
@click.option("--until", metavar="DATE", help="A new end, ISO 8601 with a zone; needed where it has expired.")
@click.option("--for", "duration", metavar="SPAN", help="Or how long from now: 1y, 30d, 12h.")
@start_option
@credential_option
@as_json
@click.pass_context
def reinstate(context: click.Context, name: str, credential_file: Path | None, as_json: bool, **terms: Any) -> None:
    """Reinstate a suspended licence, or renew one that has expired.

    \b
    Example:
      afterfact tenant reinstate "Vandan County Sheriff" --reason "audit passed"
    """
    entry = Tenants(open_gate(context), read_credential(credential_file)).reinstate(name, **terms)
    tell(f"Reinstated the licence of {name}", entry, as_json)


@tenant.command()
@click.argument("name")
@reason_option
@start_option
@credential_option
@as_json
@click.pass_context
def revoke(
    context: click.Context, name: str, reason: str, start: str, credential_file: Path | None, as_json: bool
) -> None:
    """Revoke a tenant's licence for good.

    \b
    Example:
      afterfact tenant revoke "Vandan County Sheriff" --reason "searched without a case"
    """
    gate = open_gate(context)
    entry = Tenants(gate, read_credential(credential_file)).revoke(name, reason, start)
    tell_in_force(f"Revoked the licence of {name}, for good", entry, gate, as_json)


@tenant.command()
@click.argument("name")
@_person
@_approver
@click.option("--for", "span", default="1y", show_default=True, metavar="SPAN", help="How long it lasts: 1y, 30d, 12h.")
@click.option("--revoke", "public_id", metavar="ID", help="Revoke the credential with this public id instead.")
@click.option("--reason", default="issued on request", show_default=True, metavar="TEXT", help="Why; kept for good.")
@save_option
@credential_option
@as_json
@click.pass_context
def credential(
    context: click.Context,
    name: str,
    save_credential: Path | None,
    credential_file: Path | None,
    as_json: bool,
    **about: Any,
) -> None:
    """Issue a further credential to a tenant, or revoke one.

    \b
    Example:
      afterfact tenant credential "Vandan County Sheriff" --person "D. Ito" --save-credential ito.txt
      afterfact tenant credential "Vandan County Sheriff" --revoke 3f0c9a1b5d7e2468 --reason "left the office"
    """
    person, public_id, reason = about["person"], about["public_id"], about["reason"]
    tenants = Tenants(open_gate(context), read_credential(credential_file))
    if public_id is not None:
        if person is not None or save_credential is not None:
            raise InputError("--revoke issues nothing; leave out --person and --save-credential")
        if context.get_parameter_source("reason") is click.core.ParameterSource.DEFAULT:
            raise InputError("--revoke needs --reason")
        tell(f"Revoked credential {public_id} of {name}", tenants.revoke_credential(name, public_id, reason), as_json)
        return
    with saved_credential(save_credential) as save:
        made = tenants.issue_credential(name, person, reason, span=about["span"], approver=about["approver"])
        save(made.text)
    tell_issued(f"Issued a credential to {name}.", name, made, save_credential, as_json)


tenant.add_command(list_)
tenant.add_command(show)


def _wanted(given: dict[str, Any]) -> WantedTerms:
    """Takes the terms out of a command's options."""
    terms = {name: given.pop(name) for name in _TERMS}
    return WantedTerms(**{name: None if value == () else value for name, value in terms.items()})
