"""The files that search reads: a flat FAISS index of one table version, its labels, and index.json."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from foundation.files import digest_file, sync_folder, sync_tree
from indexer.gallery import FACES, INDEX_FORMAT, LABELS, Gallery, write_sealed
from indexer.schema import LABELS as LABEL_COLUMNS
from indexer.table import ACCOUNT, count_outcomes, is_enrolled, read_rows, table_files
from indexer.weights import DIMENSION


def build_index(gallery: Gallery, table: Any) -> None:
    """Writes index/N for the table's version N; index.json comes last and makes the version exist."""
    import faiss

    number = table.version()
    folder = gallery.index / str(number)
    if folder.exists():
        shutil.rmtree(folder)  # no index.json: left by a crash
    folder.mkdir(parents=True)
    embeddings, labels = enrolled_faces(table)
    index = faiss.IndexFlatL2(DIMENSION)
    index.add(embeddings)
    faiss.write_index(index, str(folder / FACES))
    with pa.OSFile(str(folder / LABELS), "wb") as stream, pa.ipc.new_file(stream, labels.schema) as writer:
        writer.write_table(labels)
    sync_tree(folder)
    write_sealed(folder / "index.json", _about(gallery, table, labels))
    sync_folder(gallery.index)


def enrolled_faces(table: Any) -> tuple[np.ndarray, pa.Table]:
    """Returns float32 (n, 128) embeddings and indexer.schema.LABELS, both in the order of locations.

    The order is the rows' own, so that two builds of one version are the same bytes.
    """
    rows = read_rows(table, [*LABEL_COLUMNS.names, "embedding"], is_enrolled()).sort_by("location")
    flat = rows["embedding"].combine_chunks()
    values = (flat.flatten() if rows.num_rows else pa.array([], pa.float32())).to_numpy(zero_copy_only=False)
    return values.reshape(rows.num_rows, DIMENSION).astype(np.float32), rows.select(LABEL_COLUMNS.names)


def _about(gallery: Gallery, table: Any, labels: pa.Table) -> dict[str, Any]:
    number = table.version()
    commit = table.history(1)[0]
    account = json.loads(commit.get(ACCOUNT, "{}"))
    return {
        "format": INDEX_FORMAT,
        "gallery": gallery.name,
        "version": number,
        "published": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": json.loads(commit["afterfact.model"]),
        "limits": json.loads(commit.get("afterfact.limits", "null")),
        "faces": labels.num_rows,
        "subjects": len(labels["subject"].combine_chunks().drop_null().unique()),
        "outcomes": count_outcomes(table),
        "account": account,
        "files": {name: _file(gallery.index / str(number) / name) for name in (FACES, LABELS)},
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
