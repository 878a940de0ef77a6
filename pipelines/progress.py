"""What a run tells people of itself: its plan, and how far it is. Always on standard error."""

from __future__ import annotations

import click

from foundation.progress import Counter
from indexer.run import Run

COMMAND = "afterfact index"


class Progress:
    """Tells people how far a run is. quiet: nothing but errors. command: whose run it is."""

    def __init__(self, quiet: bool = False, command: str = COMMAND) -> None:
        self._quiet = quiet
        self._command = command
        self._counter: Counter | None = None
        self._run: Run | None = None

    def says(self, sentence: str) -> None:
        if not self._quiet:
            click.echo(f"{self._command}: {sentence}", err=True)

    def warns(self, sentence: str) -> None:
        """Tells, quiet or not, what somebody should know of afterwards."""
        click.echo(f"{self._command}: {sentence}", err=True)

    def planned(self, run: Run, done_before: int, resumed: bool) -> None:
        """Tells the plan, and starts the clock."""
        self._run = run
        if resumed:
            self.says(
                f"going on with unfinished run {run.run_id}: {done_before} of {run.segments} segments are done; photos "
                "that came into the archive since are taken by the next run"
            )
        self.says(
            f"{run.planned:,} photos planned, {run.held:,} held, {run.updated:,} with changed columns, "
            f"{run.looked_at:,} to look at in {run.segments:,} segments ({run.bytes / 1e6:,.1f} MB)"
        )
        if not self._quiet and run.segments:
            self._counter = Counter(self._command, "indexing", "photos", run.looked_at, self._photos(done_before))

    def done(self, segments: int) -> None:
        """Tells how many segments are done."""
        if self._counter is not None:
            self._counter.done(self._photos(segments))

    def close(self) -> None:
        """Gives the terminal's line back."""
        if self._counter is not None:
            self._counter.close()

    def _photos(self, segments: int) -> int:
        assert self._run is not None
        return round(self._run.looked_at * segments / self._run.segments)
