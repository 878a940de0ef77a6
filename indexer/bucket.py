"""The photos below a prefix of a store, as one listing tells them."""

from __future__ import annotations

import posixpath

from foundation.object_store import is_remote, open_store, split_location


class StoredPhotos:
    """A root in a store: where its photos are and, once listed, their sizes and times."""

    def __init__(self, root: str) -> None:
        self._store = open_store(root)
        self.root = root
        self._about: dict[str, tuple[int, int]] = {}

    def list_all(self) -> None:
        """Asks the store for every object below the root: a request a thousand. Raises StoreError."""
        self._about = {one.name: (one.size, one.modified_ns) for one in self._store.list()}
        if not self._about:
            self._store.require()

    def names(self) -> list[str]:
        """Returns the names of what was listed, from the root on, in the order of a walk through folders."""
        return sorted(self._about, key=_as_walked)

    def path_of(self, photo: str) -> str:
        """Returns the URL of a photo: a URL as it is, any other name from the root on."""
        if is_remote(photo):
            return photo
        if photo in self._about:  # else a key with '..' in it would become that of another object
            return f"{self.root}/{photo}"
        scheme, bucket, prefix = split_location(self.root)
        return f"{scheme}://{bucket}" + posixpath.normpath(posixpath.join("/", prefix, photo))

    def relative(self, path: str) -> str:
        """Returns a URL from the root on, or as it is where it lies elsewhere."""
        return path[len(self.root) + 1 :] if path.startswith(f"{self.root}/") else path

    def about(self, path: str) -> tuple[int, int]:
        """Returns an object's size and the time it was written in nanoseconds; -1 and 0 where it was not listed."""
        return self._about.get(self.relative(path), (-1, 0))


def _as_walked(name: str) -> list[tuple[bool, str]]:
    """Sorts a folder's own files before those of its folders, as a walk meets them."""
    *folders, file = name.split("/")
    return [*((True, folder) for folder in folders), (False, file)]
