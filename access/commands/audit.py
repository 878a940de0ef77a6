"""`afterfact audit`: reads the ledger and checks it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from access.gate import Gate
from access.ledger.ledger import Ledger, Recorded
from access.ledger.verification import verify as verify_ledger
from access.times import shown
from foundation.errors import EXIT_ERROR
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
def audit() -> None:
    """Show and verify the ledger.

    \b
    Example:
      afterfact audit verify
      afterfact audit show --limit 20
    """


@audit.command()
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many entries.")
@click.option("--tenant", "subject", metavar="NAME", help="Only entries about this tenant.")
@click.option("--type", metavar="TYPE", help="Only this type, such as search.refused.")
@click.option("--details", is_flag=True, help="With case numbers, probe digests and candidates, where kept.")
@credential_option
@as_json
@click.pass_context
def show(context: click.Context, details: bool, credential_file: Path | None, as_json: bool, **filters: Any) -> None:
    """Show the newest ledger entries, newest first.

    \b
    Example:
      afterfact audit show --type search.refused --details
    """
    gate = Gate.open(home_folder(context))
    gate.admit(read_credential(credential_file), "audit.show")
    found = gate.ledger.recent(details=details, **filters)
    if as_json:
        print_json([_as_mapping(one, details) for one in found])
        return
    columns = ["entry", "time", "type", "subject", "what", *(["details"] if details else [])]
    print_table(columns, [(*_as_row(one), *([_details_text(one)] if details else [])) for one in found])


@audit.command()
@as_json
@click.pass_context
def verify(context: click.Context, as_json: bool) -> None:
    """Check every ledger entry; exit code 1 and the first bad entry's number where one does not fit.

    \b
    Example:
      afterfact audit verify
    """

    def progress(number: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{number:,} entries checked", nl=False, err=True)

    found = verify_ledger(Ledger(home_folder(context)), progress)
    if sys.stderr.isatty():
        click.echo(err=True)
    if as_json:
        print_json({"intact": found.intact, **asdict(found)})
    elif found.intact:
        erased = f"; details of {found.details_erased:,} entries erased" if found.details_erased else ""
        click.echo(f"Intact up to entry {found.number:,} ({shown(found.time)}){erased}.")
        click.echo(f"Head: {found.head}")
    else:
        where = f"entry {found.first_bad}: " if found.first_bad is not None else ""
        click.echo(printable(f"NOT intact. {where}{found.problem}. Intact up to entry {found.number:,}."))
    if not found.intact:
        context.exit(EXIT_ERROR)


@audit.command()
@as_json
@click.pass_context
def head(context: click.Context, as_json: bool) -> None:
    """Print the newest entry's number and digest, to be kept outside this machine.

    \b
    Example:
      afterfact audit head
    """
    last = Ledger(home_folder(context)).head()
    if as_json:
        print_json({"number": last.number, "time": last.time, "head": last.digest})
    else:
        click.echo(f"{last.number} {last.digest} {last.time}")


def _as_mapping(one: Recorded, details: bool) -> dict[str, object]:
    entry = one.entry
    told = {"number": entry.number, "time": entry.time, "type": entry.type, "subject": entry.subject, "body": one.body}
    return {**told, "head": entry.digest, **({"details": one.details} if details else {})}


def _as_row(one: Recorded) -> tuple[int, str, str, str, str]:
    return one.entry.number, shown(one.entry.time), one.entry.type, one.entry.subject, _told(one)


def _told(one: Recorded) -> str:
    """What one entry says, for people: refusals and exemptions of a decision, the reason of an act."""
    body = one.body
    request = body.get("request", {})
    parts = [str(value) for value in (body.get("act"), request.get("gallery"), request.get("purpose")) if value]
    parts += [finding["text"] for finding in body.get("findings", []) if finding["effect"] != "allows"]
    parts += [str(body[key]) for key in ("reason", "why") if body.get(key)]
    if body.get("by"):
        parts.append(f"by {body['by']['operator']}")
    return "; ".join(parts)


def _details_text(one: Recorded) -> str | None:
    if one.details is not None:
        return json.dumps(one.details, ensure_ascii=False)
    return "erased" if "details" in one.body else None
