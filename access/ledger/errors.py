"""What can be wrong with a ledger. Whoever meets one of these answers nothing."""

from __future__ import annotations

from foundation.errors import AfterfactError


class LedgerError(AfterfactError):
    """The ledger cannot be relied on; nothing is answered until it can."""


class LedgerAbsent(LedgerError):
    """There is no ledger where one was looked for."""


class LedgerBusy(LedgerError):
    """Another process held the ledger for too long."""


class LedgerUnreadable(LedgerError):
    """The database, its key or an entry cannot be read or written, or the database is set to lose commits."""


class LedgerTampered(LedgerError):
    """Entries were changed, removed or put back."""


class LedgerClockError(LedgerError):
    """The clock stands before the last entry's time."""


class MarkError(LedgerError):
    """The high-water mark is absent or unreadable."""
