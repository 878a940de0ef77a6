"""The independent testers' interface: what it gives over own photos, and that it gives nothing without an entry."""

from __future__ import annotations

import csv
import itertools
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Home
from handmade import label, write_version
from indexing import rows_of
from networks import other_embedder
from officials import Shell, open_shell

from access.gate import Gate, Refused, Request
from access.ledger.ledger import Ledger
from evaluation.sealed import gallery_bytes, read_template, template_bytes
from evaluation.tester import GALLERY_FILE, MOST_PHOTOS, IndependentTest
from foundation.errors import InputError
from foundation.files import digest_bytes, digest_file
from indexer.embedder_file import given_embedder
from indexer.gallery import Gallery
from indexer.models import installed_model

PAGE = Path(__file__).parent.parent / "docs/testers.md"
TEST = Request("test", "", purpose="testing", case="kestrel-1")
MODEL = installed_model()


@dataclass
class Laboratory:
    """A data home with a laboratory registered in it, and the operator's command line."""

    shell: Shell
    credential: str

    def test(self, mirrored: bool = False, **asked: Any) -> IndependentTest:
        """Opens a test."""
        request = Request(**{**vars(TEST), **asked})
        return IndependentTest(self.shell.home, self.credential, request, mirrored=mirrored)

    def entries(self) -> list[dict[str, Any]]:
        """The entries of tests, oldest first: their type, and what was answered."""
        found = reversed(Ledger(self.shell.home).recent(1000, details=True))
        return [
            {"type": one.entry.type, **one.body.get("answer", {}), "told": one.details, "body": one.body}
            for one in found
            if one.entry.type.startswith("test.")
        ]

    def suspend(self) -> None:
        """Has the operator suspend its licence."""
        self.shell.done("tenant", "suspend", "Kestrel Laboratory", "--reason", "audit overdue")

    def reinstate(self) -> None:
        """Has the operator reinstate its licence."""
        self.shell.done("tenant", "reinstate", "Kestrel Laboratory", "--reason", "audit done")


@pytest.fixture
def laboratory(tmp_path: Path) -> Laboratory:
    """A laboratory in a fresh data home without galleries."""
    shell = open_shell(tmp_path)
    added = ("tenant", "add", "Kestrel Laboratory", "--kind", "independent-tester", "--person", "R. Okafor")
    return Laboratory(shell, shell.json(*added)["credential"])


@pytest.fixture(scope="module")
def photos(clean_photos: Path) -> list[Path]:
    """Two good photos each of three drawn people, in the order of people."""
    return [path for number in (1, 2, 3) for path in sorted((clean_photos / f"S000{number}").glob("*.jpg"))[:2]]


