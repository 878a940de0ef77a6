"""Photos inside a zip or tar file: listed from its headers, and each read in place with one read.

A member's place, as the manifest and the gallery keep it, is one of

    stored OFFSET LENGTH CRC         of a zip: where its local header is, its bytes there, the CRC-32 of its content
    deflated OFFSET LENGTH CRC       the same, compressed
    tar OFFSET HEADER LENGTH CRC     where its headers are, their bytes, its own behind them, the CRC-32 of the headers

or else the reason why its bytes cannot be read.
"""

from __future__ import annotations

import calendar
import os
import re
import stat
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from foundation.errors import AfterfactError, InputError
from indexer.locations import Member, readable
from indexer.outcomes import Outcome, Rejection
from indexer.suffixes import PHOTO_SUFFIXES

if TYPE_CHECKING:
    import tarfile
    import zipfile

CONTAINER_SUFFIXES = (".zip", ".tar")
COMPRESSED_WHOLE = (".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".zst", ".tzst", ".7z", ".rar")

LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, bytes of the name, bytes of the extra field
LOCAL_SIGNATURE = b"PK\x03\x04"
NAME_ROOM = 1024  # what is read beyond a member for its name and extra field; where they need more, it is read again
SPLIT_MARK = 4  # bytes that a zip may have before its first member: it was meant to be split
ENCRYPTED = 0x1
UNIX = 3
INFLATES_AT_MOST = 1032  # times, by deflate's own form: a header that says more does not tell the truth
BLOCK = 512
_COUNTED = 4  # of the end record's parts, as zipfile reads it: how many members the directory has
LATEST = 2**63 - 1

LINK = "is a link, and links in an archive are not followed"
IRREGULAR = "is not a regular file"
CHANGED = "the archive has changed since it was listed: this member is not at its place any more"

_ZIP_PLACE = re.compile(r"(stored|deflated) (\d+) (\d+) ([0-9a-f]{8})")
_TAR_PLACE = re.compile(r"tar (\d+) (\d+) (\d+) ([0-9a-f]{8})")


class ArchiveError(AfterfactError):
    """The archive could not be listed whole. Nothing was indexed, so nothing can have been overlooked."""


class Found(NamedTuple):
    """A photo in a container. name: its parts joined by '/'. bytes: inflated, as its header says.

    modified: nanoseconds since 1970, 0 where the header tells no time; a zip's time, which names no zone, as if UTC.
    """

    name: str
    bytes: int
    modified: int
    place: str


def is_container(path: Path) -> bool:
    """Tells whether an archive is a zip or tar file. Raises InputError for one that cannot be read in place."""
    if path.is_dir():
        return False
    suffix = path.suffix.lower()
    if suffix in COMPRESSED_WHOLE:
        raise InputError(
            f"archive {path} is compressed as a whole, so that no photo in it can be read by itself; unpack it into "
            "a folder, or pack it again as .zip or as .tar without compression"
        )
    return suffix in CONTAINER_SUFFIXES


def list_members(path: Path, left_out: Counter[str]) -> list[Found]:
    """Returns the photos in a zip or tar file, in its order. Reads its headers only; left_out counts the rest.

    A photo that cannot be read (link, device, encrypted, unknown compression) is listed with the reason as its place.
    Raises ArchiveError where the file is not whole, or where members could be hidden from its directory.
    """
    kind = path.suffix.lower()[1:]
    try:
        return list((_zip_photos if kind == "zip" else _tar_photos)(path, left_out))
    except ArchiveError:
        raise
    except OSError as error:
        raise ArchiveError(
            f"archive {path} cannot be read ({error.strerror or error}); mend its permissions"
        ) from error
    except Exception as error:  # the readers raise whatever they like on hostile bytes
        raise _broken(path, f"{type(error).__name__}: {error}"[:200]) from error


def _broken(path: Path, why: str) -> ArchiveError:
    return ArchiveError(
        f"archive {path} is not a whole {path.suffix.lower()[1:]} file ({why}); fetch or pack it again, or unpack what "
        "is left of it into a folder"
    )


def _is_photo(name: str, left_out: Counter[str]) -> bool:
    suffix = os.path.splitext(name)[1].lower()
    if suffix in PHOTO_SUFFIXES:
        return True
    left_out[suffix or "(none)"] += 1
    return False


def _tidy(name: str) -> str:
    """Returns a member's name without '.' and empty parts, so that `tar .` and `tar *` pack the same photos."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return ("/" if name.startswith("/") else "") + "/".join(parts)


def _zip_photos(path: Path, left_out: Counter[str]) -> Iterator[Found]:
    import zipfile

    with zipfile.ZipFile(path) as source:
        infos, end = source.infolist(), source.start_dir
        counted = zipfile._EndRecData(source.fp)[_COUNTED]  # type: ignore[attr-defined]
    # A torn length in the directory makes one entry swallow the next. (Old writers count to 65,535 and begin again.)
    if (counted - len(infos)) % 65_536:
        raise _broken(path, f"{counted:,} members by its end record and {len(infos):,} in its directory")
    _require_apart(path, infos, end)
    for info in infos:
        name = _zip_name(_raw_name(info))
        if name.endswith("/"):
            left_out["folders"] += 1
        elif _is_photo(name, left_out):
            size = min(info.file_size, INFLATES_AT_MOST * info.compress_size)
            yield Found(_tidy(name), size, _zip_time(info), _zip_place(info))


def _raw_name(info: zipfile.ZipInfo) -> bytes:
    return info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437")


def _zip_name(raw: bytes) -> str:
    """Returns a member's name as text. Some writers do not mark their UTF-8, and some write backslashes."""
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        name = raw.decode("cp437")
    return name.replace("\\", "/")


def _require_apart(path: Path, infos: list[zipfile.ZipInfo], end: int) -> None:
    """Raises ArchiveError where members lie over each other, or where another archive lies before the first."""
    before = min((info.header_offset for info in infos), default=0)
    if before > SPLIT_MARK:
        raise _broken(path, f"{before:,} bytes before its first member, which would be left out")
    for info in sorted(infos, key=lambda one: one.header_offset):
        if info.header_offset < before:
            raise _broken(path, f"{info.filename!r} lies over another member, as in an archive made to harm")
        before = info.header_offset + LOCAL_HEADER.size + len(_raw_name(info)) + info.compress_size
        if before > end:
            raise _broken(path, f"{info.filename!r} reaches beyond the members' part")


def _zip_time(info: zipfile.ZipInfo) -> int:
    try:
        return calendar.timegm(info.date_time) * 1_000_000_000
    except ValueError:  # month 0, which means that no time was told
        return 0


def _zip_place(info: zipfile.ZipInfo) -> str:
    mode = info.external_attr >> 16 if info.create_system == UNIX else 0
    if stat.S_ISLNK(mode):
        return LINK
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return IRREGULAR
    if info.flag_bits & ENCRYPTED:
        return "is encrypted"
    method = {0: "stored", 8: "deflated"}.get(info.compress_type)
    if method is None:
        return f"is compressed by method {info.compress_type}, and only stored and deflated members can be read"
    return f"{method} {info.header_offset} {info.compress_size} {info.CRC:08x}"


def _tar_photos(path: Path, left_out: Counter[str]) -> Iterator[Found]:
    import tarfile

    before = -1
    with open(path, "rb") as stream:
        with tarfile.open(fileobj=stream, mode="r:", encoding="utf-8", errors="surrogateescape") as source:
            while (info := source.next()) is not None:
                source.members.clear()  # type: ignore[attr-defined]  # it would keep every one
                if info.offset <= before or info.size < 0:
                    raise _broken(path, f"{readable(info.name)!r} leads back to an earlier member")
                before = info.offset
                if info.isdir():
                    left_out["folders"] += 1
                elif _is_photo(info.name, left_out):
                    modified = _nanoseconds(info.mtime)
                    yield Found(_tidy(info.name), info.size, modified, _tar_place(info, stream.fileno()))
            end = source.offset
        _require_end(path, stream, end)


def _nanoseconds(seconds: float) -> int:
    try:
        moment = int(seconds * 1_000_000_000)
    except (ValueError, OverflowError):  # a header may say nan or inf
        return 0
    return moment if abs(moment) <= LATEST else 0


def _tar_place(info: tarfile.TarInfo, handle: int) -> str:
    if info.issym() or info.islnk():
        return LINK
    if not info.isreg():
        return IRREGULAR
    if info.issparse():
        return "is a sparse file, kept in pieces, and only whole members can be read"
    size = info.offset_data - info.offset
    return f"tar {info.offset} {size} {info.size} {zlib.crc32(os.pread(handle, size, info.offset)):08x}"


def _require_end(path: Path, stream: Any, end: int) -> None:
    """Raises ArchiveError where the listing stopped at anything but the end mark: tarfile itself says nothing then."""
    stream.seek(end)
    if stream.read(BLOCK) != bytes(BLOCK):
        raise _broken(path, f"no header and no end mark at byte {end:,}")
    while rest := stream.read(1 << 20):
        if rest.strip(b"\0"):
            raise _broken(path, f"more behind its end mark at byte {end:,}, which would be left out")


def read_member(handle: int, member: Member, max_bytes: int) -> bytes:
    """Returns a member's content from its container, which is open as handle; never more than max_bytes of it.

    Raises Rejection: OUTSIDE_ARCHIVE for a name that would lead out of a folder, IMAGE_TOO_LARGE, MISSING_FILE where
    the container holds something else at the member's place now, UNREADABLE_FILE where its bytes are torn. That
    is tried again by every run: the same archive copied once more, whole, has the same sizes and times.
    """
    if member.name.startswith("/") or ".." in member.name.split("/"):
        raise Rejection(Outcome.OUTSIDE_ARCHIVE, "the member's name leads out of the archive")
    if place := _ZIP_PLACE.fullmatch(member.place):
        return _read_zip(handle, member.name, place[1], int(place[2]), int(place[3]), int(place[4], 16), max_bytes)
    if place := _TAR_PLACE.fullmatch(member.place):
        return _read_tar(handle, int(place[1]), int(place[2]), int(place[3]), int(place[4], 16), max_bytes)
    raise Rejection(Outcome.UNREADABLE_FILE, member.place or "its place in the archive is not known")


def _read_zip(handle: int, name: str, method: str, offset: int, length: int, crc: int, max_bytes: int) -> bytes:
    _require_size(length, max_bytes)
    block = os.pread(handle, LOCAL_HEADER.size + NAME_ROOM + length, offset)
    if len(block) < LOCAL_HEADER.size:
        raise Rejection(Outcome.MISSING_FILE, CHANGED)
    signature, name_bytes, extra_bytes = LOCAL_HEADER.unpack_from(block)
    start = LOCAL_HEADER.size + name_bytes + extra_bytes
    if start + length > len(block):
        block = os.pread(handle, start + length, offset)
    there = block[LOCAL_HEADER.size : LOCAL_HEADER.size + name_bytes]
    if signature != LOCAL_SIGNATURE or _tidy(_zip_name(there)) != name:
        raise Rejection(Outcome.MISSING_FILE, CHANGED)
    content = block[start : start + length]
    if method == "deflated":
        content = _inflate(content, max_bytes)
    if zlib.crc32(content) != crc:
        raise Rejection(Outcome.UNREADABLE_FILE, "the member's bytes are not those that were packed (CRC-32)")
    return content


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


def _read_tar(handle: int, offset: int, header: int, length: int, crc: int, max_bytes: int) -> bytes:
    _require_size(length, max_bytes)
    block = os.pread(handle, header + length, offset)
    if zlib.crc32(block[:header]) != crc:
        raise Rejection(Outcome.MISSING_FILE, CHANGED)
    if len(block) != header + length:
        raise Rejection(Outcome.UNREADABLE_FILE, "the member is cut short")
    return block[header:]


def _require_size(length: int, max_bytes: int) -> None:
    if length > max_bytes:
        raise Rejection(Outcome.IMAGE_TOO_LARGE, f"{length:,} bytes; the limit is {max_bytes:,}")
