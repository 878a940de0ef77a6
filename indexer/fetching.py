"""Photos fetched from a store, several ahead of whoever decodes them, so that no core waits for the network.

This happens in the worker and not in its helper process: the helper's limits of time and memory are about decoding, and
what decodes strangers' bytes is given no credentials (docs/decisions/0019).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from foundation.object_store import ObjectStore, is_remote, open_object, open_store
from foundation.store_errors import ObjectMissing, StoreError, StoreRefused, StoreUnavailable
from indexer.limits import Limits
from indexer.locations import Member, Source, is_below
from indexer.members import fetch_member
from indexer.outcomes import Outcome, Rejection

FETCHED_AHEAD = 16
"""Photos asked for at a time, each in a thread: at 50 ms a request, and two a photo, 160 photos a second."""
HELD_BYTES = 32_000_000
"""From how many bytes fetched and not yet handed over on no further photo is asked for."""
REFUSED_IN_A_ROW = 64
"""Photos refused one after the other before it is the store's refusal, and no longer theirs."""
OPEN_CONTAINERS = 8
ATTEMPTS = 2  # to read an object that is replaced by a shorter one between the request for its size and that for it


class Fetcher:
    """Fetches the photos of one root; each() for one thread at a time. close() it."""

    def __init__(self, root: Source | None, limits: Limits) -> None:
        self._root = root
        self._max_bytes = limits.max_bytes
        self._threads: ThreadPoolExecutor | None = None
        self._containers: dict[str, Any] = {}
        self._opening = threading.Lock()
        self._refused = 0

    def close(self) -> None:
        """Ends the threads. What they still wait for is left."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None
        self._containers.clear()

    def each(self, photos: Iterable[str | Member]) -> Iterator[tuple[str | Member, bytes | Rejection | None]]:
        """Yields each photo, in order, with its bytes or its container's block, or with why it cannot be had.

        A photo on this machine comes at once, with None: it is read where it is decoded. Raises StoreError, see fetch.
        """
        ahead: deque[tuple[str | Member, Future[bytes] | None]] = deque()
        try:
            for photo in photos:
                ahead.append((photo, self._begin(photo)))
                while ahead and (len(ahead) >= FETCHED_AHEAD or ahead[0][1] is None or _held(ahead) > HELD_BYTES):
                    yield self._finish(*ahead.popleft())
            while ahead:
                yield self._finish(*ahead.popleft())
        finally:
            for _, future in ahead:
                if future is not None:
                    future.cancel()

    def fetch(self, photo: str | Member) -> bytes:
        """Returns the bytes of a photo in a store, or a member's block, as indexer.members.fetch_member does.

        Raises Rejection for what is the photo's own: MISSING_FILE, OUTSIDE_ARCHIVE, IMAGE_TOO_LARGE, UNREADABLE_FILE
        where the store refuses this object alone. Raises StoreError for what is the store's: it is down or busy, or
        refuses everything.
        """
        url = photo.container if isinstance(photo, Member) else photo
        if not is_below(url, self._root):
            raise Rejection(Outcome.OUTSIDE_ARCHIVE, f"{url} lies outside {self._root}")
        if {"", "."} & set(url.partition("://")[2].split("/")):
            detail = "its key has an empty or '.' part, which the store's client takes for another object's key"
            raise Rejection(Outcome.UNREADABLE_FILE, detail)
        try:
            return self._ask(url, photo)
        except ObjectMissing as error:
            raise Rejection(Outcome.MISSING_FILE, "no such object") from error
        except StoreRefused as refusal:
            if isinstance(photo, Member):  # one object, but a whole archive's photos
                raise
            open_store(str(self._root or url.rpartition("/")[0])).require()  # raises where all else is refused as well
            raise _Refused(refusal) from refusal

    def _ask(self, url: str, photo: str | Member) -> bytes:
        store, name = open_object(url)
        try:
            if isinstance(photo, Member):
                return fetch_member(photo, self._max_bytes, self._container(store, name).read_at)
            for _ in range(ATTEMPTS):
                with store.open(name) as stream:
                    size = stream.size()
                    if size > self._max_bytes:
                        limit = f"{size:,} bytes; the limit is {self._max_bytes:,}"
                        raise Rejection(Outcome.IMAGE_TOO_LARGE, limit)
                    content = stream.read_at(size, 0)
                if len(content) == size:
                    return content
        except StoreError:
            raise
        except OSError as error:
            raise store.explain(error, name) from error
        raise StoreUnavailable(f"{url} changes while it is read; run the same command again once it is whole")

    def _container(self, store: ObjectStore, name: str) -> Any:
        """Returns a container's object, kept open: a member of it is then one request and not two."""
        with self._opening:
            if (found := self._containers.get(store.at(name))) is None:
                if len(self._containers) >= OPEN_CONTAINERS:
                    self._containers.clear()
                found = self._containers[store.at(name)] = store.open(name)
            return found

    def _begin(self, photo: str | Member) -> Future[bytes] | None:
        if not is_remote(photo.container if isinstance(photo, Member) else photo):
            return None
        if self._threads is None:
            self._threads = ThreadPoolExecutor(FETCHED_AHEAD, thread_name_prefix="fetcher")
        return self._threads.submit(self.fetch, photo)

    def _finish(
        self, photo: str | Member, future: Future[bytes] | None
    ) -> tuple[str | Member, bytes | Rejection | None]:
        try:
            content = future.result() if future is not None else None
        except Rejection as rejection:
            self._refused = self._refused + 1 if isinstance(rejection, _Refused) else 0
            if isinstance(rejection, _Refused) and self._refused >= REFUSED_IN_A_ROW:
                raise StoreRefused(f"{self._refused} photos in a row: {rejection.refusal}") from rejection
            return photo, rejection
        self._refused = 0
        return photo, content


class _Refused(Rejection):
    """The store refuses an object, and not its neighbours."""

    def __init__(self, refusal: StoreRefused) -> None:
        super().__init__(Outcome.UNREADABLE_FILE, "the store refuses us this object")
        self.refusal = refusal


def _held(ahead: Iterable[tuple[str | Member, Future[bytes] | None]]) -> int:
    done = (future for _, future in ahead if future is not None and future.done())
    return sum(len(future.result()) for future in done if future.exception() is None)
