"""The guided tour ends well, and what it wrote and printed holds no secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Finished, done, run_afterfact

SUBJECTS = 50  # the fewest that the tour takes


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Finished]:
    folder = tmp_path_factory.mktemp("tour") / "é demo"  # as a shell would have to be told
    return folder, done(run_afterfact("demo", "tour", folder, "--subjects", SUBJECTS))


def test_every_step_ends_as_it_must(tour: tuple[Path, Finished]) -> None:
    assert "The tour is over" in tour[1].out


def test_no_secret_stands_anywhere_but_in_the_saved_credentials(tour: tuple[Path, Finished]) -> None:
    folder, finished = tour
    secrets = [path.read_text().strip().split(".")[2] for path in folder.glob("*.credential")]
    assert len(secrets) == 4
    written = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".credential"]
    assert len(written) > 3 * SUBJECTS
    holding = [path for path in written for secret in secrets if secret.encode() in path.read_bytes()]
    assert holding == []
    assert all(secret not in finished.out + finished.err for secret in secrets)
