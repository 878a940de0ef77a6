"""What every command shares on the command line: tables for people, JSON for machines, credentials."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from foundation.errors import InputError

PIPED_WIDTH = 140  # columns of a table where no terminal tells
GAP = 2  # blanks between two columns

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines instead of a table.")


def case_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that say what a question is for, named as the fields of access.requests.Request."""
    for option in reversed(
        (
            click.option("--case", required=True, help="The case number that this search belongs to."),
            click.option(
                "--purpose", required=True, help="Why: one of the purposes in configs/purposes.yaml, say robbery."
            ),
            click.option("--operator", help="Who asks, where the credential is an agency's and not a person's."),
            click.option("--beneficiary", metavar="NAME", help="The agency that it is for. Default: your own."),
            click.option("--offence", help="The offence, where your licence requires it."),
            click.option("--basis", help="The ground: reasonable-suspicion, warrant, ...; see configs/bases.yaml."),
            click.option("--reference", help="Warrant, order or report number, where your licence requires it."),
        )
    ):
        command = option(command)
    return command


def credential_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --credential-file, which takes AFTERFACT_CREDENTIAL's place where it is given."""
    return click.option(
        "--credential-file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="File that holds your credential. Default: the variable AFTERFACT_CREDENTIAL.",
    )(command)


def device_option(default: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Returns what adds --device: what the network runs on that embeds faces."""
    return click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda"]),
        default=default,
        show_default=True,
        help="What embeds faces: auto is CUDA where onnxruntime-gpu is installed, and else the CPU.",
    )


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
    from tabulate import tabulate  # rich would take ten times as long, and a search waits for its import

    cells = [[_cell(value) for value in row] for row in rows]
    sides = [
        "right" if rows and all(isinstance(row[index], int | float) for row in rows) else "left"
        for index in range(len(columns))
    ]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPED_WIDTH
    table = tabulate(
        _folded(columns, cells, width),
        headers=list(columns),
        tablefmt="simple",
        disable_numparse=True,
        preserve_whitespace=True,
        colalign=sides,
    )
    click.echo("\n".join(filter(None, (title, table))))


def _folded(columns: Sequence[str], cells: list[list[str]], width: int) -> list[list[str]]:
    """Returns the cells, folded where a table of them would be too wide, the widest columns first.

    tabulate's own folding takes 1,223 for a number, whatever it is told, and fails.
    """
    named = [len(name) + GAP for name in columns]  # tabulate keeps as much room below a name
    widths = [max([least, *map(len, column)]) for least, column in zip(named, zip(*cells, strict=True), strict=False)]
    room = max(sum(named), width - GAP * (len(named) - 1))
    if sum(widths) <= room:
        return cells
    widest = next(one for one in range(max(widths), 0, -1) if sum(_at_most(widths, named, one)) <= room)
    return [
        [
            cell if len(cell) <= most else "\n".join(textwrap.wrap(cell, most))
            for cell, most in zip(line, _at_most(widths, named, widest), strict=True)
        ]
        for line in cells
    ]


def _at_most(widths: list[int], named: list[int], most: int) -> list[int]:
    return [max(least, min(each, most)) for each, least in zip(widths, named, strict=True)]


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else printable(str(value))


def printable(text: str) -> str:
    """Returns text with control characters (newline, escape) shown as escapes, so that a name cannot draw."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
