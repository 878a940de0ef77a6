"""The files that search reads: a flat FAISS index of one table version, its labels, its calibration, and index.json."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from foundation.files import digest_file, put_file, remove_tree, sync_folder, sync_tree
from foundation.memory import give_back_memory
from foundation.store_path import StorePath
from indexer.calibrating import write_calibration
from indexer.calibrating_groups import carry_groups
from indexer.gallery import (
    CALIBRATION,
    CALIBRATION_GROUPS,
    FACES,
    INDEX_FORMAT,
    LABELS,
    Gallery,
    GalleryError,
    write_sealed,
)
from indexer.gallery_cache import work_folder
from indexer.schema import LABELS as LABEL_COLUMNS
from indexer.table import ACCOUNT, count_outcomes, is_enrolled, read_batches, table_files

WRITTEN = (FACES, LABELS, CALIBRATION)


def build_index(gallery: Gallery, table: Any) -> None:
    """Writes index/N for the table's version N; index.json comes last and makes the version exist.

    Two builds of one version write the same bytes, so that two hosts that build it at once do each other no harm.
    """
    folder = gallery.index / str(table.version())
    if isinstance(folder, StorePath):
        with work_folder(gallery) as built:
            about = _build(gallery, table, built)
            for name in WRITTEN:
                put_file(built / name, folder / name)
            if (built / CALIBRATION_GROUPS).exists():
                put_file(built / CALIBRATION_GROUPS, folder / CALIBRATION_GROUPS)
    else:
        if folder.exists():
            remove_tree(folder)  # no index.json: left by a crash
        folder.mkdir(parents=True)
        about = _build(gallery, table, folder)
        sync_tree(folder)
    write_sealed(folder / "index.json", about)
    sync_folder(gallery.index)


def _build(gallery: Gallery, table: Any, folder: Path) -> dict[str, Any]:
    """Writes the files that search reads into a folder of this machine, and returns what index.json shall say."""
    _write_labels(folder / LABELS, enrolled_labels(table))
    give_back_memory()
    with pa.memory_map(str(folder / LABELS)) as source:  # sorting them took several times the space that they take
        labels = pa.ipc.open_file(source).read_all()
    about = _about(gallery, table, labels)
    dimension = about["model"]["dimension"]
    vectors = enrolled_vectors(table, labels, dimension)
    write_faces(folder / FACES, labels.num_rows, dimension, vectors)
    files = {name: folder / name for name in (FACES, LABELS)}
    write_calibration(folder, files, dimension, gallery.name, about["version"])
    carry_groups(gallery, table, folder, files, dimension)
    about["files"] = {name: _file(folder / name) for name in WRITTEN}
    return about


def _write_labels(path: Path, labels: pa.Table) -> None:
    with pa.OSFile(str(path), "wb") as stream, pa.ipc.new_file(stream, labels.schema) as writer:
        writer.write_table(labels)


def enrolled_labels(table: Any) -> pa.Table:
    """Returns the labels (indexer.schema.LABELS) of the faces to search, in the order of locations.

    The order is the rows' own, so that two builds of one version are the same bytes.
    """
    unsorted = pa.Table.from_batches(read_batches(table, LABEL_COLUMNS.names, is_enrolled()), LABEL_COLUMNS)
    order = pc.sort_indices(unsorted["location"])
    columns = {}
    for name in LABEL_COLUMNS.names:  # one at a time, so that they are never all there twice
        columns[name] = unsorted[name].combine_chunks().take(order)
        unsorted = unsorted.drop_columns([name])
    return pa.table(columns, schema=LABEL_COLUMNS)


def enrolled_vectors(table: Any, labels: pa.Table, dimension: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields int64 (n,) rows of labels and the float32 (n, dimension) embeddings of them, some thousand at a time."""
    locations = labels["location"].combine_chunks()
    for batch in read_batches(table, ["location", "embedding"], is_enrolled()):
        rows = pc.index_in(batch["location"], value_set=locations).to_numpy()
        yield rows, batch["embedding"].flatten().to_numpy().reshape(len(rows), dimension)


def write_faces(path: Path, count: int, dimension: int, placed: Iterable[tuple[np.ndarray, np.ndarray]]) -> None:
    """Writes the FAISS file of a flat index of count faces without ever holding them all.

    placed: int64 (n,) places in the file and float32 (n, dimension) embeddings to put there; together every place once.
    """
    header, face_bytes = _flat_header(count, dimension), 4 * dimension
    with open(path, "wb") as stream:
        stream.write(header)
        for rows, vectors in placed:
            order = np.argsort(rows)
            for piece in np.split(order, np.flatnonzero(np.diff(rows[order]) != 1) + 1):
                if len(piece):
                    stream.seek(len(header) + int(rows[piece[0]]) * face_bytes)
                    stream.write(vectors[piece].astype("<f4", copy=False).tobytes())
    written, right = path.stat().st_size, len(header) + count * face_bytes
    if written != right:
        raise GalleryError(f"{path} has {written} bytes where {count} faces have {right}; run the same command again")


def _flat_header(count: int, dimension: int) -> bytes:
    """Returns what FAISS writes before the vectors of a flat index: its own header, with the numbers of faces put in.

    Raises GalleryError where this FAISS writes another header than the one that we know.
    """
    import faiss

    def written(index: Any) -> bytes:
        return faiss.serialize_index(index).tobytes()

    def counting(faces: int) -> bytes:
        header = bytearray(empty)
        struct.pack_into("<q", header, 8, faces)
        struct.pack_into("<Q", header, len(header) - 8, faces * dimension)
        return bytes(header)

    index = faiss.IndexFlatL2(dimension)
    empty = written(index)
    index.add(np.zeros((1, dimension), np.float32))
    if written(index) != counting(1) + bytes(4 * dimension):
        raise GalleryError(f"faiss {faiss.__version__} writes flat indexes in a way of its own; install the pinned one")
    return counting(count)


def _about(gallery: Gallery, table: Any, labels: pa.Table) -> dict[str, Any]:
    number = table.version()
    commit = table.history(1)[0]
    account = json.loads(commit.get(ACCOUNT, "{}"))
    return {
        "format": INDEX_FORMAT,
        "gallery": gallery.name,
        "version": number,
        "published": datetime.fromtimestamp(commit["timestamp"] // 1000, UTC).isoformat(timespec="seconds"),
        "model": json.loads(commit["afterfact.model"]),
        "limits": json.loads(commit.get("afterfact.limits", "null")),
        "faces": labels.num_rows,
        "subjects": len(labels["subject"].combine_chunks().drop_null().unique()),
        "outcomes": count_outcomes(table),
        "account": account,
        "table_files": _table_digests(gallery, table, account.get("rolled_back_to")),
    }


def _file(path: Any) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "digest": digest_file(path)}


def _table_digests(gallery: Gallery, table: Any, restored: int | None) -> dict[str, dict[str, Any]]:
    """Returns bytes and digest of the version's table files; an earlier version's word is taken for its own.

    restored: the version that a rollback went back to.
    """
    known: dict[str, dict[str, Any]] = {}
    if gallery.version_numbers():
        known = gallery.version().about["table_files"]
    if restored is not None:
        known = {**gallery.version(restored).about["table_files"], **known}
    names = {str(path.relative_to(gallery.table)): path for path in table_files(table, gallery.table)}
    return {name: known.get(name) or _file(path) for name, path in names.items()}