@pytest.fixture(scope="module")
def templates(photos: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Their templates."""
    shell = open_shell(tmp_path_factory.mktemp("elsewhere"))
    credential = shell.json("tenant", "add", "Lab", "--kind", "independent-tester", "--person", "A. B")["credential"]
    with IndependentTest(shell.home, credential, TEST) as test:
        created = test.create_templates(photos)
    assert [one.outcome for one in created] == ["ENROLLED"] * len(photos)
    return [one.template for one in created if one.template is not None]


def some_template(number: int = 0) -> bytes:
    """Returns a template of numbers that are no face's."""
    return template_bytes(np.random.default_rng(number).normal(size=128).astype(np.float32), MODEL)


def test_the_whole_way_and_its_entries(laboratory: Laboratory, photos: list[Path], tmp_path: Path) -> None:
    with laboratory.test() as test:
        created = test.create_templates(photos)
        made = [one.template for one in created]
        same = test.compare_each([(made[0], made[1]), (made[2], made[3]), (made[4], made[5])])
        other = test.compare(made[0], made[2])
        gallery = test.finalise_gallery([(f"p{place}", made[place]) for place in (0, 2, 4)], tmp_path / "own")
        lists = test.search_each(gallery.folder, [made[1], made[3], made[5]], k=2)
        assert Gate.open(laboratory.shell.home).outstanding(0) == 0  # an open test keeps no moratorium waiting

    assert other is not None
    assert max(one for one in same if one is not None) < other
    assert [one[0].id for one in lists] == ["p0", "p2", "p4"]
    assert [[line.rank for line in one] for one in lists] == [[1, 2]] * 3
    assert [one[0].distance for one in lists] == same  # a search tells the very distance that a comparison does
    entries = laboratory.entries()
    assert [one["type"] for one in entries] == ["test.answered"] * 5
    assert [one["batch"] for one in entries] == ["templates", "comparisons", "comparisons", "gallery", "searches"]
    assert {one["model"] for one in entries} == {MODEL.digest}
    assert (entries[0]["photos"], entries[0]["templates"], entries[0]["without_template"]) == (6, 6, {})
    assert entries[1]["comparisons"] == 3
    assert entries[3]["gallery"] == entries[4]["gallery"] == digest_file(gallery.folder / GALLERY_FILE)
    assert (entries[4]["searches"], entries[4]["faces_searched"], entries[4]["k"]) == (3, 3, 2)
    laboratory.shell.done("audit", "verify")


def test_an_entry_holds_counts_and_no_photo_id_or_distance(
    laboratory: Laboratory, photos: list[Path], tmp_path: Path
) -> None:
    with laboratory.test() as test:
        made = [one.template for one in test.create_templates(photos)]
        test.finalise_gallery([("Somebody", made[0]), ("Else", made[2])], tmp_path / "own")
        found = test.search(tmp_path / "own", made[1])

    told = repr(laboratory.entries())
    for absent in ("Somebody", photos[0].name, digest_file(photos[0]), f"{found[0].distance:.4f}"):
        assert absent not in told
    digests = "\n".join(digest_file(one) for one in photos)
    assert laboratory.entries()[0]["told"]["answer"] == {"photos": digest_bytes(digests.encode())}


def test_what_fails_is_told_in_its_place(laboratory: Laboratory, photos: list[Path], clean_photos: Path) -> None:
    spoiled = [clean_photos / "spoiled" / name for name in ("nobody.jpg", "two-people.jpg", "text.jpg")]
    given = [spoiled[0], photos[0], *spoiled[1:], Path("nowhere.jpg")]
    with laboratory.test() as test:
        created = test.create_templates(given)
        middle = test.create_templates(given, middle_face=True)

    failed = ["NO_FACE", "MULTIPLE_FACES", "UNREADABLE_IMAGE", "MISSING_FILE"]
    assert [one.photo for one in created] == given
    assert [one.outcome for one in created if one.template is None] == failed
    assert created[0].reason == "no face was found"
    assert created[1].template is not None
    assert [one.template is not None for one in middle] == [False, True, True, False, False]
    assert laboratory.entries()[0]["without_template"] == dict.fromkeys(sorted(failed), 1)


def test_the_embedding_is_the_one_that_a_job_puts_into_a_gallery(
    laboratory: Laboratory, indexed_home: Home, photos: list[Path]
) -> None:
    rows = rows_of(Gallery(indexed_home.path, "county"))
    with laboratory.test() as test:
        created = test.create_templates(photos)

    for one in created:
        row = next(row for name, row in rows.items() if name.endswith(one.photo.name))
        assert row["outcome"] == one.outcome
        embedding = read_template(one.template, MODEL, "it")
        np.testing.assert_allclose(embedding, np.array(row["embedding"], dtype=np.float32), atol=1e-5)


def test_real_people_are_nearer_to_themselves(laboratory: Laboratory, real_photos: Callable[[str], Path]) -> None:
    people = [one for one in sorted(real_photos("lfw").iterdir()) if len(list(one.glob("*.jpg"))) > 1][:6]
    found = [path for one in people for path in sorted(one.glob("*.jpg"))[:2]]
    with laboratory.test() as test:
        made = [one.template for one in test.create_templates(found, middle_face=True)]
        same = test.compare_each(list(zip(made[::2], made[1::2], strict=True)))
        other = test.compare_each(list(zip(made[::2], made[3::2] + made[1:2], strict=True)))

    assert np.median(np.array(same, dtype=float)) + 0.2 < np.median(np.array(other, dtype=float))


def test_who_has_no_template_is_counted_and_never_a_candidate(laboratory: Laboratory, tmp_path: Path) -> None:
    first, second = some_template(1), some_template(2)
    with laboratory.test() as test:
        gallery = test.finalise_gallery([("a", first), ("b", None), ("c", second)], tmp_path / "own")
        lists = test.search_each(gallery.folder, [None, second])
        distances = test.compare_each([(first, None), (first, first)])

    assert (gallery.faces, gallery.failed) == (2, ["b"])
    assert lists[0] == []
    assert [one.id for one in lists[1]] == ["c", "a"]
    assert distances == [None, 0.0]
    assert [one["without_template"] for one in laboratory.entries()] == [1, 1, 1]


@pytest.mark.parametrize(
    ("rubbish", "says"),
    [
        (b"", "template a[0], of 0 bytes, is no template"),
        (b"rubbish" * 100, "is no template"),
        (b"\xff\xd8\xff\xe0 a photo", "is no template"),
        ("text", "template a[0] is str and no template"),
        (np.zeros(128), "is ndarray and no template"),
        (some_template()[:-1], "is damaged"),
        (some_template()[:200] + b"?" + some_template()[201:], "is damaged"),
        (gallery_bytes(["a"], np.zeros((1, 128), np.float32), MODEL), "is no template"),
        (template_bytes(np.zeros(64, np.float32), MODEL), "does not hold 128 numbers"),
        (template_bytes(np.full(128, np.nan, np.float32), MODEL), "does not hold 128 numbers"),
        (template_bytes(np.zeros(128, np.float32), installed_model(mirrored=True)), "their distances mean nothing"),
    ],
)
def test_what_is_no_template_of_this_model_is_refused(laboratory: Laboratory, rubbish: Any, says: str) -> None:
    with laboratory.test() as test, pytest.raises(InputError, match=re.escape(says)):
        test.compare(rubbish, some_template())

    assert laboratory.entries() == []


def test_a_mirrored_test_is_another_models(laboratory: Laboratory, photos: list[Path], templates: list[bytes]) -> None:
    with laboratory.test(mirrored=True) as test:
        (created,) = test.create_templates(photos[:1])
        with pytest.raises(InputError, match="make all templates of a test with one model"):
            test.compare(created.template, templates[0])


def test_a_test_of_another_embedder_is_of_its_model(
    laboratory: Laboratory, photos: list[Path], templates: list[bytes], tmp_path: Path
) -> None:
    file = other_embedder(tmp_path)
    with IndependentTest(laboratory.shell.home, laboratory.credential, TEST, embedder=file) as test:
        own = [one.template for one in test.create_templates(photos[:2])]
        distance = test.compare(own[0], own[1])
        test.finalise_gallery([("a", own[0])], tmp_path / "own")
        with pytest.raises(InputError, match="their distances mean nothing to each other"):
            test.search(tmp_path / "own", templates[0])
        found = test.search(tmp_path / "own", own[1])

    assert found[0].distance == distance
    assert {one["model"] for one in laboratory.entries()} == {given_embedder(file).model.digest}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read"),
        (b"rubbish", "is no gallery"),
        (some_template(), "is no gallery"),
        (gallery_bytes(["a", "b"], np.zeros((1, 128), np.float32), MODEL), "is not what finalise_gallery writes"),
        (gallery_bytes(["a"], np.zeros((1, 128), np.float32), installed_model(True)), "their distances mean nothing"),
        (gallery_bytes(["a"], np.zeros((1, 128), np.float32), MODEL)[:-3], "is damaged"),
    ],
)
def test_what_is_no_gallery_of_this_model_is_refused(
    laboratory: Laboratory, tmp_path: Path, content: bytes | None, says: str
) -> None:
    if content is not None:
        (tmp_path / GALLERY_FILE).write_bytes(content)
    with laboratory.test() as test, pytest.raises(InputError, match=says):
        test.search(tmp_path, some_template())


