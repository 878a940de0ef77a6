"""verify finds whatever is not as it was written."""

import json
import shutil

import pytest
from indexing import index_archive, rows_of

from indexer.gallery import FACES, LABELS, Gallery, GalleryError, read_sealed, write_sealed
from indexer.publish import roll_back
from indexer.table import open_table
from indexer.verify import verify_gallery


@pytest.fixture(scope="module")
def two_versions(drawn, tmp_path_factory):
    """A gallery of two versions, the second with changed columns."""
    folder = tmp_path_factory.mktemp("verified")
    photos = [f"photos/S000{number}/S000{number}-{encounter}.jpg" for number in (1, 2, 3, 4) for encounter in (1, 2)]
    lists = folder / "list.csv"
    for disposition in ("charged", "released"):
        lines = [f"{photo},{photo[7:12]},{disposition}" for photo in photos] + ["photos/spoiled/text.jpg,X,charged"]
        lists.write_text("\n".join(["photo,subject,disposition", *lines]) + "\n")
        index_archive(folder / "home", lists, root=drawn.list_path.parent)
    gallery = Gallery(folder / "home", "county")
    assert gallery.version_numbers() == [0, 1]
    return gallery


@pytest.fixture
def gallery(two_versions, tmp_path):
    gallery = Gallery(tmp_path / "home", "county")
    shutil.copytree(two_versions.folder, gallery.folder)
    return gallery


def problems(gallery):
    return {finding.checked: finding.problem for finding in verify_gallery(gallery) if finding.problem}


def test_a_whole_gallery_has_no_problem(gallery):
    seen = []
    findings = verify_gallery(gallery, seen.append)
    assert problems(gallery) == {}
    assert seen == [finding.checked for finding in findings]
    assert "version 1: index against table" in seen
    assert "version 0: model" in seen


def test_a_flipped_byte_is_found_in_every_file_wherever_it_is(two_versions):
    gallery = two_versions
    files = [path for path in sorted(gallery.folder.rglob("*")) if path.is_file() and path.stat().st_size]
    assert {path.suffix for path in files} >= {".parquet", ".json", ".faiss", ".arrow", ".csv"}
    missed = []
    for path in files:
        whole = path.read_bytes()
        for at in sorted({0, 1, 7, len(whole) // 3, len(whole) // 2, len(whole) - 9, len(whole) - 1}):
            if not 0 <= at < len(whole):
                continue
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :])
            if not problems(gallery):
                missed.append((path.name, at))
        path.write_bytes(whole)
    assert missed == []
    assert problems(gallery) == {}


@pytest.mark.parametrize("cut", [0, 0.5])
def test_a_file_that_is_cut_off_or_gone_is_found(gallery, cut):
    files = [path for path in sorted(gallery.folder.rglob("*")) if path.is_file() and path.stat().st_size]
    for path in files:
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * cut)])
        assert problems(gallery), path.name
        path.unlink()
        # Of an index.json or an account that is gone altogether nothing else speaks.
        if path.name != "index.json" and path.parent != gallery.accounts:
            assert problems(gallery), path.name
        path.write_bytes(whole)


def test_a_space_for_a_line_end_is_a_flipped_byte_too(gallery):
    for path in (gallery.version().folder / "index.json", next(gallery.accounts.glob("*.json"))):
        whole = path.read_text()
        path.write_text(whole.replace("\n ", "  ", 1))
        assert list(problems(gallery).values()) == ["its white space is not as it was written"]
        path.write_text(whole)


def test_an_older_versions_file_is_found_as_well(gallery):
    only_old = set(gallery.version(0).about["table_files"]) - set(gallery.version(1).about["table_files"])
    (name,) = only_old
    with open(gallery.table / name, "r+b") as stream:
        stream.seek(100)
        stream.write(b"\0\0\0\0\0\0\0\0")
    assert list(problems(gallery)) == [f"table/{name} (version 0)"]


