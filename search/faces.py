"""The files of one gallery version, opened for exact search."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from indexer.calibration import read_calibration
from indexer.calibration_groups import read_groups
from indexer.gallery import CALIBRATION, FACES, LABELS, Gallery, GalleryError, Version
from indexer.gallery_cache import drop_files, present_files
from indexer.models import Model, ModelError, find_network, models_folder


@dataclass(frozen=True)
class Neighbour:
    """A gallery face near a probe. distance: Euclidean, between embeddings as the model has them. place: its row in the
    index."""

    distance: float
    label: dict[str, Any]
    place: int


SPARE = 16  # more than asked of FAISS: its float32 distances may swap two faces at the end of the list
TOGETHER = 8  # probes from which matrix products are faster: they cost as much as five probes, and little for each


class GalleryFaces:
    """One version's faces, mapped, not read. Private to this room: search.session is the way in.

    calibration: what its distances mean; None where nobody calibrated the version. by_group: the same for each group of
    the gallery; None where nobody asked for it.
    Raises GalleryError where the version's model, dimension or files do not fit.
    """

    def __init__(self, gallery: Gallery) -> None:
        try:
            self.version = gallery.version()
        except GalleryError:
            drop_files(gallery)
            raise
        self.model = _require_model(gallery, self.version)
        files = present_files(gallery, self.version)
        _require_sizes(self.version, files)
        self.calibration = read_calibration(self.version, files.get(CALIBRATION))
        self.by_group = read_groups(self.version)
        import faiss

        # One probe is compared on one thread whatever this says: a second one only spins beside it, and takes the core
        # from those who decode and embed the next probes.
        faiss.omp_set_num_threads(1)
        # FAISS counts probes times dimensions, and by itself takes matrix products for 1,000 probes or more only.
        faiss.cvar.distance_compute_blas_threshold = TOGETHER * self.model.dimension
        try:
            # The plain IO_FLAG_MMAP reads a flat index into memory all the same; this one maps it.
            self._index = faiss.read_index(str(files[FACES]), faiss.IO_FLAG_MMAP_IFC)
            with pa.memory_map(str(files[LABELS])) as source:
                self._labels = pa.ipc.open_file(source).read_all()
        except (RuntimeError, OSError, pa.ArrowInvalid) as error:
            raise GalleryError(
                f"{self.version.folder} cannot be opened ({error}); run afterfact gallery verify"
            ) from None
        counts = {self._index.ntotal, self._labels.num_rows, self.version.about["faces"]}
        if len(counts) != 1 or self._index.d != self.model.dimension:
            raise GalleryError(
                f"{self.version.folder} holds {self._index.ntotal} faces of dimension {self._index.d}, "
                f"{self._labels.num_rows} labels and states {self.version.about['faces']} of {self.model.dimension}; "
                "run afterfact gallery verify"
            )

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def nearest(self, embedding: np.ndarray, count: int) -> list[Neighbour]:
        """Returns the count nearest faces (all where there are fewer), nearest first, ties by location.

        embedding: float32 (dimension,). FAISS finds them; their distances are then taken anew in float64.
        """
        return self.nearest_each(embedding[None], count)[0]

    def nearest_each(self, embeddings: np.ndarray, count: int) -> list[list[Neighbour]]:
        """Returns what nearest() returns for each embedding, float32 (n, dimension), in one pass over the gallery."""
        count = min(count, len(self))
        if not count:
            return [[] for _ in embeddings]
        asked = min(count + SPARE, len(self))
        squared, rows = self._index.search(np.ascontiguousarray(embeddings, dtype=np.float32), asked)
        listed = []
        for embedding, last, near in zip(embeddings, squared[:, -1].tolist(), rows, strict=True):
            found = self._measured(embedding, near)[:count]
            alone = len(embeddings) == 1 or asked == len(self)
            listed.append(found if alone or _is_sure(embedding, found, last) else self.nearest(embedding, count))
        return listed

    def _measured(self, embedding: np.ndarray, rows: np.ndarray) -> list[Neighbour]:
        vectors = self._index.reconstruct_batch(rows).astype(np.float64)
        distances = np.sqrt(((vectors - embedding.astype(np.float64)) ** 2).sum(axis=1))
        labels = self._labels.take(_as_arrow(rows)).to_pylist()
        told = zip(distances, labels, rows.tolist(), strict=True)
        found = [Neighbour(float(distance), label, place) for distance, label, place in told]
        return sorted(found, key=lambda one: (one.distance, one.label["location"]))


def _is_sure(embedding: np.ndarray, found: list[Neighbour], last: float) -> bool:
    """Says whether no rounding can have kept a nearer face out, be it in this search or in one of this probe alone.

    last: FAISS's squared distance of the farthest face that it gave; by its sums no other face is nearer. Of several
    probes it makes matrix products, which round otherwise than the sums for one. Either errs by less than a unit of
    rounding a term times (|probe| + |face|) squared, and a face that belongs into the list is no longer than the
    probe and the distance together. Three errors: one for this search, two for the other's own choice.
    """
    reach = 2 * math.sqrt(float((embedding.astype(np.float64) ** 2).sum())) + math.sqrt(max(last, 0.0))
    error = (len(embedding) + 8) * float(np.finfo(np.float32).eps) / 2 * reach**2
    return found[-1].distance ** 2 + 3 * error < last


def _as_arrow(numbers: np.ndarray) -> pa.Array:
    """Returns int64 numbers as an Arrow array. pa.array() would import pandas, a third of a second, to look at them."""
    return pa.Array.from_buffers(pa.int64(), len(numbers), [None, pa.py_buffer(np.ascontiguousarray(numbers))])


def _require_model(gallery: Gallery, version: Version) -> Model:
    """Returns the version's model, whose network is there. Raises GalleryError."""
    try:
        model = version.model
        find_network(model, models_folder(gallery.home))
    except ModelError as error:
        raise GalleryError(f"gallery {gallery.name!r} cannot be searched here: {error}") from error
    return model


def _require_sizes(version: Version, files: dict[str, Path]) -> None:
    for name, stated in version.about["files"].items():
        path = files[name]
        found = f"has {path.stat().st_size} bytes" if path.is_file() else "is gone"
        if found != f"has {stated['bytes']} bytes":
            raise GalleryError(f"{path} {found} and was written with {stated['bytes']}; run afterfact gallery verify")
