"""`afterfact moratorium extend|shorten|exempt|lift`: each a new entry, and two operators where it loosens."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from access.acts.moratoria import Exemption, Moratoria
from access.commands.shared import (
    approve_option,
    only_one_of,
    open_gate,
    proposed_reason_option,
    reason_option,
    tell,
    tell_two,
)
from foundation.terminal import as_json, credential_option, read_credential


@click.command()
@click.argument("name")
@click.option("--until", metavar="DATE", help="The later end, ISO 8601 with a zone. Default: until further notice.")
@click.option("--for", "duration", metavar="SPAN", help="Or how much longer: 1y, 30d, 12h.")
@reason_option
@credential_option
@as_json
@click.pass_context
def extend(context: click.Context, name: str, credential_file: Path | None, as_json: bool, **terms: Any) -> None:
    """Move a moratorium's end to a later one. Only its authority's operators may.

    \b
    Example:
      afterfact moratorium extend june-2020 --reason "until further notice"
    """
    entry = Moratoria(open_gate(context), read_credential(credential_file)).extend(name, **terms)
    tell(f"Extended {entry.subject}", entry, as_json)


@click.command()
@click.argument("name")
@click.option("--until", metavar="DATE", help="The earlier end, ISO 8601 with a zone. Given by who proposes.")
@proposed_reason_option
@approve_option
@credential_option
@as_json
@click.pass_context
def shorten(
    context: click.Context,
    name: str,
    until: str | None,
    reason: str | None,
    number: int | None,
    credential_file: Path | None,
    as_json: bool,
) -> None:
    """Move a moratorium's end to an earlier one. Takes two operators of its authority.

    \b
    Example:
      afterfact moratorium shorten june-2020 --until 2027-03-01T00:00Z --reason "the law is in force"
      afterfact moratorium shorten june-2020 --approve 41
    """
    moratoria = Moratoria(open_gate(context), read_credential(credential_file))
    only_one_of(number, {"--until": until, "--reason": reason})
    entry = (
        moratoria.approve_change("moratorium.shorten", name, number)
        if number is not None
        else moratoria.shorten(name, until or "", reason or "")
    )
    tell_two(f"Shortened {name}", entry, f"afterfact moratorium shorten {shlex.quote(name)}", as_json)


@click.command()
@click.argument("name")
@click.option("--tenant", "tenants", multiple=True, help="A tenant that may go on. Repeatable.")
@click.option("--kind", "kinds", multiple=True, help="A kind or group that may go on. Repeatable.")
@click.option("--purpose", "purposes", multiple=True, help="A purpose that goes on, with an approver. Repeatable.")
@proposed_reason_option
@approve_option
@credential_option
@as_json
@click.pass_context
def exempt(
    context: click.Context,
    name: str,
    reason: str | None,
    number: int | None,
    credential_file: Path | None,
    as_json: bool,
    **whom: Any,
) -> None:
    """Let tenants, kinds or purposes go on under a moratorium. Takes two operators of its authority.

    \b
    Example:
      afterfact moratorium exempt june-2020 --tenant "Find Them" --reason "named in the statement"
      afterfact moratorium exempt june-2020 --approve 41
    """
    moratoria = Moratoria(open_gate(context), read_credential(credential_file))
    named = next((values for values in whom.values() if values), None)
    only_one_of(number, {"--tenant, --kind or --purpose": named, "--reason": reason})
    entry = (
        moratoria.approve_change("moratorium.exempt", name, number)
        if number is not None
        else moratoria.exempt(name, Exemption(**whom), reason or "")
    )
    tell_two(f"Exempted from {name}", entry, f"afterfact moratorium exempt {shlex.quote(name)}", as_json)


@click.command()
@click.argument("name")
@proposed_reason_option
@approve_option
@credential_option
@as_json
@click.pass_context
def lift(
    context: click.Context,
    name: str,
    reason: str | None,
    number: int | None,
    credential_file: Path | None,
    as_json: bool,
) -> None:
    """Lift a moratorium before its end. Takes two operators of its authority.

    \b
    Example:
      afterfact moratorium lift june-2020 --reason "the law is in force"
      afterfact moratorium lift june-2020 --approve 41
    """
    moratoria = Moratoria(open_gate(context), read_credential(credential_file))
    only_one_of(number, {"--reason": reason})
    entry = (
        moratoria.approve_change("moratorium.lift", name, number)
        if number is not None
        else moratoria.lift(name, reason or "")
    )
    tell_two(f"Lifted {name}", entry, f"afterfact moratorium lift {shlex.quote(name)}", as_json)
