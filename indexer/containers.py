"""Photos inside a zip or tar file, listed from its headers. indexer.members reads them."""

from __future__ import annotations

import calendar
import os
import stat
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from foundation.errors import AfterfactError, InputError
from indexer.locations import Source, readable, suffix_of
from indexer.members import LOCAL_HEADER, tidy, zip_name
from indexer.ranged import open_source, reader_at
from indexer.suffixes import PHOTO_SUFFIXES

if TYPE_CHECKING:
    import tarfile
    import zipfile

CONTAINER_SUFFIXES = (".zip", ".tar")
COMPRESSED_WHOLE = (".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".zst", ".tzst", ".7z", ".rar")

SPLIT_MARK = 4  # bytes that a zip may have before its first member: it was meant to be split
ENCRYPTED = 0x1
UNIX = 3
INFLATES_AT_MOST = 1032  # times, by deflate's own form: a header that says more does not tell the truth
BLOCK = 512
_COUNTED = 4  # of the end record's parts, as zipfile reads it: how many members the directory has
LATEST = 2**63 - 1

LINK = "is a link, and links in an archive are not followed"
IRREGULAR = "is not a regular file"


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


def is_container(source: Source) -> bool:
    """Tells whether an archive is a zip or tar file. Raises InputError for one that cannot be read in place."""
    if isinstance(source, Path) and source.is_dir():
        return False
    suffix = suffix_of(source)
    if suffix in COMPRESSED_WHOLE:
        raise InputError(
            f"archive {source} is compressed as a whole, so that no photo in it can be read by itself; unpack it into "
            "a folder, or pack it again as .zip or as .tar without compression"
        )
    return suffix in CONTAINER_SUFFIXES


def list_members(path: Source, left_out: Counter[str]) -> list[Found]:
    """Returns the photos in a zip or tar file, in its order. Reads its headers only; left_out counts the rest.

    A photo that cannot be read (link, device, encrypted, unknown compression) is listed with the reason as its place.
    Raises ArchiveError where the file is not whole, or where members could be hidden from its directory; StoreError.
    """
    photos = _zip_photos if suffix_of(path) == ".zip" else _tar_photos
    try:
        with open_source(path) as stream:
            return list(photos(path, stream, left_out))
    except AfterfactError:
        raise
    except OSError as error:
        raise ArchiveError(
            f"archive {path} cannot be read ({error.strerror or error}); mend its permissions"
        ) from error
    except Exception as error:  # the readers raise whatever they like on hostile bytes
        raise _broken(path, f"{type(error).__name__}: {error}"[:200]) from error


def _broken(path: Source, why: str) -> ArchiveError:
    return ArchiveError(
        f"archive {path} is not a whole {suffix_of(path)[1:]} file ({why}); fetch or pack it again, or unpack what "
        "is left of it into a folder"
    )


def is_photo(name: str, left_out: Counter[str]) -> bool:
    """Tells whether a file is a photo by its name; counts it in left_out by its suffix where it is none."""
    suffix = os.path.splitext(name)[1].lower()
    if suffix in PHOTO_SUFFIXES:
        return True
    left_out[suffix or "(none)"] += 1
    return False


def _zip_photos(path: Source, stream: BinaryIO, left_out: Counter[str]) -> Iterator[Found]:
    import zipfile

    with zipfile.ZipFile(stream) as source:
        infos, end = source.infolist(), source.start_dir
        counted = zipfile._EndRecData(source.fp)[_COUNTED]  # type: ignore[attr-defined]
    # A torn length in the directory makes one entry swallow the next. (Old writers count to 65,535 and begin again.)
    if (counted - len(infos)) % 65_536:
        raise _broken(path, f"{counted:,} members by its end record and {len(infos):,} in its directory")
    _require_apart(path, infos, end)
    for info in infos:
        name = zip_name(_raw_name(info))
        if name.endswith("/"):
            left_out["folders"] += 1
        elif is_photo(name, left_out):
            size = min(info.file_size, INFLATES_AT_MOST * info.compress_size)
            yield Found(tidy(name), size, _zip_time(info), _zip_place(info))


def _raw_name(info: zipfile.ZipInfo) -> bytes:
    return info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437")


def _require_apart(path: Source, infos: list[zipfile.ZipInfo], end: int) -> None:
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


def _tar_photos(path: Source, stream: BinaryIO, left_out: Counter[str]) -> Iterator[Found]:
    import tarfile

    before, read_at = -1, reader_at(stream)
    with tarfile.open(fileobj=stream, mode="r:", encoding="utf-8", errors="surrogateescape") as source:
        while (info := source.next()) is not None:
            source.members.clear()  # type: ignore[attr-defined]  # it would keep every one
            if info.offset <= before or info.size < 0:
                raise _broken(path, f"{readable(info.name)!r} leads back to an earlier member")
            before = info.offset
            if info.isdir():
                left_out["folders"] += 1
            elif is_photo(info.name, left_out):
                modified = _nanoseconds(info.mtime)
                yield Found(tidy(info.name), info.size, modified, _tar_place(info, read_at))
        end = source.offset
    _require_end(path, stream, end)


def _nanoseconds(seconds: float) -> int:
    try:
        moment = int(seconds * 1_000_000_000)
    except (ValueError, OverflowError):  # a header may say nan or inf
        return 0
    return moment if abs(moment) <= LATEST else 0


def _tar_place(info: tarfile.TarInfo, read_at: Callable[[int, int], bytes]) -> str:
    if info.issym() or info.islnk():
        return LINK
    if not info.isreg():
        return IRREGULAR
    if info.issparse():
        return "is a sparse file, kept in pieces, and only whole members can be read"
    size = info.offset_data - info.offset
    return f"tar {info.offset} {size} {info.size} {zlib.crc32(read_at(size, info.offset)):08x}"


def _require_end(path: Source, stream: BinaryIO, end: int) -> None:
    """Raises ArchiveError where the listing stopped at anything but the end mark: tarfile itself says nothing then."""
    stream.seek(end)
    if stream.read(BLOCK) != bytes(BLOCK):
        raise _broken(path, f"no header and no end mark at byte {end:,}")
    while rest := stream.read(1 << 20):
        if rest.strip(b"\0"):
            raise _broken(path, f"more behind its end mark at byte {end:,}, which would be left out")
