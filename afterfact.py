"""The front door: one command, and for each subcommand the room it lives in.

Rooms are imported when their command is asked for, so that `search` never pays for Beam.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from typing import NoReturn

import click

from foundation.errors import EXIT_ERROR, EXIT_USAGE, AfterfactError
from foundation.terminal import CONTEXT, printable

ROOMS = {
    "init": ("access.commands.init", "Make a data home and the first operator's credential."),
    "index": ("pipelines.commands", "Index an archive of photos into a gallery."),
    "gallery": ("pipelines.gallery_commands", "List, show, verify and roll back galleries."),
    "search": ("search.commands", "Search a gallery for the face in a probe photo."),
    "evaluate": ("evaluation.commands", "Measure error rates on known photos, and what a gallery's distances mean."),
    "tenant": ("access.commands.tenants", "Register tenants; suspend, reinstate and revoke their licences."),
    "moratorium": ("access.commands.moratoria", "Declare, show, change and lift moratoria."),
    "access": ("access.commands.access", "Check what would be decided; approve queries; rotate your credential."),
    "operator": ("access.commands.operators", "Add and remove operators: administrators, officers, auditors."),
    "audit": ("access.commands.audit", "Show, verify, export and report the ledger; erase under an order."),
    "demo": ("demo.commands", "Draw an archive of invented faces; take the guided tour."),
}


class FrontDoor(click.Group):
    """A group whose commands are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(ROOMS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in ROOMS:
            return None
        module, _ = ROOMS[cmd_name]
        return getattr(importlib.import_module(module), cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, says) for name, (_, says) in ROOMS.items()])


@click.group(cls=FrontDoor, context_settings=CONTEXT)
@click.option(
    "--home",
    envvar="AFTERFACT_HOME",
    default="~/.afterfact",
    show_default=True,
    show_envvar=True,
    help="The data home: the ledger and the galleries.",
)
@click.option("--traceback", "show_traceback", is_flag=True, help="Show the traceback of an error, for a bug report.")
@click.version_option(package_name="afterfact", prog_name="afterfact")
def front_door(home: str, show_traceback: bool) -> None:
    """Index booking photos in bulk, and search them after a crime: leads, never identifications.

    \b
    Example:
      afterfact init
      afterfact index nightly.yaml
      afterfact search probe.jpg --gallery county --case 2026-0117 --purpose robbery

    Exit codes: 0 done, 1 error, 2 usage, 3 refused, 4 done with more rejections than the limit set,
    5 a choice is needed (several faces).
    """


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits with its documented code; an error is one line on stderr."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        # Without standalone mode click hands back the code of ctx.exit, and a command's own value, None.
        sys.exit(front_door.main(args=arguments, prog_name="afterfact", standalone_mode=False))
    except click.exceptions.Abort:
        click.echo("afterfact: interrupted", err=True)
        sys.exit(130)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)  # the page as it is, in its lines
        sys.exit(EXIT_USAGE)
    except click.ClickException as error:
        message = error.format_message()
        if isinstance(error, click.NoSuchOption) and error.option_name in _before_the_command():
            message = f"Option '{error.option_name}' stands before the command: afterfact {error.option_name} ..."
        command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "afterfact"
        click.echo(f"{command}: {printable(message)} (try '{command} --help')", err=True)
        sys.exit(EXIT_USAGE if isinstance(error, click.UsageError) else EXIT_ERROR)
    except AfterfactError as error:
        if "--traceback" in arguments:
            raise
        click.echo(f"afterfact: {printable(str(error))}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # whoever read our output has seen enough
        sys.exit(EXIT_ERROR)
    except OSError as error:
        if "--traceback" in arguments:
            raise
        where = f" ({error.filename})" if error.filename else ""
        click.echo(
            f"afterfact: {error.strerror or error}{where}; see whether the disk is full or closed to us", err=True
        )
        sys.exit(EXIT_ERROR)


def _before_the_command() -> set[str]:
    """Returns the front door's own options, which no command knows."""
    return {name for option in front_door.params for name in option.opts}


def _open_closed_streams() -> None:
    """Leads to the null device what whoever started us has closed: else the first file that we open would be number 1,
    and be written to as standard output."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            handle = os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one
            os.set_inheritable(handle, True)  # a helper's or worker's first file must not be number 2 either
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)


def run() -> NoReturn:
    """Runs main() as a process's whole life, and ends the process without dismantling Python.

    Unloading the libraries takes a quarter of a second of every search, and after Ctrl-C the interpreter would
    wait for the runner's threads. Nothing is lost: files are written whole, and the streams are flushed here.
    """
    code: object = EXIT_ERROR
    _open_closed_streams()
    try:
        main()
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # the disk is full, or whoever read our output is gone
            code = EXIT_ERROR
    os._exit(code if isinstance(code, int) else EXIT_ERROR)


if __name__ == "__main__":
    run()
