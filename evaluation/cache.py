"""Templates, and how they are kept: only inside the data home, by photo and model digest, until they are forgotten."""

from __future__ import annotations

import io
import os
import secrets
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foundation.files import write_whole

FOLDER = "evaluation"
_BROKEN = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


@dataclass(frozen=True)
class Template:
    """One photo's. outcome: what enrolment would say of it. faces: how many were found in it.

    box: pixels (left, top, right, bottom) of the face nearest the photo's middle; embedding: its, float32 (dimension,).
    None where no face was found.
    """

    outcome: str
    faces: int = 0
    box: tuple[int, int, int, int] | None = None
    embedding: np.ndarray | None = None


def stacked(templates: Sequence[Template]) -> np.ndarray:
    """Returns float32 (n, dimension) embeddings, NaN where there is none."""
    dimension = next((len(one.embedding) for one in templates if one.embedding is not None), 1)
    stack = np.full((len(templates), dimension), np.nan, dtype=np.float32)
    for place, one in enumerate(templates):
        if one.embedding is not None:
            stack[place] = one.embedding
    return stack


class Cache:
    """The templates that one model made of photos looked at in one way. Making the object touches nothing.

    Each file holds some of them and is written whole; one that cannot be read is passed over, its photos made again.
    """

    def __init__(self, home: Path, model_digest: str, way: str) -> None:
        """way: how photos were looked at, part of a folder's name."""
        self._folder = home / FOLDER / f"{model_digest}-{way}"

    def read(self) -> dict[str, Template]:
        """Returns the templates kept, by the SHA-256 of their photo's bytes."""
        found: dict[str, Template] = {}
        for path in sorted(self._folder.glob("*.npz")):
            try:
                found.update(_unpacked(path.read_bytes()))
            except _BROKEN:
                continue
        return found

    def add(self, templates: Mapping[str, Template]) -> None:
        """Keeps templates by the SHA-256 of their photo's bytes. Raises OSError."""
        kept = {digest: one for digest, one in templates.items() if digest}
        if kept:
            for folder in (self._folder.parent, self._folder):
                folder.mkdir(mode=0o700, exist_ok=True)
                os.chmod(folder, 0o700)
            write_whole(self._folder / f"{secrets.token_hex(8)}.npz", _packed(kept), mode=0o600)


def forget(home: Path) -> int:
    """Removes every template kept in a data home and returns how many there were."""
    folder, forgotten = home / FOLDER, 0
    for path in sorted(folder.glob("*/*.npz")):
        try:
            with np.load(path, allow_pickle=False) as content:
                forgotten += len(content["digests"])
        except _BROKEN:
            pass  # removed all the same
    if folder.exists():
        shutil.rmtree(folder)
    return forgotten


def _packed(templates: Mapping[str, Template]) -> bytes:
    made = list(templates.values())
    stream = io.BytesIO()
    np.savez(
        stream,
        digests=np.array(list(templates), dtype="U64"),
        outcomes=np.array([one.outcome for one in made]),
        faces=np.array([one.faces for one in made], dtype=np.int32),
        boxes=np.array([one.box or (0, 0, 0, 0) for one in made], dtype=np.int32),
        embeddings=stacked(made),
    )
    return stream.getvalue()


def _unpacked(content: bytes) -> dict[str, Template]:
    with np.load(io.BytesIO(content), allow_pickle=False) as read:
        columns = [read[name] for name in ("digests", "outcomes", "faces", "boxes", "embeddings")]
    rows = zip(*columns[:4], strict=True)
    there = np.isfinite(columns[4]).all(axis=1)
    return {
        str(digest): Template(
            str(outcome),
            int(faces),
            tuple(box.tolist()) if known else None,
            embedding if known else None,
        )
        for (digest, outcome, faces, box), embedding, known in zip(rows, columns[4], there, strict=True)
    }
