"""`afterfact moratorium`: when whole kinds of tenant may not ask."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from access.acts.desk import moratorium_named
from access.acts.moratoria import Moratoria, MoratoriumTerms, with_preset
from access.commands.moratorium_changes import exempt, extend, lift, shorten
from access.commands.shared import open_gate, tell_in_force
from access.gate import Gate
from access.outlook import answers_inside, whom_it_bars
from access.presets import load_preset, preset_names
from access.rules import AUTHORITIES, BARRED, Moratorium
from access.times import shown
from access.vocabulary import load_vocabulary
from foundation.errors import InputError
from foundation.terminal import (
    CONTEXT,
    as_json,
    credential_option,
    print_json,
    print_table,
    printable,
    read_credential,
)


@click.group(context_settings=CONTEXT)
def moratorium() -> None:
    """Declare, show, change and lift moratoria.

    \b
    Example:
      afterfact moratorium declare june-2020 --preset amazon-statement-2020 --from now
      afterfact moratorium list
    """


@moratorium.command()
@click.argument("name")
@click.option("--preset", metavar="NAME", help="Take the terms from a preset; see 'afterfact moratorium presets'.")
@click.option("--kind", "kinds", multiple=True, help="Kind or group it covers. Repeatable.")
@click.option("--tenant", "tenants", multiple=True, help="A tenant it covers by name. Repeatable.")
@click.option("--everyone", is_flag=True, help="It covers every tenant.")
@click.option("--reason", default="", metavar="TEXT", help="Why; shown to whoever is refused.")
@click.option(
    "--authority",
    type=click.Choice(AUTHORITIES),
    help="Who declares it; only its operators change or lift it. Default: vendor, or the preset's.",
)
@click.option("--from", "start", metavar="DATE", help="ISO 8601 with a zone. Default: now, or the preset's start.")
@click.option("--until", metavar="DATE", help="End, not included. Default: until further notice.")
@click.option("--for", "duration", metavar="SPAN", help="Or how long it lasts: 1y, 30d, 12h.")
@click.option("--operation", "operations", multiple=True, help=f"Of {', '.join(BARRED)}. Default: search. Repeatable.")
@click.option("--apart", multiple=True, help="evaluate or test: leave it alone, though search is barred. Repeatable.")
@click.option("--exempt-tenant", "exempt_tenants", multiple=True, help="A tenant that may go on. Repeatable.")
@click.option("--exempt-kind", "exempt_kinds", multiple=True, help="A kind or group that goes on. Repeatable.")
@click.option("--exempt-purpose", "exempt_purposes", multiple=True, help="A purpose that goes on. Repeatable.")
@click.option("--link", metavar="URL", help="Where it was published; shown to whoever is refused.")
@click.option("--dry-run", is_flag=True, help="Tell whom it would bar; declare nothing.")
@credential_option
@as_json
@click.pass_context
def declare(
    context: click.Context,
    preset: str | None,
    dry_run: bool,
    credential_file: Path | None,
    as_json: bool,
    **terms: Any,
) -> None:
    """Declare a moratorium; it binds every decision after its ledger entry.

    \b
    Example:
      afterfact moratorium declare june-2020 --preset amazon-statement-2020 --from now --exempt-tenant "Find Them"
      afterfact moratorium declare no-police --kind police --from now --for 1y \\
        --exempt-tenant "Find Them" --reason "until there is a law"
      afterfact moratorium declare pause --everyone --reason "key lost" --dry-run
    """
    gate = open_gate(context)
    wanted = _wanted(gate, preset, terms)
    credential = read_credential(credential_file)
    if dry_run:
        _dry_run(gate, credential, wanted, as_json)
        return
    entry = Moratoria(gate, credential).declare(wanted)
    rules, now = gate.rules()
    declared = rules.moratoria[entry.subject]
    span = f"from {shown(declared.start)} until {shown(declared.until)}"
    mapping = _as_mapping(declared, now)
    del mapping["entry"]
    told = f"Declared {declared.name}, {span}: {declared.state(now)}"
    tell_in_force(told, entry, gate, as_json, **mapping)


for change in (extend, shorten, exempt, lift):
    moratorium.add_command(change)


@moratorium.command("list")
@as_json
@click.pass_context
def list_(context: click.Context, as_json: bool) -> None:
    """List every moratorium and whether it is upcoming, in force, ended or lifted.

    \b
    Example:
      afterfact moratorium list
    """
    rules, now = open_gate(context).rules()
    if as_json:
        print_json([_as_mapping(one, now) for one in rules.moratoria.values()])
        return
    rows = [
        (
            *(one.name, one.authority, one.state(now), shown(one.start), shown(one.until), one.subjects),
            ", ".join(sorted(one.operations)),
            ", ".join(sorted(one.exempt_tenants | one.exempt_kinds | one.exempt_purposes)),
        )
        for one in rules.moratoria.values()
    ]
    print_table(["moratorium", "authority", "state", "from", "until", "covers", "operations", "exempt"], rows)


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
    rules, now = open_gate(context).rules()
    mapping = _as_mapping(moratorium_named(rules, name), now)
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


@moratorium.command()
@as_json
def presets(as_json: bool) -> None:
    """List the moratoria of 2018 to 2021 that can be declared by name.

    \b
    Example:
      afterfact moratorium presets
    """
    vocabulary = load_vocabulary()
    known = {name: load_preset(name, vocabulary) for name in preset_names()}
    if as_json:
        print_json(known)
        return
    rows = [
        (
            *(name, one["from"][:10] if "from" in one else "declaration"),
            one.get("for") or one.get("until") or "further notice",
            one["summary"],
        )
        for name, one in known.items()
    ]
    print_table(["preset", "from", "for", "what it was"], rows)


@moratorium.command()
@click.argument("name")
@credential_option
@as_json
@click.pass_context
def review(context: click.Context, name: str, credential_file: Path | None, as_json: bool) -> None:
    """List the answers inside a moratorium's interval that were given before it was declared.

    A moratorium may be backdated; it never judges past answers again. What they led to is for people to review.

    \b
    Example:
      afterfact moratorium review june-2020
    """
    gate = open_gate(context)
    rules, _ = gate.admit(read_credential(credential_file), "moratorium.review")
    found = list(answers_inside(gate.ledger, rules, moratorium_named(rules, name)))
    if as_json:
        print_json(found)
        return
    rows = [
        (one["entry"], shown(one["time"]), one["tenant"], one["beneficiary"], one["person"], one["purpose"])
        for one in found
    ]
    print_table(["entry", "time", "tenant", "for", "person", "purpose"], rows)
    click.echo(f"{len(found):,} answers inside {name}; details with: afterfact audit show --entry NUMBER --details")


def _wanted(gate: Gate, preset: str | None, terms: dict[str, Any]) -> MoratoriumTerms:
    authority, start = terms.pop("authority"), terms.pop("start")
    if preset is None:
        if not terms["reason"]:
            raise InputError("--reason is missing; say why, it is shown to whoever is refused")
        return MoratoriumTerms(**terms, authority=authority or "vendor", start=start or "now")
    own = {"--kind": "kinds", "--everyone": "everyone", "--operation": "operations", "--apart": "apart"}
    for option, value in {**{name: terms[key] for name, key in own.items()}, "--authority": authority}.items():
        if value:
            raise InputError(f"--preset {preset} sets {option} itself; leave it out, or declare without a preset")
    return with_preset(load_preset(preset, gate.vocabulary), MoratoriumTerms(**terms, preset=preset), start)


def _dry_run(gate: Gate, credential: str, wanted: MoratoriumTerms, as_json: bool) -> None:
    rules, now = gate.admit(credential, "access.check")
    told = whom_it_bars(wanted.as_declared(gate.vocabulary, rules, now), rules, now)
    if as_json:
        print_json(told)
        return
    rows = [(one["tenant"], one["kind"], one["effect"], one["licence"]) for one in told]
    print_table(["dry run: nothing is declared", "kind", "it would be", "licence now"], rows)


def _as_mapping(one: Moratorium, now: str) -> dict[str, Any]:
    plain = {name: sorted(value) if isinstance(value, frozenset) else value for name, value in asdict(one).items()}
    plain["named"] = list(one.named)
    del plain["end_told"]
    start = plain.pop("start")
    return {"name": plain.pop("name"), "state": one.state(now), "from": start, **plain}
