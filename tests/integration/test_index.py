"""`afterfact index`, from the archive to the gallery, as a process of its own."""

import csv
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import copy_home, done, make_home, run_afterfact
from indexing import content_of, index_archive, rows_of, search_files

from indexer.gallery import Gallery, read_sealed
from indexer.verify import verify_gallery

CRASHING = str(Path(__file__).parent.parent / "crashing")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    return make_home(tmp_path_factory.mktemp("fresh"))


@pytest.fixture
def home(fresh, tmp_path):
    """A data home without galleries, copied: making one takes three commands."""
    return copy_home(fresh, tmp_path / "house")


@pytest.fixture
def archive(clean_photos, tmp_path):
    """Six photos of three people, a list of them, and a file that is no photo."""
    folder = tmp_path / "archive"
    folder.mkdir()
    lines = ["photo,subject,encounter,taken,disposition,height"]
    for person in sorted(clean_photos.glob("S*"))[:3]:
        for number, path in enumerate(sorted(person.glob("*.jpg"))[:2], start=1):
            shutil.copy(path, folder)
            lines.append(f"{path.name},{person.name},{number},2020-06-10,charged,180")
    (folder / "broken.jpg").write_bytes(b"no photo")
    (folder / "list.csv").write_text("\n".join([*lines, "broken.jpg,X,1,,,"]) + "\n")
    return folder


def index(home, *arguments, **environment):
    return home.run("index", "--gallery", "county", *arguments, credential=home.operator, **environment)


def gallery_of(home):
    return Gallery(home.path, "county")


def assert_whole(gallery):
    assert [finding for finding in verify_gallery(gallery) if finding.problem] == []


def assert_adds_up(out, planned):
    """Reads the table of an account as a person would."""
    counts = {}
    for line in out.splitlines():
        cells = [cell.strip() for cell in line.split("  ") if cell.strip()]
        if len(cells) >= 2 and cells[1].replace(",", "").isdigit():
            counts[cells[0]] = int(cells[1].replace(",", ""))
    assert counts.pop("planned") == sum(counts.values()) == planned
    assert counts["rejected: UNREADABLE_IMAGE"] == 1


def test_every_spoiled_file_is_accounted_for_by_name_and_reason(indexed_home, drawn):
    gallery = gallery_of(indexed_home)
    (account,) = [read_sealed(path) for path in gallery.accounts.glob("*.json")]
    accounting = account["accounting"]
    parts = ("enrolled", "rejected_total", "duplicates", "held", "updated", "suppressed")
    assert accounting["planned"] == drawn.photos + len(drawn.spoiled) == sum(accounting[part] for part in parts)
    (listing,) = gallery.accounts.glob("*.rejections.csv")
    rejected = {line["photo"]: line for line in csv.DictReader(io.StringIO(listing.read_bytes().decode(), newline=""))}
    assert len(rejected) == accounting["rejected_total"] + accounting["duplicates"]
    rows = rows_of(gallery)
    for spoiled in drawn.spoiled:
        photo = f"photos/spoiled/{spoiled.name}"
        outcome = rejected[photo]["rejected_as"] if photo in rejected else rows[photo]["outcome"]
        assert outcome in spoiled.expected, spoiled.name
        assert (photo in rejected) == (outcome != "ENROLLED")
        assert outcome == "ENROLLED" or rejected[photo]["rejected_because"]
    assert_whole(gallery)


def test_a_second_run_adds_nothing_and_says_so(indexed_home, drawn):
    gallery = gallery_of(indexed_home)
    before = content_of(gallery.table) | content_of(gallery.index)
    ended = done(index(indexed_home, "--archive", drawn.list_path, "--quiet"))
    assert "Nothing to add: gallery 'county' stays as it is." in ended.out
    assert ended.err == ""
    account = read_sealed(sorted(gallery.accounts.glob("*.json"))[-1])
    assert account["version"] is None
    # A file that is missing is tried again by every run.
    assert account["accounting"]["rejected"] == {"MISSING_FILE": 1}
    assert account["accounting"]["held"] == account["accounting"]["planned"] - 1
    assert content_of(gallery.table) | content_of(gallery.index) == before


def test_changed_columns_are_one_new_version_and_no_new_embedding(archive, tmp_path):
    gallery = Gallery(tmp_path / "home", "county")
    index_archive(gallery.home, archive / "list.csv")
    before = rows_of(gallery)
    text = (archive / "list.csv").read_text()
    (archive / "list.csv").write_text(text.replace("charged", "released", 2).replace(",180", ",181", 1))
    indexed = index_archive(gallery.home, archive / "list.csv")
    assert (indexed.accounting.updated, indexed.accounting.enrolled, indexed.looked_at_now) == (2, 0, 0)
    assert gallery.version_numbers() == [0, indexed.version.number]
    after = rows_of(gallery)
    changed = [photo for photo in after if after[photo] != before[photo]]
    assert len(changed) == 2
    for photo in changed:
        columns = {name for name in after[photo] if after[photo][name] != before[photo][name]}
        assert columns <= {"disposition", "further"}
    assert search_files(gallery, 0)[0] == search_files(gallery)[0]
    assert "released" in search_files(gallery)[1]["disposition"].to_pylist()
    assert json.loads(after["S0001-1.jpg"]["further"]) == {"height": "181"}
    assert_whole(gallery)


