"""`afterfact moratorium`: when whole kinds of tenant may not ask."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from access.acts.registry import MoratoriumTerms, Registry
from access.gate import Gate
from access.names import read_name
from access.rules import Moratorium
from access.times import shown
from access.vocabulary import one_of
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


@click.group(context_settings=CONTEXT)
def moratorium() -> None:
    """Declare, show and lift moratoria.

    \b
    Example:
      afterfact moratorium declare june-2020 --kind police --for 1y --reason "until there is a law"
      afterfact moratorium list
    """


@moratorium.command()
@click.argument("name")
@click.option("--kind", "kinds", multiple=True, required=True, help="Kind or group it covers. Repeatable.")
@click.option("--reason", required=True, metavar="TEXT", help="Why; shown to whoever is refused.")
@click.option("--from", "start", default="now", show_default=True, metavar="DATE", help="ISO 8601 with a zone, or now.")
@click.option("--until", metavar="DATE", help="End, not included. Default: until further notice.")
@click.option("--for", "duration", metavar="SPAN", help="Or how long it lasts: 1y, 30d, 12h.")
@click.option("--operation", "operations", multiple=True, help="search (the default) or index. Repeatable.")
@click.option("--exempt-tenant", "exempt_tenants", multiple=True, help="A tenant that may go on. Repeatable.")
@click.option("--exempt-purpose", "exempt_purposes", multiple=True, help="A purpose that goes on. Repeatable.")
@click.option("--link", metavar="URL", help="Where it was published; shown to whoever is refused.")
@credential_option
@as_json
@click.pass_context
def declare(context: click.Context, credential_file: Path | None, as_json: bool, **terms: Any) -> None:
    """Declare a moratorium; it binds every decision after its ledger entry.

    \b
    Example:
      afterfact moratorium declare june-2020 --kind police --from 2020-06-10T00:00Z --for 1y \\
        --exempt-tenant "Find Them" --reason "until there is a law"
    """
    gate = Gate.open(home_folder(context))
    entry = Registry(gate, read_credential(credential_file)).declare(MoratoriumTerms(**terms))
    rules, now = gate.rules()
    declared = rules.moratoria[entry.subject]
    if as_json:
        print_json({"entry": entry.number, **_as_mapping(declared, now)})
        return
    span = f"from {shown(declared.start)} until {shown(declared.until)}"
    click.echo(printable(f"Declared {declared.name}, {span}: {declared.state(now)}; ledger entry {entry.number}."))


@moratorium.command()
@click.argument("name")
@click.option("--reason", required=True, metavar="TEXT", help="Why; kept in the ledger for good.")
@credential_option
@as_json
@click.pass_context
def lift(context: click.Context, name: str, reason: str, credential_file: Path | None, as_json: bool) -> None:
    """Lift a moratorium before its end.

    \b
    Example:
      afterfact moratorium lift june-2020 --reason "the law is in force"
    """
    entry = Registry(Gate.open(home_folder(context)), read_credential(credential_file)).lift(name, reason)
    if as_json:
        print_json({"entry": entry.number})
    else:
        click.echo(printable(f"Lifted {entry.subject}; ledger entry {entry.number}."))


@moratorium.command("list")
@as_json
@click.pass_context
def list_(context: click.Context, as_json: bool) -> None:
    """List every moratorium and whether it is upcoming, in force, ended or lifted.

    \b
    Example:
      afterfact moratorium list
    """
    rules, now = Gate.open(home_folder(context)).rules()
    if as_json:
        print_json([_as_mapping(one, now) for one in rules.moratoria.values()])
        return
    rows = [
        (
            one.name,
            one.state(now),
            shown(one.start),
            shown(one.until),
            ", ".join(one.named_kinds),
            ", ".join(sorted(one.operations)),
            ", ".join(sorted(one.exempt_tenants | one.exempt_purposes)),
        )
        for one in rules.moratoria.values()
    ]
    print_table(["moratorium", "state", "from", "until", "kinds", "operations", "exempt"], rows)


@moratorium.command()
@click.argument("name")
@as_json
@click.pass_context
def show(context: click.Context, name: str, as_json: bool) -> None:
    """Show one moratorium in full.

    \b
    Example:
      afterfact moratorium show june-2020
    """
    rules, now = Gate.open(home_folder(context)).rules()
    known = one_of(read_name(name, "moratorium"), rules.moratoria, "moratorium")
    mapping = _as_mapping(rules.moratoria[known], now)
    if as_json:
        print_json(mapping)
        return
    for label, value in mapping.items():
        if label in ("from", "until", "declared"):
            text = shown(value)
        elif label == "lifted":
            text = shown(value) if value else "no"
        else:
            text = ", ".join(value) if isinstance(value, list) else value
        click.echo(printable(f"{label.replace('_', ' ')}: {text or 'none'}"))


def _as_mapping(one: Moratorium, now: str) -> dict[str, Any]:
    plain = {name: sorted(value) if isinstance(value, frozenset) else value for name, value in asdict(one).items()}
    plain["named_kinds"] = list(one.named_kinds)
    start = plain.pop("start")
    return {"name": plain.pop("name"), "state": one.state(now), "from": start, **plain}
