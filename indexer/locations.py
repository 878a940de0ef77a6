"""Where photos are: locations as URIs, which carry any file name, and back; archives and roots, here or in a store."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from foundation.errors import InputError
from foundation.object_store import SCHEMES, is_remote, split_location

SCHEME = "file://"

Source = Path | str
"""An archive or a root: a path on this machine, or the s3:// or gs:// URL of a place in an object store. In such a URL
the key stands as it is, without percent-encoding, as the stores' own tools take it."""

_ANY_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


class Member(NamedTuple):
    """A photo inside a zip or tar file. container: that file's path or URL. place: as indexer.members says."""

    container: str
    name: str
    place: str


class Fetched(NamedTuple):
    """A photo that was fetched from a store: the file open as handle is its bytes, or the block of the member it is."""

    handle: int
    member: Member | None


Photo = str | os.PathLike[str] | Member | Fetched
"""Where a photo is read from: a file's path, an object's URL, a member of a container, or what was fetched already."""


def parse_source(text: str | Path, name: str = "archive") -> Source:
    """Returns the path or the URL that a text means. Raises InputError for another scheme than s3 and gs."""
    if isinstance(text, Path):
        return text
    if is_remote(text):
        split_location(text)  # raises where it names no bucket
        return text
    if other := _ANY_SCHEME.match(text):
        known = " and ".join(f"{scheme}://" for scheme in SCHEMES)
        raise InputError(f"{name} {text}: of stores {known} are known and {other[1]}:// is not; or give a path")
    return Path(text)


def suffix_of(source: Source) -> str:
    """Returns what kind of file a name says it is, ".zip" say; empty for an URL that ends with '/': it is a folder."""
    name = source.name if isinstance(source, Path) else split_location(source)[2]
    is_folder = isinstance(source, str) and source.endswith("/")
    return "" if is_folder else os.path.splitext(name)[1].lower()


def folder_of(source: Source) -> Source:
    """Returns the folder, links resolved, or the prefix that a file or an object lies in."""
    if isinstance(source, Path):
        return source.parent.resolve()
    return str(whole(source)).rpartition("/")[0]


def whole(source: Source) -> Source:
    """Returns the path with its links resolved, or the URL without a slash at its end."""
    if isinstance(source, Path):
        return source.resolve()
    scheme, bucket, key = split_location(source)
    return f"{scheme}://{bucket}/{key}" if key else f"{scheme}://{bucket}"


def is_below(url: str, root: Source | None) -> bool:
    """Tells whether an object lies below a root in a store (None: anywhere) and its key leads nowhere else."""
    if root is None:
        return not leads_out(split_location(url)[2])
    folder = f"{root}/"
    return url.startswith(folder) and not leads_out(url[len(folder) :])


def lies_in(photo: str | Member, root: Source) -> bool:
    """Tells whether a photo lies in a root, links resolved where both are on this machine."""
    if isinstance(photo, Member) and leads_out(photo.name):
        return False
    path = photo.container if isinstance(photo, Member) else photo
    if is_remote(path):
        return is_below(path, root)
    return isinstance(root, Path) and Path(os.path.realpath(path)).is_relative_to(root)


def leads_out(name: str) -> bool:
    """Tells whether a name would lead out of the folder that it is put into."""
    return name.startswith("/") or ".." in name.split("/")


def location_of(path: str, member: str | None = None) -> str:
    """Returns the URI of an absolute path, or of an object's URL, percent-encoded; a member in it is its fragment.

    Bytes that are no UTF-8 survive.
    """
    scheme, path = _without_scheme(path) if not path.startswith("/") and is_remote(path) else (SCHEME, path)
    location = scheme + quote_from_bytes(os.fsencode(path))
    return location if member is None else f"{location}#{quote_from_bytes(os.fsencode(member))}"


def photo_at(location: str, place: str | None = None) -> str | Member:
    """Returns the path of a file URI, as os functions take it, the URL of an object, or the member that its fragment
    names.

    Raises InputError for another scheme.
    """
    remote = not location.startswith(SCHEME)
    if remote and not is_remote(location):
        known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise InputError(f"location {location!r} is no URI of file://, {known}; this version reads no other archives")
    scheme, rest = _without_scheme(location)
    # A '#' in a file's own name is percent-encoded.
    path, is_member, name = rest.partition("#")
    container = (scheme if remote else "") + os.fsdecode(unquote_to_bytes(path))
    return Member(container, os.fsdecode(unquote_to_bytes(name)), place or "") if is_member else container


def _without_scheme(location: str) -> tuple[str, str]:
    scheme, colon, rest = location.partition("://")
    return scheme + colon, rest


def readable(path: str) -> str:
    """Returns a path as text that any file can hold: bytes that are no UTF-8 become backslash escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
