"""Members of zip and tar files are listed whole and read in place, or it is said why not; never another's bytes."""

import io
import os
import stat
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib

import pytest

from foundation.errors import InputError
from indexer.containers import ArchiveError
from indexer.job import IndexJob
from indexer.limits import Limits
from indexer.listing import list_archive
from indexer.locations import Member, location_of, photo_at
from indexer.members import CHANGED
from indexer.outcomes import Outcome, Rejection
from indexer.photo import read_photo

PHOTOS = {"S1/a.jpg": b"one" * 500, "S1/b.PNG": b"two" * 700, "top.webp": b""}


def write_zip(path, members, method=zipfile.ZIP_DEFLATED):
    """members: (name or ZipInfo, content) pairs; a name may come twice."""
    with zipfile.ZipFile(path, "w", method) as target:
        for name, content in members:
            target.writestr(name, content)
    return path


def write_tar(path, members, form=tarfile.PAX_FORMAT):
    """members: (name or TarInfo, content) pairs."""
    with tarfile.open(path, "w", format=form, errors="surrogateescape") as target:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content)
            target.addfile(info, io.BytesIO(content))
    return path


WRITERS = {
    "stored.zip": lambda path, members: write_zip(path, members, zipfile.ZIP_STORED),
    "deflated.zip": write_zip,
    "pax.tar": write_tar,
    "gnu.tar": lambda path, members: write_tar(path, members, tarfile.GNU_FORMAT),
}


def listed(path, **fields):
    return list_archive(IndexJob(gallery="g", archive=path, **fields))


def members_of(path, **fields):
    """Returns every listed photo by its name, as it is read."""
    return {row["photo"]: photo_at(row["location"], row["place"]) for row in listed(path, **fields).photos.to_pylist()}


def outcome_of(photo, **limits):
    try:
        return read_photo(photo, None, Limits(**limits))
    except Rejection as rejection:
        return rejection.outcome.value, rejection.detail


def overwrite(path, old, new, count=1):
    content = path.read_bytes()
    assert content.count(old) >= count
    path.write_bytes(content.replace(old, new, count))


@pytest.fixture(params=sorted(WRITERS))
def container(request, tmp_path):
    """Returns a function that packs members, for every kind of container."""
    return lambda members: WRITERS[request.param](tmp_path / request.param, members)


def test_photos_are_listed_as_in_a_folder_and_read_in_place(container):
    path = container([*PHOTOS.items(), ("notes.txt", b"x"), ("S1/.DS_Store", b"x")])
    listing = listed(path, folder_subjects=True)
    rows = listing.photos.to_pylist()
    assert [(row["photo"], row["subject"], row["bytes"]) for row in rows] == [
        ("S1/a.jpg", "S1", 1500),
        ("S1/b.PNG", "S1", 2100),
        ("top.webp", None, 0),
    ]
    assert listing.left_out == {".txt": 1, "(none)": 1}
    assert {name: read_photo(photo, path.parent, Limits()) for name, photo in members_of(path).items()} == PHOTOS


def test_the_location_is_the_name_and_the_place_moves(container):
    """An archive packed anew keeps its photos' identities."""
    before = listed(container(PHOTOS.items())).photos.to_pylist()
    after = listed(container([("new.jpg", b"x"), *reversed(PHOTOS.items())])).photos.to_pylist()
    assert {row["location"] for row in before} < {row["location"] for row in after}
    places = {row["location"]: row["place"] for row in after}
    assert all(places[row["location"]] != row["place"] for row in before)


@pytest.mark.parametrize("name", ["a b#c%41.jpg", "é😀.jpg", "x" * 150 + "/" + "y" * 150 + ".jpg", "new\nline.jpg"])
def test_any_name_is_found_again(container, name):
    [(photo, member)] = members_of(container([(name, b"content")])).items()
    assert (photo, member.name) == (name, name)
    assert read_photo(member, None, Limits()) == b"content"


def test_a_hash_in_a_files_own_name_names_no_member(tmp_path):
    path = tmp_path / "pho#tos.zip"
    [member] = members_of(write_zip(path, [("a#b.jpg", b"1")])).values()
    assert (member.container, member.name) == (str(path), "a#b.jpg")
    assert photo_at(location_of("/x#y.jpg")) == "/x#y.jpg"


def test_a_tar_name_that_is_no_text_is_found_again(tmp_path):
    name = os.fsdecode(b"caf\xe9.jpg")
    [(photo, member)] = members_of(write_tar(tmp_path / "a.tar", [(name, b"1")], tarfile.GNU_FORMAT)).items()
    assert (photo, member.name) == (r"caf\xe9.jpg", name)
    assert read_photo(member, None, Limits()) == b"1"