def test_an_agencys_gallery_is_no_testers_gallery(laboratory: Laboratory) -> None:
    folder = write_version(laboratory.shell.home, np.zeros((3, 128), np.float32)).version().folder

    for path in (folder, folder.parent.parent):
        with laboratory.test() as test, pytest.raises(InputError, match="name a folder that finalise_gallery wrote"):
            test.search(path, some_template())


# Who may not, and when it ends


def batches(test: IndependentTest, folder: Path, photos: Sequence[Path]) -> dict[str, Callable[[], object]]:
    """Returns every way to ask for something, by its name; a finalised gallery goes into a new folder each time."""
    fresh = (folder / f"own{number}" for number in range(1000))
    return {
        "create_templates": lambda: test.create_templates(photos),
        "compare": lambda: test.compare(some_template(1), some_template(2)),
        "compare_each": lambda: test.compare_each([(some_template(1), None)] * 2),
        "finalise_gallery": lambda: test.finalise_gallery([("a", some_template(1))], next(fresh)),
        "search": lambda: test.search(folder / "held", some_template(1)),
        "search_each": lambda: test.search_each(folder / "held", [some_template(1)] * 2),
    }


@pytest.fixture
def ways(laboratory: Laboratory, tmp_path: Path, photos: list[Path]) -> Iterator[dict[str, Callable[[], object]]]:
    """Every way to ask, of one test that is open all the while."""
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / GALLERY_FILE).write_bytes(gallery_bytes(["a"], np.zeros((1, 128), np.float32), MODEL))
    with laboratory.test() as test:
        yield batches(test, tmp_path, photos[:1])


