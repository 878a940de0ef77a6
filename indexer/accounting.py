"""Where every planned photo went. It adds up, or the run fails and publishes nothing."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from foundation.errors import AfterfactError


class AccountingError(AfterfactError):
    """Photos are unaccounted for. Nothing was published."""


@dataclass(frozen=True)
class Accounting:
    """Photos of one run: planned = enrolled + rejected + duplicates + held + updated + suppressed.

    rejected: by reason. held: in the gallery already, unchanged. updated: held, with changed columns.
    suppressed: photos of expunged subjects. Raises AccountingError where the sum is not planned.
    """

    planned: int
    enrolled: int
    rejected: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0
    held: int = 0
    updated: int = 0
    suppressed: int = 0

    def __post_init__(self) -> None:
        total = self.enrolled + self.rejections + self.duplicates + self.held + self.updated + self.suppressed
        if total != self.planned:
            raise AccountingError(
                f"{self.planned:,} photos were planned and {total:,} are accounted for; nothing was published: "
                "report this with the run's folder, which is kept"
            )

    @property
    def rejections(self) -> int:
        return sum(self.rejected.values())

    @property
    def looked_at(self) -> int:
        return self.planned - self.held - self.updated - self.suppressed

    @property
    def rejected_share(self) -> float:
        """Rejected photos over photos looked at, 0 where none was."""
        return self.rejections / self.looked_at if self.looked_at else 0.0

    def as_json(self) -> dict[str, Any]:
        return {
            "planned": self.planned,
            "enrolled": self.enrolled,
            "rejected": dict(sorted(self.rejected.items())),
            "rejected_total": self.rejections,
            "duplicates": self.duplicates,
            "held": self.held,
            "updated": self.updated,
            "suppressed": self.suppressed,
        }


REJECTION_COLUMNS = ("photo", "subject", "encounter", "taken", "disposition")


def rejections_csv(rows: Iterable[dict[str, Any]]) -> bytes:
    """Returns the rejected and duplicate rows as a CSV that is itself a valid list of photos.

    rows: dictionaries with indexer.schema.LISTED's columns, outcome and detail; gone through twice.
    """
    further = sorted({name for row in rows for name in json.loads(row.get("further") or "{}")})
    stream = io.StringIO()
    # RFC 4180's line ends: with \n alone, Python's writer leaves a name with \r unquoted, which no reader takes.
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow([*REJECTION_COLUMNS, *further, "rejected_as", "rejected_because"])
    for row in rows:
        own = json.loads(row.get("further") or "{}")
        writer.writerow(
            [row.get(name) for name in REJECTION_COLUMNS]
            + [own.get(name) for name in further]
            + [row["outcome"], row.get("detail")]
        )
    return stream.getvalue().encode()
