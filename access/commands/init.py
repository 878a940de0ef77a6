"""`afterfact init`: makes a data home and the first operator's credential."""

from __future__ import annotations

import getpass
from pathlib import Path

import click

from access.commands.shared import save_option, tell_credential
from access.credentials import saved_credential
from access.homes import make_home
from access.rules import AUTHORITIES
from foundation.gallery_place import galleries_of
from foundation.terminal import CONTEXT, as_json, home_folder, print_json

HONESTY = (
    "Who this stops: on one account, the ledger's guarantees hold against bugs and outsiders, not against someone who "
    "can write the data home. Where askers and operators differ, give the home to an account of its own."
)


@click.command(context_settings=CONTEXT)
@click.option("--operator", metavar="NAME", help="Name of the first operator. Default: this account's name.")
@click.option(
    "--authority",
    type=click.Choice(AUTHORITIES),
    default="vendor",
    show_default=True,
    help="For whom the first operator acts; only an authority's operators lift its moratoria.",
)
@click.option(
    "--ledger",
    "url",
    metavar="URL",
    help="PostgreSQL database for the ledger, postgresql://SERVICE_ROLE@HOST/DATABASE. Default: a file in the home. "
    "Its owner's URL, which makes the tables, comes from AFTERFACT_LEDGER_OWNER; passwords from ~/.pgpass.",
)
@click.option(
    "--galleries",
    metavar="URL",
    help="Keep the galleries in an object store, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX. Default: a folder in the "
    "home. Endpoint, region and credentials come from the environment (AWS_*, GOOGLE_*), here and at every use.",
)
@save_option
@as_json
@click.pass_context
def init(
    context: click.Context,
    operator: str | None,
    authority: str,
    url: str | None,
    galleries: str | None,
    save_credential: Path | None,
    as_json: bool,
) -> None:
    """Make a data home and the first operator's credential, which is shown once.

    \b
    Example:
      afterfact init --operator "A. Clerk" --save-credential operator.txt
      afterfact init --galleries s3://county-faces/afterfact --save-credential operator.txt
    """
    home = home_folder(context)
    name = operator if operator is not None else getpass.getuser()
    with saved_credential(save_credential) as save:
        credential = make_home(home, name, authority=authority, url=url, galleries=galleries)
        save(credential.text)
    if as_json:
        shown_credential = None if save_credential else credential.text
        print_json(
            {
                "home": home,
                "galleries": str(galleries_of(home)),
                "operator": name,
                "credential_id": credential.id,
                "credential": shown_credential,
                "saved_to": save_credential,
                "note": HONESTY,
            }
        )
        return
    elsewhere = f", galleries in {galleries_of(home)}" if galleries else ""
    click.echo(f"Made the data home {home} for operator {name}{elsewhere}.")
    tell_credential(credential.text, save_credential)
    click.echo(HONESTY)
