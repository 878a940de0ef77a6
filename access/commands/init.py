"""`afterfact init`: makes a data home and the first operator's credential."""

from __future__ import annotations

import getpass
from pathlib import Path

import click

from access.credentials import saved_credential
from access.homes import make_home
from foundation.terminal import CONTEXT, as_json, home_folder, print_json

HONESTY = (
    "Who this stops: on one account, the ledger's guarantees hold against bugs and outsiders, not against someone who "
    "can write the data home. Where askers and operators differ, give the home to an account of its own."
)

save_option = click.option(
    "--save-credential",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the new credential to FILE (mode 0600) instead of printing it.",
)


@click.command(context_settings=CONTEXT)
@click.option("--operator", metavar="NAME", help="Name of the first operator. Default: this account's name.")
@save_option
@as_json
@click.pass_context
def init(context: click.Context, operator: str | None, save_credential: Path | None, as_json: bool) -> None:
    """Make a data home and the first operator's credential, which is shown once.

    \b
    Example:
      afterfact init --operator "A. Clerk" --save-credential operator.txt
    """
    home = home_folder(context)
    name = operator if operator is not None else getpass.getuser()
    with saved_credential(save_credential) as save:
        credential = make_home(home, name)
        save(credential.text)
    if as_json:
        shown_credential = None if save_credential else credential.text
        print_json(
            {
                "home": home,
                "operator": name,
                "credential_id": credential.id,
                "credential": shown_credential,
                "saved_to": save_credential,
                "note": HONESTY,
            }
        )
        return
    click.echo(f"Made the data home {home} for operator {name}.")
    tell_credential(credential.text, save_credential)
    click.echo(HONESTY)


def tell_credential(text: str, saved_to: Path | None) -> None:
    """Prints a new credential, once, or where it was saved."""
    if saved_to is not None:
        click.echo(f"Credential saved to {saved_to} (mode 0600). Use it with --credential-file {saved_to}")
        return
    click.echo(f"Credential, shown only now: {text}")
    click.echo("Keep it as a secret; use it as AFTERFACT_CREDENTIAL or in a file with --credential-file.")
