"""Objects in a store, s3:// or gs://: written whole, their length checked, and errors that say what to do.

Where the store is and who asks comes from the environment that its own tools read (AWS_*, GOOGLE_*), never from a job
file or an argument. A local command must start fast: pyarrow.fs is imported when a store is opened, not before.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any

from foundation.errors import AfterfactError

SCHEMES = ("s3", "gs")
ATTEMPTS = 8  # with pauses that double up to 20 s: a store that is gone is given up after a minute or so
RETRY_SECONDS = 60  # the same for Google's client, which counts time instead
CONNECT_SECONDS = 5
ANSWER_SECONDS = 30  # of silence

_READ_FROM = {
    "s3": "AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN), AWS_PROFILE, or the role of this "
    "machine or pod",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, `gcloud auth application-default login`, or the service account of this "
    "machine or pod",
}
_LOCATION = re.compile(r"(s3|gs)://([^/?#]+)(?:/(.*))?", re.DOTALL)


class StoreError(AfterfactError):
    """A store does not do what was asked of it."""


class ObjectMissing(StoreError, FileNotFoundError):
    """There is no such object."""


class BucketMissing(StoreError):
    """There is no such bucket."""


class StoreRefused(StoreError):
    """The store knows no such credentials, or they have expired, or they may not do this."""


class StoreUnavailable(StoreError):
    """The store did not answer, or only that it is busy, however often it was asked."""


@dataclass(frozen=True)
class StoredObject:
    """name: below the store's location. size: bytes. modified_ns: when it was written, since 1970."""

    name: str
    size: int
    modified_ns: int


def is_remote(location: object) -> bool:
    """Tells whether a location is in an object store, and not a path on this machine."""
    return str(location).startswith(tuple(f"{scheme}://" for scheme in SCHEMES))


def split_location(location: str) -> tuple[str, str, str]:
    """Returns scheme, bucket and the key or prefix below it. Raises StoreError for anything else."""
    parts = _LOCATION.fullmatch(location)
    if parts is None:
        raise StoreError(f"{location} is no place in an object store; write s3://BUCKET/PREFIX or gs://BUCKET/PREFIX")
    return parts[1], parts[2], (parts[3] or "").strip("/")


def open_store(location: str) -> ObjectStore:
    """Returns the store at a location, asking nothing of it yet. Clients are kept, one a process and endpoint."""
    return ObjectStore(location)


def open_object(location: str) -> tuple[ObjectStore, str]:
    """Returns the store of an object's bucket, and the object's name there."""
    scheme, bucket, key = split_location(location)
    return ObjectStore(f"{scheme}://{bucket}"), key


