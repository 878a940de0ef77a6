"""Where the galleries of a data home lie: in its folder galleries/, or in the store that its galleries.url names."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from foundation.errors import InputError
from foundation.object_store import is_remote, split_location
from foundation.store_path import Place, StorePath, place_at

FOLDER = "galleries"
ADDRESS = "galleries.url"
_PREFIX = re.compile(r"[A-Za-z0-9._=-]+(/[A-Za-z0-9._=-]+)*")
# What deltalake 1.6 takes for a part of a URL, or cannot name, in the path of a table; found by trying every character.
_UNFIT = re.compile(r"[\x00-\x1f\x7f#?\[\]\\^|\ud800-\udfff]|%[0-9A-Fa-f]{2}")


def galleries_of(home: Path) -> Place:
    """Returns where the galleries of a data home lie. Raises InputError where they can lie there in no way."""
    try:
        location = (home / ADDRESS).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        require_fit(home)
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


def require_fit(home: Path) -> None:
    """Raises InputError where galleries in this folder would be tables that deltalake cannot open."""
    real = os.path.realpath(home)  # as deltalake does: a link of another name is no way around
    found = _UNFIT.search(real)
    if found:
        raise InputError(
            f"the data home {real!r} has {found[0]!r} in its path; a Delta table lies in no path with a control "
            "character, a byte that is no UTF-8, one of # ? [ ] ^ | \\, or % before two hexadecimal digits: "
            "give another --home"
        )


def require_writable(place: StorePath) -> None:
    """Writes, lists, reads and removes a small object. Raises StoreError where one of these is not allowed."""
    probe = place / f".afterfact-{secrets.token_hex(8)}"
    probe.write_bytes(b"afterfact")
    try:
        next(place.iterdir(), None)
        probe.read_bytes()
    finally:
        probe.unlink()
