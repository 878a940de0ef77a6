"""`afterfact operator`: who runs the registry."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path

import click

from access.acts.operators import Operators, recover
from access.commands.shared import (
    approve_option,
    only_approves,
    open_gate,
    reason_option,
    save_option,
    tell,
    tell_issued,
    tell_two,
)
from access.credentials import saved_credential
from access.rules import AUTHORITIES, ROLES
from access.times import shown
from foundation.errors import InputError
from foundation.terminal import CONTEXT, as_json, credential_option, print_json, print_table, read_credential


@click.group(context_settings=CONTEXT)
def operator() -> None:
    """Add and remove operators: administrators, licensing officers, auditors.

    \b
    Example:
      afterfact operator add "B. Bell" --role licensing-officer --save-credential bell.txt
    """


@operator.command()
@click.argument("name")
@click.option("--role", help=f"One of {', '.join(ROLES)}.")
@click.option(
    "--authority",
    type=click.Choice(AUTHORITIES),
    help="For whom they act. Default: your own authority; another one takes two administrators.",
)
@click.option("--reason", default="added on request", show_default=True, metavar="TEXT", help="Why; kept for good.")
@approve_option
@save_option
@credential_option
@as_json
@click.pass_context
def add(
    context: click.Context,
    name: str,
    role: str | None,
    authority: str | None,
    reason: str,
    number: int | None,
    save_credential: Path | None,
    credential_file: Path | None,
    as_json: bool,
) -> None:
    """Add an operator, with a credential of their own.

    \b
    Example:
      afterfact operator add "B. Bell" --role licensing-officer --save-credential bell.txt
      afterfact operator add "C. Court" --role licensing-officer --authority court
      afterfact operator add "C. Court" --approve 41 --save-credential court.txt
    """
    gate = open_gate(context)
    operators = Operators(gate, read_credential(credential_file))
    if number is not None:
        only_approves(context)
    if number is None and role is None:
        raise InputError(f"--role is missing; give one of {', '.join(ROLES)}")
    if number is None and authority not in (None, operators.own_authority(gate.rules()[0])):
        if save_credential is not None:
            raise InputError("a proposal issues no credential; leave --save-credential to who approves it")
        entry = operators.propose_other(name, role or "", authority or "", reason)
        tell_two("", entry, f"afterfact operator add {shlex.quote(name)}", as_json)
        return
    with saved_credential(save_credential) as save:
        made = operators.approve_other(name, number) if number is not None else operators.add(name, role or "", reason)
        save(made.text)
    tell_issued(f"Added operator {name}.", name, made, save_credential, as_json)


@operator.command("list")
@credential_option
@as_json
@click.pass_context
def list_(context: click.Context, credential_file: Path | None, as_json: bool) -> None:
    """List every operator with role, authority and valid credentials.

    \b
    Example:
      afterfact operator list
    """
    rules, now = open_gate(context).admit(read_credential(credential_file), "operator.list")
    known = list(rules.operators.values())
    valid = {
        one.name: [each for each in rules.credentials_of("operator", one.name) if each.usable(now)] for one in known
    }
    if as_json:
        credentials = {
            name: [{"id": each.id, "until": each.until} for each in each_of] for name, each_of in valid.items()
        }
        print_json([{**asdict(one), "credentials": credentials[one.name]} for one in known])
        return
    rows = [
        (
            *(one.name, one.role, one.authority, shown(one.since), shown(one.removed) if one.removed else None),
            ", ".join(f"{each.id} until {shown(each.until)}" for each in valid[one.name]),
        )
        for one in known
    ]
    print_table(["operator", "role", "authority", "since", "removed", "valid credentials"], rows)


@operator.command()
@click.argument("name")
@reason_option
@credential_option
@as_json
@click.pass_context
def remove(context: click.Context, name: str, reason: str, credential_file: Path | None, as_json: bool) -> None:
    """Remove an operator and revoke their credentials.

    \b
    Example:
      afterfact operator remove "B. Bell" --reason "left the office"
    """
    entry = Operators(open_gate(context), read_credential(credential_file)).remove(name, reason)
    tell(f"Removed operator {name}", entry, as_json)


@operator.command()
@click.argument("name")
@click.option("--revoke", "public_id", metavar="ID", help="Revoke the credential with this public id instead.")
@click.option("--for", "span", default="1y", show_default=True, metavar="SPAN", help="How long it lasts: 1y, 30d, 12h.")
@reason_option
@save_option
@credential_option
@as_json
@click.pass_context
def credential(
    context: click.Context,
    name: str,
    public_id: str | None,
    span: str,
    reason: str,
    save_credential: Path | None,
    credential_file: Path | None,
    as_json: bool,
) -> None:
    """Issue a further credential to an operator, or revoke one.

    \b
    Example:
      afterfact operator credential "B. Bell" --reason "lost the old one" --save-credential bell.txt
      afterfact operator credential "B. Bell" --revoke 3f0c9a1b5d7e2468 --reason "lost"
    """
    operators = Operators(open_gate(context), read_credential(credential_file))
    if public_id is not None:
        if save_credential is not None:
            raise InputError("--revoke issues nothing; leave out --save-credential")
        tell(f"Revoked credential {public_id} of {name}", operators.revoke_credential(name, public_id, reason), as_json)
        return
    with saved_credential(save_credential) as save:
        made = operators.issue_credential(name, reason, span)
        save(made.text)
    tell_issued(f"Issued a credential to {name}.", name, made, save_credential, as_json)


@operator.command("recover")
@click.argument("name")
@reason_option
@click.option("--authority", type=click.Choice(AUTHORITIES), default="vendor", show_default=True, help="For whom.")
@save_option
@as_json
@click.pass_context
def recover_(
    context: click.Context, name: str, reason: str, authority: str, save_credential: Path | None, as_json: bool
) -> None:
    """Make a new administrator when every operator is lost: for whoever owns the host and the ledger's key.

    It takes nobody's credential, and stands in the ledger for good with the host's account that did it.

    \b
    Example:
      afterfact operator recover "New Clerk" --reason "the only clerk died" --save-credential clerk.txt
    """
    with saved_credential(save_credential) as save:
        made = recover(open_gate(context), name, reason, authority)
        save(made.text)
    tell_issued(f"Recovered: {name} is administrator.", name, made, save_credential, as_json)
