"""Makes a data home: its folder, its ledger and the first operator."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from access.acts.desk import CREDENTIAL_SPAN
from access.acts.operators import first_operator
from access.credentials import NewCredential, make_credential
from access.ledger.ledger import DATABASE, KEY, MARK, Ledger
from access.times import later, moment
from foundation.errors import InputError
from foundation.files import sync_folder, write_whole
from foundation.gallery_place import ADDRESS, FOLDER, read_gallery_place, require_fit, require_writable
from foundation.store_path import StorePath


def make_home(
    home: Path,
    operator: str,
    *,
    authority: str = "vendor",
    url: str | None = None,
    galleries: str | None = None,
    clock: Callable[[], str] | None = None,
) -> NewCredential:
    """Makes a data home (mode 0700) with an empty galleries/, and returns the first operator's credential.

    `url` names a PostgreSQL database for the ledger instead of a SQLite file in the home, `galleries` a place in an
    object store for the galleries instead of a folder there. The home appears whole or not at all. Raises InputError
    where it exists and is not an empty folder, where it cannot be made, or where the operator's name is not one;
    LedgerError where the database will not do; StoreError where the store is absent or closed to us.
    """
    credential = make_credential()
    now = clock() if clock else moment(datetime.now(UTC))
    drafts = first_operator(operator, authority, credential, later(now, CREDENTIAL_SPAN, "--for"))
    for name in (DATABASE, KEY, MARK):
        if (home / name).exists():
            raise InputError(f"{home} is a data home already (it holds {name}); give another --home")
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise InputError(f"{home} exists and is not an empty folder; give another --home")
    place = read_gallery_place(galleries, "--galleries") if galleries is not None else None
    if isinstance(place, StorePath):
        require_writable(place)
    else:
        require_fit(home)
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        draft_home = Path(tempfile.mkdtemp(dir=home.parent, prefix=f".{home.name}."))
        try:
            if place is None:
                (draft_home / FOLDER).mkdir(mode=0o700)
            else:
                write_whole(draft_home / ADDRESS, f"{place}\n".encode(), mode=0o600)
            Ledger.create(draft_home, drafts, clock=clock, url=url)
            draft_home.rename(home)
            sync_folder(home.parent)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(draft_home)
            raise
    except OSError as error:
        raise InputError(f"{home} cannot be made: {error.strerror or error}") from error
    return credential