def test_zip_names_of_other_systems_are_read(tmp_path):
    """UTF-8 that is not marked as such, an old code page, and backslashes."""
    path = write_zip(tmp_path / "a.zip", [("S1/XXXX.jpg", b"1"), ("S2/YYY.jpg", b"2"), ("S3/c.jpg", b"3")])
    overwrite(path, b"XXXX", "éé".encode(), 2)
    overwrite(path, b"YYY", b"\x82YY", 2)
    overwrite(path, b"S3/", b"S3\\", 2)
    photos = members_of(path)
    assert list(photos) == ["S1/éé.jpg", "S2/éYY.jpg", "S3/c.jpg"]
    assert [read_photo(photo, None, Limits()) for photo in photos.values()] == [b"1", b"2", b"3"]


def test_a_leading_dot_makes_no_other_photo(container):
    assert list(members_of(container([("./S1/a.jpg", b"1")]))) == ["S1/a.jpg"]


def test_zip64_and_streamed_members_are_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as target:
        with target.open("a.jpg", "w", force_zip64=True) as stream:
            stream.write(b"one")
        info = zipfile.ZipInfo("b.jpg")
        info.extra = struct.pack("<HH", 0xCAFE, 4000) + bytes(4000)  # more than is read ahead
        target.writestr(info, b"two")
    command = [
        sys.executable,
        "-c",
        "import sys, zipfile; zipfile.ZipFile(sys.stdout.buffer, 'w').writestr('c.jpg', 'three')",
    ]
    (tmp_path / "b.zip").write_bytes(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    read = [
        read_photo(photo, None, Limits()) for name in "ab" for photo in members_of(tmp_path / f"{name}.zip").values()
    ]
    assert read == [b"one", b"two", b"three"]


def test_a_directory_in_zip64s_form_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)  # of the writer: as from 65,535 members on
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)  # as from 2 GiB on
    path = write_zip(tmp_path / "a.zip", PHOTOS.items(), zipfile.ZIP_STORED)
    assert b"PK\x06\x06" in path.read_bytes()
    assert {name: read_photo(photo, None, Limits()) for name, photo in members_of(path).items()} == PHOTOS


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_two_members_of_one_name_the_last_counts_and_the_first_is_told(container):
    path = container([("S1/a.jpg", b"old"), ("S2/b.jpg", b"b"), ("S1/a.jpg", b"new")])
    listing = listed(path, folder_subjects=True)
    assert listing.repeated == [("S1/a.jpg", "S1", "a later member of the same name stands in its place")]
    photos = members_of(path)
    assert read_photo(photos["S1/a.jpg"], None, Limits()) == b"new"
    assert len(photos) == 2


def test_what_is_no_plain_file_in_a_tar_is_told(tmp_path):
    members = []
    for name, kind in (("link.jpg", tarfile.SYMTYPE), ("hard.jpg", tarfile.LNKTYPE), ("pipe.jpg", tarfile.FIFOTYPE)):
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, "/etc/passwd"
        members.append((info, b""))
    folder = tarfile.TarInfo("folder.jpg")
    folder.type = tarfile.DIRTYPE
    listing = listed(write_tar(tmp_path / "a.tar", [*members, (folder, b"")]))
    assert listing.left_out == {"folders": 1}
    told = [outcome_of(photo_at(row["location"], row["place"])) for row in listing.photos.to_pylist()]
    assert told == [
        ("UNREADABLE_FILE", "is a link, and links in an archive are not followed"),
        ("UNREADABLE_FILE", "is a link, and links in an archive are not followed"),
        ("UNREADABLE_FILE", "is not a regular file"),
    ]


def test_what_is_no_plain_file_in_a_zip_is_told(tmp_path):
    members = []
    for name, mode in (("link.jpg", stat.S_IFLNK), ("device.jpg", stat.S_IFCHR)):
        info = zipfile.ZipInfo(name)
        info.external_attr = (mode | 0o644) << 16
        members.append((info, b"/etc/passwd"))
    path = write_zip(tmp_path / "a.zip", [*members, ("folder.jpg/", b""), ("secret.jpg", b"x")], zipfile.ZIP_LZMA)
    [*told, secret] = [outcome_of(photo) for photo in members_of(path).values()]
    assert told == [
        ("UNREADABLE_FILE", "is a link, and links in an archive are not followed"),
        ("UNREADABLE_FILE", "is not a regular file"),
    ]
    assert secret == (
        "UNREADABLE_FILE",
        "is compressed by method 14, and only stored and deflated members can be read",
    )
    assert listed(path).left_out == {"folders": 1}


def test_an_encrypted_member_is_told(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("a.jpg", b"x")])
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert outcome_of(members_of(path)["a.jpg"]) == ("UNREADABLE_FILE", "is encrypted")