def test_a_rollback_does_not_bless_what_was_changed_in_between(gallery):
    (name,) = set(gallery.version(0).about["table_files"]) - set(gallery.version(1).about["table_files"])
    path = gallery.table / name
    whole = path.read_bytes()
    at = whole.index(b"released") if b"released" in whole else whole.index(b"charged")
    path.write_bytes(whole[:at] + b"C" + whole[at + 1 :])
    try:
        roll_back(gallery, 0)
    except (GalleryError, OSError):
        return  # its reader noticed
    assert f"table/{name} (version 2)" in problems(gallery)


def test_a_log_checkpoint_is_one_of_the_files(gallery):
    table = open_table(gallery)
    table.create_checkpoint()
    roll_back(gallery, 0)
    (checkpoint,) = (gallery.table / "_delta_log").glob("*.checkpoint.parquet")
    assert problems(gallery) == {}
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[:200] + bytes([content[200] ^ 1]) + content[201:])
    assert f"table/_delta_log/{checkpoint.name} (version 2)" in problems(gallery)


def test_an_index_of_other_vectors_is_found_though_its_digest_fits(gallery):
    """As if somebody had exchanged a face and written the digests anew."""
    folder = gallery.version().folder
    vectors = bytearray((folder / FACES).read_bytes())
    vectors[-3] ^= 1
    reseal(folder, FACES, bytes(vectors))
    assert problems(gallery) == {"version 1: index against table": "the index holds other vectors than the table"}


def test_labels_of_other_subjects_are_found_though_their_digest_fits(gallery):
    folder = gallery.version().folder
    content = (folder / LABELS).read_bytes()
    assert b"S0001" in content
    reseal(folder, LABELS, content.replace(b"S0001", b"S0009", 1))
    assert problems(gallery) == {"version 1: index against table": "the labels are not the table's"}


@pytest.mark.parametrize(("name", "value", "says"), [("faces", 3, "3 stated"), ("outcomes", {}, "states {}")])
def test_counts_that_do_not_fit_are_found(gallery, name, value, says):
    restate(gallery.version().folder, **{name: value})
    assert says in problems(gallery)["version 1: index against table"]


def test_another_models_index_is_found(gallery):
    folder = gallery.version().folder
    model = {**gallery.version().about["model"], "digest": "f" * 64}
    restate(folder, model=model)
    assert (
        "model ffffffffffff is not described as this version of Afterfact describes models"
        in problems(gallery)["version 1: model"]
    )


def test_an_interrupted_publish_is_told(gallery):
    shutil.rmtree(gallery.index / "1")
    assert problems(gallery) == {
        "table version 1 has its index": "a publish was interrupted; the next afterfact index finishes it"
    }


def test_a_publish_at_work_is_no_problem(gallery):
    shutil.rmtree(gallery.index / "1")
    with gallery.only_publisher():
        findings = verify_gallery(gallery)
    assert "table version 1 is being published" in [one.checked for one in findings]
    assert [one for one in findings if one.problem] == []


def test_a_gallery_without_versions_cannot_be_verified(tmp_path):
    with pytest.raises(GalleryError, match="no gallery"):
        verify_gallery(Gallery(tmp_path, "county"))
    Gallery(tmp_path, "county").make_folders()
    with pytest.raises(GalleryError, match="has no published version yet"):
        verify_gallery(Gallery(tmp_path, "county"))


def test_verifying_changes_nothing(gallery):
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in gallery.folder.rglob("*")}
    verify_gallery(gallery)
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in gallery.folder.rglob("*")} == before
    assert len(rows_of(gallery)) == 9


def reseal(folder, name, content):
    import hashlib

    (folder / name).write_bytes(content)
    files = json.loads((folder / "index.json").read_text())["files"]
    files[name] = {"bytes": len(content), "digest": hashlib.sha256(content).hexdigest()}
    restate(folder, files=files)


def restate(folder, **changes):
    about = {name: value for name, value in read_sealed(folder / "index.json").items() if name != "seal"}
    write_sealed(folder / "index.json", {**about, **changes})
