"""`afterfact gallery requalify`: other limits of quality for a gallery, without a look at its photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from foundation.terminal import (
    CONTEXT,
    as_json,
    credential_option,
    home_folder,
    print_json,
    print_table,
    read_credential,
)
from pipelines.options import parse_limits

if TYPE_CHECKING:
    from indexer.gallery import Version
    from indexer.requalify import Requalification


@click.command(context_settings=CONTEXT)
@click.argument("name")
@click.option(
    "--limits",
    "job_file",
    metavar="JOB.yaml",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Take the limits of this job file. Default: those that the gallery remembers.",
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=NUMBER",
    help="One limit of quality, say min_sharpness=3, laid over the others. May be given several times.",
)
@click.option("--dry-run", is_flag=True, help="Tell photos by outcome before and after; change nothing.")
@credential_option
@as_json
@click.pass_context
def requalify(
    context: click.Context,
    name: str,
    job_file: Path | None,
    limits: tuple[str, ...],
    dry_run: bool,
    credential_file: Path | None,
    as_json: bool,
) -> None:
    """Hold a gallery's photos against other limits of quality, and publish what that changes as a new version.

    No photo is looked at: the measures and the embedding of every photo with a face are in the gallery. Whoever may
    index into the gallery may do this. Held photos stay as it leaves them; later runs judge new photos by their own
    job's limits, so give the job file the same.

    \b
    Example:
      afterfact gallery requalify county --limit min_sharpness=3 --dry-run
      afterfact gallery requalify county --limits nightly.yaml
    """
    from access.gate import Gate, Request
    from indexer import requalify as work
    from indexer.gallery import Gallery
    from indexer.job import read_limits

    given = parse_limits(limits) or {}
    job = read_limits(job_file) if job_file is not None else None
    home = home_folder(context)
    gate = Gate.open(home)
    permit = gate.ask(read_credential(credential_file), Request(operation="index", gallery=name))
    gallery = Gallery(home, name).require()

    def decide_again(found: Requalification) -> None:
        told = found.as_json()
        for which in ("old_limits", "limits"):  # the ledger takes no floats
            told[which] = told[which] and {limit: f"{value:g}" for limit, value in told[which].items()}
        gate.answer(permit, told, None)

    version = None
    if dry_run:
        present = gallery.version()
        found = work.judge_again(gallery, work.new_limits(present.limits, job, given), gate.probes_among)
    else:
        try:
            found, version = work.requalify(
                gallery,
                lambda present: work.new_limits(present.limits, job, given),
                decide_again,
                gate.probes_among,
                lambda torn: click.echo(f"afterfact gallery: {torn}", err=True),
            )
        finally:
            gate.handed_out()  # it is published, or never will be
    if as_json:
        print_json({**found.as_json(), "gallery": name, "version": version and version.number, "dry_run": dry_run})
    else:
        _print_found(name, found, version, dry_run)


def _print_found(name: str, found: Requalification, version: Version | None, dry_run: bool) -> None:
    old: dict[str, Any] = found.old or {}
    limits = [(one, f"{old[one]:g}" if one in old else "not remembered", f"{new:g}") for one, new in found.new.items()]
    print_table(["limits of quality", "before", "after"], limits)
    outcomes = sorted({*found.before, *found.after})
    print_table(
        ["photos by outcome", "before", "after"],
        [(one, found.before.get(one, 0), found.after.get(one, 0)) for one in outcomes],
    )
    if found.unknown:
        click.echo(
            f"{found.unknown:,} photos keep these limits and stay rejected: they were indexed before embeddings of "
            "rejected photos were kept. afterfact index --retry-rejected looks at them again."
        )
    if dry_run:
        click.echo(f"Dry run: {len(found.changes):,} photos of gallery {name!r} would change; nothing was.")
    elif version is None:
        click.echo(f"Nothing to change: gallery {name!r} stays version {found.of.number}.")
    else:
        click.echo(
            f"Gallery {name!r} is now version {version.number}: {version.about['faces']:,} faces of "
            f"{version.about['subjects']:,} subjects, {len(found.changes):,} photos changed."
        )
