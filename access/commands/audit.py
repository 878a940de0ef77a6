"""`afterfact audit`: reads the ledger and checks it."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import click

from access.acts.queries import Queries
from access.commands.shared import approve_option, only_one_of, open_gate, proposed_reason_option, tell, tell_two
from access.gate import Gate
from access.ledger.chain import Draft
from access.ledger.ledger import Ledger, Recorded
from access.ledger.verification import Verification, read_anchors
from access.ledger.verification import verify as verify_ledger
from access.names import recordable
from access.report import report_year
from access.times import read_moment, shown
from foundation.errors import EXIT_ERROR, InputError
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
    """Show, verify, export and report the ledger; erase details under an order.

    \b
    Example:
      afterfact audit verify --anchor heads.txt
      afterfact audit report --year 2026
    """


@audit.command()
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many entries.")
@click.option("--entry", "number", type=click.IntRange(1, 2**62), metavar="NUMBER", help="Only this entry.")
@click.option("--tenant", "subject", metavar="NAME", help="Only entries about this tenant.")
@click.option("--type", metavar="TYPE", help="Only this type, such as search.refused.")
@click.option("--details", is_flag=True, help="With case numbers, probe digests and candidates, where kept.")
@credential_option
@as_json
@click.pass_context
def show(context: click.Context, details: bool, credential_file: Path | None, as_json: bool, **filters: Any) -> None:
    """Show the newest ledger entries, newest first. Reading details leaves an entry.

    \b
    Example:
      afterfact audit show --type search.refused --details
    """
    gate = open_gate(context)
    credential = read_credential(credential_file)
    filters = {name: recordable(value) if isinstance(value, str) else value for name, value in filters.items()}
    if details:
        _record_reading(gate, credential, "audit.read", filters)
    else:
        gate.admit(credential, "audit.show")
    found = gate.ledger.recent(details=details, **filters)
    if as_json:
        print_json([as_mapping(one, details) for one in found])
        return
    columns = ["entry", "time", "type", "subject", "what", *(["details"] if details else [])]
    print_table(columns, [(*_as_row(one), *([_details_text(one)] if details else [])) for one in found])
    if filters["number"] is not None and found:
        click.echo(f"Head: {found[0].entry.digest}")


@audit.command()
@click.option(
    "--anchor",
    "anchor_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Heads that were kept outside this machine, a line each as 'afterfact audit head' prints them.",
)
@as_json
@click.pass_context
def verify(context: click.Context, anchor_file: Path | None, as_json: bool) -> None:
    """Check every ledger entry; exit code 1 and the first bad entry's number where one does not fit.

    \b
    Example:
      afterfact audit verify
      afterfact audit verify --anchor heads.txt
    """
    anchors = _anchors(anchor_file)

    def progress(number: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{number:,} entries checked", nl=False, err=True)

    found = verify_ledger(Ledger(home_folder(context)), progress, anchors)
    if sys.stderr.isatty():
        click.echo(err=True)
    if as_json:
        print_json({"intact": found.intact, **asdict(found)})
    elif found.intact:
        erased = f"; details of {found.details_erased:,} entries erased under orders" if found.details_erased else ""
        click.echo(f"Intact up to entry {found.number:,} ({shown(found.time)}){erased}{_anchored(found, anchors)}.")
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
    """Print the newest entry's number, digest and time, to be kept outside this machine.

    \b
    Example:
      afterfact audit head >> heads.txt
    """
    last = Ledger(home_folder(context)).head()
    if as_json:
        print_json({"number": last.number, "time": last.time, "head": last.digest})
    else:
        click.echo(f"{last.number} {last.digest} {last.time}")


@audit.command()
@click.option("--since", metavar="DATE", help="From this moment on: ISO 8601 with a zone.")
@click.option("--until", metavar="DATE", help="Up to this moment, not included.")
@click.option("--details", is_flag=True, help="With case numbers, probe digests and candidates, where kept.")
@click.option(
    "--to", "target", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The file to write; new."
)
@credential_option
@click.pass_context
def export(
    context: click.Context,
    since: str | None,
    until: str | None,
    details: bool,
    target: Path,
    credential_file: Path | None,
) -> None:
    """Export ledger entries as JSON Lines, oldest first, each checked. Leaves an entry of its own.

    \b
    Example:
      afterfact audit export --since 2026-01-01T00:00Z --to entries.jsonl
    """
    gate = open_gate(context)
    now = gate.rules()[1]
    moments = {
        name: read_moment(text, now, f"--{name}") if text else None
        for name, text in (("since", since), ("until", until))
    }
    with _new_file(target) as stream:
        _record_reading(gate, read_credential(credential_file), "audit.export", {**moments, "details": details})
        lines = (json.dumps(as_mapping(one, details)) + "\n" for one in gate.ledger.stream(**moments, details=details))
        count = sum(stream.write(line) > 0 for line in lines)
    click.echo(f"Exported {count:,} entries to {target}.")


@audit.command()
@click.option("--year", type=click.IntRange(2000, 9999), required=True, help="The calendar year, in UTC.")
@credential_option
@as_json
@click.pass_context
def report(context: click.Context, year: int, credential_file: Path | None, as_json: bool) -> None:
    """Count a year's queries by tenant, purpose and outcome, exemptions used, what was held and approved.

    \b
    Example:
      afterfact audit report --year 2026
    """
    gate = open_gate(context)
    gate.admit(read_credential(credential_file), "audit.report")
    since, until = f"{year}-01-01T00:00:00.000000Z", f"{year + 1}-01-01T00:00:00.000000Z"
    told = report_year(year, gate.ledger.stream(since=since, until=until)).as_json()
    if as_json:
        print_json(told)
        return
    click.echo(f"{year}: {told['entries']:,} ledger entries, {told['wrong_credentials']:,} wrong credentials.")
    for title, columns, key in (
        ("Queries", ["operation", "tenant", "purpose", "outcome", "count"], "queries"),
        ("Asked for another agency", ["tenant", "beneficiary", "count"], "for_another_agency"),
        ("Exemptions used", ["moratorium", "tenant", "count"], "exemptions_used"),
        ("Held for an approver", ["tenant", "rule", "count"], "held"),
        ("Approvals", ["tenant", "approver", "count"], "approvals"),
    ):
        _print_counts(title, columns, [[one[name] for name in columns] for one in told[key]])
    for title, key in (("Refusals, by rule that spoke", "refused_by_rule"), ("Acts", "acts")):
        _print_counts(title, ["what", "count"], [list(one) for one in told[key].items()])


@audit.command()
@click.option("--confirm", is_flag=True, help="Say that the clock is right.")
@click.option("--reason", default="the clock is right", show_default=True, metavar="TEXT", help="Why; kept for good.")
@credential_option
@as_json
@click.pass_context
def clock(context: click.Context, confirm: bool, reason: str, credential_file: Path | None, as_json: bool) -> None:
    """Show the ledger's clock; confirm it after two days without an entry, or after a jump.

    \b
    Example:
      afterfact audit clock
      afterfact audit clock --confirm --reason "office was closed"
    """
    gate = open_gate(context)
    if confirm:
        entry = Queries(gate, read_credential(credential_file)).confirm_clock(reason)
        tell("Confirmed the clock", entry, as_json)
        return
    last, now = gate.ledger.clock_state()
    if as_json:
        print_json({"last_entry": last, "now": now})
    else:
        click.echo(f"Newest entry: {shown(last)}. The ledger's clock: {shown(now)}.")


@audit.command()
@click.argument("entries", type=int, nargs=-1)
@click.option("--authority", metavar="TEXT", help="Who ordered it: a court and its docket, say.")
@click.option("--dated", metavar="DATE", help="The order's date, such as 2026-03-04.")
@proposed_reason_option
@approve_option
@credential_option
@as_json
@click.pass_context
def erase(
    context: click.Context,
    entries: tuple[int, ...],
    authority: str | None,
    dated: str | None,
    reason: str | None,
    number: int | None,
    credential_file: Path | None,
    as_json: bool,
) -> None:
    """Erase the details of ENTRIES (case, probe, candidates) under an order. Takes two administrators.

    The entries stay, and verify says that their details were erased. Copies elsewhere (backups, lead sheets, exports)
    are not touched: erase those too.

    \b
    Example:
      afterfact audit erase 17 18 --authority "Circuit Court, 26-117" --dated 2026-03-04 --reason "expunged"
      afterfact audit erase --approve 41
    """
    queries = Queries(open_gate(context), read_credential(credential_file))
    only_one_of(number, {"ENTRIES": entries, "--authority": authority, "--dated": dated, "--reason": reason})
    if number is not None:
        entry = queries.approve_erasure(number)
    else:
        entry = queries.propose_erasure(entries, authority or "", dated or "", reason or "")
    tell_two("Erased", entry, "afterfact audit erase", as_json)


def as_mapping(one: Recorded, details: bool) -> dict[str, object]:
    """Returns an entry for machines."""
    entry = one.entry
    told = {"number": entry.number, "time": entry.time, "type": entry.type, "subject": entry.subject, "body": one.body}
    return {**told, "head": entry.digest, **({"details": one.details} if details else {})}


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[TextIO]:
    """Opens a new file (mode 0600), which is removed again where it could not be written to its end."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise InputError(f"--to {path} exists already; name a new file") from None
    except OSError as error:
        raise InputError(f"--to {path} cannot be made ({error.strerror}); name a new file") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _record_reading(gate: Gate, credential: str, act: str, filters: dict[str, Any]) -> None:
    """Whoever reads cases and candidates leaves an entry, as whoever searches does."""
    asked = {name: value for name, value in filters.items() if value is not None}
    gate.act(credential, act, lambda _rules, _now: [Draft(act, "ledger", {"asked": asked})])


