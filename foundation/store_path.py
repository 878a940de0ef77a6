"""A place in an object store, used as a pathlib.Path is: who reads and writes a gallery need not know where it lies."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import IO, Any

from foundation.errors import AfterfactError
from foundation.object_store import ObjectStore, is_remote, open_store, split_location
from foundation.store_errors import BucketMissing, ObjectMissing, StoreRefused, StoreUnavailable, told_kind

PIECE = 16 << 20


def place_at(location: str) -> Place:
    """Returns the place that a location names: in a store, or on this machine."""
    return StorePath(location) if is_remote(location) else Path(location)


@dataclass(frozen=True, order=True)
class StorePath:
    """One place in a store: an object's, or what a folder would be. Travels as its location; holds nothing open.

    Methods do what pathlib's of the same name do, and raise foundation.object_store.StoreError.
    """

    location: str

    def __str__(self) -> str:
        return self.location

    def __truediv__(self, name: str) -> StorePath:
        return StorePath(f"{self.location.rstrip('/')}/{name}")

    @property
    def name(self) -> str:
        return self.location.rpartition("/")[2]

    @property
    def stem(self) -> str:
        return PurePosixPath(self.name).stem

    @property
    def parents(self) -> tuple[StorePath, ...]:
        """Nothing: there are no folders above that would have to be made safe."""
        return ()

    @property
    def parent(self) -> StorePath:
        return StorePath(self.location.rpartition("/")[0])

    def with_name(self, name: str) -> StorePath:
        return self.parent / name

    def with_suffix(self, suffix: str) -> StorePath:
        return self.parent / f"{self.stem}{suffix}"

    def relative_to(self, other: StorePath) -> PurePosixPath:
        return PurePosixPath(self.location.removeprefix(f"{other.location}/"))

    def mkdir(self, **_: Any) -> None:
        """Does nothing: a store has no folders to make."""

    def read_bytes(self) -> bytes:
        store, name = self._object()
        return store.read(name)

    def read_text(self, encoding: str = "utf-8") -> str:
        return self.read_bytes().decode(encoding)

    def write_bytes(self, content: Any) -> None:
        """Writes one object that is there whole or not at all."""
        store, name = self._object()
        store.write(name, content)

    def open(self) -> Any:
        """Returns a pyarrow.NativeFile to read anywhere in."""
        store, name = self._object()
        return store.open(name)

    def arrow_files(self) -> Any:
        """Returns a pyarrow.fs.FileSystem whose root is this place."""
        return open_store(self.location).file_system("")

    def digest(self) -> str:
        """Returns the SHA-256 of the object's bytes as 64 hexadecimal digits."""
        return self.copy_to(None)

    def copy_to(self, target: IO[bytes] | None) -> str:
        """Writes the object's bytes to target, a piece at a time, and returns their SHA-256."""
        store, name = self._object()
        digest = hashlib.sha256()
        with store.open(name) as stream:
            while piece := _read_piece(store, name, stream):
                digest.update(piece)
                if target is not None:
                    target.write(piece)
        return digest.hexdigest()

    def stat(self) -> Any:
        """Returns the object's st_size and st_mtime_ns. Raises ObjectMissing."""
        store, name = self._object()
        found = store.info(name)
        if found is None:
            raise ObjectMissing(f"{self} is not there")
        return SimpleNamespace(st_size=found.size, st_mtime_ns=found.modified_ns)

    def is_file(self) -> bool:
        store, name = self._object()
        return store.info(name) is not None

    def is_dir(self) -> bool:
        return next(self.iterdir(), None) is not None

    def exists(self) -> bool:
        return self.is_file() or self.is_dir()

    def iterdir(self) -> Iterator[StorePath]:
        """Yields what lies right below, objects and further parts."""
        store = open_store(self.location)
        yield from (self / name for name in store.children())

    def glob(self, pattern: str) -> Iterator[StorePath]:
        """Yields the objects below whose name from here on has the pattern's parts, told by one listing."""
        parts = pattern.split("/")
        for found in open_store(self.location).list(recursive=len(parts) > 1):
            names = found.name.split("/")
            if len(names) == len(parts) and all(map(fnmatchcase, names, parts)):
                yield self / found.name

    def unlink(self, missing_ok: bool = False) -> None:
        """Removes the object; missing_ok is there for pathlib's sake, and taken for given."""
        store, name = self._object()
        store.delete(name)

    def remove_tree(self) -> None:
        """Removes everything below."""
        open_store(self.location).delete_below("")

    def raise_if_told(self, error: Exception) -> None:
        """Raises the StoreError that a client's error tells of, be it pyarrow's or deltalake's; else does nothing."""
        known = told_kind(str(error)) in (BucketMissing, StoreRefused, StoreUnavailable)
        if known and not isinstance(error, AfterfactError):
            raise open_store(self.location).explain(error) from error

    def _object(self) -> tuple[ObjectStore, str]:
        scheme, bucket, key = split_location(self.location)
        return open_store(f"{scheme}://{bucket}"), key


def _read_piece(store: ObjectStore, name: str, stream: Any) -> bytes:
    try:
        return stream.read(PIECE)
    except OSError as error:
        raise store.explain(error, name) from error


Place = Path | StorePath
"""A file or folder on this machine, or what stands for one in a store."""
