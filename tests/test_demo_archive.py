"""The drawn archive: what is written, that it is always the same, and what the command refuses."""

import csv
import datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

import afterfact
from demo.archive import COLUMNS, draw_archive
from demo.commands import demo
from foundation.errors import InputError

SMALL = {"subjects": 3, "encounters": 2, "seed": 5}


def contents(folder):
    """Returns the bytes of every file below folder (of a link, where it leads), by name."""
    files = (path for path in sorted(Path(folder).rglob("*")) if path.is_symlink() or path.is_file())
    return {
        str(path.relative_to(folder)): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in files
    }


def read_list(folder):
    with open(folder / "archive.csv", encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    out = tmp_path_factory.mktemp("drawn") / "archive"
    draw_archive(out, **SMALL, workers=1)
    return out


def test_the_list_names_every_photo_once(drawn):
    rows = read_list(drawn)
    assert list(rows[0]) == COLUMNS
    plain = [row for row in rows if row["subject"].startswith("S")]
    assert [row["photo"] for row in plain[:3]] == [
        "photos/S0001/S0001-1.jpg",
        "photos/S0001/S0001-2.jpg",
        "photos/S0002/S0002-1.jpg",
    ]
    listed = {row["photo"] for row in rows}
    assert len(listed) == len(rows)
    on_disk = {name for name in contents(drawn) if name.startswith("photos")}
    assert listed - on_disk == {"photos/spoiled/never-written.jpg"}
    assert on_disk <= listed


def test_columns_hold_what_they_say(drawn):
    rows = read_list(drawn)
    times = [datetime.datetime.fromisoformat(row["taken"]) for row in rows]
    assert all(time.utcoffset() == datetime.timedelta(0) for time in times)
    assert times[0] < times[1]  # encounters of one subject follow one another
    assert rows[0]["height_cm"] == rows[1]["height_cm"]
    assert all(130 < int(row["height_cm"]) < 215 for row in rows)
    assert all(row["disposition"] for row in rows)


def test_spoiled_files_are_lines_with_subjects_of_their_own(drawn):
    subjects = [row["subject"] for row in read_list(drawn) if row["photo"].startswith("photos/spoiled/")]
    assert len(subjects) >= 30
    assert len(set(subjects)) == len(subjects)
    assert all(subject.startswith("X") for subject in subjects)


def test_probes_are_the_encounter_that_the_list_does_not_hold(drawn):
    files = contents(drawn)
    assert sorted(name for name in files if name.startswith("probes")) == [f"probes/S000{n}.jpg" for n in (1, 2, 3)]
    assert files["probes/S0001.jpg"] not in [content for name, content in files.items() if name.startswith("photos")]
    assert Image.open(drawn / "probes" / "S0001.jpg").size == (480, 600)


def test_about_says_that_everybody_is_invented_and_what_spoiled_files_should_become(drawn):
    about = (drawn / "ABOUT.txt").read_text(encoding="utf-8")
    assert "Every person in these pictures is invented" in about
    assert "--subjects 3 --encounters 2 --seed 5" in about
    assert "'two-people.jpg': MULTIPLE_FACES." in about


def test_two_workers_draw_the_same_bytes_as_one(drawn, tmp_path):
    seen = []
    draw_archive(tmp_path / "again", **SMALL, workers=2, on_progress=lambda *state: seen.append(state))
    assert contents(tmp_path / "again") == contents(drawn)
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_another_seed_draws_other_people(drawn, tmp_path):
    draw_archive(tmp_path, subjects=1, encounters=1, seed=6, workers=1, with_spoiled=False)
    assert contents(tmp_path)["photos/S0001/S0001-1.jpg"] != contents(drawn)["photos/S0001/S0001-1.jpg"]


def test_a_folder_that_holds_something_is_refused_and_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    for force in (False, True):
        with pytest.raises(InputError, match=r"'mine.txt'.*name a new folder"):
            draw_archive(tmp_path, **SMALL, workers=1, force=force)
    assert contents(tmp_path) == {"mine.txt": b"keep"}


def test_force_does_not_touch_photos_that_were_not_drawn(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "real.jpg").write_bytes(b"somebody's own")
    with pytest.raises(InputError, match="no drawn archive wrote"):
        draw_archive(tmp_path, **SMALL, workers=1, force=True)
    assert (tmp_path / "photos" / "real.jpg").exists()


def test_force_replaces_a_drawn_archive_whole(tmp_path):
    draw_archive(tmp_path, subjects=2, encounters=1, seed=1, workers=1, with_spoiled=False)
    with pytest.raises(InputError, match="add --force"):
        draw_archive(tmp_path, subjects=1, encounters=1, seed=1, workers=1, with_spoiled=False)
    draw_archive(tmp_path, subjects=1, encounters=1, seed=1, workers=1, with_spoiled=False, force=True)
    assert sorted(contents(tmp_path)) == ["ABOUT.txt", "archive.csv", "photos/S0001/S0001-1.jpg", "probes/S0001.jpg"]


def test_the_command_draws_and_says_what_it_wrote(tmp_path):
    out = tmp_path / "county"
    ran = CliRunner().invoke(
        demo, ["archive", str(out), "--subjects", "1", "--encounters", "2", "--no-spoiled", "--workers", "1"]
    )
    assert ran.exit_code == 0, ran.output
    assert "2 photos of 1 invented people and 0 bad or odd files" in ran.stdout
    assert str(out / "archive.csv") in ran.stdout
    assert "Drawing: 100%" in ran.stderr
    assert len(read_list(out)) == 2


def test_the_sheet_is_a_png(tmp_path):
    ran = CliRunner().invoke(demo, ["sheet", str(tmp_path / "faces.png"), "--subjects", "2"])
    assert ran.exit_code == 0, ran.output
    assert Image.open(tmp_path / "faces.png").format == "PNG"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["archive", "{out}", "--subjects", "0"], "--subjects"),
        (["archive", "{out}", "--encounters", "51"], "--encounters"),
        (["archive", "{out}", "--seed", "-1"], "--seed"),
        (["archive"], "OUT"),
        (["archive", "{file}"], "cannot be written"),
        (["archive", "{file}/below"], "cannot be written"),
        (["sheet", "{out}.jpg"], "does not end in .png"),
        (["sheet", "{out}/none/faces.png"], "cannot be written"),
    ],
)
def test_bad_input_is_refused_with_one_line(arguments, says, tmp_path, capsys):
    (tmp_path / "file").write_text("not a folder")
    filled = [part.format(out=tmp_path / "out", file=tmp_path / "file") for part in arguments]
    with pytest.raises(SystemExit) as ended:
        afterfact.main(["demo", *filled, *(["--subjects", "1"] if "sheet" in arguments else [])])
    printed = capsys.readouterr()
    assert ended.value.code == 2
    assert says in printed.err
    assert len(printed.err.splitlines()) == 1