def test_a_replaced_file_is_enrolled_anew_and_a_mended_one_by_the_printed_command(home, archive, clean_photos):
    first = index(home, "--archive", archive / "list.csv")
    assert_adds_up(done(first).out, planned=7)
    printed = next(line for line in first.out.splitlines() if line.startswith("To look at the rejected once more:"))
    before = rows_of(gallery_of(home))
    shutil.copy(sorted(clean_photos.glob("S0009/*.jpg"))[0], archive / "S0001-1.jpg")
    shutil.copy(sorted(clean_photos.glob("S0010/*.jpg"))[0], archive / "broken.jpg")
    command = shlex.split(printed.partition(": ")[2])
    assert command[0] == "afterfact"
    told = done(run_afterfact(*command[1:], "--json", credential=home.operator)).json()
    assert told["accounting"]["planned"] == told["accounting"]["enrolled"] == 1
    told = done(index(home, "--archive", archive / "list.csv", "--json")).json()
    assert told["accounting"]["enrolled"] == 1
    after = rows_of(gallery_of(home))
    assert len(after) == len(before) == 7
    assert after["broken.jpg"]["subject"] == "X"
    assert after["S0001-1.jpg"]["photo_digest"] != before["S0001-1.jpg"]["photo_digest"]
    assert after["S0001-1.jpg"]["embedding"] != before["S0001-1.jpg"]["embedding"]
    assert after["S0002-1.jpg"] == before["S0002-1.jpg"]
    assert_whole(gallery_of(home))


def test_a_list_of_rejections_with_a_conflicting_line_changes_no_record(archive, tmp_path):
    gallery = Gallery(tmp_path / "home", "county")
    with open(archive / "list.csv", "a") as stream:
        stream.write("S0001-1.jpg,S0002,9,,,\n")
    assert index_archive(gallery.home, archive / "list.csv").accounting.duplicates == 1
    before = rows_of(gallery)
    (rejections,) = gallery.accounts.glob("*.rejections.csv")
    assert "there under subject 'S0001'" in rejections.read_text()
    again = index_archive(gallery.home, rejections, root=archive, retry_rejected=True)
    assert (again.accounting.planned, again.accounting.updated) == (1, 0)
    after = rows_of(gallery)
    assert {photo: after[photo] for photo in after if photo != "broken.jpg"} == {
        photo: before[photo] for photo in before if photo != "broken.jpg"
    }


def test_a_real_crash_in_a_decoder_ends_neither_job_nor_neighbours(home, archive):
    for name in ("S0001-2.jpg", "S0003-1.jpg"):
        with open(archive / name, "ab") as stream:
            stream.write(b"CRASH")
    told = done(
        index(home, "--archive", archive / "list.csv", "--segment-photos", 3, "--json", PYTHONPATH=CRASHING)
    ).json()
    assert told["accounting"]["rejected"] == {"DECODER_CRASH": 2, "UNREADABLE_IMAGE": 1}
    assert told["accounting"]["enrolled"] == 4
    row = rows_of(gallery_of(home))["S0001-2.jpg"]
    assert (row["outcome"], row["detail"]) == ("DECODER_CRASH", "the decoder died of SIGSEGV")


def test_more_rejections_than_the_limit_are_exit_4_and_published_all_the_same(home, archive, tmp_path):
    saved = tmp_path / "rejected.csv"
    ended = index(home, "--archive", archive / "list.csv", "--limit-rejected", "10%", "--rejections", saved, "--json")
    assert ended.code == 4
    assert "14.3% of the photos looked at were rejected; the limit is 10.0%" in ended.err
    assert ended.json()["version"] == 0
    assert "broken.jpg" in saved.read_text()


def test_a_dry_run_tells_and_writes_nothing(home, archive):
    told = done(index(home, "--archive", archive / "list.csv", "--dry-run", "--json")).json()
    assert (told["planned"], told["to_look_at"], told["held"]) == (7, 7, 0)
    assert told["bytes"] == sum(path.stat().st_size for path in archive.glob("*.jpg"))
    assert told["seconds"] > 0
    assert not list(home.path.glob("galleries/*"))
    index_archive(home.path, archive)
    before = content_of(home.path / "galleries")
    shutil.copy(archive / "S0001-1.jpg", archive / "new.jpg")
    ended = done(index(home, "--archive", archive, "--dry-run"))
    assert "dry run: nothing is indexed" in ended.out
    assert "1 .csv" in ended.out
    assert content_of(home.path / "galleries") == before


