"""`afterfact tenant list` and `show`: how tenants stand."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from access.acts.desk import tenant_named
from access.commands.shared import open_gate
from access.outlook import outlook
from access.rules import Rules, Tenant
from access.times import read_moment, shown
from foundation.terminal import (
    as_json,
    credential_option,
    print_json,
    print_table,
    printable,
    read_credential,
)


@click.command("list")
@click.option("--at", "at", default="now", show_default=True, metavar="DATE", help="When: ISO 8601 with a zone.")
@credential_option
@as_json
@click.pass_context
def list_(context: click.Context, at: str, credential_file: Path | None, as_json: bool) -> None:
    """List every tenant: its licence, whether it may search, by which rule not, and until when.

    A moment that is past is told by the rules as they were known then, one to come by the rules of now.

    \b
    Example:
      afterfact tenant list
      afterfact tenant list --at 2027-01-01T00:00Z
    """
    gate = open_gate(context)
    rules, now = gate.admit(read_credential(credential_file), "tenant.list")
    moment = read_moment(at, now, "--at")
    if moment < now:
        rules = gate.rules_at(moment)
    states = [outlook(rules, one, moment) for one in sorted(rules.tenants.values(), key=lambda one: one.name)]
    if as_json:
        print_json(states)
        return
    rows = [
        (
            *(one["name"], one["kind"], one["licence"], _end(one), one["state"]),
            "; ".join([*one["blocked_by"], *(f"{step['what']} from {shown(step['from'])}" for step in one["next"])]),
        )
        for one in states
    ]
    print_table(["tenant", "kind", "licence", "until", f"at {shown(moment)}", "by which rule, and what is next"], rows)


@click.command()
@click.argument("name")
@credential_option
@as_json
@click.pass_context
def show(context: click.Context, name: str, credential_file: Path | None, as_json: bool) -> None:
    """Show one tenant: licence, terms, every change, credentials, moratoria.

    \b
    Example:
      afterfact tenant show "Vandan County Sheriff"
    """
    rules, now = open_gate(context).admit(read_credential(credential_file), "tenant.show")
    one = tenant_named(rules, name)
    state = _state(rules, one, now)
    if as_json:
        print_json(state)
        return
    for label in ("name", "kind", "formerly", "licence", "state"):
        click.echo(printable(f"{label}: {state[label] or 'none'}"))
    click.echo(f"until: {_end(state) or 'no end'}")
    for label, value in state["terms"].items():
        text = ", ".join(value) if isinstance(value, list) else value
        if label != "until":
            click.echo(printable(f"{label.replace('_', ' ')}: {'none' if text in (None, '') else text}"))
    for reason in state["blocked_because"]:
        click.echo(printable(f"blocked by: {reason}"))
    changes = [
        (shown(each["effective"]), each["what"], each["by"], each["why"], each["entry"]) for each in state["changes"]
    ]
    print_table(["from", "licence", "by", "why", "entry"], changes)
    rows = [
        (
            *(each["id"], each["person"] or "the organisation", shown(each["issued"]), shown(each["until"])),
            each["revoked"] and shown(each["revoked"]),
        )
        for each in state["credentials"]
    ]
    print_table(["credential", "person", "issued", "until", "revoked"], rows)


def _state(rules: Rules, one: Tenant, now: str) -> dict[str, Any]:
    credentials = [asdict(known) for known in rules.credentials_of("tenant", one.name)]
    for known in credentials:
        del known["secret_sha256"]
    changes = [
        {**asdict(change), "terms": change.terms.as_json() if change.terms else None} for change in one.licence.held()
    ]
    return {**outlook(rules, one, now), "formerly": one.formerly, "changes": changes, "credentials": credentials}


def _end(state: dict[str, Any]) -> str | None:
    return shown(state["until"]) if state["until"] else None