def _anchors(path: Path | None) -> list[tuple[int, str]]:
    if path is None:
        return []
    try:
        return read_anchors(path.read_text(encoding="utf-8"))
    except InputError as error:
        raise InputError(f"--anchor {path}: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--anchor {path} cannot be read ({type(error).__name__}); name a file of heads") from error


def _anchored(found: Verification, anchors: list[tuple[int, str]]) -> str:
    if not anchors:
        return "; no anchor was given, so nobody outside this machine vouches for it"
    later = found.number - (found.anchored or 0)
    return f"; anchored up to entry {found.anchored:,}, {later:,} later entries not anchored"


def _print_counts(title: str, columns: list[str], rows: list[list[Any]]) -> None:
    if rows:
        click.echo(f"{title}:")
        print_table(columns, rows)
    else:
        click.echo(f"{title}: none.")


def _as_row(one: Recorded) -> tuple[int, str, str, str, str]:
    return one.entry.number, shown(one.entry.time), one.entry.type, one.entry.subject, _told(one)


def _told(one: Recorded) -> str:
    """What one entry says, for people: refusals and exemptions of a decision, the reason of an act."""
    body = one.body
    request = body.get("request", {})
    parts = [str(value) for value in (body.get("act"), request.get("gallery"), request.get("purpose")) if value]
    parts += [finding["text"] for finding in body.get("findings", []) if finding["effect"] != "allows"]
    parts += [str(body[key]) for key in ("reason", "why") if body.get(key)]
    parts += [f"by {body['by']['operator']}"] if body.get("by") else []
    return "; ".join(parts)


def _details_text(one: Recorded) -> str | None:
    if one.details is not None:
        return json.dumps(one.details, ensure_ascii=False)
    return "erased" if "details" in one.body else None
