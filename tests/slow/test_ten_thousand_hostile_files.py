"""Ten thousand files that lie, through the real command."""

import csv
from collections import Counter

from conftest import done
from hostile import write_hostile_files

from demo.portraits import draw_portrait
from indexer.gallery import Gallery
from indexer.verify import verify_gallery

FILES, SEED, SECONDS, MEMORY = 10_000, 2026, 5, 2_000_000_000


def test_ten_thousand_hostile_files_end_typed_and_in_time(home, tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    write_hostile_files(folder, draw_portrait(1, 1_000_001, 1), FILES, SEED)
    limits = ("--limit", f"decode_seconds={SECONDS}", "--limit", f"decode_memory={MEMORY}")
    told = done(
        home.run(
            *("index", "--gallery", "county", "--archive", folder, *limits, "--quiet", "--json"),
            credential=home.operator,
        )
    )
    account = told.json()["accounting"]
    assert account["planned"] == FILES
    assert account["enrolled"] + account["rejected_total"] + account["duplicates"] == FILES
    with open(told.json()["rejections"], encoding="utf-8", newline="") as stream:
        rejected = list(csv.DictReader(stream))
    outcomes = Counter(line["rejected_as"] for line in rejected)
    print({"ENROLLED": account["enrolled"], **outcomes})
    late = [line for line in rejected if "no answer within" in line["rejected_because"]]
    assert late == []
    assert told.err == ""
    gallery = Gallery(home.path, "county")
    assert [finding for finding in verify_gallery(gallery) if finding.problem] == []