def test_a_suspended_tester_gets_nothing_on_the_very_next_call(
    laboratory: Laboratory, ways: dict[str, Callable[[], object]], tmp_path: Path
) -> None:
    ways["compare"]()
    laboratory.suspend()

    for ask in ways.values():
        with pytest.raises(Refused, match="suspended"):
            ask()
    assert [one["type"] for one in laboratory.entries()] == ["test.answered"] + ["test.refused"] * len(ways)
    assert not (tmp_path / "own0").exists()


def test_a_moratorium_on_everyones_searches_stops_tests_too(
    laboratory: Laboratory, ways: dict[str, Callable[[], object]]
) -> None:
    declared = ("moratorium", "declare", "pause", "--everyone", "--reason", "until there is a law")
    laboratory.shell.done(*declared)

    for ask in ways.values():
        with pytest.raises(Refused, match="moratorium 'pause'"):
            ask()


@pytest.mark.parametrize("seed", range(3))
def test_whatever_the_order_nothing_is_given_without_an_entry(
    laboratory: Laboratory, ways: dict[str, Callable[[], object]], seed: int
) -> None:
    drawn = random.Random(seed)
    expected, active = [], True
    for _ in range(16):
        step = drawn.choice([*ways, "turn", "turn"])
        if step == "turn":
            (laboratory.suspend if active else laboratory.reinstate)()
            active = not active
            continue
        try:
            given = ways[step]()
        except Refused:
            given = None
        assert (given is not None) is active
        expected.append("test.answered" if active else "test.refused")
        assert [one["type"] for one in laboratory.entries()] == expected


class Suspending(list[Any]):
    """A batch during which its tester is suspended: after it was let in, before it is answered."""

    def __init__(self, content: Sequence[Any], laboratory: Laboratory) -> None:
        super().__init__(content)
        self._laboratory = laboratory
        self._done = False

    def __iter__(self) -> Iterator[Any]:
        if not self._done:
            self._done = True
            self._laboratory.suspend()
        return super().__iter__()


@pytest.mark.parametrize("batch", ["create_templates", "compare_each", "finalise_gallery", "search_each"])
def test_a_batch_under_way_when_the_licence_is_suspended_is_not_given(
    laboratory: Laboratory, ways: dict[str, Callable[[], object]], tmp_path: Path, photos: list[Path], batch: str
) -> None:
    given: dict[str, tuple[Any, ...]] = {
        "create_templates": (Suspending(photos[:1], laboratory),),
        "compare_each": (Suspending([(some_template(), some_template())], laboratory),),
        "finalise_gallery": (Suspending([("a", some_template())], laboratory), tmp_path / "late"),
        "search_each": (tmp_path / "held", Suspending([some_template()], laboratory)),
    }
    with laboratory.test() as test, pytest.raises(Refused, match="suspended"):
        getattr(test, batch)(*given[batch])

    assert [one["type"] for one in laboratory.entries()] == ["test.refused"]
    assert not (tmp_path / "late" / GALLERY_FILE).exists()


