"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from foundation.store_path import Place, StorePath


def write_whole(path: Place, content: bytes, mode: int = 0o644) -> None:
    """Writes content under path so that a reader, even after a power cut, sees all of it or nothing.

    Raises OSError where the disk refuses; the temporary file is then removed.
    """
    if isinstance(path, StorePath):
        path.write_bytes(content)
        return
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:80]}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Place) -> None:
    """Makes renames inside folder survive a power cut. What a store has taken is safe."""
    if isinstance(folder, StorePath):
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Place) -> None:
    """Makes every file below folder survive a power cut, for writers that do not sync themselves."""
    if isinstance(folder, StorePath):
        return
    for parent, _, names in os.walk(folder):
        for name in names:
            handle = os.open(os.path.join(parent, name), os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        sync_folder(Path(parent))


def digest_bytes(content: bytes) -> str:
    """Returns the SHA-256 of content as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def digest_file(path: Place) -> str:
    """Returns the SHA-256 of the file's bytes as 64 hexadecimal digits, read a piece at a time."""
    if isinstance(path, StorePath):
        return path.digest()
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def remove_tree(folder: Place) -> None:
    """Removes a folder and everything below it."""
    if isinstance(folder, StorePath):
        folder.remove_tree()
    else:
        shutil.rmtree(folder)


def put_file(source: Path, target: StorePath) -> None:
    """Copies a file into a store, as one object that is there whole or not at all."""
    with open(source, "rb") as stream:
        if not os.fstat(stream.fileno()).st_size:
            target.write_bytes(b"")
            return
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            target.write_bytes(content)


def fetch_file(source: StorePath, target: Path, digest: str) -> bool:
    """Copies an object to a file that is there whole or not at all; tells whether its bytes have the SHA-256 digest.

    Where they have another one, there is no file.
    """
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".fetched-")
    try:
        with os.fdopen(handle, "wb") as stream:
            found = source.copy_to(stream)
            stream.flush()
            os.fsync(stream.fileno())
        if found == digest:
            os.replace(name, target)
        return found == digest
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def arrow_files(folder: Place) -> Any:
    """Returns a pyarrow.fs.FileSystem whose root is the folder."""
    if isinstance(folder, StorePath):
        return folder.arrow_files()
    from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

    return SubTreeFileSystem(str(folder), LocalFileSystem())


def parquet_source(path: Place) -> Any:
    """Returns what pyarrow.parquet opens a place by."""
    return path.open() if isinstance(path, StorePath) else path
