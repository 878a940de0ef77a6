"""The part of `afterfact evaluate calibrate` that tells groups apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from foundation.files import write_whole
from foundation.terminal import print_table
from indexer.calibrating_groups import make_groups
from indexer.calibration_groups import FACTOR, GroupCalibration
from indexer.gallery import CALIBRATION_GROUPS, Gallery, GalleryError, Version, seal, sealed_text
from indexer.grouping import By
from indexer.table import open_table

ENDED = "none"
"""What --by says where groups shall be told apart no more."""


def groups_by(gallery: Gallery, version: Version, files: Mapping[str, Path], by: str) -> GroupCalibration | None:
    """Returns a version's calibration by columns, None where there is to be none. Nothing is written: whether it may
    be is yet to be decided. Raises InputError for columns that group nobody, GalleryError."""
    if by == ENDED:
        return None
    table = open_table(gallery, version.number)
    if table is None:
        raise GalleryError(f"gallery {gallery.name!r} has no table; restore it from a backup")
    return GroupCalibration(seal(make_groups(gallery, table, files, version.model.dimension, By.read(by))))


def set_groups(version: Version, groups: GroupCalibration | None) -> None:
    """Puts what groups_by() returned in force. The caller holds the publisher's lock, and has been allowed."""
    path = version.folder / CALIBRATION_GROUPS
    if groups is None:
        path.unlink(missing_ok=True)
    else:
        write_whole(path, sealed_text(groups.about).encode())


def tell_groups(groups: GroupCalibration, levels: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns each group's rate at the distance of each level, beside the mean of groups."""
    told = []
    for level in levels:
        distance = float(level["distance"])
        for grouping in groups.groupings:
            rates, mean = groups.rates(grouping, distance)
            for name, rate in zip(grouping["names"], rates, strict=True):
                known = rate.told and rate.supported
                told.append(
                    {
                        "by": " and ".join(grouping["by"]),
                        "group": name,
                        "distance": level["distance"],
                        **rate.as_json(),
                        "times_the_mean": f"{rate.found / mean:.2f}" if known and mean else None,
                    }
                )
    return told


def print_groups(groups: GroupCalibration, told: Sequence[Mapping[str, Any]]) -> None:
    """Prints what tell_groups() returns."""
    if groups.about["lacks"]:
        click.echo(f"No groups: {groups.about['lacks']}")
        return
    columns = ["by", "group", "within distance", "people of it not in this gallery", "times the mean", "probes"]
    rows = [
        (
            *(one["by"], one["group"], one["distance"]),
            *(one["fpir"] or "too few errors", one["times_the_mean"] or "-", f"{one['probes']:,}"),
        )
        for one in told
    ]
    if rows:
        print_table(columns, rows, "FPIR by group")
    click.echo(f"A lead warns where its candidate's group is above {FACTOR} times the mean of the groups.")
