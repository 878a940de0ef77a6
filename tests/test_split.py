"""Who is enrolled and who is searched for."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.samples import Sample, read_list
from evaluation.split import given_split, require_no_twins, split_samples
from foundation.errors import InputError


def people(subjects, encounters, photos=1):
    """Returns photos of subjects, as many an encounter."""
    return [
        Sample(f"{subject}-{encounter}-{photo}", f"/{subject}-{encounter}-{photo}", f"S{subject}", str(encounter))
        for subject in range(subjects)
        for encounter in range(encounters)
        for photo in range(photos)
    ]


def test_a_manifest_splits_itself_by_subject_and_encounter():
    samples = people(20, 3, photos=2)

    split = split_samples(samples, 0.25, 7, "archive.csv")

    enrolled = {(samples[place].subject, samples[place].encounter) for place in split.enrolled}
    probed = [(samples[place].subject, samples[place].encounter) for place in split.probes]
    there = {subject for subject, _ in enrolled}
    assert len(split.probes) == 20
    assert split.mated.tolist().count(False) == 5
    assert not enrolled & set(probed)  # the held out encounter is held out whole
    assert [subject in there for subject, _ in probed] == split.mated.tolist()
    assert len(split.enrolled) == 15 * 2 * 2


def test_a_seed_makes_the_same_split_and_another_makes_another():
    samples = people(20, 3)

    first, again, other = (split_samples(samples, 0.3, seed, "archive.csv") for seed in (1, 1, 2))

    assert first.probes.tolist() == again.probes.tolist() != other.probes.tolist()
    assert first.says.startswith("By seed 1: 6 of 20 subjects are kept out")


def test_subjects_with_one_encounter_are_enrolled_or_strangers():
    samples = [*people(10, 2), *(Sample(f"x{n}", f"/x{n}", f"X{n}", "1") for n in range(10))]

    split = split_samples(samples, 0.4, 1, "archive.csv")

    mated = {samples[place].subject for place, is_mated in zip(split.probes, split.mated, strict=True) if is_mated}
    assert mated
    assert all(one.startswith("S") for one in mated)


def test_without_encounters_each_photo_is_one():
    samples = [Sample(f"{s}-{n}", f"/{s}-{n}", f"S{s}") for s in range(6) for n in range(2)]

    assert split_samples(samples, 0.5, 1, "photos").mated.tolist().count(True) == 3


@pytest.mark.parametrize(
    ("samples", "share", "says"),
    [
        (people(5, 1), 0.3, "none of the 5 subjects of archive.csv has two encounters"),
        (people(5, 2), 0.0, "no probe of archive.csv is of a subject that is not enrolled"),
        (people(5, 2), 1.0, "no probe of archive.csv is of a subject that is enrolled"),
    ],
)
def test_a_manifest_of_one_class_is_refused(samples, share, says):
    with pytest.raises(InputError, match=says):
        split_samples(samples, share, 1, "archive.csv")


GALLERY = people(3, 1)
PROBES = [Sample("p0", "/p0", "S0", "9"), Sample("p1", "/p1", "S9", "9")]


def test_lists_tell_who_is_enrolled():
    split = given_split(GALLERY, PROBES, [Sample("x", "/x")], "probes.csv")

    assert split.mated.tolist() == [True, False, False]
    assert [split.samples[place].name for place in split.probes] == ["p0", "p1", "x"]
    assert len(split.enrolled) == 3


@pytest.mark.parametrize(
    ("probes", "strangers", "says"),
    [
        (PROBES, [Sample("x", "/x", "S1")], "subject 'S1' of the non-mated list is enrolled, too"),
        ([*PROBES, GALLERY[1]], [], "photo '1-0-0' is on both sides of the split"),
        ([*PROBES, Sample("y", "/y", "S1", "0")], [], "encounter '0' of subject 'S1' is on both sides"),
        (PROBES[:1], [], "no probe of probes.csv is of a subject that is not enrolled"),
        (PROBES[1:], [], "no probe of probes.csv is of a subject that is enrolled"),
    ],
)
def test_lists_with_somebody_on_both_sides_or_of_one_class_are_refused(probes, strangers, says):
    with pytest.raises(InputError, match=says):
        given_split(GALLERY, probes, strangers, "probes.csv")


def test_one_photo_under_two_names_is_told_by_its_bytes():
    split = given_split(GALLERY, PROBES, [], "probes.csv")

    require_no_twins(split, ["a", "b", "c", "d", "e"])
    with pytest.raises(InputError, match="probe p1 is the same file as 1-0-0, which is enrolled"):
        require_no_twins(split, ["a", "b", "c", "d", "b"])


def test_a_list_carries_every_column_and_needs_subjects(tmp_path: Path):
    (tmp_path / "a.jpg").touch()
    listed, bare = tmp_path / "with.csv", tmp_path / "without.csv"
    listed.write_text("photo,subject,encounter,sex,taken\na.jpg,S1,2,F,2020-01-01\n", "utf-8")
    bare.write_text("photo\na.jpg\n", "utf-8")

    (sample,) = read_list(listed, None, False, "ARCHIVE").samples
    assert (sample.subject, sample.encounter) == ("S1", "2")
    assert sample.columns == {"sex": "F", "taken": "2020-01-01"}
    with pytest.raises(InputError, match="names no subject for any of its 1 photos; it needs a column 'subject'"):
        read_list(bare, None, False, "ARCHIVE")
    assert len(read_list(bare, None, False, "--non-mated-list", subjects=False).samples) == 1


def test_a_list_that_names_missing_photos_is_refused_with_the_first_and_the_count(tmp_path: Path):
    listed = tmp_path / "list.csv"
    listed.write_text("photo,subject\na.jpg,S1\nb.jpg,S1\n", "utf-8")

    with pytest.raises(InputError, match=r"2 of the 2 photos of .* are missing, the first is a\.jpg"):
        read_list(listed, None, False, "ARCHIVE")