def test_police_cannot_search_their_mugshots_as_a_test(laboratory: Laboratory, tmp_path: Path) -> None:
    granted = ("--may", "search", "--may", "test", "--may", "evaluate", "--person", "D. Ito")
    credential = laboratory.shell.tenant("Vandan Sheriff", "sheriff", *granted)
    with IndependentTest(laboratory.shell.home, credential, TEST) as test:
        for ask in batches(test, tmp_path, [Path("mugshot.jpg")]).values():
            with pytest.raises(
                Refused, match="of kind sheriff, and the testers' interface is for independent-tester only"
            ):
                ask()
    with laboratory.test(beneficiary="Vandan Sheriff") as test, pytest.raises(Refused, match="of kind sheriff"):
        test.compare(some_template(), some_template())


def test_a_laboratory_reaches_no_gallery_even_where_its_licence_says_so(laboratory: Laboratory) -> None:
    gate = Gate.open(laboratory.shell.home)
    granted = ("--gallery", "county", "--may", "search", "--may", "index", "--may", "evaluate", "--may", "test")
    laboratory.shell.done("tenant", "terms", "Kestrel Laboratory", *granted, "--reason", "a slip")

    for operation in ("search", "index", "evaluate", "test", "read"):
        with pytest.raises(Refused, match="touches no gallery"):
            gate.ask(laboratory.credential, Request(operation, "county", purpose="testing", case="1"))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--gallery", "county"), "touches no gallery; leave --gallery"),
        (("--may", "search"), "may evaluate, test and nothing else"),
    ],
)
def test_a_laboratory_is_not_registered_with_more(laboratory: Laboratory, more: tuple[str, ...], says: str) -> None:
    code, error = laboratory.shell.fails("tenant", "add", "Other", "--kind", "independent-tester", *more)

    assert code == 2
    assert says in error


def test_a_photo_of_an_agencys_gallery_refuses_its_batch(laboratory: Laboratory, photos: list[Path]) -> None:
    held = [label(1, photo_digest=digest_file(photos[1]))]
    write_version(laboratory.shell.home, np.zeros((1, 128), np.float32), held)

    with laboratory.test() as test:
        with pytest.raises(Refused, match="test of gallery 'county'"):
            test.create_templates(photos[:2])
        assert len(test.create_templates(photos[2:3])) == 1
    assert [one["type"] for one in laboratory.entries()] == ["test.refused", "test.answered"]


def test_a_probe_that_was_refused_comes_back_as_no_template(laboratory: Laboratory, photos: list[Path]) -> None:
    shell = laboratory.shell
    credential = shell.tenant("Vandan Sheriff", "sheriff", "--person", "D. Ito")
    shell.done("moratorium", "declare", "pause", "--kind", "sheriff", "--reason", "until there is a law")
    asked = Request("search", "county", purpose="robbery", case="2026-1", probe=digest_file(photos[0]))
    with pytest.raises(Refused):
        Gate.open(shell.home).ask(credential, asked)

    with laboratory.test() as test:
        created = test.create_templates(photos[:2], role="search", middle_face=True)
    assert [(one.outcome, one.template is None) for one in created] == [("PROBE_PHOTO", True), ("ENROLLED", False)]


def test_a_licence_bounds_batches_and_lists(
    laboratory: Laboratory, ways: dict[str, Callable[[], object]], tmp_path: Path
) -> None:
    bounds = ("--queries-a-day", 2, "--largest-k", 10)
    laboratory.shell.done("tenant", "terms", "Kestrel Laboratory", *bounds, "--reason", "policy 4")
    with laboratory.test() as test:
        with pytest.raises(Refused, match="a list of 11 is asked for"):
            test.search(tmp_path / "held", some_template(), k=11)
        with pytest.raises(Refused, match="one has 2 at least"):
            test.search(tmp_path / "held", some_template(), k=1)
    for _ in range(2):
        ways["compare"]()
    with pytest.raises(Refused, match="has asked 2 times today"):
        ways["compare"]()


