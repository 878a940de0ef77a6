"""How far long work is: a bar on a terminal, a line every so often elsewhere. Always on standard error."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

LINE_SECONDS = 10.0


class Counter:
    """Tells how many of a known number are done, how fast, and how long the rest will take."""

    def __init__(self, command: str, doing: str, unit: str, total: int, done_before: int = 0, bar: bool = True) -> None:
        """command: says it, "afterfact index" say; doing and unit: "indexing" so many "photos".

        done_before: by an earlier call, and no part of this one's rate. bar: whether a terminal gets one.
        """
        self._command, self._unit, self._total, self._done_before = command, unit, total, done_before
        self._began = self._told = time.monotonic()
        self._last = -1
        self._bar: Any = None
        self._task: Any = None
        if bar and sys.stderr.isatty() and total > done_before:
            self._start_bar(doing)

    def done(self, count: int) -> None:
        """Tells that so many are done."""
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._task, completed=count, rate=f"{self._rate(count):.1f} {self._unit}/s")
            if count == self._total:
                self.close()
        elif count != self._last and (now - self._told > LINE_SECONDS or count == self._total):
            self._told = now
            rate = self._rate(count)
            left = f", {_duration((self._total - count) / rate)} left" if rate else ""
            click.echo(
                f"{self._command}: {count:,} of {self._total:,} {self._unit}, {rate:.1f} {self._unit}/s{left}",
                err=True,
            )
        self._last = count

    def close(self) -> None:
        """Gives the terminal's line back."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _rate(self, count: int) -> float:
        return (count - self._done_before) / max(time.monotonic() - self._began, 1e-6)

    def _start_bar(self, doing: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn(doing),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(self._unit),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            redirect_stdout=False,  # what is printed there is the answer, and must not come out on standard error
        )
        self._bar.start()
        self._task = self._bar.add_task("", total=self._total, completed=self._done_before, rate="")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
