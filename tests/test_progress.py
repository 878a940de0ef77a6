"""Progress is told on standard error, as lines where there is no terminal."""

from pathlib import Path

import pytest

from indexer.limits import Limits
from indexer.models import installed_model
from indexer.run import Run
from pipelines.progress import Progress


@pytest.fixture
def run():
    return Run(
        run_id="R",
        folder=Path("/nowhere"),
        job_digest="",
        archive="",
        root=Path("/"),
        limits=Limits(),
        settings_digest="",
        model=installed_model(),
        manifest_digest="",
        planned=1100,
        held=90,
        updated=10,
        looked_at=1000,
        bytes=2_500_000,
        segments=4,
        updates_digest="",
    )


def test_the_plan_and_the_end_are_told(run, capsys):
    progress = Progress()
    progress.planned(run, done_before=0, resumed=False)
    for segments in (0, 1, 4, 4):
        progress.done(segments)
    progress.close()
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert "1,100 photos planned, 90 held, 10 with changed columns, 1,000 to look at in 4 segments (2.5 MB)" in lines[0]
    assert len(lines) == 2  # the end once, and nothing in between within the first seconds
    assert "1,000 of 1,000 photos" in lines[1]
    assert "0 min 00 s left" in lines[1]


def test_a_line_comes_every_so_often(run, capsys, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    progress = Progress()
    progress.planned(run, done_before=1, resumed=True)
    now[0] += 10.5
    progress.done(2)
    now[0] += 1
    progress.done(3)
    lines = capsys.readouterr().err.splitlines()
    assert "going on with unfinished run R: 1 of 4 segments are done" in lines[0]
    assert len(lines) == 3
    assert "500 of 1,000 photos, 23.8 photos/s, 0 min 21 s left" in lines[2]  # the rate is of this call's own work


def test_quiet_says_nothing(run, capsys):
    progress = Progress(quiet=True)
    progress.says("anything")
    progress.planned(run, done_before=0, resumed=True)
    progress.done(4)
    progress.close()
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar_that_ends_full(run, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    progress = Progress()
    progress.planned(run, done_before=0, resumed=False)
    progress.done(2)
    progress.done(4)
    progress.done(4)
    progress.close()
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "1000/1000" in printed.err
