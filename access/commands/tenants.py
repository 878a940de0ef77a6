"""`afterfact tenant`: who may ask."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from access.acts.registry import Registry, tenant_named
from access.commands.init import save_option, tell_credential
from access.credentials import NewCredential, saved_credential
from access.gate import Gate
from access.rules import OPERATIONS, Rules, Tenant
from access.times import shown
from foundation.errors import InputError
from foundation.terminal import (
    CONTEXT,
    as_json,
    credential_option,
    home_folder,
    print_json,
    print_table,
    printable,
    read_credential,
)

_reason = click.option("--reason", required=True, metavar="TEXT", help="Why; kept in the ledger for good.")
_person = click.option(
    "--person", metavar="NAME", help="Whose own credential it is. Default: the organisation's, used with --operator."
)


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
@click.option("--kind", required=True, help="Its kind, for good; see configs/kinds.yaml.")
@click.option("--gallery", "galleries", multiple=True, required=True, help="A gallery it may search. Repeatable.")
@click.option("--may", "operations", multiple=True, help=f"More than search: {OPERATIONS[1]}. Repeatable.")
@click.option("--until", metavar="DATE", help="End of its licence, ISO 8601 with a zone. Default: no end.")
@click.option("--for", "duration", metavar="SPAN", help="Or how long its licence lasts: 1y, 30d, 12h.")
@_person
@click.option("--reason", default="registration", show_default=True, metavar="TEXT", help="Why; kept for good.")
@save_option
@credential_option
@as_json
@click.pass_context
def add(
    context: click.Context,
    name: str,
    save_credential: Path | None,
    credential_file: Path | None,
    as_json: bool,
    **terms: Any,
) -> None:
    """Register a tenant, with an active licence and its first credential.

    \b
    Example:
      afterfact tenant add "Vandan County Sheriff" --kind sheriff --gallery county --person "D. Ito" --for 1y
    """
    registry = _registry(context, credential_file)
    with saved_credential(save_credential) as save:
        credential = registry.add_tenant(name, **terms)
        save(credential.text)
    _tell_issued(f"Registered {name}.", name, credential, save_credential, as_json)


@tenant.command()
@click.argument("name")
@click.option("--gallery", "galleries", multiple=True, help="A further gallery. Repeatable.")
@click.option("--may", "operations", multiple=True, help="A further operation. Repeatable.")
@_reason
@credential_option
@as_json
@click.pass_context
def grant(context: click.Context, name: str, credential_file: Path | None, as_json: bool, **terms: Any) -> None:
    """Grant a tenant further galleries or operations.

    \b
    Example:
      afterfact tenant grant "Vandan County Sheriff" --gallery cold-cases --reason "agreement of 4 March"
    """
    entry = _registry(context, credential_file).grant(name, **terms)
    _tell(f"Granted {name} more", entry.number, as_json)


@tenant.command()
@click.argument("name")
@_reason
@credential_option
@as_json
@click.pass_context
def suspend(context: click.Context, name: str, reason: str, credential_file: Path | None, as_json: bool) -> None:
    """Suspend a tenant's licence until it is reinstated.

    \b
    Example:
      afterfact tenant suspend "Vandan County Sheriff" --reason "audit overdue"
    """
    entry = _registry(context, credential_file).suspend(name, reason)
    _tell(f"Suspended the licence of {name}", entry.number, as_json)


@tenant.command()
@click.argument("name")
@_reason
@click.option("--until", metavar="DATE", help="A new end, ISO 8601 with a zone; needed where it has expired.")
@click.option("--for", "duration", metavar="SPAN", help="Or how long from now: 1y, 30d, 12h.")
@credential_option
@as_json
@click.pass_context
def reinstate(context: click.Context, name: str, credential_file: Path | None, as_json: bool, **terms: Any) -> None:
    """Reinstate a suspended licence, or renew one that has expired.

    \b
    Example:
      afterfact tenant reinstate "Vandan County Sheriff" --reason "audit passed"
    """
    entry = _registry(context, credential_file).reinstate(name, **terms)
    _tell(f"Reinstated the licence of {name}", entry.number, as_json)


@tenant.command()
@click.argument("name")
@_reason
@credential_option
@as_json
@click.pass_context
def revoke(context: click.Context, name: str, reason: str, credential_file: Path | None, as_json: bool) -> None:
    """Revoke a tenant's licence for good.

    \b
    Example:
      afterfact tenant revoke "Vandan County Sheriff" --reason "searched without a case"
    """
    entry = _registry(context, credential_file).revoke(name, reason)
    _tell(f"Revoked the licence of {name}, for good", entry.number, as_json)


@tenant.command()
@click.argument("name")
@_person
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
    **terms: Any,
) -> None:
    """Issue a further credential to a tenant, or revoke one.

    \b
    Example:
      afterfact tenant credential "Vandan County Sheriff" --person "D. Ito" --save-credential ito.txt
      afterfact tenant credential "Vandan County Sheriff" --revoke 3f0c9a1b5d7e2468 --reason "left the office"
    """
    person, public_id, reason = terms["person"], terms["public_id"], terms["reason"]
    if public_id is not None:
        if person is not None or save_credential is not None:
            raise InputError("--revoke issues nothing; leave out --person and --save-credential")
        if context.get_parameter_source("reason") is click.core.ParameterSource.DEFAULT:
            raise InputError("--revoke needs --reason")
        entry = _registry(context, credential_file).revoke_credential(name, public_id, reason)
        _tell(f"Revoked credential {public_id} of {name}", entry.number, as_json)
        return
    registry = _registry(context, credential_file)
    with saved_credential(save_credential) as save:
        made = registry.issue_credential(name, person, reason)
        save(made.text)
    _tell_issued(f"Issued a credential to {name}.", name, made, save_credential, as_json)


@tenant.command("list")
@credential_option
@as_json
@click.pass_context
def list_(context: click.Context, credential_file: Path | None, as_json: bool) -> None:
    """List every tenant with its kind, its licence and what bars it now.

    \b
    Example:
      afterfact tenant list --json
    """
    rules, now = Gate.open(home_folder(context)).admit(read_credential(credential_file), "tenant.list")
    states = [_state(rules, one, now) for one in sorted(rules.tenants.values(), key=lambda one: one.name)]
    if as_json:
        print_json(states)
        return
    rows = [
        (one["name"], one["kind"], one["licence"], _end(one), ", ".join(one["galleries"]), ", ".join(one["barred_by"]))
        for one in states
    ]
    print_table(["tenant", "kind", "licence", "until", "galleries", "moratoria in force"], rows)


@tenant.command()
@click.argument("name")
@credential_option
@as_json
@click.pass_context
def show(context: click.Context, name: str, credential_file: Path | None, as_json: bool) -> None:
    """Show one tenant: licence, grants, credentials, moratoria.

    \b
    Example:
      afterfact tenant show "Vandan County Sheriff"
    """
    rules, now = Gate.open(home_folder(context)).admit(read_credential(credential_file), "tenant.show")
    state = _state(rules, tenant_named(rules, name), now)
    if as_json:
        print_json(state)
        return
    for label in ("name", "kind", "licence", "since", "why"):
        value = shown(state[label]) if label == "since" else state[label]
        click.echo(f"{label}: {printable(value)}")
    click.echo(f"until: {_end(state) or 'no end'}")
    for label in ("galleries", "operations", "barred_by"):
        click.echo(f"{label.replace('_', ' ')}: {printable(', '.join(state[label])) or 'none'}")
    rows = [
        (one["id"], one["person"] or "the organisation", shown(one["issued"]), one["revoked"] and shown(one["revoked"]))
        for one in state["credentials"]
    ]
    print_table(["credential", "person", "issued", "revoked"], rows)


def _registry(context: click.Context, credential_file: Path | None) -> Registry:
    text = read_credential(credential_file)
    return Registry(Gate.open(home_folder(context)), text)


def _state(rules: Rules, one: Tenant, now: str) -> dict[str, Any]:
    barring = [
        moratorium.name
        for moratorium in rules.moratoria.values()
        if moratorium.state(now) == "in force"
        and one.kind in moratorium.kinds
        and one.name not in moratorium.exempt_tenants
    ]
    credentials = [asdict(known) for known in rules.credentials_of("tenant", one.name)]
    for known in credentials:
        del known["secret_sha256"]
    return {
        "name": one.name,
        "kind": one.kind,
        "licence": one.licence.at(now),
        "since": one.licence.since,
        "until": one.licence.until,
        "why": one.licence.why,
        "galleries": sorted(one.galleries),
        "operations": sorted(one.operations),
        "barred_by": barring,
        "credentials": credentials,
    }


def _end(state: dict[str, Any]) -> str | None:
    return shown(state["until"]) if state["until"] else None


def _tell(what: str, number: int, as_json: bool) -> None:
    if as_json:
        print_json({"entry": number})
    else:
        click.echo(printable(f"{what}; ledger entry {number}."))


def _tell_issued(what: str, name: str, made: NewCredential, saved_to: Path | None, as_json: bool) -> None:
    if as_json:
        text = None if saved_to else made.text
        print_json({"tenant": name, "credential_id": made.id, "credential": text, "saved_to": saved_to})
        return
    click.echo(printable(what))
    tell_credential(made.text, saved_to)
