"""Photo locations as file URIs, which carry any file name, and back."""

from __future__ import annotations

import os
from urllib.parse import quote_from_bytes, unquote_to_bytes

from foundation.errors import InputError

SCHEME = "file://"


def location_of(path: str) -> str:
    """Returns the file URI of an absolute path; bytes that are no UTF-8 survive."""
    return SCHEME + quote_from_bytes(os.fsencode(path))


def path_of(location: str) -> str:
    """Returns the path of a file URI, as os functions take it. Raises InputError for another scheme."""
    if not location.startswith(SCHEME):
        raise InputError(f"location {location!r} is not a file:// URI; this version reads local archives only")
    return os.fsdecode(unquote_to_bytes(location[len(SCHEME) :]))


def readable(path: str) -> str:
    """Returns a path as text that any file can hold: bytes that are no UTF-8 become backslash escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
