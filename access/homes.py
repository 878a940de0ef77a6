"""Makes a data home: its folder, its ledger and the first operator."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from access.acts.registry import issued
from access.credentials import NewCredential, make_credential
from access.ledger.chain import Draft
from access.ledger.ledger import DATABASE, KEY, MARK, Ledger
from access.names import read_name
from foundation.errors import InputError
from foundation.files import sync_folder


def make_home(home: Path, operator: str, *, clock: Callable[[], str] | None = None) -> NewCredential:
    """Makes a data home (mode 0700) with an empty galleries/, and returns the first operator's credential.

    The home appears whole or not at all. Raises InputError where it exists and is not an empty folder, where it
    cannot be made, or where the operator's name is not one.
    """
    operator = read_name(operator, "--operator")
    for name in (DATABASE, KEY, MARK):
        if (home / name).exists():
            raise InputError(f"{home} is a data home already (it holds {name}); give another --home")
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise InputError(f"{home} exists and is not an empty folder; give another --home")
    credential = make_credential()
    by = {"operator": operator, "credential": credential.id}
    drafts = [
        Draft("operator.added", operator, {"by": by, "why": "first operator"}),
        _with(issued(credential, "operator", operator, operator, "first operator"), by),
    ]
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        draft_home = Path(tempfile.mkdtemp(dir=home.parent, prefix=f".{home.name}."))
        try:
            (draft_home / "galleries").mkdir(mode=0o700)
            Ledger.create(draft_home, drafts, clock=clock)
            draft_home.rename(home)
            sync_folder(home.parent)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(draft_home)
            raise
    except OSError as error:
        raise InputError(f"{home} cannot be made: {error.strerror or error}") from error
    return credential


def _with(draft: Draft, by: dict[str, str]) -> Draft:
    return Draft(draft.type, draft.subject, {**draft.body, "by": by})
