"""A store that stays busy: the job ends in one line within minutes, and the same command finishes it."""

from __future__ import annotations

import time

import pytest
from conftest import done, make_home
from object_stores import BUSY

from indexer.gallery import Gallery

STATED_SECONDS = 300  # docs/operations.md says about a minute a request; the first that fails ends the job


@pytest.mark.parametrize("where", ["/index/", "/_delta_log/", "/segments/"])
def test_a_storm_without_end_ends_the_job_and_the_same_command_finishes_it(s3, proxy, clean_photos, tmp_path, where):
    home = make_home(tmp_path, "--galleries", f"{s3.new_bucket()}/g")
    index = ("index", "--gallery", "county", "--archive", clean_photos, "--json")
    proxy.answer = lambda asked: BUSY if asked.method == "PUT" and where in asked.path else None
    began = time.monotonic()
    ended = home.run(*index, credential=home.operator)
    assert ended.code == 1 and time.monotonic() - began < STATED_SECONDS
    assert "run the same command again" in ended.err.splitlines()[-1]
    assert Gallery(home.path, "county").version_numbers() == []
    proxy.answer = lambda _asked: None
    assert done(home.run(*index, credential=home.operator)).code == 0
    assert Gallery(home.path, "county").version_numbers() == [0]
