"""A gallery's other model from the command line to a lead, and killed in between."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import done
from handmade import ledger_of
from indexing import index_archive, reembed_gallery, rows_of, search_files
from networks import by_hand, other_embedder

from indexer.extraction import extract_faces
from indexer.gallery import Gallery
from indexer.limits import Limits
from indexer.models import MODELS, Alignment, models_folder
from indexer.verify import verify_gallery
from search.faces import GalleryFaces

# Embeds a gallery anew as the command does, and kills the whole process group at one point of it.
PROGRAM = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import indexer.publish, indexer.search_files, pipelines.bulk_index
from indexing import reembed_gallery

point, home, embedder = sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])

def die(*arguments, **options):
    os.killpg(0, signal.SIGKILL)

def then_die(usual):
    def both(*arguments, **options):
        usual(*arguments, **options)
        die()
    return both

if point == "settled":
    pipelines.bulk_index.publish_run = die
elif point == "committed":
    indexer.publish.commit_rows = then_die(indexer.publish.commit_rows)
elif point == "published":
    indexer.publish.build_index = then_die(indexer.publish.build_index)
reembed_gallery(home, embedder=embedder, segment_photos=2)
"""


def test_a_gallery_of_another_model_answers_with_that_models_distances(indexed_home, drawn, tmp_path):
    home, file = indexed_home, other_embedder(tmp_path / "other")
    probe = drawn.list_path.parent / "probes" / "S0004.jpg"
    asked = ("search", probe, "--gallery", "county", "--case", "1", "--purpose", "robbery", "-k", 2)
    refused = home.run("gallery", "reembed", "county", "--embedder", file, credential=home.sheriff)
    assert (refused.code, Gallery(home.path, "county").version_numbers()) == (3, [0])
    told = done(home.run("gallery", "reembed", "county", "--embedder", file, "--quiet", credential=home.operator))
    assert "of model" in told.out
    assert "(made-up)" in told.out

    shown = done(home.run("gallery", "show", "county", credential=home.operator)).out
    assert "cosine, as Euclidean between unit vectors, of 48 dimensions" in " ".join(shown.split())
    (lead,) = done(home.run(*asked, "--json", credential=home.sheriff)).json()
    assert lead["distances"] == "cosine, as Euclidean between unit vectors"
    (face,) = extract_faces(probe, None, Limits(), probe=True, alignment=Alignment("arcface", 112)).faces
    rows = {row["row"]: row["embedding"] for row in rows_of(Gallery(home.path, "county")).values()}
    expected = np.linalg.norm(by_hand(file, face.chip[None])[0] - rows[lead["candidates"][0]["row"]])
    assert float(lead["candidates"][0]["distance"]) == pytest.approx(expected, abs=1e-4)

    models_folder(home.path).rename(tmp_path / "models")
    gone = home.run(*asked, credential=home.sheriff)
    assert gone.code == 1
    assert "was expected at" in gone.err
    assert "SHA-256" in gone.err
    assert ledger_of(home)[0]["body"]["answer"]["outcome"] == "GALLERY_REFUSED"
    assert (
        "distances are cosine"
        in done(home.run(*asked, credential=home.sheriff, **{MODELS: str(tmp_path / "models")})).out
    )
    nightly = home.run("index", "--gallery", "county", "--archive", drawn.list_path, credential=home.operator)
    assert nightly.code == 1
    assert "give the job the embedder that the gallery was made with" in nightly.err


@pytest.fixture(scope="module")
def archive(clean_photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed") / "archive"
    folder.mkdir()
    for path in sorted(clean_photos.glob("S*/*-1.jpg"))[:5]:
        shutil.copy(path, folder)
    return folder


@pytest.mark.parametrize("point", ["settled", "committed", "published"])
def test_killed_anywhere_the_old_version_is_searched_and_the_same_command_finishes(archive, tmp_path, point):
    file, tests = other_embedder(tmp_path / "other"), Path(__file__).parent.parent
    index_archive(tmp_path, archive)
    gallery = Gallery(tmp_path, "county")
    command = [sys.executable, "-c", PROGRAM, str(tests), point, str(tmp_path), str(file)]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    assert process.wait(timeout=200) == -signal.SIGKILL
    assert GalleryFaces(gallery).model.dimension == (48 if point == "published" else 128)

    finished = reembed_gallery(tmp_path, embedder=file, segment_photos=2)

    assert (finished.resumed, finished.looked_at_now, finished.version.model.dimension) == (True, 0, 48)
    assert gallery.version_numbers() == [0, 1]
    assert list(gallery.runs.iterdir()) == []
    index_archive(tmp_path / "fresh", archive, embedder=file)
    assert search_files(gallery)[0] == search_files(Gallery(tmp_path / "fresh", "county"))[0]
    assert [finding for finding in verify_gallery(gallery) if finding.problem] == []