@pytest.mark.parametrize("name", ["/etc/a.jpg", "../a.jpg", "S1/../../a.jpg"])
def test_a_name_that_leads_out_is_rejected(container, name):
    [member] = members_of(container([(name, b"x")])).values()
    assert outcome_of(member)[0] == "OUTSIDE_ARCHIVE"


def test_a_container_outside_the_root_gives_nothing(tmp_path):
    path = write_zip(tmp_path / "a.zip", PHOTOS.items())
    photos = members_of(path)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a.zip").symlink_to(path)
    leading_out = photos["S1/a.jpg"]._replace(container=str(tmp_path / "root" / "a.zip"))
    with pytest.raises(Rejection) as raised:
        read_photo(leading_out, tmp_path / "root", Limits())
    assert raised.value.outcome is Outcome.OUTSIDE_ARCHIVE


def test_a_linked_container_is_read_where_it_lies(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "a.zip").symlink_to(write_zip(tmp_path / "elsewhere" / "b.zip", PHOTOS.items()))
    job = IndexJob(gallery="g", archive=tmp_path / "a.zip")
    rows = list_archive(job).photos.to_pylist()
    assert read_photo(photo_at(rows[0]["location"], rows[0]["place"]), job.archive_root, Limits()) == PHOTOS["S1/a.jpg"]


def test_the_byte_limit_holds_whatever_the_header_says(container, tmp_path):
    [member] = members_of(container([("a.jpg", bytes(100_000))])).values()
    assert outcome_of(member, max_bytes=99_999)[0] == "IMAGE_TOO_LARGE"
    assert outcome_of(member, max_bytes=100_000) == bytes(100_000)


def test_a_bomb_whose_header_lies_is_stopped_at_the_limit(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("a.jpg", bytes(20_000_000))])
    overwrite(path, struct.pack("<L", 20_000_000), struct.pack("<L", 10), 2)
    assert listed(path).photos["bytes"].to_pylist() == [10]
    assert outcome_of(members_of(path)["a.jpg"], max_bytes=1_000_000) == (
        "IMAGE_TOO_LARGE",
        "inflates to more than the limit of 1,000,000 bytes",
    )


def test_a_size_that_deflate_cannot_reach_is_not_believed(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("a.jpg", b"123456789")], zipfile.ZIP_STORED)
    content = path.read_bytes()
    at = content.index(b"PK\x01\x02") + 24
    path.write_bytes(content[:at] + struct.pack("<L", 2**32 - 2) + content[at + 4 :])
    assert listed(path).photos["bytes"].to_pylist() == [9 * 1032]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_torn_zip_members_are_told(tmp_path, method):
    path = write_zip(tmp_path / "a.zip", [("a.jpg", os.urandom(3000)), ("b.jpg", b"b")], method)
    photos = members_of(path)
    content = bytearray(path.read_bytes())
    for at in (100, 1500, 2900):
        torn = bytearray(content)
        torn[at] ^= 0xFF
        path.write_bytes(torn)
        assert outcome_of(photos["a.jpg"])[0] == "UNREADABLE_FILE"
        assert outcome_of(photos["b.jpg"]) == b"b"
    path.write_bytes(content[:2000])
    assert outcome_of(photos["a.jpg"])[0] == "UNREADABLE_FILE"
    assert outcome_of(photos["b.jpg"]) == ("MISSING_FILE", CHANGED)


def test_a_container_that_changed_gives_nobody_anothers_photo(container):
    path = container([("a.jpg", b"first" * 99), ("b.jpg", b"other" * 99)])
    photos = members_of(path)
    container([("b.jpg", b"other" * 99), ("a.jpg", b"first" * 99)])
    assert {outcome_of(photo) for photo in photos.values()} == {("MISSING_FILE", CHANGED)}
    path.write_bytes(b"")
    assert {outcome_of(photo) for photo in photos.values()} == {("MISSING_FILE", CHANGED)}
    path.unlink()
    assert {outcome_of(photo) for photo in photos.values()} == {("MISSING_FILE", "no such file")}


def test_a_member_of_the_old_place_with_other_bytes_is_told(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("a.jpg", b"first")], zipfile.ZIP_STORED)
    photo = members_of(path)["a.jpg"]
    write_zip(path, [("a.jpg", b"other")], zipfile.ZIP_STORED)
    assert outcome_of(photo)[0] == "UNREADABLE_FILE"


def test_a_tar_member_cut_short_is_told(tmp_path):
    path = write_tar(tmp_path / "a.tar", [("a.jpg", b"x" * 3000)])
    photo = members_of(path)["a.jpg"]
    path.write_bytes(path.read_bytes()[:2000])
    assert outcome_of(photo) == ("UNREADABLE_FILE", "the member is cut short")