def test_other_requests_and_wrong_values_are_named(laboratory: Laboratory, tmp_path: Path) -> None:
    for operation, gallery in (("search", "county"), ("evaluate", ""), ("test", "county")):
        with pytest.raises(InputError, match="a test asks for operation 'test' of gallery ''"):
            laboratory.test(operation=operation, gallery=gallery)
    one = some_template()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    with laboratory.test() as test:
        for call, says in (
            (lambda: test.create_templates([]), "a batch of 0 photos is given"),
            (lambda: test.create_templates(["a.jpg"] * (MOST_PHOTOS + 1)), "10,001 photos is given; give 1 to 10,000"),
            (lambda: test.create_templates(["a.jpg"], role="verify"), "role is 'verify'"),
            (lambda: test.finalise_gallery([("a", one), ("a", one)], tmp_path / "new"), "id 'a' is given twice"),
            (lambda: test.finalise_gallery([("", one)], tmp_path / "new"), "id '' is no text"),
            (lambda: test.finalise_gallery([("a", None)], tmp_path / "new"), "none of the 1 photos"),
            (lambda: test.finalise_gallery([("a", one)], tmp_path / "full"), "holds files"),
            (lambda: test.finalise_gallery([("a", one)], laboratory.shell.home / "own"), "lies in the data home"),
        ):
            with pytest.raises(InputError, match=re.escape(says)):
                call()
    assert laboratory.entries() == []


# The command line, and the page


def test_evaluate_gives_a_tester_the_same_distances_and_no_gallery(
    laboratory: Laboratory, clean_photos: Path, tmp_path: Path
) -> None:
    rows = ["photo_a,photo_b,same"]
    people = sorted(one for one in clean_photos.iterdir() if one.name.startswith("S"))[:4]
    for this, other in itertools.pairwise(people):
        mine, theirs = sorted(this.glob("*.jpg")), sorted(other.glob("*.jpg"))
        rows += [f"{this.name}/{mine[0].name},{this.name}/{mine[1].name},1"]
        rows += [f"{this.name}/{mine[0].name},{other.name}/{theirs[0].name},0"]
    (tmp_path / "pairs.csv").write_text("\n".join(rows) + "\n", "utf-8")
    asked = ("--root", clean_photos, "--case", "kestrel-2", "--quiet", "--out", tmp_path / "out")
    shell = laboratory.shell

    shell.done("evaluate", "verification", tmp_path / "pairs.csv", *asked, credential=laboratory.credential)
    with (tmp_path / "out" / "scores.csv").open(encoding="utf-8") as written:
        scores = list(csv.DictReader(written))
    named = sorted({one[side] for one in scores for side in ("photo_a", "photo_b")})
    with laboratory.test() as test:
        created = test.create_templates([clean_photos / name for name in named], middle_face=True)
        templates = dict(zip(named, (one.template for one in created), strict=True))
        distances = test.compare_each([(templates[one["photo_a"]], templates[one["photo_b"]]) for one in scores])
    assert [float(one["distance"]) for one in scores] == pytest.approx(distances, abs=1e-5)

    code, error = shell.fails(
        *("evaluate", "search", "--gallery", "county", "--case", "kestrel-3"), credential=laboratory.credential
    )

    assert code == 3
    assert "touches no gallery" in error


def test_the_pages_example_runs(laboratory: Laboratory, clean_photos: Path, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    (tmp_path / "kestrel.credential").write_text(laboratory.credential, "utf-8")
    lines = ["photo,subject,sex"]
    for number in (1, 2, 3, 4):
        for path in sorted((clean_photos / f"S000{number}").glob("*.jpg")):
            lines.append(f"{path},S000{number},{'FM'[number % 2]}")
    (tmp_path / "photos.csv").write_text("\n".join(lines) + "\n", "utf-8")
    run = code.replace("/srv/afterfact", str(laboratory.shell.home))

    ended = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, cwd=tmp_path, check=False)

    assert ended.returncode == 0, ended.stderr
    assert re.search(r"sex F: 0 of 6 photos failed to enrol", ended.stdout)
    assert [one["type"] for one in laboratory.entries()] == ["test.answered"] * 4