def test_worker_processes_by_beams_own_flags(home, archive):
    flags = ("--", "--direct_running_mode=multi_processing", "--direct_num_workers=2")
    told = done(index(home, "--archive", archive, "--segment-photos", 2, "--json", *flags)).json()
    assert told["accounting"]["enrolled"] == 6
    assert_whole(gallery_of(home))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--galery", "x"], "--galery"),
        (["--", "--no_such_flag=1"], "Beam knows no flag --no_such_flag"),
        (["--", "--runner=DaskRunner"], "DaskRunner is refused: it reports success and loses data"),
        (["--", "--runner=DirectRunner"], "DirectRunner is refused"),
        (["--limit", "min_eye_distance"], "give NAME=NUMBER"),
        (["--limit", "min_eye_distanse=4"], "did you mean 'min_eye_distance'"),
        (["--limit-rejected", "many"], "limit_rejected is 'many'"),
        (["--workers", "-1"], "workers is -1"),
        (["--rejections", "/nowhere/at/all.csv"], "its folder does not exist"),
        (["--archive", "/nowhere"], "/nowhere does not exist"),
        (["--gallery", "A B"], "gallery name 'A B' is not allowed"),
    ],
)
def test_bad_input_is_exit_2_with_its_name_and_makes_nothing(home_of_nobody, archive, arguments, says, capsys):
    import afterfact

    with pytest.raises(SystemExit) as ended:
        afterfact.main(
            ["--home", str(home_of_nobody), "index", "--gallery", "county", "--archive", str(archive), *arguments]
        )
    printed = capsys.readouterr()
    assert ended.value.code == 2
    assert says in printed.err
    assert len(printed.err.splitlines()) == 1
    assert not home_of_nobody.exists()


@pytest.fixture
def home_of_nobody(tmp_path):
    return tmp_path / "none"


def test_without_a_credential_nothing_is_indexed(home, archive):
    ended = home.run("index", "--gallery", "county", "--archive", archive)
    assert ended.code == 2
    assert "no credential: set AFTERFACT_CREDENTIAL or give --credential-file FILE" in ended.err
    assert not list(home.path.glob("galleries/*"))


def test_two_galleries_of_one_archive_are_the_same(archive, tmp_path):
    """Same vectors, same labels, whatever the segments."""
    for name, size in (("one", 2), ("two", 5)):
        index_archive(tmp_path / name, archive / "list.csv", segment_photos=size)
    one, two = (Gallery(tmp_path / name, "county") for name in ("one", "two"))
    assert search_files(one)[0] == search_files(two)[0]
    labels = [search_files(gallery)[1].drop_columns(["row"]) for gallery in (one, two)]
    assert labels[0].equals(labels[1])


def test_of_two_runs_at_once_one_waits_its_turn_or_says_why_not(home, archive):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AFTERFACT_")}
    environment["AFTERFACT_CREDENTIAL"] = home.operator.read_text().strip()
    command = [sys.executable, "-m", "afterfact", "--home", str(home.path), "index", "--gallery", "county", "--archive"]
    heard = {"env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    runs = [subprocess.Popen([*command, str(one)], **heard) for one in (archive / "list.csv", archive)]
    ended = [(run.communicate(timeout=200), run.returncode) for run in runs]
    codes = sorted(code for _, code in ended)
    assert codes in ([0, 0], [0, 1])
    for (_, err), code in ended:
        if code:
            assert "another run is at work on gallery 'county'; wait for it to end" in err
    gallery = gallery_of(home)
    assert_whole(gallery)
    assert len(gallery.version_numbers()) == codes.count(0)


def test_names_of_every_kind_are_found_again(clean_photos, tmp_path):
    gallery, folder = Gallery(tmp_path / "home", "county"), tmp_path / "odd"
    folder.mkdir()
    photos = sorted(clean_photos.glob("S*/*.jpg"))
    names = ["a b.jpg", 'it\'s "q".jpg', "two\nlines.jpg", "😀.jpg", "%41.jpg", "-rf.jpg", os.fsdecode(b"caf\xe9.jpg")]
    for name, photo in zip(names, photos[::4], strict=False):
        shutil.copy(photo, folder / name)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "new\rline.jpg").write_bytes(b"no photo")
    rejected = {"UNREADABLE_FILE": 1, "UNREADABLE_IMAGE": 1}
    first = index_archive(gallery.home, folder)
    assert (first.accounting.enrolled, first.accounting.rejected) == (len(names), rejected)
    (rejections,) = gallery.accounts.glob("*.rejections.csv")
    again = index_archive(gallery.home, rejections, root=folder, retry_rejected=True)
    assert (again.accounting.planned, again.accounting.rejected) == (2, rejected)
    assert index_archive(gallery.home, folder).accounting.held == len(names) + 1