def test_a_place_that_is_not_understood_is_told():
    assert outcome_of(Member(__file__, "a.jpg", ""))[0] == "UNREADABLE_FILE"


def test_a_container_cut_off_anywhere_is_an_error(container):
    path = container([("a.jpg", b"x" * 3000), ("b.jpg", b"y" * 10), ("c.jpg", b"z" * 600)])
    whole = path.read_bytes().rstrip(b"\0")
    for share in (0, 0.1, 0.3, 0.5, 0.7, 0.95):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ArchiveError, match=r"is not a whole (zip|tar) file .*fetch or pack it again"):
            listed(path)


def test_a_tar_that_ends_between_two_members_is_an_error(tmp_path):
    path = write_tar(tmp_path / "a.tar", [("a.jpg", b"x" * 512), ("b.jpg", b"y" * 512)])
    path.write_bytes(path.read_bytes()[:1024])
    with pytest.raises(ArchiveError, match="no header and no end mark at byte 1,024"):
        listed(path)


def test_a_torn_tar_header_ends_no_listing_in_silence(tmp_path):
    path = write_tar(tmp_path / "a.tar", [("a.jpg", b"x"), ("b.jpg", b"y"), ("c.jpg", b"z")])
    overwrite(path, b"b.jpg", b"q.jpg")
    with pytest.raises(ArchiveError, match="no header and no end mark"):
        listed(path)


@pytest.mark.parametrize("kind", ["stored.zip", "pax.tar"])
def test_two_archives_in_one_file_are_an_error(tmp_path, kind):
    """Readers take the first of two tars and the last of two zips, and say nothing of the other."""
    one, two = (WRITERS[kind](tmp_path / f"{name}-{kind}", [(f"{name}.jpg", b"x")]) for name in "ab")
    one.write_bytes(one.read_bytes() + two.read_bytes())
    with pytest.raises(ArchiveError, match="would be left out"):
        listed(one)


def test_members_that_lie_over_each_other_are_an_error(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("a.jpg", b"x" * 50), ("b.jpg", b"y" * 50)], zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    second = content.rindex(b"PK\x01\x02")
    struct.pack_into("<L", content, second + 42, 0)
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match=r"'b\.jpg' lies over another member"):
        listed(path)


def test_flipped_bytes_never_give_other_bytes_under_a_name(tmp_path):
    """Zip: an error, a rejection, or the very content. (A tar has no checksum over contents, as a folder has none.)"""
    members = {f"{name}.jpg": os.urandom(20) * 3 for name in "ab"}
    path = write_zip(tmp_path / "a.zip", members.items())
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :])
        try:
            listing = listed(path)
        except ArchiveError:
            continue
        known = {zlib.crc32(content) for content in members.values()}
        for row in listing.photos.to_pylist():
            read = outcome_of(photo_at(row["location"], row["place"]))
            assert isinstance(read, tuple) or zlib.crc32(read) in known
        assert listing.photos.num_rows + sum(listing.left_out.values()) + len(listing.repeated) == 2


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz", "a.TAR.BZ2", "a.tar.xz", "a.tar.zst", "a.7z", "a.rar"])
def test_what_is_compressed_as_a_whole_is_refused_with_the_remedy(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(
        InputError, match=r"compressed as a whole.*unpack it into a folder, or pack it again as \.zip or"
    ):
        listed(tmp_path / name)


def test_a_folder_may_be_named_like_a_container(tmp_path):
    (tmp_path / "a.zip").mkdir()
    (tmp_path / "a.zip" / "x.jpg").write_bytes(b"x")
    assert listed(tmp_path / "a.zip").photos["place"].to_pylist() == [None]


def test_odd_times_are_no_hindrance(tmp_path):
    content = bytearray(write_zip(tmp_path / "a.zip", [("a.jpg", b"x")]).read_bytes())
    struct.pack_into("<HH", content, content.index(b"PK\x01\x02") + 12, 0, 0)
    (tmp_path / "a.zip").write_bytes(content)
    infos = [tarfile.TarInfo(f"{number}.jpg") for number in range(3)]
    infos[0].mtime = 1_600_000_000.5
    infos[1].pax_headers = {"mtime": "nan"}
    infos[2].pax_headers = {"mtime": "1e300"}
    write_tar(tmp_path / "a.tar", [(info, b"") for info in infos])
    assert listed(tmp_path / "a.zip").photos["modified"].to_pylist() == [0]
    assert listed(tmp_path / "a.tar").photos["modified"].to_pylist() == [1_600_000_000_500_000_000, 0, 0]