class ObjectStore:
    """What lies below one location. Names are relative to it; a pickle carries the location and nothing else.

    Every method raises StoreError (see its kinds above) and nothing of the client's own.
    """

    def __init__(self, location: str) -> None:
        self.scheme, self.bucket, prefix = split_location(location)
        self.location = "/".join(filter(None, [f"{self.scheme}://{self.bucket}", prefix]))
        self._base = "/".join(filter(None, [self.bucket, prefix]))

    def __reduce__(self) -> tuple[Any, ...]:
        return open_store, (self.location,)

    def at(self, name: str) -> str:
        """Returns an object's whole location."""
        return f"{self.location}/{name}" if name else self.location

    def require(self) -> None:
        """Raises StoreError where the bucket is not there or closed to us."""
        from pyarrow.fs import FileSelector

        with self._explained(""):  # a listing, since its refusals tell why
            self._files.get_file_info(FileSelector(f"{self._base}/.afterfact-is-here", allow_not_found=True))
            if self._files.get_file_info(self.bucket).type.name == "NotFound":
                raise BucketMissing(self._no_bucket())

    def read(self, name: str, offset: int = 0, size: int | None = None) -> bytes:
        """Returns an object's bytes, from offset on, at most size of them."""
        with self._explained(name), self._files.open_input_file(self._path(name)) as stream:
            there = stream.size()
            wanted = max(0, there - offset if size is None else min(size, there - offset))
            content = stream.read_at(wanted, offset) if wanted else b""
        if len(content) != wanted:
            raise StoreUnavailable(f"{self.at(name)} ended after {len(content):,} of {wanted:,} bytes; try again")
        return content

    def open(self, name: str) -> Any:
        """Returns a pyarrow.NativeFile to read anywhere in; what it raises later is OSError."""
        with self._explained(name):
            return self._files.open_input_file(self._path(name))

    def write(self, name: str, content: Any) -> None:
        """Writes bytes, or what has a buffer of them, as one object that is there whole or not at all."""
        # An error between open and close leaves half an object that reads like a whole one: nothing else in here.
        with self._explained(name), self._files.open_output_stream(self._path(name)) as stream:
            stream.write(content)
        there, right = self.info(name), memoryview(content).nbytes
        if there is None or there.size != right:
            raise StoreUnavailable(
                f"{self.at(name)} has {there.size if there else 0:,} bytes after {right:,} were written; try again"
            )

    def info(self, name: str) -> StoredObject | None:
        """Returns what is known of an object, or None where it is not there."""
        with self._explained(name):
            found = self._files.get_file_info(self._path(name))
        return StoredObject(name, found.size, found.mtime_ns or 0) if found.is_file else None

    def list(self, prefix: str = "", recursive: bool = True) -> Iterator[StoredObject]:
        """Yields the objects below a prefix that ends where a name's part ends; nothing where there are none."""
        for found in self._found(prefix, recursive):
            if found.is_file:
                yield StoredObject(self._name(found.path), found.size, found.mtime_ns or 0)

    def folders(self, prefix: str = "") -> Iterator[str]:
        """Yields the names that go on below, one part after the prefix."""
        return (self._name(found.path) for found in self._found(prefix, recursive=False) if not found.is_file)

    def children(self, prefix: str = "") -> Iterator[str]:
        """Yields the names one part after the prefix, objects and those that go on below."""
        return (self._name(found.path) for found in self._found(prefix, recursive=False))

    def delete(self, name: str) -> None:
        """Removes an object. One that is not there is no error."""
        try:
            with self._explained(name):
                self._files.delete_file(self._path(name))
        except ObjectMissing:
            pass

    def delete_below(self, prefix: str) -> None:
        """Removes every object below a prefix."""
        try:
            with self._explained(prefix):
                self._files.delete_dir(self._path(prefix))
        except ObjectMissing:
            pass

    def file_system(self, prefix: str) -> Any:
        """Returns a pyarrow.fs.FileSystem whose root is the prefix; what it raises is OSError."""
        from pyarrow.fs import SubTreeFileSystem

        return SubTreeFileSystem(self._path(prefix), self._files)

    @property
    def _files(self) -> Any:
        return _client(self.scheme, _endpoint(self.scheme), os.environ.get("AWS_REGION") or _default_region())

    def _path(self, name: str) -> str:
        return f"{self._base}/{name.strip('/')}" if name else self._base

    def _name(self, path: str) -> str:
        return path[len(self._base) + 1 :]

    def _found(self, prefix: str, recursive: bool) -> Sequence[Any]:
        from pyarrow.fs import FileSelector

        with self._explained(prefix):
            return self._files.get_file_info(
                FileSelector(self._path(prefix), recursive=recursive, allow_not_found=True)
            )

    @contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except OSError as error:
            raise self.explain(error, name) from error

    def explain(self, error: Exception, name: str = "") -> StoreError:
        """Returns what a client's error means to whoever runs the command, as one line without a secret in it."""
        said = " ".join(str(error).split())
        kind = told_kind(said)
        if kind is StoreError and "No response body" in said:  # a HEAD request's refusal says nothing more
            kind, said = self._asked_again(said)
        if kind is BucketMissing:
            return BucketMissing(self._no_bucket())
        if kind is StoreRefused:
            return StoreRefused(
                f"{self.at(name)}: the store refuses ({_short(said)}); credentials are read from "
                f"{_READ_FROM[self.scheme]}: see that they are there, of this store, not expired, and may do this"
            )
        if kind is StoreUnavailable:
            return StoreUnavailable(
                f"{self.at(name)}: the store does not answer, asked {ATTEMPTS} times ({_short(said)}); "
                f"see {_where(self.scheme)}, then run the same command again"
            )
        if isinstance(error, FileNotFoundError) or kind is ObjectMissing:
            return ObjectMissing(f"{self.at(name)} is not there")
        return StoreError(f"{self.at(name)}: {_short(said)}")

    def _asked_again(self, said: str) -> tuple[type[StoreError], str]:
        from pyarrow.fs import FileSelector

        try:
            self._files.get_file_info(FileSelector(f"{self._base}/.afterfact-is-here", allow_not_found=True))
        except OSError as error:
            said = " ".join(str(error).split())
        return told_kind(said), said

    def _no_bucket(self) -> str:
        return (
            f"{self.location}: there is no bucket {self.bucket!r} at {_endpoint(self.scheme) or 'the provider'}; make "
            f"it, or see {_where(self.scheme)}"
        )


