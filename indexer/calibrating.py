"""Making a version's calibration: a sample of its faces is searched, and the distances of wrong neighbours are kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from foundation.store_path import Place
from indexer.calibration import DIGITS, FORMAT, Calibration, Rate
from indexer.gallery import CALIBRATION, FACES, LABELS, GalleryError, write_sealed
from indexer.nearest_wrong import UNNAMED, nearest_wrong, number_subjects, sample_faces

PROBES = 10_000
"""At most so many of a gallery's faces are searched: of that many, thirty errors support an FPIR of 0.003, the lowest
that NIST FRTE reports for investigations."""


def open_faces(files: Mapping[str, Path], dimension: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns a version's float32 (n, dimension) embeddings, mapped, not read, and its subjects as number_subjects()
    gives them. files: its FAISS file and its labels on this machine, by name. Raises GalleryError where the two do not
    fit."""
    with pa.memory_map(str(files[LABELS])) as source:
        subjects = number_subjects(pa.ipc.open_file(source).read_all()["subject"])
    path, shape = files[FACES], (len(subjects), dimension)
    if not len(subjects):
        return np.zeros(shape, np.float32), subjects
    header = path.stat().st_size - 4 * dimension * len(subjects)
    if not 0 < header < 4 * dimension:
        raise GalleryError(
            f"{path} does not hold the {len(subjects)} faces of its labels; run afterfact gallery verify"
        )
    return np.memmap(path, "<f4", "r", header, shape), subjects


def write_calibration(folder: Place, files: Mapping[str, Path], dimension: int, gallery: str, version: int) -> None:
    """Writes a version's calibration into folder. files, dimension: as open_faces() takes them."""
    write_sealed(folder / CALIBRATION, calibrate(*open_faces(files, dimension), gallery, version))


def calibrate(faces: np.ndarray, subjects: np.ndarray, gallery: str, version: int) -> dict[str, Any]:
    """Returns the content of a version's calibration. faces, subjects: as open_faces() gives them.

    A face without a subject is searched, and never a probe: nobody could leave its own other photos out. The sample is
    drawn by the version's number, so that calibrating twice gives the same.
    """
    probes = sample_faces(subjects, PROBES, seed=version)
    found = np.sort(nearest_wrong(faces, subjects, probes))
    texts = [f"{one:.{DIGITS}f}" for one in found[np.isfinite(found)]]
    width = max(map(len, texts), default=0)
    return {
        "format": FORMAT,
        "gallery": gallery,
        "version": version,
        "faces": len(subjects),
        "subjects": int(subjects.max(initial=UNNAMED)) + 1,
        "without_subject": int((subjects == UNNAMED).sum()),
        "probes": len(texts),
        "seed": version,
        "width": width,  # texts of one length, so that a search need not read them all
        "distances": " ".join(text.rjust(width, "0") for text in texts),
    }


def foretell(faces: np.ndarray, subjects: np.ndarray, calibration: Calibration, distances: list[float]) -> list[Rate]:
    """Returns the rates of distances as a random tenth of the subjects foretells them for the whole.

    It is how the rule by which Rate grows is tested on a gallery: what the whole shows is in its calibration. faces,
    subjects: as open_faces() gives them. A face without a subject is in the tenth with one chance in ten.
    """
    draw = np.random.default_rng(calibration.about["seed"])
    lots = draw.random(len(subjects))
    own = draw.random(int(subjects.max(initial=UNNAMED)) + 1)
    within = np.where(subjects == UNNAMED, lots, own[subjects] if len(own) else lots) < 0.1
    probes = sample_faces(subjects, PROBES, calibration.about["seed"])
    found = np.sort(nearest_wrong(faces, subjects, probes, within))
    times = len(subjects) / max(int(within.sum()), 1)
    errors = np.searchsorted(found, distances, side="right")
    weight = 1 + (calibration.weight - 1) / times  # of the two of a near pair the other is seldom in the tenth
    return [Rate(int(count), len(probes), weight, times) for count in errors]
