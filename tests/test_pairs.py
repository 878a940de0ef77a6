"""Lists of pairs: LFW's own and CSV, their folds, and what is refused before work begins."""

from __future__ import annotations

import pytest

from evaluation.pairs import read_pairs
from foundation.errors import InputError

LFW = "2\t1\nAnn\t1\t2\nAnn\t1\tBob\t1\nCy\t1\t2\nCy\t2\tDee\t1\n"


@pytest.fixture
def folder(tmp_path):
    """A folder with empty files where LFW has photos."""
    for name, count in (("Ann", 2), ("Bob", 1), ("Cy", 2), ("Dee", 1)):
        (tmp_path / name).mkdir()
        for number in range(1, count + 1):
            (tmp_path / name / f"{name}_{number:04d}.jpg").touch()
    return tmp_path


def written(folder, text, name="pairs.csv"):
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_lfws_pairs_are_read_with_folds_and_subjects(folder):
    pairs = read_pairs(written(folder, LFW, "pairs.txt"), None)

    named = [(pairs.samples[a].name, pairs.samples[b].name) for a, b in zip(pairs.first, pairs.second, strict=True)]
    assert named[1] == ("Ann/Ann_0001.jpg", "Bob/Bob_0001.jpg")
    assert pairs.same.tolist() == [True, False, True, False]
    assert pairs.folds.tolist() == [0, 0, 1, 1]
    assert (pairs.named, int(pairs.subjects.max()) + 1) == (True, 4)


def test_photos_may_lie_elsewhere_than_the_list(folder, tmp_path):
    path = written(tmp_path, LFW, "elsewhere.txt")

    assert read_pairs(path, folder).fold_count == 2


def test_a_csv_list_is_parted_so_that_nobody_is_in_two_folds(folder):
    rows = [
        "Ann/Ann_0001.jpg,Ann/Ann_0002.jpg,1",
        "Ann/Ann_0001.jpg,Bob/Bob_0001.jpg,0",
        "Cy/Cy_0001.jpg,Cy/Cy_0002.jpg,yes",
    ]
    pairs = read_pairs(written(folder, "\n".join(["photo_a,photo_b,same", *rows])), None)

    assert pairs.folds.tolist() == [0, 0, 1]
    # Photos said to show one person are one subject; Ann's two and Cy's two.
    assert (pairs.named, int(pairs.subjects.max()) + 1) == (False, 3)


def test_pairs_that_all_hang_together_are_one_fold(folder):
    rows = [
        "Ann/Ann_0001.jpg,Ann/Ann_0002.jpg,1",
        "Ann/Ann_0002.jpg,Cy/Cy_0001.jpg,0",
        "Cy/Cy_0001.jpg,Cy/Cy_0002.jpg,1",
    ]

    assert read_pairs(written(folder, "\n".join(["photo_a,photo_b,same", *rows])), None).fold_count == 1


def test_folds_that_are_given_are_kept(folder):
    rows = ["Ann/Ann_0001.jpg,Ann/Ann_0002.jpg,1,x", "Cy/Cy_0001.jpg,Dee/Dee_0001.jpg,0,y"]

    assert read_pairs(written(folder, "\n".join(["photo_a,photo_b,same,fold", *rows])), None).folds.tolist() == [0, 1]


HEAD = "photo_a,photo_b,same"
ONE = "Ann/Ann_0001.jpg,Ann/Ann_0002.jpg,1"
TWO = "Ann/Ann_0001.jpg,Bob/Bob_0001.jpg,0"


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        (
            "pairs.txt",
            LFW.replace("Dee\t1", "Dee\t7"),
            "1 of the 6 photos of .* are missing, the first is Dee/Dee_0007.jpg",
        ),
        ("pairs.txt", LFW.replace("Cy\t1\t2", "Ann\t1\t2"), "line 4: subject 'Ann' is in two folds, on both sides"),
        ("pairs.txt", LFW[:-8], "line 5 is 'Cy"),
        ("pairs.txt", LFW + "Ann\t1\t2\n", "has 5 pairs and states 2 folds of 2 x 1"),
        ("pairs.txt", "photo_a,photo_b,same\n", "begins with 'photo_a,photo_b,same'; pairs.txt of LFW starts with"),
        ("pairs.csv", f"{HEAD}\n{ONE}\n", "all 1 pairs of .* show one person; rates of error need pairs of both kinds"),
        ("pairs.csv", f"{HEAD}\n{TWO}\n", "show two people"),
        ("pairs.csv", f"{HEAD}\n", "show two people"),
        ("pairs.csv", f"photo_a,photo_b,smae\n{ONE}\n", "has no column 'same'; did you mean 'smae'"),
        ("pairs.csv", f"{HEAD}\n{ONE[:-1]}2\n", "line 2: same is '2'; give 1 for one person or 0 for two"),
        ("pairs.csv", f"{HEAD}\n{ONE},x\n", "line 2 has not the columns of its header"),
        ("pairs.csv", f"{HEAD}\n,Ann/Ann_0001.jpg,1\n", "line 2 names one photo only"),
        ("pairs.csv", f"{HEAD},fold\n{ONE},1\n{TWO},\n", "names a fold for 1 of its 2 pairs"),
        ("pairs.csv", f"{HEAD},fold\n{ONE},1\n{TWO},2\n", "line 3: subject 'Ann/Ann_0001.jpg' is in two folds"),
        (
            "pairs.csv",
            f"{HEAD},subject_a,subject_b\n{ONE},Ann,Bob\n",
            "same is '1' and the subjects are 'Ann' and 'Bob'",
        ),
        (
            "pairs.csv",
            f"{HEAD},subject_a,subject_b\n{ONE},Ann,Ann\n{TWO},Cy,Bob\n",
            "Ann/Ann_0001.jpg is of subject 'Cy', before of 'Ann'",
        ),
    ],
)
def test_a_list_that_cannot_be_measured_is_refused_in_one_line(folder, name, text, says):
    with pytest.raises(InputError, match=says) as refused:
        read_pairs(written(folder, text, name), None)

    assert "\n" not in str(refused.value)


def test_a_list_that_is_no_text_is_refused(folder):
    (folder / "pairs.txt").write_bytes(b"\xff\xfe")

    with pytest.raises(InputError, match="is not UTF-8"):
        read_pairs(folder / "pairs.txt", None)
