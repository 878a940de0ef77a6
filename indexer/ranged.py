"""A file of an archive, on this machine or in a store, opened to be read anywhere: lists, and containers' headers."""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, BinaryIO, cast

from foundation.object_store import open_object
from foundation.store_errors import StoreError, StoreUnavailable
from indexer.locations import Source, whole

READ_AHEAD = 8 << 20
"""Bytes that one request asks for. A request's latency is worth a few megabytes, so that reading photos of a tar on the
way from one header to the next is faster than a request a header, and as much fits into the memory of any worker."""
BLOCKS = 2  # held: tarfile steps back a byte before it goes on


def open_source(source: Source) -> BinaryIO:
    """Opens a file or an object for reading. Raises OSError for a file, StoreError for an object."""
    return cast(BinaryIO, RangedFile(source)) if isinstance(source, str) else open(source, "rb")


def reader_at(stream: BinaryIO) -> Callable[[int, int], bytes]:
    """Returns the function that reads so many bytes from an offset on, without moving an opened source."""
    return stream.read_at if isinstance(stream, RangedFile) else partial(os.pread, stream.fileno())


class RangedFile(io.RawIOBase):
    """An object of a store as a file. Never more than two requests' bytes of it are in memory.

    Every method raises StoreError where the store does not answer.
    """

    def __init__(self, url: str) -> None:
        self._store, self._name = open_object(str(whole(url)))
        self._object = self._store.open(self._name)
        self._size = self._asked(self._object.size)
        self._at = 0
        self._blocks: deque[tuple[int, bytes]] = deque(maxlen=BLOCKS)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise OSError(f"no such place: {start + offset}")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        content = self.read_at(len(buffer), self._at)
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)

    def read_at(self, size: int, offset: int) -> bytes:
        """Returns so many bytes from an offset on, fewer where the object ends; leaves tell() as it is."""
        size = max(0, min(size, self._size - offset))
        for start, block in self._blocks:
            if start <= offset and offset + size <= start + len(block):
                return block[offset - start : offset - start + size]
        wanted = min(max(size, READ_AHEAD), self._size - offset)
        block = self._asked(lambda: self._object.read_at(wanted, offset))
        if len(block) != wanted:
            raise StoreUnavailable(
                f"{self._store.at(self._name)} changed while it was read; run the same command again"
            )
        if wanted <= READ_AHEAD:
            self._blocks.append((offset, block))
        return block[:size]

    def close(self) -> None:
        self._blocks.clear()
        self._object.close()
        super().close()

    def _asked(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except StoreError:
            raise
        except OSError as error:
            raise self._store.explain(error, self._name) from error
