"""What every command shares on the command line: tables for people, JSON for machines, credentials."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from foundation.errors import InputError

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines instead of a table.")


def credential_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --credential-file, which takes AFTERFACT_CREDENTIAL's place where it is given."""
    return click.option(
        "--credential-file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="File that holds your credential. Default: the variable AFTERFACT_CREDENTIAL.",
    )(command)


def read_credential(credential_file: Path | None) -> str:
    """Returns the credential's text from the file or from AFTERFACT_CREDENTIAL.

    Raises InputError where neither is there; the text itself is never part of an error.
    """
    if credential_file is not None:
        try:
            return credential_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"credential file {credential_file} cannot be read: {type(error).__name__}") from None
    text = os.environ.get("AFTERFACT_CREDENTIAL", "").strip()
    if not text:
        raise InputError("no credential: set AFTERFACT_CREDENTIAL or give --credential-file FILE")
    return text


def home_folder(context: click.Context) -> Path:
    """Returns the data home: --home, else AFTERFACT_HOME, else ~/.afterfact. Raises InputError for another's ~."""
    home = context.find_root().params["home"]
    try:
        return Path(home).expanduser()
    except RuntimeError as error:
        raise InputError(f"--home {home!r} cannot be found ({error}); give a folder's whole path") from error


def print_json(value: Any) -> None:
    """Prints value as indented JSON on standard output, in ASCII: a name from outside cannot steer a terminal."""
    click.echo(json.dumps(value, indent=2, default=str))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None = None) -> None:
    """Prints rows under columns; numbers are set to the right. Long cells fold, nothing is cut off."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for index, name in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row))
    Console(width=None if sys.stdout.isatty() else 120, highlight=False).print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else printable(str(value))


def printable(text: str) -> str:
    """Returns text with control characters (newline, escape) shown as escapes, so that a name cannot draw."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
