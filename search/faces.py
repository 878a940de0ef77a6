"""The files of one gallery version, opened for exact search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from indexer.gallery import FACES, LABELS, Gallery, GalleryError, Version
from indexer.models import installed_model
from indexer.weights import DIMENSION


@dataclass(frozen=True)
class Neighbour:
    """A gallery face near a probe. distance: Euclidean, between embeddings as the network gives them."""

    distance: float
    label: dict[str, Any]


SPARE = 16  # more than asked of FAISS: its float32 distances may swap two faces at the end of the list


class GalleryFaces:
    """One version's faces, mapped, not read. Private to this room: search.session is the way in.

    Raises GalleryError where the version's model, dimension or files do not fit.
    """

    def __init__(self, gallery: Gallery) -> None:
        self.version = gallery.version()
        _require_fit(self.version)
        import faiss

        try:
            # The plain IO_FLAG_MMAP reads a flat index into memory all the same; this one maps it.
            self._index = faiss.read_index(str(self.version.folder / FACES), faiss.IO_FLAG_MMAP_IFC)
            with pa.memory_map(str(self.version.folder / LABELS)) as source:
                self._labels = pa.ipc.open_file(source).read_all()
        except (RuntimeError, OSError, pa.ArrowInvalid) as error:
            raise GalleryError(
                f"{self.version.folder} cannot be opened ({error}); run afterfact gallery verify"
            ) from None
        counts = {self._index.ntotal, self._labels.num_rows, self.version.about["faces"]}
        if len(counts) != 1 or self._index.d != DIMENSION:
            raise GalleryError(
                f"{self.version.folder} holds {self._index.ntotal} faces of dimension {self._index.d}, "
                f"{self._labels.num_rows} labels and states {self.version.about['faces']}; run afterfact gallery verify"
            )

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def nearest(self, embedding: np.ndarray, count: int) -> list[Neighbour]:
        """Returns the count nearest faces (all where there are fewer), nearest first, ties by location.

        embedding: float32 (128,). FAISS finds them; their distances are then taken anew in float64.
        """
        count = min(count, len(self))
        if not count:
            return []
        asked = min(count + SPARE, len(self))
        _, rows = self._index.search(embedding.reshape(1, -1).astype(np.float32), asked)
        vectors = np.stack([self._index.reconstruct(int(row)) for row in rows[0]]).astype(np.float64)
        distances = np.sqrt(((vectors - embedding.astype(np.float64)) ** 2).sum(axis=1))
        labels = self._labels.take(_as_arrow(rows[0])).to_pylist()
        found = [Neighbour(float(distance), label) for distance, label in zip(distances, labels, strict=True)]
        return sorted(found, key=lambda one: (one.distance, one.label["location"]))[:count]


def _as_arrow(numbers: np.ndarray) -> pa.Array:
    """Returns int64 numbers as an Arrow array. pa.array() would import pandas, a third of a second, to look at them."""
    return pa.Array.from_buffers(pa.int64(), len(numbers), [None, pa.py_buffer(np.ascontiguousarray(numbers))])


def _require_fit(version: Version) -> None:
    installed = installed_model(version.mirrored)
    if version.model_digest != installed.digest:
        raise GalleryError(
            f"gallery {version.about['gallery']!r} is of model {version.model_digest[:12]} and this installation's is "
            f"{installed.digest[:12]}: their distances mean nothing to each other; index the archive into a new gallery"
        )
    for name, stated in version.about["files"].items():
        path = version.folder / name
        found = f"has {path.stat().st_size} bytes" if path.is_file() else "is gone"
        if found != f"has {stated['bytes']} bytes":
            raise GalleryError(f"{path} {found} and was written with {stated['bytes']}; run afterfact gallery verify")
