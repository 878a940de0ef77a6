"""`afterfact evaluate` as its users meet it: figures, files, decisions, entries, and what is shown of a gallery."""

from __future__ import annotations

import csv
import json
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from conftest import Home, done, make_home
from PIL import Image

CASE = ("--case", "test-1")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A data home without galleries, which these tests share: evaluations leave entries and a cache, nothing else."""
    return make_home(tmp_path_factory.mktemp("evaluating"))


@pytest.fixture(scope="module")
def lab(home: Home) -> Path:
    """The credential of a tenant that may evaluate there."""
    return licensed(home)


def licensed(home: Home) -> Path:
    credential = home.path.parent / "lab.credential"
    done(
        home.run(
            *("tenant", "add", "Lab", "--kind", "research", "--gallery", "county", "--may", "evaluate"),
            *("--person", "T. Ester", "--save-credential", credential),
            credential=home.operator,
        )
    )
    return credential


@pytest.fixture
def faces(clean_photos: Path, tmp_path: Path) -> Path:
    """A folder of 12 drawn subjects with 3 photos each, and nothing else."""
    shutil.copytree(clean_photos, tmp_path / "faces", ignore=shutil.ignore_patterns("spoiled"))
    return tmp_path / "faces"


@pytest.fixture
def pairs(faces: Path, tmp_path: Path) -> Path:
    """A CSV list of 12 pairs of one drawn person and 12 of two."""
    subjects = sorted(faces.iterdir())
    photos = [sorted(str(one.relative_to(faces)) for one in subject.iterdir()) for subject in subjects]
    rows = [("photo_a", "photo_b", "same", "subject_a", "subject_b")]
    for number, (own, subject) in enumerate(zip(photos, subjects, strict=True)):
        other = number ^ 1  # in twos, so that the pairs can be parted into folds
        rows.append((own[0], own[1], "1", subject.name, subject.name))
        rows.append((own[0], photos[other][1], "0", subject.name, subjects[other].name))
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(",".join(row) for row in rows) + "\n", "utf-8")
    return path


def entries(home: Home) -> list[dict]:
    shown = done(home.run("audit", "show", "--json", credential=home.operator)).json()
    return shown["entries"] if isinstance(shown, dict) else shown


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_pairs_become_figures_scores_a_page_and_an_entry(home, lab, pairs, faces, tmp_path):
    out = tmp_path / "out"
    told = done(home.run("evaluate", "verification", pairs, "--root", faces, *CASE, "--out", out, credential=lab))
    results = json.loads((out / "results.json").read_text())
    scores = table(out / "scores.csv")

    assert results["pairs"] == {"same": 12, "different": 12}
    assert results["folds"] == 6
    # Drawn faces are told apart without 30 errors: nothing may print a rate.
    assert results["accuracy"]["value"] is None
    assert results["accuracy"]["lacks"].startswith("too few errors: ")
    assert "too few errors" in told.out
    assert "24 of 24 photos" in told.err
    assert {row["same"] for row in scores} == {"0", "1"}
    assert sum(float(row["distance"]) for row in scores if row["same"] == "1") < sum(
        float(row["distance"]) for row in scores if row["same"] == "0"
    )
    assert "data:image/jpeg" in (out / "report.html").read_text()
    assert all(stat.S_IMODE(one.stat().st_mode) == 0o600 for one in out.iterdir())
    assert f"Ledger entry {results['entries'][0]['entry']}," in told.out
    assert entries(home)[0]["type"] == "evaluate.answered"
    assert not list((home.path / "galleries").glob("*"))


def test_embeddings_are_kept_in_the_home_alone_and_forgotten(home, lab, pairs, faces, tmp_path):
    asked = ("evaluate", "verification", pairs, "--root", faces, *CASE, "--json")
    done(home.run("evaluate", "forget"))
    first = done(home.run(*asked, "--out", tmp_path / "a", credential=lab)).json()
    kept = home.path / "evaluation"

    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert {stat.S_IMODE(one.stat().st_mode) for one in kept.glob("*/*")} == {0o600}
    again = done(home.run(*asked, "--out", tmp_path / "b", credential=lab)).json()
    assert {**again, "entries": [], "out": ""} == {**first, "entries": [], "out": ""}
    assert "Forgotten: 24 photos' embeddings." in done(home.run("evaluate", "forget")).out
    assert not kept.exists()
    assert "Forgotten: 0 photos'" in done(home.run("evaluate", "forget")).out


def test_a_folder_of_subjects_splits_itself_and_is_searched(home, lab, faces, tmp_path):
    out = tmp_path / "out"
    done(home.run("evaluate", "search", faces, "--folder-subjects", *CASE, "--out", out, credential=lab))
    results = json.loads((out / "results.json").read_text())
    scores = table(out / "scores.csv")

    assert results["searches"] == {"mated": 8, "non_mated": 4}
    assert results["gallery"]["subjects"] == 8
    assert len(results["fnir_by_rank"]) == 50
    assert {(one["fpir"], one["rank"]) for one in results["fnir_at_fpir"]} == {
        (fpir, rank) for fpir in (0.1, 0.01, 0.003) for rank in (1, 50)
    }
    assert [row["rank"] for row in scores if row["mated"] == "1"].count("1") >= 7
    assert {row["rank"] for row in scores if row["mated"] == "0"} == {""}


def test_lists_are_searched_as_given(home, lab, faces, tmp_path):
    subjects = sorted(one.name for one in faces.iterdir())

    def listed(name, chosen, which):
        photos = [(one, sorted((faces / one).iterdir())[which]) for one in chosen]
        rows = [f"{photo},{subject}" for subject, photo in photos]
        path = tmp_path / name
        path.write_text("\n".join(["photo,subject", *rows]) + "\n", "utf-8")
        return path

    lists = (
        *("--gallery-list", listed("g.csv", subjects[:8], 0), "--probes-list", listed("p.csv", subjects[:8], 1)),
        *("--non-mated-list", listed("n.csv", subjects[8:], 1), "--root", "/"),
    )
    results = done(
        home.run("evaluate", "search", *lists, *CASE, "--json", "--out", tmp_path / "out", credential=lab)
    ).json()

    assert results["searches"] == {"mated": 8, "non_mated": 4}
    assert results["gallery"]["faces"] == 8


def test_a_gallery_is_evaluated_without_naming_or_showing_anybody(indexed_home, tmp_path):
    lab, out = licensed(indexed_home), tmp_path / "out"
    told = done(indexed_home.run("evaluate", "search", "--gallery", "county", *CASE, "--out", out, credential=lab))
    page, scores = (out / "report.html").read_text(), table(out / "scores.csv")
    everything = page + told.out + (out / "scores.csv").read_text() + (out / "results.json").read_text()

    assert {row["subject"].split()[0] for row in scores} == {"subject"}
    assert "data:image/jpeg" not in page
    assert not re.search(r"S00\d\d|\.jpg|convicted|dismissed", everything)
    assert len(scores) == sum(json.loads((out / "results.json").read_text())["searches"].values())
    assert set(scores[0]) == {
        *("probe", "subject", "encounter", "mated", "outcome", "rank", "mate_distance", "other_distance")
    }
    assert entries(indexed_home)[0]["type"] == "evaluate.answered"
    assert not (indexed_home.path / "evaluation").exists()


def test_photos_that_a_gallery_holds_are_the_gallerys_also_under_another_path(indexed_home, pairs, faces, tmp_path):
    lab = licensed(indexed_home)
    asked = ("evaluate", "verification", pairs, "--root", faces, *CASE)

    results = done(indexed_home.run(*asked, "--json", "--out", tmp_path / "out", credential=lab)).json()
    assert results["galleries"] == ["county"]
    assert len(results["entries"]) == 2
    assert not re.search(r"S00\d\d", (tmp_path / "out" / "report.html").read_text())

    barred(indexed_home)
    refused = indexed_home.run(*asked, "--out", tmp_path / "again", credential=lab)
    assert refused.code == 3
    assert "moratorium 'june' bars research from evaluate" in refused.err
    assert not (tmp_path / "again").exists()


def barred(home: Home) -> None:
    done(
        home.run(
            *("moratorium", "declare", "june", "--everyone", "--operation", "search", "--from", "now", "--for", "1y"),
            *("--reason", "until there is a law"),
            credential=home.operator,
        )
    )


def test_a_moratorium_on_search_bars_a_gallerys_evaluation_and_not_that_of_own_photos(indexed_home, tmp_path, faces):
    lab = licensed(indexed_home)
    barred(indexed_home)

    refused = indexed_home.run("evaluate", "search", "--gallery", "county", *CASE, credential=lab)
    assert refused.code == 3
    assert refused.err.count("\n") == 1
    assert entries(indexed_home)[0]["type"] == "evaluate.refused"

    for path in faces.rglob("*.jpg"):  # other bytes: photos of their own, that no gallery holds
        with Image.open(path) as photo:
            photo.save(path, quality=70)
    done(
        indexed_home.run(
            *("evaluate", "search", faces, "--folder-subjects", *CASE, "--out", tmp_path / "out"), credential=lab
        )
    )


@pytest.mark.parametrize("who", ["sheriff", "operator"])
def test_who_holds_no_licence_to_evaluate_is_refused_before_a_photo_is_read(home, pairs, faces, who):
    refused = home.run(
        "evaluate", "verification", pairs, "--root", faces, "--case", "refused-1", credential=getattr(home, who)
    )

    assert refused.code == 3
    assert "evaluate of photos outside every gallery" in refused.err
    assert "reading" not in refused.err


def test_few_probes_against_a_gallery_would_be_a_search_by_another_name(indexed_home, drawn, tmp_path):
    lab = licensed(indexed_home)
    listed = tmp_path / "probes.csv"
    probe = next(drawn.list_path.parent.glob("probes/*.jpg"))
    listed.write_text(f"photo,subject\n{probe},{probe.stem}\n", "utf-8")

    refused = indexed_home.run(
        *("evaluate", "search", "--gallery", "county", "--probes-list", listed, "--root", "/", *CASE), credential=lab
    )

    assert refused.code == 2
    assert "1 probes are given for gallery 'county'; 30 is the fewest" in refused.err


@pytest.mark.parametrize(
    ("resaved", "says"),
    [(False, "is the same file as probe"), (True, "1 people who are enrolled are among the probes")],
)
def test_copies_of_one_photo_are_one_person_however_many(indexed_home, drawn, tmp_path, resaved, says):
    lab, out = licensed(indexed_home), tmp_path / "out"
    suspect = (drawn.list_path.parent / "probes" / "S0005.jpg").read_bytes()
    rows = ["photo,subject"]
    for number in range(30):
        (tmp_path / f"{number}.jpg").write_bytes(suspect + (b" " * number if resaved else b""))
        rows.append(f"{number}.jpg,S0005")
    (tmp_path / "probes.csv").write_text("\n".join(rows) + "\n", "utf-8")
    strangers = tmp_path / "strangers"
    strangers.mkdir()
    for number in range(30):
        (strangers / f"{number}.jpg").write_bytes(suspect + b"." * (number + 1))

    refused = indexed_home.run(
        *("evaluate", "search", "--gallery", "county", "--probes-list", tmp_path / "probes.csv", "--root", tmp_path),
        *("--non-mated-list", strangers, *CASE, "--out", out, "--quiet"),
        credential=lab,
    )

    assert refused.code == 2
    assert says in refused.err
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("search",), "give one of ARCHIVE, --gallery, --gallery-list"),
        (("search", "."), "names no photo"),
        (("search", "--gallery-list", "."), "--probes-list is missing"),
        (("search", ".", "--probes-list", "."), "ARCHIVE splits itself"),
        (("search", "--gallery", "county", "--mirrored"), "--mirrored and --embedder go with own photos"),
        (("search", "--gallery", "county", "--non-mated", "120%"), "--non-mated is '120%'; give a share"),
        (("search", "nowhere.csv"), "ARCHIVE nowhere.csv does not exist"),
        (("verification", "nowhere.txt"), "PAIRS nowhere.txt does not exist"),
    ],
)
def test_what_cannot_be_done_is_one_line_before_work_begins(home, lab, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)  # a folder without photos
    refused = home.run("evaluate", *arguments, *CASE, credential=lab)

    assert refused.code == 2
    assert says in refused.err
    assert refused.err.count("\n") == 1


def test_outputs_never_overwrite(home, lab, pairs, faces, tmp_path):
    refused = home.run(*("evaluate", "verification", pairs, "--root", faces, *CASE, "--out", tmp_path), credential=lab)

    assert refused.code == 2
    assert "is not empty" in refused.err


@pytest.fixture(scope="module")
def browser():
    """The program of a real browser."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium found: install it to see the report opened and printed")
    return program


def test_a_browser_shows_and_prints_the_report(home, lab, faces, tmp_path, browser):
    out = tmp_path / "out"
    done(home.run("evaluate", "search", faces, "--folder-subjects", *CASE, "--out", out, credential=lab))

    def act(*arguments):
        quiet = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars")
        command = [
            browser,
            *quiet,
            f"--user-data-dir={tmp_path / 'profile'}",
            *arguments,
            (out / "report.html").as_uri(),
        ]
        return subprocess.run(command, capture_output=True, timeout=120, check=True).stdout

    act("--window-size=1000,2600", f"--screenshot={tmp_path / 'page.png'}")
    with Image.open(tmp_path / "page.png") as shown:
        grey = shown.convert("L")
        assert len(set(grey.tobytes())) > 100
        assert grey.crop((990, 0, 1000, 2600)).getextrema() == (255, 255)  # nothing runs over the right margin
    act(f"--print-to-pdf={tmp_path / 'page.pdf'}", "--no-pdf-header-footer")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", (tmp_path / "page.pdf").read_bytes())) <= 6
    shown = act("--dump-dom").decode()
    assert shown.count("<svg") == 3
    assert "<script" not in shown
    assert not re.search(r'(src|href)="(?!data:)', shown)
