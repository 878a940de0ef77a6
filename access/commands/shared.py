"""What the commands of this room share: options, how an act's entry and a new credential are told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from access.credentials import NewCredential
from access.gate import Gate
from access.ledger.chain import Entry
from foundation.errors import InputError
from foundation.terminal import home_folder, print_json, printable

HAND_OUT_SECONDS = 2.0
"""How long a moratorium or suspension waits for answers that were allowed just before it."""

_WITH_APPROVAL = {"number", "save_credential", "credential_file", "as_json"}

save_option = click.option(
    "--save-credential",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the new credential to FILE (mode 0600) instead of printing it.",
)
reason_option = click.option("--reason", required=True, metavar="TEXT", help="Why; kept in the ledger for good.")
proposed_reason_option = click.option(
    "--reason", metavar="TEXT", help="Why; kept in the ledger for good. Given by who proposes."
)
approve_option = click.option(
    "--approve", "number", type=int, metavar="NUMBER", help="Approve another operator's proposal, by its entry number."
)
start_option = click.option(
    "--from", "start", default="now", show_default=True, metavar="DATE", help="From when on: ISO 8601 with a zone."
)


def open_gate(context: click.Context) -> Gate:
    """Returns the gate of --home."""
    return Gate.open(home_folder(context))


def tell(what: str, entry: Entry, as_json: bool, **more: Any) -> None:
    """Prints what was done and its ledger entry."""
    if as_json:
        print_json({"entry": entry.number, **more})
    else:
        click.echo(printable(f"{what}; ledger entry {entry.number}."))


def tell_two(what: str, entry: Entry, command: str, as_json: bool) -> None:
    """Prints what was proposed, and what the second operator runs; or what was done."""
    if entry.type != "proposal.made":
        tell(what, entry, as_json, proposal=None)
    elif as_json:
        print_json({"entry": entry.number, "proposal": entry.number})
    else:
        click.echo(printable(f"Proposed, as ledger entry {entry.number}; nothing has changed yet."))
        click.echo(printable(f"A second operator approves it within 7 days: {command} --approve {entry.number}"))


def tell_in_force(what: str, entry: Entry, gate: Gate, as_json: bool, **more: Any) -> None:
    """Prints what now forbids answers, and whether any that was allowed before is still being handed out."""
    outstanding = gate.outstanding(HAND_OUT_SECONDS)
    if as_json:
        print_json({"entry": entry.number, "outstanding": outstanding, **more})
        return
    click.echo(printable(f"{what}; ledger entry {entry.number}."))
    if outstanding:
        click.echo(f"{outstanding} answers allowed before it are still being handed out; no later one is.")
    else:
        click.echo("Every answer allowed before it has been handed out.")


def tell_credential(text: str, saved_to: Path | None) -> None:
    """Prints a new credential, once, or where it was saved."""
    if saved_to is not None:
        click.echo(f"Credential saved to {saved_to} (mode 0600). Use it with --credential-file {saved_to}")
        return
    click.echo(f"Credential, shown only now: {text}")
    click.echo("Keep it as a secret; use it as AFTERFACT_CREDENTIAL or in a file with --credential-file.")


def tell_issued(what: str, holder: str, made: NewCredential, saved_to: Path | None, as_json: bool) -> None:
    """Prints what was done and its new credential, which is shown once."""
    if as_json:
        text = None if saved_to else made.text
        print_json({"holder": holder, "credential_id": made.id, "credential": text, "saved_to": saved_to})
        return
    click.echo(printable(what))
    tell_credential(made.text, saved_to)


def only_one_of(number: int | None, given: Mapping[str, Any]) -> None:
    """Whoever approves takes the proposal as it is; whoever proposes gives all of it."""
    for option, value in given.items():
        if number is not None and value:
            raise InputError(f"--approve takes the proposal as it is; leave out {option}")
        if number is None and not value:
            raise InputError(f"{option} is missing; give it, or --approve NUMBER for another operator's proposal")


def only_approves(context: click.Context) -> None:
    """Raises InputError where --approve comes with an option that the proposal has settled."""
    for option in context.command.params:
        given = context.get_parameter_source(option.name or "") is click.core.ParameterSource.COMMANDLINE
        if isinstance(option, click.Option) and given and option.name not in _WITH_APPROVAL:
            raise InputError(f"--approve takes the proposal as it is; leave out {option.opts[0]}")
