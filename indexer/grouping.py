"""Groups of photos, by the columns that their lists carry. Nobody's group is guessed from a face."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from foundation.errors import InputError, nearest

NOT_STATED = "not stated"
MISSING = ("", "na", "n/a", "nan", "null", "none")
"""What stands in lists where there is no value; in any case of letters."""
MOST_GROUPS = 100
"""Of one grouping. A column with more tells photos apart, not kinds of them."""
FEW_GROUPS = 10
"""From more values on, a column most of whose values are of one photo each is taken for names or numbers."""


@dataclass(frozen=True)
class Grouping:
    """Photos by one column, or by several together.

    names: of its groups, sorted, photos without a value last as NOT_STATED. members: int64 (photos,), places in names.
    """

    columns: tuple[str, ...]
    names: tuple[str, ...]
    members: np.ndarray

    @property
    def title(self) -> str:
        """The columns, for people."""
        return " and ".join(self.columns)


@dataclass(frozen=True)
class By:
    """What --by and --at name. names: columns, of which some are numbers taken in bands, as in "age:10".

    rate, distance: the cut-off that all groups are compared at, as a share of false positives or as it is; both None
    where it is to be chosen.
    """

    names: tuple[str, ...]
    rate: float | None = None
    distance: float | None = None

    @classmethod
    def read(cls, text: str, at: str | None = None) -> By:
        """Returns the columns of "sex,race", at "0.1%" or "0.45". Raises InputError where they cannot be."""
        names = tuple(one.strip() for one in text.split(","))
        if not all(names) or len(set(names)) < len(names):
            raise InputError(f"--by is {text!r}; name columns of the list, each once, such as sex,race")
        if at is None:
            return cls(names)
        number = _number(at.strip().removesuffix("%"))
        if number is None or number <= 0:
            raise InputError(f"--at is {at!r}; give a rate such as 0.1%, or a distance such as 0.45")
        if at.strip().endswith("%"):
            return cls(names, rate=number / 100)
        return cls(names, distance=number)

    def groups(self, columns: Sequence[Mapping[str, str]], named: str) -> Groups:
        """Returns photos grouped by each column alone, and by all of them together where there are several.

        columns: of each photo. named: their list, for errors. Raises InputError for a column that is not there, has
        one value, or as many as there are subjects.
        """
        there = sorted({name for one in columns for name in one})
        values = [_column(name, columns, there, named) for name in self.names]
        alone = [_grouped((name,), column, named) for name, column in zip(self.names, values, strict=True)]
        if len(values) == 1:
            return Groups(alone, self)
        together = [
            NOT_STATED if all(one is None for one in row) else ", ".join(one or NOT_STATED for one in row)
            for row in zip(*values, strict=True)
        ]
        return Groups([*alone, _grouped(self.names, together, named)], self)


@dataclass(frozen=True)
class Groups:
    """Photos grouped in each of the ways that were asked for. by: what was asked."""

    groupings: list[Grouping]
    by: By

    @property
    def most(self) -> int:
        """How many groups the largest grouping has."""
        return max(len(one.names) for one in self.groupings)

    def part(self, places: np.ndarray | slice) -> Groups:
        """Returns the groups of some of the photos."""
        return Groups([replace(one, members=one.members[places]) for one in self.groupings], self.by)


def said_of(row: Mapping[str, Any]) -> dict[str, str]:
    """Returns whatever a list said of a photo besides who it is; row: of indexer.schema.LISTED."""
    given = {name: value for name in ("taken", "disposition") if (value := row[name]) is not None}
    return {**given, **json.loads(row["further"] or "{}")}


def _column(name: str, columns: Sequence[Mapping[str, str]], there: Sequence[str], named: str) -> list[str | None]:
    """Returns each photo's value, None where there is none."""
    column, colon, width = name.rpartition(":")
    if name in there or not colon:
        column, width = name, ""
    if column not in there:
        told = f"columns: {', '.join(there)}" if there else "it has none of its own; for pairs --about gives them"
        raise InputError(f"--by {name!r}: {named} has no such column{nearest(column, list(there))} ({told})")
    values = [None if (value := one.get(column, "").strip()).lower() in MISSING else value for one in columns]
    if width:
        band = _width(name, width)
        values = [None if one is None else _band(one, band, column, named) for one in values]
    _require_kinds(name, values, named, banded=bool(width))
    return values


def _require_kinds(name: str, values: Sequence[str | None], named: str, banded: bool) -> None:
    """Raises InputError where the values part nobody, or nearly everybody."""
    stated = Counter(one for one in values if one is not None)
    if not stated:
        raise InputError(f"--by {name!r}: {named} states no value for any photo; fill the column")
    if len(stated) == 1:
        missing = ", and none for the others" if len(values) > stated.total() else ""
        raise InputError(
            f"--by {name!r}: {named} has one value only, {next(iter(stated))!r}{missing}; a comparison needs two groups"
        )
    apart = len(stated) > FEW_GROUPS and sum(count == 1 for count in stated.values()) > len(stated) / 2
    if len(stated) > MOST_GROUPS or apart:
        numbers = not banded and all(_number(one) is not None for one in stated)
        remedy = f"take it in bands with --by {name}:10" if numbers else "name a column of kinds"
        raise InputError(
            f"--by {name!r}: {named} has {len(stated):,} values there, which tell photos apart, not kinds of them "
            f"({MOST_GROUPS} is the limit); {remedy}"
        )


def _width(name: str, text: str) -> float:
    width = _number(text)
    if width is None or width <= 0:
        raise InputError(f"--by {name!r}: {text!r} is no width of a band; give a number above 0, such as age:10")
    return width


def _band(value: str, width: float, column: str, named: str) -> str:
    number = _number(value)
    if number is None:
        raise InputError(f"--by {column}: {named} has {value!r} there, which is no number, so it has no band; mend it")
    low = math.floor(number / width) * width
    return f"{low:g} to below {low + width:g}"


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _grouped(columns: tuple[str, ...], values: Sequence[str | None], named: str) -> Grouping:
    told = [NOT_STATED if one is None else one for one in values]
    names = sorted(set(told), key=_order)
    if len(names) > MOST_GROUPS:
        raise InputError(
            f"--by {','.join(columns)}: {named} has {len(names):,} groups by them together and {MOST_GROUPS} is the "
            "limit; name fewer columns, or wider bands"
        )
    place = {name: number for number, name in enumerate(names)}
    return Grouping(columns, tuple(names), np.array([place[one] for one in told], dtype=np.int64))


def _order(name: str) -> tuple[bool, float, str]:
    """Sorts bands by their numbers, names by their letters, and what is not stated last."""
    number = _number(name.split(" to below ", maxsplit=1)[0])
    return name == NOT_STATED, math.inf if number is None else number, name
