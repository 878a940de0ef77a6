"""Photo locations as file URIs, which carry any file name, and back."""

from __future__ import annotations

import os
from typing import NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from foundation.errors import InputError

SCHEME = "file://"


class Member(NamedTuple):
    """A photo inside a zip or tar file. container: that file's path. place: as indexer.containers says."""

    container: str
    name: str
    place: str


Photo = str | os.PathLike[str] | Member
"""Where a photo is read from: a file's path, or a member of a container."""


def location_of(path: str, member: str | None = None) -> str:
    """Returns the file URI of an absolute path, of a member in it as its fragment; bytes that are no UTF-8 survive."""
    location = SCHEME + quote_from_bytes(os.fsencode(path))
    return location if member is None else f"{location}#{quote_from_bytes(os.fsencode(member))}"


def photo_at(location: str, place: str | None = None) -> str | Member:
    """Returns the path of a file URI, as os functions take it, or the member that its fragment names.

    Raises InputError for another scheme.
    """
    if not location.startswith(SCHEME):
        raise InputError(f"location {location!r} is not a file:// URI; this version reads local archives only")
    # A '#' in a file's own name is percent-encoded.
    path, is_member, name = location[len(SCHEME) :].partition("#")
    container = os.fsdecode(unquote_to_bytes(path))
    return Member(container, os.fsdecode(unquote_to_bytes(name)), place or "") if is_member else container


def readable(path: str) -> str:
    """Returns a path as text that any file can hold: bytes that are no UTF-8 become backslash escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
