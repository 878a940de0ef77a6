"""A member of a zip or tar file, read in place with one read and checked to be the one that was listed.

A member's place, as the manifest and the gallery keep it, is one of

    stored OFFSET LENGTH CRC         of a zip: where its local header is, its bytes there, the CRC-32 of its content
    deflated OFFSET LENGTH CRC       the same, compressed
    tar OFFSET HEADER LENGTH CRC     where its headers are, their bytes, its own behind them, the CRC-32 of the headers

or else the reason why its bytes cannot be read.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from typing import NamedTuple

from indexer.locations import Member, leads_out
from indexer.outcomes import Outcome, Rejection

LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, bytes of the name, bytes of the extra field
LOCAL_SIGNATURE = b"PK\x03\x04"
NAME_ROOM = 1024  # what is read beyond a member for its name and extra field; where they need more, it is read again

CHANGED = "the archive has changed since it was listed: this member is not at its place any more"

_ZIP_PLACE = re.compile(r"(?P<method>stored|deflated) (?P<offset>\d+) (?P<length>\d+) (?P<crc>[0-9a-f]{8})")
_TAR_PLACE = re.compile(r"(?P<method>tar) (?P<offset>\d+) (?P<header>\d+) (?P<length>\d+) (?P<crc>[0-9a-f]{8})")


class _Place(NamedTuple):
    method: str
    offset: int
    header: int
    length: int
    crc: int


def tidy(name: str) -> str:
    """Returns a member's name without '.' and empty parts, so that `tar .` and `tar *` pack the same photos."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return ("/" if name.startswith("/") else "") + "/".join(parts)


def zip_name(raw: bytes) -> str:
    """Returns a member's name as text. Some writers do not mark their UTF-8, and some write backslashes."""
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        name = raw.decode("cp437")
    return name.replace("\\", "/")


def fetch_member(member: Member, max_bytes: int, read_at: Callable[[int, int], bytes]) -> bytes:
    """Returns a member's block, its header and its bytes as packed, from its container.

    read_at: returns so many bytes (the first number) from an offset (the second) on, fewer at the container's end.
    Raises Rejection: OUTSIDE_ARCHIVE for a name that would lead out of a folder, IMAGE_TOO_LARGE, UNREADABLE_FILE
    where its place is a reason why it cannot be read.
    """
    if leads_out(member.name):
        raise Rejection(Outcome.OUTSIDE_ARCHIVE, "the member's name leads out of the archive")
    place = _place_of(member)
    if place.length > max_bytes:
        raise Rejection(Outcome.IMAGE_TOO_LARGE, f"{place.length:,} bytes; the limit is {max_bytes:,}")
    if place.method == "tar":
        return read_at(place.header + place.length, place.offset)
    block = read_at(LOCAL_HEADER.size + NAME_ROOM + place.length, place.offset)
    if len(block) >= LOCAL_HEADER.size and (needed := _zip_start(block) + place.length) > len(block):
        block = read_at(needed, place.offset)
    return block


def unpack_member(block: bytes, member: Member, max_bytes: int) -> bytes:
    """Returns a member's content from its block; never more than max_bytes of it.

    Raises Rejection: IMAGE_TOO_LARGE, MISSING_FILE where the container held something else at the member's place,
    UNREADABLE_FILE where its bytes are torn. That is tried again by every run: the same archive copied once more,
    whole, has the same sizes and times.
    """
    place = _place_of(member)
    if place.method == "tar":
        return _unpack_tar(block, place)
    if len(block) < LOCAL_HEADER.size:
        raise Rejection(Outcome.MISSING_FILE, CHANGED)
    signature, name_bytes, _ = LOCAL_HEADER.unpack_from(block)
    there = block[LOCAL_HEADER.size : LOCAL_HEADER.size + name_bytes]
    if signature != LOCAL_SIGNATURE or tidy(zip_name(there)) != member.name:
        raise Rejection(Outcome.MISSING_FILE, CHANGED)
    start = _zip_start(block)
    content = block[start : start + place.length]
    if place.method == "deflated":
        content = _inflate(content, max_bytes)
    if zlib.crc32(content) != place.crc:
        raise Rejection(Outcome.UNREADABLE_FILE, "the member's bytes are not those that were packed (CRC-32)")
    return content


def _place_of(member: Member) -> _Place:
    found = _ZIP_PLACE.fullmatch(member.place) or _TAR_PLACE.fullmatch(member.place)
    if found is None:
        raise Rejection(Outcome.UNREADABLE_FILE, member.place or "its place in the archive is not known")
    said = found.groupdict("0")
    return _Place(
        said["method"], int(said["offset"]), int(said.get("header", 0)), int(said["length"]), int(said["crc"], 16)
    )


def _zip_start(block: bytes) -> int:
    """Returns where a member's bytes begin behind its local header, as that says."""
    _, name_bytes, extra_bytes = LOCAL_HEADER.unpack_from(block)
    return LOCAL_HEADER.size + int(name_bytes) + int(extra_bytes)


def _inflate(content: bytes, max_bytes: int) -> bytes:
    inflating = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflating.decompress(content, max_bytes + 1)
    except zlib.error as error:
        raise Rejection(Outcome.UNREADABLE_FILE, f"the member cannot be inflated ({error})") from error
    if len(inflated) > max_bytes:
        raise Rejection(Outcome.IMAGE_TOO_LARGE, f"inflates to more than the limit of {max_bytes:,} bytes")
    if not inflating.eof:
        raise Rejection(Outcome.UNREADABLE_FILE, "the member is cut short")
    return inflated


def _unpack_tar(block: bytes, place: _Place) -> bytes:
    if zlib.crc32(block[: place.header]) != place.crc:
        raise Rejection(Outcome.MISSING_FILE, CHANGED)
    if len(block) != place.header + place.length:
        raise Rejection(Outcome.UNREADABLE_FILE, "the member is cut short")
    return block[place.header :]
