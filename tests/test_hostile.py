"""Files that lie: each ends as a typed outcome, in time and inside its memory, and the job ends well."""

import pytest
from hostile import SUFFIXES, hostile_files, valid_photos, write_hostile_files
from indexing import index_archive, rows_of

from demo.portraits import draw_portrait
from indexer.gallery import Gallery
from indexer.limits import Limits
from indexer.photo import decode_photo

FILES, SEED = 300, 14


@pytest.fixture(scope="module")
def portrait():
    return draw_portrait(1, 1_000_001, 1)


def test_what_the_fuzzer_starts_from_is_valid(portrait):
    valid = valid_photos(portrait)
    assert {form for form, _ in valid} == set(SUFFIXES)
    for _, content in valid:
        assert sorted(decode_photo(content, Limits()).shape) == [3, 180, 216]


def test_the_same_seed_gives_the_same_files(portrait):
    assert list(hostile_files(portrait, 40, SEED)) == list(hostile_files(portrait, 40, SEED))
    assert list(hostile_files(portrait, 40, SEED)) != list(hostile_files(portrait, 40, SEED + 1))


def test_hostile_files_are_accounted_for_one_by_one(portrait, tmp_path, capfd):
    folder = tmp_path / "archive"
    folder.mkdir()
    write_hostile_files(folder, portrait, FILES, SEED)
    # Whatever takes longer, or more memory, is ended and told as such.
    limits = Limits(decode_seconds=5.0, decode_memory=2_000_000_000)
    indexed = index_archive(tmp_path / "home", folder, limits=limits)
    assert indexed.accounting.planned == FILES
    rows = rows_of(Gallery(tmp_path / "home", "county"))
    assert len(rows) == FILES
    assert [name for name, row in rows.items() if row["outcome"] == "DECODER_CRASH"] == []
    assert capfd.readouterr() == ("", "")
