"""Making a version's calibration by group, and carrying it from version to version."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from foundation.errors import InputError
from indexer.calibrating import PROBES, open_faces
from indexer.calibration import DIGITS
from indexer.calibration_groups import FORMAT, read_groups
from indexer.gallery import CALIBRATION_GROUPS, LABELS, Gallery, write_sealed
from indexer.grouping import By, Grouping, Groups, said_of
from indexer.nearest_wrong import UNNAMED, nearest_wrong, sample_faces
from indexer.table import is_enrolled, read_batches

_SAID = ("location", "taken", "disposition", "further")


def carry_groups(gallery: Gallery, table: Any, folder: Path, files: Mapping[str, Path], dimension: int) -> None:
    """Calibrates a new version by the columns that the newest published one was calibrated by, if it was.

    folder: where to write, on this machine. Where the photos no longer have these columns, the file says so: the
    gallery is published all the same.
    """
    before = read_groups(gallery.version()) if gallery.version_numbers() else None
    if before is None:
        return
    by = By(tuple(before.about["by"]))
    try:
        made = make_groups(gallery, table, files, dimension, by)
    except InputError as error:
        about = {"gallery": gallery.name, "version": table.version(), "faces": len(open_faces(files, dimension)[1])}
        made = {"format": FORMAT, **about, **_none(by), "lacks": str(error)}
    write_sealed(folder / CALIBRATION_GROUPS, made)


def make_groups(gallery: Gallery, table: Any, files: Mapping[str, Path], dimension: int, by: By) -> dict[str, Any]:
    """Returns the content of a version's calibration by group, which is yet to be written.

    table: of the version. files, dimension: as open_faces() takes them. Raises InputError for columns that group none.
    """
    faces, subjects = open_faces(files, dimension)
    groups = by.groups(_columns(table, files[LABELS]), f"gallery {gallery.name!r}")
    return calibrate_groups(faces, subjects, groups, gallery.name, table.version())


def calibrate_groups(
    faces: np.ndarray, subjects: np.ndarray, groups: Groups, gallery: str, version: int
) -> dict[str, Any]:
    """Returns the content of a version's calibration by group. faces, subjects: as open_faces() gives them.

    The faces searched are those of indexer.calibrating.calibrate(); a face is of the groups that its own photo's line
    states.
    """
    probes = sample_faces(subjects, PROBES, seed=version)
    found = nearest_wrong(faces, subjects, probes)
    return {
        "format": FORMAT,
        "gallery": gallery,
        "version": version,
        "faces": len(subjects),
        "by": list(groups.by.names),
        "subjects": int(subjects.max(initial=UNNAMED)) + 1,
        "probes": int(np.isfinite(found).sum()),
        "groupings": [_grouping(one, probes, found) for one in groups.groupings],
        "lacks": None,
    }


def _none(by: By) -> dict[str, Any]:
    return {"by": list(by.names), "subjects": 0, "probes": 0, "groupings": []}


def _grouping(grouping: Grouping, probes: np.ndarray, found: np.ndarray) -> dict[str, Any]:
    """Returns what is kept of one grouping; found: the distance of each probe's nearest wrong neighbour."""
    there = np.isfinite(found)
    members, distances = grouping.members[probes[there]], found[there]
    order = np.argsort(distances)
    members, texts = members[order], [f"{one:.{DIGITS}f}" for one in distances[order]]
    width = max(map(len, texts), default=0)  # texts of one length, so that a search need not read them all
    code = len(str(len(grouping.names) - 1))
    return {
        "by": list(grouping.columns),
        "names": list(grouping.names),
        "width": width,
        "distances": [
            " ".join(texts[place].rjust(width, "0") for place in np.flatnonzero(members == group))
            for group in range(len(grouping.names))
        ],
        "code_width": code,
        "codes": "".join(f"{one:0{code}}" for one in grouping.members.tolist()),
    }


def _columns(table: Any, labels: Path) -> list[dict[str, str]]:
    """Returns what the gallery's list said of each face of the index, in its order."""
    with pa.memory_map(str(labels)) as source:
        locations = pa.ipc.open_file(source).read_all()["location"].combine_chunks()
    columns: list[dict[str, str]] = [{}] * len(locations)
    for batch in read_batches(table, _SAID, is_enrolled()):
        places = pc.index_in(batch["location"], value_set=locations).to_pylist()
        for place, row in zip(places, batch.to_pylist(), strict=True):
            columns[place] = said_of(row)
    return columns
