"""What a power cut may leave of a commit that was not published yet: found, and set aside.

deltalake calls no fsync, so until a version's index.json is written its log entry and its data files may come back
cut short, empty or full of zeros. Nothing depends on such a commit: its run's segments are still there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from foundation.files import sync_folder
from foundation.store_path import StorePath
from indexer.gallery import Gallery, GalleryError
from indexer.table import ACCOUNT, APPLICATION

SUFFIX = ".torn"  # no name that a reader of the log knows


def set_aside_torn_entry(gallery: Gallery) -> str:
    """Moves the table's last log entry next to the log where it is torn and no published version depends on it.

    Returns what was done, empty where nothing was. The same command then does the commit again. Only for the holder
    of the publisher's lock. Raises GalleryError where a published version depends on the torn entry.
    """
    if isinstance(gallery.table, StorePath):
        return ""  # a store knows no half object
    log = gallery.table / "_delta_log"
    entries = sorted(one for one in log.glob("*.json") if one.stem.isdigit()) if log.is_dir() else []
    if not entries:
        return ""
    last = entries[-1]
    number = int(last.stem)
    published = number in gallery.version_numbers()
    reason = _torn(last, {} if published else _data_files(last, gallery.table))
    if published:
        if reason:
            raise GalleryError(
                f"log entry {last} of published version {number} is torn ({reason}); restore the gallery from a backup"
            )
        return ""
    moved = [last] if reason else []
    # A checkpoint is written after its entry and holds nothing that the entries do not.
    checkpoints = list(log.glob(f"{last.stem}.checkpoint*.parquet"))
    if checkpoints and (reason or any(_unreadable(one, None) for one in checkpoints)):
        moved += [*checkpoints, *(one for one in [log / "_last_checkpoint"] if one.exists())]
        reason = reason or "its checkpoint cannot be read"
    if not moved:
        return ""
    names = [_set_aside(one).name for one in moved]
    sync_folder(log)
    return (
        f"log entry {number} of gallery {gallery.name!r} was left torn by a power cut ({reason}) and never published; "
        f"set aside in {log}: {', '.join(names)}. The command that made it makes it again"
    )


def _torn(entry: Path, data_files: dict[Path, dict[str, Any]]) -> str:
    """Returns what is torn of a log entry and of the data files that it adds, empty where all is whole."""
    try:
        actions = _actions(entry)
    except ValueError:
        return "half an entry" if entry.stat().st_size else "an empty file"
    about: dict[str, Any] = next((one["commitInfo"] for one in actions if "commitInfo" in one), {})
    ours = any(str(one.get("txn", {}).get("appId", "")).startswith(APPLICATION) for one in actions)
    if ACCOUNT in about and not ours:  # deltalake writes it last
        return "an entry cut at the end of a line"
    for path, add in data_files.items():
        unreadable = _unreadable(path, add.get("size"))
        if unreadable:
            return f"its data file {path.name} {unreadable}"
    return ""


def _actions(entry: Path) -> list[dict[str, Any]]:
    """Returns the entry's actions. Raises ValueError where it is not whole."""
    actions = [json.loads(line) for line in entry.read_bytes().decode().splitlines()]
    if not actions or not all(isinstance(one, dict) for one in actions):
        raise ValueError("no actions")
    return actions


def _data_files(entry: Path, folder: Path) -> dict[Path, dict[str, Any]]:
    try:
        return {folder / one["add"]["path"]: one["add"] for one in _actions(entry) if "add" in one}
    except ValueError:
        return {}


def _unreadable(path: Path, size: int | None) -> str:
    try:
        if size is not None and path.stat().st_size != size:
            return f"has {path.stat().st_size:,} bytes in the place of {size:,}"
        with pq.ParquetFile(path) as data:
            for _ in data.iter_batches(batch_size=4096):
                pass
    except FileNotFoundError:
        return "is missing"
    except (OSError, ValueError, pa.ArrowException) as error:
        return f"cannot be read ({type(error).__name__})"
    return ""


def _set_aside(path: Path) -> Path:
    """Renames path to a name that no reader of the log knows, and that is not taken, and returns it."""
    number, aside = 1, path.with_name(path.name + SUFFIX)
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}{SUFFIX}-{number}")
    return path.rename(aside)
