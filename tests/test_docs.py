"""The documents: what they show works, and what they point to is there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Home
from object_stores import S3Server, upload

from afterfact import front_door
from indexer.job import read_job
from indexer.outcomes import Outcome

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
READERS = re.findall(r"```python\n(.*?)```", (ROOT / "docs/gallery.md").read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("code", READERS, ids=["pandas", "duckdb"])
def test_a_gallerys_table_opens_without_our_code_as_the_page_shows(
    code: str, indexed_home: Home, tmp_path: Path
) -> None:
    ended = _run(code.replace("HOME", str(indexed_home.path)), tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "ENROLLED" in ended.stdout or "S0001" in ended.stdout


@pytest.mark.parametrize("code", READERS, ids=["pandas", "duckdb"])
def test_so_does_one_in_a_store(code: str, indexed_home: Home, tmp_path: Path, s3: S3Server) -> None:
    url = upload(indexed_home.path / "galleries", s3.new_bucket())
    ended = _run(code.replace("HOME/galleries", url), tmp_path, AWS_ALLOW_HTTP="true")
    assert ended.returncode == 0, ended.stderr
    assert "ENROLLED" in ended.stdout or "S0001" in ended.stdout


def _run(code: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-c", code],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_links_to_is_there(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("job", sorted((ROOT / "configs/jobs").glob("*.yaml")), ids=lambda job: job.name)
def test_the_example_jobs_are_valid_once_their_archive_is_there(job: Path, tmp_path: Path) -> None:
    copy = tmp_path / job.name
    copy.write_text(job.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "photos").mkdir()
    (tmp_path / "booking.csv").write_text("photo\n", encoding="utf-8")
    assert read_job(copy, {}).gallery == "county"


@pytest.mark.parametrize("page", [one for one in PAGES if one.name != "cli.md"], ids=lambda page: page.name)
def test_the_commands_that_a_page_shows_exist(page: Path) -> None:
    unknown = []
    for line in re.findall(r"(?m)^(?:    |  |\$ )(?:sudo -u \w+ )?afterfact (.+)$", page.read_text(encoding="utf-8")):
        words = shlex.split(line, comments=True)
        while words and words[0].startswith("-"):
            words = words[2:]
        command = front_door.get_command(None, words[0]) if words else None  # type: ignore[arg-type]
        if command is None:
            unknown.append(line)
    assert unknown == []


def test_every_reason_of_rejection_has_its_remedy_in_the_operators_page() -> None:
    page = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    table = page.partition("| rejected as |")[2].partition("\n\n")[0]
    told = {word for line in table.splitlines() for word in re.findall(r"[A-Z_]{4,}", line.split("|")[1])}
    assert told == {outcome.value for outcome in Outcome} - {"ENROLLED"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_do_not_declare_a_moratorium_that_is_over(page: Path) -> None:
    """A preset begins when its original did, which may have ended since and bars nobody."""
    shown = re.findall(r"moratorium declare .*--preset.*", page.read_text(encoding="utf-8"))
    assert [line for line in shown if "--from now" not in line] == []
