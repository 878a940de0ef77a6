"""How far a job is: a bar on a terminal, a line every so often elsewhere. Always on standard error."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from indexer.run import Run

LINE_SECONDS = 10.0


class Progress:
    """Tells people how far a run is. quiet: nothing but errors."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._bar: Any = None
        self._task: Any = None
        self._run: Run | None = None
        self._done_before = 0
        self._began = self._told = time.monotonic()
        self._last = -1

    def says(self, sentence: str) -> None:
        if not self._quiet:
            click.echo(f"afterfact index: {sentence}", err=True)

    def warns(self, sentence: str) -> None:
        """Tells, quiet or not, what somebody should know of afterwards."""
        click.echo(f"afterfact index: {sentence}", err=True)

    def planned(self, run: Run, done_before: int, resumed: bool) -> None:
        """Tells the plan, and starts the clock."""
        self._run, self._done_before = run, done_before
        self._began = self._told = time.monotonic()
        if resumed:
            self.says(
                f"going on with unfinished run {run.run_id}: {done_before} of {run.segments} segments are done; photos "
                "that came into the archive since are taken by the next run"
            )
        self.says(
            f"{run.planned:,} photos planned, {run.held:,} held, {run.updated:,} with changed columns, "
            f"{run.looked_at:,} to look at in {run.segments:,} segments ({run.bytes / 1e6:,.1f} MB)"
        )
        if not self._quiet and sys.stderr.isatty() and run.segments > done_before:
            self._start_bar(run, done_before)

    def done(self, segments: int) -> None:
        """Tells how many segments are done."""
        assert self._run is not None
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.update(self._task, completed=self._photos(segments), rate=f"{self._rate(segments):.1f} photos/s")
            if segments == self._run.segments:
                self.close()
        elif segments != self._last and (
            time.monotonic() - self._told > LINE_SECONDS or segments == self._run.segments
        ):
            self._told = time.monotonic()
            self.says(self._line(segments))
        self._last = segments

    def close(self) -> None:
        """Gives the terminal's line back."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _photos(self, segments: int) -> int:
        assert self._run is not None
        return round(self._run.looked_at * segments / self._run.segments)

    def _rate(self, segments: int) -> float:
        done = self._photos(segments) - self._photos(self._done_before)
        return done / max(time.monotonic() - self._began, 1e-6)

    def _line(self, segments: int) -> str:
        assert self._run is not None
        photos, rate = self._photos(segments), self._rate(segments)
        left = (self._run.looked_at - photos) / rate if rate else 0
        return f"{photos:,} of {self._run.looked_at:,} photos, {rate:.1f} photos/s, {_duration(left)} left"

    def _start_bar(self, run: Run, done_before: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("indexing"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("photos"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._bar.start()
        self._task = self._bar.add_task("", total=run.looked_at, completed=self._photos(done_before), rate="")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
