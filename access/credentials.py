"""Credentials: `af1.PUBLIC-ID.SECRET`, shown once, kept only as a digest of the secret."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from access.rules import Rules
from foundation.errors import InputError
from foundation.files import sync_folder

_FORM = re.compile(r"af1\.([0-9a-f]{16})\.([A-Za-z0-9_-]{43})")


@dataclass(frozen=True)
class NewCredential:
    """A credential just made. `text` holds the secret (256 random bits) and is left out of repr."""

    id: str
    text: str = field(repr=False)
    secret_sha256: str = field(repr=False)


def make_credential() -> NewCredential:
    """Returns a new credential. Its digest needs no salt or stretching: 256 random bits cannot be guessed."""
    public_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    return NewCredential(public_id, f"af1.{public_id}.{secret}", _digest(secret))


def authenticate(rules: Rules, text: str) -> str | None:
    """Returns the id of the credential that text proves, revoked ones included, or None.

    Unknown id, wrong secret and wrong form are not told apart, so that a stranger learns no id.
    """
    form = _FORM.fullmatch(text)
    if not form:
        return None
    known = rules.credentials.get(form[1])
    expected = known.secret_sha256 if known else "0" * 64
    fits = hmac.compare_digest(_digest(form[2]), expected)
    return known.id if known and fits else None


@contextlib.contextmanager
def saved_credential(path: Path | None) -> Iterator[Callable[[str], None]]:
    """Opens path (mode 0600) and gives the function that writes a credential's text into it; None writes nothing.

    The file is opened before the credential is issued, so that no credential is issued which cannot be kept; where
    the block fails, the file is removed. Raises InputError where path exists already or cannot be made.
    """
    if path is None:
        yield lambda _text: None
        return
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise InputError(f"--save-credential {path} exists already; name a new file") from None
    except OSError as error:
        raise InputError(f"--save-credential {path} cannot be made: {error.strerror}") from None
    try:
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            yield lambda text: print(text, file=stream)
            stream.flush()
            os.fsync(stream.fileno())
        sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        raise


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("ascii")).hexdigest()
