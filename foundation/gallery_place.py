"""Where the galleries of a data home lie: in its folder galleries/, or in the store that its galleries.url names."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from foundation.errors import InputError
from foundation.object_store import is_remote, split_location
from foundation.store_path import Place, StorePath, place_at

FOLDER = "galleries"
ADDRESS = "galleries.url"
_PREFIX = re.compile(r"[A-Za-z0-9._=-]+(/[A-Za-z0-9._=-]+)*")


def galleries_of(home: Path) -> Place:
    """Returns where the galleries of a data home lie."""
    try:
        location = (home / ADDRESS).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return home / FOLDER
    return read_gallery_place(location, str(home / ADDRESS))


def read_gallery_place(location: str, what: str) -> Place:
    """Returns the place in a store. Raises InputError naming `what` (a flag, a file) where it is none."""
    if not is_remote(location):
        raise InputError(f"{what} is {location!r}; write s3://BUCKET/PREFIX or gs://BUCKET/PREFIX")
    scheme, bucket, prefix = split_location(location)
    if prefix and not _PREFIX.fullmatch(prefix):
        raise InputError(f"{what} is {location!r}; a prefix has parts of letters, digits and . _ = - with / between")
    return place_at("/".join(filter(None, [f"{scheme}://{bucket}", prefix])))


def require_writable(place: StorePath) -> None:
    """Writes, lists, reads and removes a small object. Raises StoreError where one of these is not allowed."""
    probe = place / f".afterfact-{secrets.token_hex(8)}"
    probe.write_bytes(b"afterfact")
    try:
        next(place.iterdir(), None)
        probe.read_bytes()
    finally:
        probe.unlink()
