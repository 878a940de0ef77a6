"""Writes docs/cli.md: what every command's --help says, in the order of the front door. --check only compares."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from afterfact import front_door

INTRODUCTION = """# The command line

Made from each command's own `--help` by `make docs`, and checked against it by `make docs-check`.
"""


def commands(command: click.Command, context: click.Context) -> Iterator[click.Context]:
    """Yields the context of a command and of every command below it."""
    yield context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, click.Context(below, info_name=name, parent=context))


def document() -> str:
    """Returns the whole page."""
    root = click.Context(front_door, info_name="afterfact", help_option_names=["-h", "--help"])
    parts = [INTRODUCTION]
    for context in commands(front_door, root):
        context.terminal_width = context.max_content_width = 100
        level = "#" * min(2 + context.command_path.count(" "), 4)
        parts.append(f"{level} {context.command_path}\n\n```text\n{context.get_help().rstrip()}\n```\n")
    return "\n".join(parts)


def main(arguments: list[str]) -> int:
    """Writes or compares; returns the exit code."""
    path, page = Path(arguments[-1]), document()
    if "--check" not in arguments:
        path.write_text(page, encoding="utf-8")
        return 0
    there = path.read_text(encoding="utf-8") if path.exists() else ""
    if there == page:
        print(f"{path} is what --help says")
        return 0
    changes = difflib.unified_diff(there.splitlines(), page.splitlines(), str(path), "--help", lineterm="")
    print("\n".join(list(changes)[:40]))
    print(f"{path} is not what --help says; run: make docs")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
