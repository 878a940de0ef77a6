"""Moments: UTC text of one width, `2020-06-10T00:00:00.000000Z`, so that comparing text compares time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from foundation.errors import InputError

_DURATION = re.compile(r"([0-9]{1,4})([ydwh])")


def moment(instant: datetime) -> str:
    """Returns an aware datetime as a moment.

    Raises ValueError for a datetime without a zone, OverflowError for one outside the years 1 to 9999 in UTC.
    """
    if instant.tzinfo is None:
        raise ValueError(f"{instant!r} has no zone")
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def instant(of_moment: str) -> datetime:
    """Returns a moment as an aware datetime in UTC. Raises ValueError where the text is none."""
    return datetime.fromisoformat(of_moment)


def read_moment(text: str, now: str, what: str) -> str:
    """Returns an ISO 8601 date and time with a zone, or the word "now", as a moment.

    Raises InputError naming `what` (the flag) where the text is no date or names no zone.
    """
    if text.strip().lower() == "now":
        return now
    example = "2020-06-10T00:00Z or 2020-06-10T00:00-07:00"
    try:
        read = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InputError(f"{what} {text!r} is no ISO 8601 date and time; write {example}, or now") from None
    if read.tzinfo is None:
        raise InputError(f"{what} {text!r} names no time zone; write {example}")
    try:
        return moment(read)
    except OverflowError:
        raise InputError(f"{what} {text!r} lies outside the years 1 to 9999 in UTC") from None


def later(start: str, duration: str, what: str) -> str:
    """Returns the moment that lies a duration (1y, 30d, 2w, 12h) after start.

    A year is a calendar year; from 29 February it ends on 1 March. Raises InputError naming `what` (the flag)
    where the duration is none, is zero, or ends after the year 9999.
    """
    parts = _DURATION.fullmatch(duration.strip())
    if not parts or int(parts[1]) == 0:
        raise InputError(f"{what} {duration!r} is no duration; write a number and y, w, d or h, such as 1y, 30d, 12h")
    count, unit = int(parts[1]), parts[2]
    begins = instant(start)
    try:
        if unit == "y":
            return moment(_years_after(begins, count))
        step = {"w": timedelta(weeks=count), "d": timedelta(days=count), "h": timedelta(hours=count)}[unit]
        return moment(begins + step)
    except (OverflowError, ValueError):
        raise InputError(f"{what} {duration!r} ends after the year 9999") from None


def read_end(until: str | None, duration: str | None, start: str, now: str) -> str | None:
    """Returns the end that --until or --for names, or None where neither is given.

    Raises InputError where both are given or the end is not after start.
    """
    if until is not None and duration is not None:
        raise InputError("--until and --for both name the end; give one of them")
    if until is None and duration is None:
        return None
    if duration is not None:
        return later(start, duration, "--for")
    end = read_moment(until or "", now, "--until")
    if end <= start:
        raise InputError(f"--until {until!r} is not after the start, {shown(start)}; name a later end")
    return end


def shown(at: str | None) -> str:
    """Returns a moment for people, such as "2020-06-10 00:00 UTC"; None is "further notice"."""
    if at is None:
        return "further notice"
    clock = at[11:26]
    exact = clock[:8] + clock[8:].rstrip("0").rstrip(".")
    return f"{at[:10]} {clock[:5] if clock[5:] == ':00.000000' else exact} UTC"


def _years_after(begins: datetime, count: int) -> datetime:
    try:
        return begins.replace(year=begins.year + count)
    except ValueError:
        if begins.year + count > 9999:
            raise
        return begins.replace(year=begins.year + count, month=3, day=1)
