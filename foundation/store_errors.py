"""What can go wrong with an object store, and which of it a client's message tells of."""

from __future__ import annotations

import re

from foundation.errors import AfterfactError


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


def told_shortly(said: str) -> str:
    """Returns what is worth showing of a client's message: the provider's own words, and no keys."""
    said = re.sub(r"\x1b\[[0-9;]*m|↳ ", "", said)  # deltalake's colours
    said = re.sub(r"(AWSAccessKeyId|Signature|Credential|X-Amz-[A-Za-z-]+)=[^&\s]+", r"\1=...", said)
    words = re.search(r"AWS Error (.*)", said) or re.search(r"Status\((.*)", said)
    return (words[1] if words else said)[:200].rstrip(". )")
