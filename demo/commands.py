"""The command line of the drawn archive: `afterfact demo`."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from foundation.errors import InputError
from foundation.terminal import CONTEXT

SEED = click.IntRange(0, 2**32 - 1)


@click.group(context_settings=CONTEXT)
def demo() -> None:
    """Draw an archive of invented faces to try Afterfact on, or take the guided tour.

    \b
    Example:
      afterfact demo tour demo-home
      afterfact demo archive /tmp/county
    """


@demo.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--subjects", type=click.IntRange(1, 99_999), default=400, show_default=True, help="How many people.")
@click.option(
    "--encounters", type=click.IntRange(1, 50), default=3, show_default=True, help="How many photos of each are listed."
)
@click.option("--seed", type=SEED, default=1, show_default=True, help="The same seed draws the same archive.")
@click.option("--workers", type=click.IntRange(1, 64), help="Processes that draw.  [default: one a core]")
@click.option("--no-spoiled", is_flag=True, help="Leave out the bad and odd files.")
@click.option("--force", is_flag=True, help="Replace a drawn archive that lies in OUT.")
@click.option(
    "--keep", is_flag=True, help="Where the very same archive lies in OUT, leave it; else draw as with --force."
)
def archive(
    out: Path,
    *,
    subjects: int,
    encounters: int,
    seed: int,
    workers: int | None,
    no_spoiled: bool,
    force: bool,
    keep: bool,
) -> None:
    """Draw an archive of booking photos of invented people, with a list and with probes.

    \b
    Example:
      afterfact demo archive /tmp/county --subjects 400 --encounters 3

    OUT gets photos/, archive.csv (the list), probes/ (one more photo of everybody, not in the list) and ABOUT.txt.
    About 40 bad and odd files are among the photos; ABOUT.txt says what indexing should make of each.
    """
    from demo.archive import draw_archive, holds_archive

    if keep and holds_archive(out, subjects=subjects, encounters=encounters, seed=seed, with_spoiled=not no_spoiled):
        click.echo(f"Kept: {out} holds this archive of {subjects * encounters:,} photos already")
        return
    with _progress("Drawing") as on_progress:
        drawn = draw_archive(
            out,
            subjects=subjects,
            encounters=encounters,
            seed=seed,
            workers=workers,
            on_progress=on_progress,
            with_spoiled=not no_spoiled,
            force=force or keep,
        )
    click.echo(f"{drawn.photos:,} photos of {subjects:,} invented people and {len(drawn.spoiled)} bad or odd files")
    click.echo(f"list    {drawn.list_path}")
    click.echo(f"probes  {out / 'probes'} ({drawn.probes:,} photos that the list does not hold)")
    click.echo(f"about   {out / 'ABOUT.txt'}")


@demo.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--seed", type=SEED, default=1, show_default=True, help="The seed of the archive to look at.")
@click.option("--subjects", type=click.IntRange(1, 400), default=48, show_default=True, help="How many people.")
def sheet(file: Path, seed: int, subjects: int) -> None:
    """Draw the first people of an archive side by side into one PNG.

    \b
    Example:
      afterfact demo sheet /tmp/faces.png --seed 1
    """
    from demo.portraits import contact_sheet
    from foundation.files import write_whole

    if file.suffix.lower() != ".png":
        raise InputError(f"{file} does not end in .png, and a PNG is what is written; name it NAME.png")
    stream = io.BytesIO()
    contact_sheet(seed, subjects).save(stream, "PNG")
    try:
        write_whole(file, stream.getvalue())
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror}; name a file in a folder that exists") from error
    click.echo(f"{subjects} portraits in {file}")


@demo.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--subjects", type=click.IntRange(50, 10_000), default=400, show_default=True, help="How many people.")
def tour(folder: Path, subjects: int) -> None:
    """Take the guided tour: from a drawn archive to a lead, and a refusal under a moratorium.

    \b
    Example:
      afterfact demo tour demo-home

    Everything it makes is in FOLDER. A second tour keeps the drawn archive and makes the rest anew.
    """
    from demo.tour import take_tour

    take_tour(folder, subjects)


@contextlib.contextmanager
def _progress(says: str) -> Iterator[Callable[[int, int], None]]:
    """Yields what to call with (done, total): a bar on a terminal, else a line for every tenth."""
    if not sys.stderr.isatty():
        yield _line_every_tenth(says)
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(says, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _line_every_tenth(says: str) -> Callable[[int, int], None]:
    def on_progress(done: int, total: int) -> None:
        if done * 10 // total > (done - 1) * 10 // total:
            click.echo(f"{says}: {done * 100 // total}%", err=True)

    return on_progress
