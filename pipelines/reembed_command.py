"""`afterfact gallery reembed`: another model for a gallery, from the archive's photos."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from foundation.errors import InputError
from foundation.store_path import Place
from foundation.terminal import (
    CONTEXT,
    as_json,
    credential_option,
    device_option,
    home_folder,
    print_json,
    print_table,
    read_credential,
)
from pipelines.options import BEAM_FLAGS, WithBeamFlags, parse_limits

if TYPE_CHECKING:
    from indexer.accounting import Accounting
    from indexer.gallery import Version
    from indexer.run import Run
    from pipelines.bulk_index import Indexed


@click.command(cls=WithBeamFlags, context_settings=CONTEXT)
@click.argument("name")
@click.option(
    "--embedder",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The YAML file of the embedder (docs/models.md). Default: the built-in one.",
)
@click.option("--mirrored", is_flag=True, help="Embed each face and its mirror image and keep the mean.")
@device_option("auto")
@click.option(
    "--limit-lost",
    metavar="SHARE",
    default="1%",
    show_default=True,
    help="Publish nothing where more of the searched photos are gone or changed.",
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=NUMBER",
    help="A limit of reading photos, say max_pixels=200000000; those of quality stay as they are.",
)
@click.option("--segment-photos", type=int, default=0, help="Photos a segment, the unit of resuming; 0 chooses.")
@click.option("--workers", type=int, default=0, help="Workers on this machine; 0 is one a core.")
@click.option("--quiet", is_flag=True, help="No progress on standard error.")
@credential_option
@as_json
@click.pass_context
def reembed(
    context: click.Context,
    name: str,
    embedder: Path | None,
    mirrored: bool,
    device: str,
    limit_lost: str,
    limits: tuple[str, ...],
    segment_photos: int,
    workers: int,
    quiet: bool,
    credential_file: Path | None,
    as_json: bool,
) -> None:
    """Embed a gallery's faces anew with another model, from the archive's photos, and publish them as a new version.

    What a photo was judged to be stays; photos that are gone or changed leave the gallery, and are told. Until the new
    version is published the old one is searched. Killed, however hard, the same command goes on. Whoever may index into
    the gallery may do this. From then on its jobs have to name the same embedder.

    \b
    Example:
      afterfact gallery reembed county --embedder arcface.yaml
      afterfact gallery reembed county --mirrored
    """
    logging.disable(logging.WARNING)  # as for afterfact index
    from access.gate import Gate, Request
    from indexer.gallery import Gallery
    from indexer.job import parse_share
    from indexer.limits import Limits
    from indexer.reembed import ReembedJob
    from pipelines.bulk_index import run_job
    from pipelines.progress import Progress
    from pipelines.runners import parse_beam_flags

    options = parse_beam_flags(context.meta.get(BEAM_FLAGS, []))
    logging.disable(logging.NOTSET)
    home = home_folder(context)
    gate = Gate.open(home)
    permit = gate.ask(read_credential(credential_file), Request(operation="index", gallery=name))
    gallery = Gallery(home, name).require()
    before = gallery.version()
    job = ReembedJob(
        name,
        embedder=embedder,
        mirrored=mirrored,
        limit_lost=parse_share(limit_lost, "--limit-lost"),
        segment_photos=segment_photos,
        workers=workers,
        limits=Limits.from_settings(parse_limits(limits) or {}),
    )

    def decide_again(run: Run, accounting: Accounting) -> None:
        told = {"reembedded": run.reembeds, "model": run.model_digest, "accounting": accounting.as_json()}
        gate.answer(permit, {"run": run.run_id, "manifest": run.manifest_digest, **told}, None)

    progress = Progress(quiet, "afterfact gallery")
    try:
        indexed = run_job(gallery, job, options, progress, decide_again, gate.probes_among, device)
    finally:
        progress.close()
        gate.handed_out()  # it is published, or never will be
    if indexed.version is None:
        raise InputError(f"gallery {name!r} has no photo, and so no model; index its archive with --embedder")
    lost = gallery.accounts / f"{indexed.run.run_id}.rejections.csv"
    if as_json:
        print_json(
            {
                "gallery": name,
                "run": indexed.run.run_id,
                "resumed": indexed.resumed,
                "reembedded": indexed.run.reembeds,
                "version": indexed.version.number,
                "model": indexed.run.model.as_json(),
                "accounting": indexed.accounting.as_json(),
                "lost": str(lost),
            }
        )
    else:
        _print_account(before, indexed, indexed.version, lost)


def _print_account(before: Version, indexed: Indexed, version: Version, lost: Place) -> None:
    old, new = before.about["outcomes"], version.about["outcomes"]
    outcomes = sorted({*old, *new})
    print_table(["photos by outcome", "before", "after"], [(one, old.get(one, 0), new.get(one, 0)) for one in outcomes])
    gone = sum(old.values()) - sum(new.values())
    if gone:
        click.echo(f"{gone:,} photos are gone or changed, and left the gallery: {lost}")
    model = indexed.run.model
    click.echo(
        f"Gallery {version.about['gallery']!r} is now version {version.number}, of model {model.digest[:12]} "
        f"({model.name}): {version.about['faces']:,} faces embedded anew in {indexed.seconds:.1f} s."
    )
