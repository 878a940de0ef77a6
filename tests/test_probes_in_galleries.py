"""A probe never becomes a gallery photo: its bytes are known from the ledger, whoever searched with them."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import pytest
from conftest import Home, done
from indexing import rows_of
from PIL import Image

from access.gate import Gate
from access.ledger.ledger import Ledger
from demo.archive import DrawnArchive
from foundation.files import digest_file
from indexer.gallery import Gallery


@pytest.fixture
def probes(drawn: DrawnArchive) -> list[Path]:
    """Photos of one face each, which the gallery does not hold."""
    return sorted((drawn.list_path.parent / "probes").glob("*.jpg"))


def search(home: Home, probe: Path, credential: Path, purpose: str = "robbery") -> int:
    asked = ("--gallery", "county", "--case", f"2026-{probe.stem}", "--purpose", purpose)
    return home.run("search", probe, *asked, credential=credential).code


def index(home: Home, archive: Path, tmp_path: Path) -> dict[str, str]:
    """Indexes a folder of photos into the gallery; returns what was rejected, and as what."""
    rejections = tmp_path / "rejections.csv"
    done(home.run("index", *_gallery(archive), "--rejections", rejections, credential=home.operator))
    return {row["photo"]: row["rejected_as"] for row in csv.DictReader(rejections.open(newline=""))}


def _gallery(archive: Path) -> tuple[object, ...]:
    return "--gallery", "county", "--archive", archive / "list.csv", "--quiet"


def test_what_was_searched_with_is_rejected_and_what_was_not_is_enrolled(
    indexed_home: Home, probes: list[Path], tmp_path: Path
) -> None:
    answered, refused, resaved, unused = probes[:4]
    assert search(indexed_home, answered, indexed_home.sheriff) == 0
    assert search(indexed_home, refused, indexed_home.sheriff, purpose="immigration") == 3
    assert search(indexed_home, resaved, indexed_home.sheriff) == 0
    archive = tmp_path / "later"
    archive.mkdir()
    for number, photo in enumerate((answered, refused, unused)):
        shutil.copy(photo, archive / f"{number}.jpg")
    Image.open(resaved).save(archive / "3.jpg", quality=90)
    lines = [f"{number}.jpg,P{number},1" for number in range(4)]
    (archive / "list.csv").write_text("\n".join(["photo,subject,encounter", *lines]) + "\n")
    rejected = index(indexed_home, archive, tmp_path)
    # A copy that was saved anew has other bytes: docs/threats.md says that nothing sees it.
    assert rejected == {"0.jpg": "PROBE_PHOTO", "1.jpg": "PROBE_PHOTO"}
    rows = rows_of(Gallery(indexed_home.path, "county"))
    assert {photo: rows[photo]["outcome"] for photo in ("2.jpg", "3.jpg")} == {
        "2.jpg": "ENROLLED",
        "3.jpg": "ENROLLED",
    }
    done(indexed_home.run("audit", "verify"))


def test_who_was_enrolled_before_stays_when_their_photo_was_a_probe(
    indexed_home: Home, drawn: DrawnArchive, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    shutil.copytree(next(drawn.list_path.parent.glob("photos/S0001")), archive / "S0001")
    photos = sorted(archive.glob("*/*.jpg"))
    assert search(indexed_home, photos[0], indexed_home.sheriff) == 0
    # Looked at again, since the file was touched, and for the first time, in a gallery made anew.
    os.utime(photos[0], ns=(1, 1))
    for gallery in ("county", "anew"):
        asked = ("--gallery", gallery, "--archive", archive, "--folder-subjects", "--quiet", "--json")
        told = json.loads(done(indexed_home.run("index", *asked, credential=indexed_home.operator)).out)
        assert "PROBE_PHOTO" not in told["accounting"]["rejected"]
        rows = rows_of(Gallery(indexed_home.path, gallery))
        assert rows["S0001/" + photos[0].name]["outcome"] in ("ENROLLED", "DUPLICATE")


def test_a_strangers_probe_is_not_known(indexed_home: Home, probes: list[Path], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.txt"
    wrong.write_text("af1.0000000000000000." + "A" * 43)
    assert search(indexed_home, probes[0], wrong) == 3
    gate = Gate(Ledger(indexed_home.path))
    assert gate.probes_among([digest_file(probes[0])]) == set()


def test_the_gate_tells_which_photos_were_probes(indexed_home: Home, probes: list[Path]) -> None:
    assert search(indexed_home, probes[0], indexed_home.rescue) == 0
    digests = [digest_file(one) for one in probes[:3]]
    assert Gate.open(indexed_home.path).probes_among(digests) == {digests[0]}
    assert Gate.open(indexed_home.path).probes_among([]) == set()
