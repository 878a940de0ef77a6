"""`afterfact gallery duplicates`: one person under two subjects, or two who look alike. A search, and gated so."""

from __future__ import annotations

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
    from indexer.gallery import Gallery, Version

TOLD = ("subject", "encounter", "photo", "row")


@click.command(context_settings=CONTEXT)
@click.argument("name", metavar="GALLERY")
@case_options
@click.option("-k", "k", type=int, default=20, show_default=True, help="Pairs of subjects, 2 to 50.")
@credential_option
@as_json
@click.pass_context
def duplicates(
    context: click.Context, name: str, k: int, credential_file: Path | None, as_json: bool, **about: Any
) -> None:
    """List the nearest faces that bear different subjects: one person booked under two names, or two who look alike.

    Every face is compared with every other: minutes where there are some 100,000. It tells who looks like whom, so it
    is a search: by a tenant, with case and purpose, two decisions and a ledger entry. No pair is an identification.

    \b
    Example:
      afterfact gallery duplicates county --case AUDIT-2026-3 --purpose testing -k 10
    """
    from access.gate import Gate, Request
    from indexer.gallery import Gallery

    home = home_folder(context)
    gate = Gate.open(home)
    permit = gate.ask(read_credential(credential_file), Request("search", name, k=k, **about))
    searched = Gallery(home, name).require()
    version = searched.version()
    pairs = _pairs(searched, version, k)
    kept = [
        {
            "distance": one["distance"],
            "subjects": [face["subject"] for face in one["faces"]],
            "rows": [face["row"] for face in one["faces"]],
        }
        for one in pairs
    ]
    body = {"outcome": "DUPLICATES", "gallery_version": version.number, "k": k, "pairs": len(pairs)}
    receipt = gate.answer(permit, body, {"pairs": kept})
    if as_json:
        told = {"gallery": name, "version": version.number, "pairs": pairs}
        print_json({**told, "entry": receipt.number, "head": receipt.head})
    else:
        _print_pairs(pairs)
        click.echo(f"Compared all {version.about['faces']:,} faces of gallery {name!r}, version {version.number}.")
        click.echo(f"Ledger entry {receipt.number}, head {receipt.head}")
        click.echo("Near faces are a reason to look at two records, and no proof that they are of one person.")
    gate.handed_out()


def _pairs(gallery: Gallery, version: Version, most: int) -> list[dict[str, Any]]:
    """Returns the nearest pairs of subjects of a version, nearest first."""
    import pyarrow as pa

    from foundation.progress import Counter
    from indexer.calibrating import open_faces
    from indexer.calibration import read_calibration
    from indexer.gallery import CALIBRATION, LABELS
    from indexer.gallery_cache import present_files
    from indexer.near_pairs import nearest_pairs, pieces

    files = present_files(gallery, version)
    faces, subjects = open_faces(files, version.model.dimension)
    calibration = read_calibration(version, files.get(CALIBRATION))
    counter = Counter("afterfact gallery", "comparing", "pieces", pieces(len(subjects)))
    try:
        found = nearest_pairs(faces, subjects, most, counter.done)
    finally:
        counter.close()
    with pa.memory_map(str(files[LABELS])) as source:
        labels = pa.ipc.open_file(source).read_all().select(TOLD)
        return [
            {
                "distance": f"{distance:.4f}",
                "by_chance": calibration.rate(distance).as_json() if calibration else None,
                "faces": labels.take(rows).to_pylist(),
            }
            for distance, *rows in found
        ]


def _print_pairs(pairs: list[dict[str, Any]]) -> None:
    if not pairs:
        click.echo("No two faces of this gallery bear different subjects.")
        return
    columns = ["distance", "subject", "encounter", "photo", "and subject", "encounter", "photo"]
    rows = [
        [one["distance"], *(face[name] for face in one["faces"] for name in ("subject", "encounter", "photo"))]
        for one in pairs
    ]
    print_table(columns, rows)
