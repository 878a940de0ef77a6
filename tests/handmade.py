"""What tests of search share: a gallery version written by hand, and the ledger of a home as its operator sees it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
from conftest import Home, done

from foundation.files import digest_file
from indexer.gallery import FACES, INDEX_FORMAT, LABELS, Gallery, write_sealed
from indexer.models import installed_model
from indexer.schema import LABELS as LABEL_COLUMNS

NOTICE = "not a positive identification"


def label(number: int, **changes: Any) -> dict[str, Any]:
    """Returns the label of a photo that is in no archive; subject and encounter follow from its number."""
    return {
        "row": f"{number:032x}",
        "location": f"file:///nowhere/{number:05d}.jpg",
        "photo": f"{number:05d}.jpg",
        "photo_digest": f"{number:064x}",
        "subject": f"S{number:05d}",
        "encounter": "1",
        "taken": "2019-05-06T07:08:00+00:00",
        "disposition": "released",
        **dict.fromkeys(("box_left", "box_top"), 10),
        **dict.fromkeys(("box_right", "box_bottom"), 90),
        **changes,
    }


def write_version(
    home: Path, vectors: np.ndarray, labels: list[dict[str, Any]] | None = None, number: int = 0, **about: Any
) -> Gallery:
    """Writes a version of gallery `county` that search would open; about changes what its index.json says."""
    gallery = Gallery(home, "county")
    folder = gallery.index / str(number)
    folder.mkdir(parents=True)
    index = faiss.IndexFlatL2(vectors.shape[1])
    index.add(vectors.astype(np.float32))
    faiss.write_index(index, str(folder / FACES))
    rows = [label(row) for row in range(len(vectors))] if labels is None else labels
    table = pa.Table.from_pylist(rows, schema=LABEL_COLUMNS)
    with pa.OSFile(str(folder / LABELS), "wb") as stream, pa.ipc.new_file(stream, table.schema) as writer:
        writer.write_table(table)
    content = {
        "format": INDEX_FORMAT,
        "gallery": "county",
        "version": number,
        "published": "2026-01-02T03:04:05+00:00",
        "model": installed_model().as_json(),
        "faces": len(rows),
    }
    write_sealed(folder / "index.json", {**content, **about, "files": files_of(folder)})
    return gallery


def files_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Returns what index.json says of a version's files."""
    return {
        name: {"bytes": (folder / name).stat().st_size, "digest": digest_file(folder / name)}
        for name in (FACES, LABELS)
    }


def reseal(folder: Path, **changes: Any) -> None:
    """Writes a version's index.json anew, with changes, under a seal that fits."""
    about = json.loads((folder / "index.json").read_text())
    about.pop("seal")
    write_sealed(folder / "index.json", {**about, **changes})


def ledger_of(home: Home, limit: int = 50) -> list[dict[str, Any]]:
    """Returns the ledger's newest entries with details, newest first, but for those of this very reading."""
    shown = home.run("audit", "show", "--details", "--json", "--limit", 10 * limit, credential=home.operator)
    return [one for one in done(shown).json() if one["type"] != "audit.read"][:limit]


def files_in(folder):
    """Returns where a version's search files are, by name."""
    return {name: folder / name for name in (FACES, LABELS)}
