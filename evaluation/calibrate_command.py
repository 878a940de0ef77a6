"""`afterfact evaluate calibrate`: what distances mean in a gallery, and what they would mean in a larger one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from foundation.terminal import (
    CONTEXT,
    as_json,
    case_options,
    credential_option,
    home_folder,
    print_json,
    print_table,
    read_credential,
)

if TYPE_CHECKING:
    from indexer.calibration import Calibration
    from indexer.gallery import Gallery, Version

SHARES = (0.003, 0.01, 0.03, 0.1, 0.3)
"""The FPIRs that are told; those that too few of the sample support are left out."""

LARGER = 10
"""How many times as large the gallery is imagined to grow."""


@click.command(context_settings=CONTEXT)
@click.argument("name", metavar="GALLERY")
@click.option(
    "--by",
    metavar="COLUMNS",
    help="Tell groups apart by columns of the gallery's list, such as sex,race or age:10, from now on; 'none' ends it.",
)
@case_options
@credential_option
@as_json
@click.pass_context
def calibrate(
    context: click.Context, name: str, by: str | None, credential_file: Path | None, as_json: bool, **about: Any
) -> None:
    """Tell how often people who are not in a gallery get a candidate that near, at its size and at ten times it.

    A sample of the gallery's own faces is searched, each with its subject left out. Publishing does this for every
    version; for one that has none it is done here and kept. Needs a licence to evaluate.

    With --by it is done for each group, too, and for every later version: a lead then warns where people of a
    candidate's group get a candidate that near much more often than the mean of groups. Nobody's group is guessed from
    a face.

    \b
    Example:
      afterfact evaluate calibrate county --by sex,race --case EVAL-2026-1 --purpose testing
      afterfact evaluate calibrate county --case EVAL-2026-1 --purpose testing
    """
    from access.gate import Gate, Request
    from evaluation.calibrate_groups import ENDED, groups_by, print_groups, set_groups, tell_groups
    from foundation.files import write_whole
    from indexer.calibration import read_calibration
    from indexer.calibration_groups import read_groups
    from indexer.gallery import CALIBRATION, Gallery, sealed_text
    from indexer.gallery_cache import present_files

    home = home_folder(context)
    gate = Gate.open(home)
    permit = gate.ask(read_credential(credential_file), Request("evaluate", name, **about))
    gallery = Gallery(home, name).require()
    with _alone(gallery, by is not None):
        version = gallery.version()
        files = present_files(gallery, version)
        known = read_calibration(version, files.get(CALIBRATION))
        calibration = known or _calibrated(files, version)
        groups = read_groups(version) if by is None else groups_by(gallery, version, files, by)
        levels = _levels(files, version.model.dimension, calibration)
        told = {
            **{one: calibration.about[one] for one in ("gallery", "version", "faces", "subjects", "without_subject")},
            **{one: calibration.about[one] for one in ("probes", "seed")},
            "levels": levels,
            "by": groups.about["by"] if groups else None,
            "groups": tell_groups(groups, levels) if groups else [],
        }
        # "by" stands in the entry only of who set it: ending everybody's warnings would look like reading them else.
        body = {
            "outcome": "CALIBRATED",
            "gallery_version": version.number,
            "calibration": calibration.about["seal"],
            **({"by": groups.about["by"] if groups else ENDED} if by is not None else {}),
            **({"calibration_groups": groups.about["seal"]} if groups else {}),
        }
        receipt = gate.answer(permit, body, None)
        # Only now: what a moratorium forbids meanwhile must not have changed the gallery.
        if known is None:
            write_whole(version.folder / CALIBRATION, sealed_text(calibration.about).encode())
        if by is not None:
            set_groups(version, groups)
    if as_json:
        print_json({**told, "entry": receipt.number, "head": receipt.head})
    else:
        _print_told(told, calibration)
        if groups:
            print_groups(groups, told["groups"])
        click.echo(f"Ledger entry {receipt.number}, head {receipt.head}")
    gate.handed_out()


def _alone(gallery: Gallery, sets: bool) -> AbstractContextManager[None]:
    """Keeps publishers away where something is to be written, or one would carry the old setting on. Who only reads
    need not wait for a run of hours."""
    from indexer.calibration import read_calibration

    return gallery.only_publisher() if sets or read_calibration(gallery.version()) is None else nullcontext()


def _calibrated(files: Mapping[str, Path], version: Version) -> Calibration:
    """Returns the calibration of a version that has none. Nothing is written."""
    from indexer.calibrating import calibrate, open_faces
    from indexer.calibration import Calibration
    from indexer.gallery import seal

    faces = open_faces(files, version.model.dimension)
    return Calibration(seal(calibrate(*faces, version.about["gallery"], version.number)))


def _levels(files: Mapping[str, Path], dimension: int, calibration: Calibration) -> list[dict[str, Any]]:
    """Returns, for each FPIR that the sample supports, its distance, what a tenth of the gallery foretells, and what is
    foretold for ten times its size."""
    from indexer.calibrating import foretell, open_faces
    from indexer.calibration import format_share

    # Distances are shown with four decimals, and the rates are of what is shown.
    distances = [math.ceil(1e4 * calibration.distance_at(share)) / 1e4 for share in SHARES if calibration.probes]
    distances = [one for one in distances if calibration.rate(one).supported and calibration.rate(one).told]
    if not distances:
        return []
    by_a_tenth = foretell(*open_faces(files, dimension), calibration, distances)
    return [
        {
            "distance": f"{distance:.4f}",
            **calibration.rate(distance).as_json(),
            "foretold_by_a_tenth": format_share(tenth.found) if tenth.supported else None,
            f"at_{LARGER}_times_at_most": format_share(calibration.rate(distance, LARGER).found),
        }
        for distance, tenth in zip(distances, by_a_tenth, strict=True)
    ]


def _print_told(told: dict[str, Any], calibration: Calibration) -> None:
    from indexer.calibration import SUPPORT

    click.echo(
        f"Gallery {told['gallery']!r}, version {told['version']}: {told['probes']:,} of its {told['faces']:,} faces "
        "were searched, one a subject, each without its own subject."
    )
    if told["without_subject"]:
        click.echo(f"{told['without_subject']:,} faces have no subject: they were compared, and never a probe.")
    if not told["levels"]:
        click.echo(f"Too few subjects to tell any rate by {SUPPORT} errors.")
    else:
        columns = [
            "FPIR",
            "within distance",
            "people not in this gallery",
            "a tenth foretold",
            "10 times as large, at most",
        ]
        rows = [
            (
                *(one["fpir"], one["distance"], calibration.rate(float(one["distance"])).share),
                *(one["foretold_by_a_tenth"] or "too few errors", one[f"at_{LARGER}_times_at_most"]),
            )
            for one in told["levels"]
        ]
        print_table(columns, rows)
        click.echo(
            "Grown by 1 - (1 - FPIR) ^ times: for more people like these it is no less than what comes, and may be "
            "several times as much. Compare the first column with what a tenth of the subjects foretold by that rule."
        )