_KINDS: list[tuple[type[StoreError], str]] = [
    (BucketMissing, r"NO_SUCH_BUCKET|NoSuchBucket|[Bb]ucket (does not exist|.*not found)"),
    (
        StoreRefused,
        r"ACCESS_DENIED|AccessDenied|INVALID_ACCESS_KEY_ID|InvalidAccessKeyId|SIGNATURE_DOES_NOT_MATCH|"
        r"SignatureDoesNotMatch|EXPIRED_TOKEN|ExpiredToken|INVALID_CLIENT_TOKEN_ID|InvalidToken|TokenRefreshRequired|"
        r"UNRECOGNIZED_CLIENT|MISSING_AUTHENTICATION|INVALID_SIGNATURE|REQUEST_EXPIRED|RequestTimeTooSkewed|"
        r"PERMISSION_DENIED|UNAUTHENTICATED|HTTP status 40[13]|status code: 40[13]|(Unauthorized|Forbidden)",
    ),
    (
        StoreUnavailable,
        r"SLOW_DOWN|SlowDown|SERVICE_UNAVAILABLE|ServiceUnavailable|INTERNAL_FAILURE|InternalError|THROTTLING|"
        r"NETWORK_CONNECTION|REQUEST_TIMEOUT|HTTP status 5\d\d|UNAVAILABLE|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED|"
        r"curlCode|status code: 5\d\d|error sending request|operation timed out",
    ),
    (ObjectMissing, r"NO_SUCH_KEY|NoSuchKey|RESOURCE_NOT_FOUND|NOT_FOUND"),
]


def told_kind(said: str) -> type[StoreError]:
    """Returns which kind of error a client's message tells of; StoreError itself where it tells of none we know."""
    return next((kind for kind, signs in _KINDS if re.search(signs, said)), StoreError)


def _short(said: str) -> str:
    """Returns what is worth showing of a client's message: the provider's own words, and no keys."""
    said = re.sub(r"\x1b\[[0-9;]*m|↳ ", "", said)  # deltalake's colours
    said = re.sub(r"(AWSAccessKeyId|Signature|Credential|X-Amz-[A-Za-z-]+)=[^&\s]+", r"\1=...", said)
    words = re.search(r"AWS Error (.*)", said) or re.search(r"Status\((.*)", said)
    return (words[1] if words else said)[:200].rstrip(". )")


def _where(scheme: str) -> str:
    return "AWS_ENDPOINT_URL and AWS_REGION" if scheme == "s3" else "STORAGE_EMULATOR_HOST and the network"


def _endpoint(scheme: str) -> str | None:
    """Returns the address of another provider than the scheme's own, or of a test server."""
    if scheme == "gs":
        host = os.environ.get("STORAGE_EMULATOR_HOST")
        return host if not host or "://" in host else f"http://{host}"
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None


def _default_region() -> str | None:
    return os.environ.get("AWS_DEFAULT_REGION") or None


@lru_cache(maxsize=8)
def _client(scheme: str, endpoint: str | None, region: str | None) -> Any:
    """Returns the pyarrow.fs.FileSystem. Credentials are looked up by it, at each use."""
    from pyarrow import fs

    given: dict[str, Any] = {}
    if endpoint:
        given["scheme"], given["endpoint_override"] = endpoint.rstrip("/").split("://", 1)
    if scheme == "gs":
        return fs.GcsFileSystem(anonymous=bool(endpoint), retry_time_limit=timedelta(seconds=RETRY_SECONDS), **given)
    return fs.S3FileSystem(
        region=region,
        connect_timeout=CONNECT_SECONDS,
        request_timeout=ANSWER_SECONDS,
        allow_delayed_open=True,  # what is small is one PUT, not an upload in parts
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
        **given,
    )


def storage_options(location: str) -> dict[str, str]:
    """Returns the options that make deltalake reach the same store in the same way; empty for a local path."""
    if not is_remote(location):
        return {}
    scheme = split_location(location)[0]
    endpoint = _endpoint(scheme)
    options = {"max_retries": str(ATTEMPTS), "retry_timeout": f"{RETRY_SECONDS}s"}
    if endpoint and endpoint.startswith("http://"):
        options["allow_http"] = "true"
    if scheme == "s3":
        options["aws_conditional_put"] = "etag"
        if endpoint:
            options["aws_endpoint"] = endpoint
        if region := os.environ.get("AWS_REGION") or _default_region():
            options["aws_region"] = region
    elif endpoint:
        nobody = {"private_key": "", "private_key_id": "", "client_email": ""}
        account = {"gcs_base_url": endpoint, "disable_oauth": True, **nobody}
        options["google_service_account_key"] = json.dumps(account)
    return options
