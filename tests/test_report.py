"""The lead sheet: whole, self-contained, escaped, readable on paper and aloud."""

import base64
import dataclasses
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from conftest import done
from handmade import NOTICE
from PIL import Image

from access.gate import Request
from indexer.quality import Quality
from search.candidates import Candidate
from search.lead import Lead, Probe
from search.report import readable_moment, render_lead_sheet
from search.session import SearchSession

VOID = {"meta", "img", "br", "col", "hr", "link"}


def jpeg(colour):
    stream = io.BytesIO()
    Image.new("RGB", (240, 240), colour).save(stream, "JPEG")
    return stream.getvalue()


def candidate(rank, **changes):
    fields = {
        **{"rank": rank, "distance": rank / 10, "subject": f"S{rank:04d}", "encounter": "2"},
        **{"taken": "2019-05-06T07:08:00+00:00", "disposition": "released", "photo": f"photos/{rank}.jpg"},
        **{"photo_digest": "d" * 64, "row": "r", "location": "file:///nowhere.jpg", "place": None, "box": (0, 0, 9, 9)},
    }
    return Candidate(**{**fields, **changes})


@pytest.fixture
def lead():
    return Lead(
        probe=Probe("camera-3.jpg", "a" * 64, 1920, 1080, 2, 1, (0, 0, 9, 9), Quality(1, 90, 0, 0, 100, 50), []),
        candidates=[candidate(1), candidate(2)],
        **{"by": "subject", "gallery": "county", "version": 12, "published": "2026-01-02T03:04:05+00:00"},
        **{"faces_searched": 300_000, "model": {"name": "a-network", "digest": "6" * 64}},
        **{"distances": "Euclidean"},
        **{"tenant": "Vandan Sheriff", "kind": "sheriff", "person": "D. Ito", "case": "2026-0117"},
        **{"beneficiary": "Vandan Sheriff", "basis": None},
        **{"purpose": "robbery", "time": "2026-01-02T10:11:12.123000Z", "entry": 4711, "head": "f" * 64},
    )


class Page(HTMLParser):
    """Reads a page as a browser would, and fails where its tags do not close in order."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "title"):
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_sheet_tells_everything_that_a_case_file_needs(lead):
    text = Page(render_lead_sheet(lead, jpeg("grey"), [jpeg("white"), jpeg("black")])).text

    for told in (
        *("Vandan Sheriff (sheriff)", "D. Ito", "2026-0117", "robbery", "2026-01-02 10:11:12 UTC", "camera-3.jpg"),
        *("county, version 12, published 2026-01-02 03:04:05 UTC", "300,000 faces, every one compared"),
        *("a-network", "6" * 64, "a" * 64, "entry 4711, head " + "f" * 64, "1920 × 1080 pixels, 2 faces found"),
        *("0.1000", "S0001", "2019-05-06 07:08 UTC", "released", "photos/1.jpg", "0.2000", "S0002", NOTICE),
    ):
        assert told in text, told
    assert text.count(lead.notice) == 2


def test_nothing_comes_from_outside_and_nothing_runs(lead):
    html = render_lead_sheet(lead, jpeg("grey"), [jpeg("white"), None])
    page = Page(html)

    without_pictures = re.sub(r"data:image/jpeg;base64,[A-Za-z0-9+/=]+", "", html)
    assert not re.search(r"https?:|//[a-z]|url\(|@import|javascript:", without_pictures, re.IGNORECASE)
    assert not {"script", "link", "iframe", "a", "form", "object"} & {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    sources = [image["src"] for image in page.all("img")]
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)


def test_the_pictures_are_the_probes_and_the_candidates(lead):
    probe, crop = jpeg("red"), jpeg("blue")
    sources = [image["src"].split(",")[1] for image in Page(render_lead_sheet(lead, probe, [crop, None])).all("img")]

    assert [base64.b64decode(source) for source in sources] == [probe, probe, crop, probe]


def test_a_photo_that_is_gone_leaves_a_placeholder_with_a_name(lead):
    page = Page(render_lead_sheet(lead, None, [None, None]))

    assert not page.all("img")
    assert page.text.count("photo not available") == 5
    labels = [tag["aria-label"] for tag in page.all("div") if tag.get("role") == "img"]
    assert "Candidate of rank 2, subject S0002: photo not available" in labels


HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;{{ 7*7 }}\x1b[31m\u202egpj.exe\n\x00\udcff"


@pytest.mark.parametrize("where", ["subject", "encounter", "taken", "disposition", "photo"])
def test_a_candidates_label_is_text_and_never_markup(lead, where):
    hostile = dataclasses.replace(lead, candidates=[candidate(1, **{where: HOSTILE})])
    html = render_lead_sheet(hostile, jpeg("grey"), [None])
    page = Page(html)

    assert not page.all("script")
    assert not page.all("meta")[3:]
    assert [image["alt"] for image in page.all("img")] == ["The probe's face, as searched", "Probe"]
    assert "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;{{ 7*7 }}" in page.text
    assert not set(html) & {"\x1b", "\u202e", "\x00", "\udcff"}
    html.encode()


@pytest.mark.parametrize("where", ["tenant", "kind", "person", "case", "purpose", "gallery", "published", "head"])
def test_what_the_asker_gave_is_text_and_never_markup(lead, where):
    hostile = dataclasses.replace(lead, **{where: HOSTILE + "</title></style>"})
    page = Page(render_lead_sheet(hostile, None, [None, None]))

    assert not page.all("script")
    assert not page.all("img")
    assert len(page.all("style")) == len(page.all("title")) == 1


def test_a_probes_name_and_advice_are_text_too(lead):
    probe = dataclasses.replace(lead.probe, name=HOSTILE, advice=[HOSTILE])
    page = Page(render_lead_sheet(dataclasses.replace(lead, probe=probe), None, [None, None]))

    assert not page.all("script")
    assert page.text.count("alert(1)>") == 2


def test_the_sheet_can_be_read_aloud(lead):
    page = Page(render_lead_sheet(lead, jpeg("grey"), [jpeg("white"), jpeg("black")]))
    headings = [tag for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]

    assert page.all("html")[0]["lang"] == "en"
    assert headings == ["h1", "h2", "h2", "h2"]
    assert [section["aria-labelledby"] for section in page.all("section")] == ids == sorted(set(ids), key=ids.index)
    assert all(image["alt"] for image in page.all("img"))
    assert [head["scope"] for head in page.all("th")] == ["col"] * 7 + ["row"] * 2
    assert len(page.all("caption")) == len(page.all("main")) == len(page.all("header")) == 1
    assert "Candidate of rank 1, subject S0001" in [image["alt"] for image in page.all("img")]


def test_advice_stands_before_the_candidates(lead):
    probe = dataclasses.replace(lead.probe, advice=["The face is blurred."])
    text = Page(render_lead_sheet(dataclasses.replace(lead, probe=probe), None, [None, None])).text

    assert text.index("The face is blurred.") < text.index("nearest first")


def test_an_empty_list_and_missing_labels_are_said_in_words(lead):
    empty = dataclasses.replace(lead, candidates=[], faces_searched=0)
    bare = candidate(1, subject=None, encounter=None, taken=None, disposition=None)

    assert "The gallery holds no face, so there are no candidates." in Page(render_lead_sheet(empty, None, [])).text
    text = Page(render_lead_sheet(dataclasses.replace(lead, candidates=[bare]), None, [None])).text
    assert "1 candidate, nearest first" in text
    assert "not named" in text
    assert text.count("not given") == 3
    assert "None" not in text


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("2019-05-06T07:08:00+00:00", "2019-05-06 07:08 UTC"),
        ("2019-05-06T00:08:09-07:00", "2019-05-06 07:08:09 UTC"),
        ("2019-05-06T07:08:00", "2019-05-06T07:08:00"),
        ("2019-05-06", "2019-05-06"),
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00"),
        ("last Tuesday", "last Tuesday"),
    ],
)
def test_moments_are_told_in_utc_and_other_texts_as_they_are(given, told):
    assert readable_moment(given) == told


@pytest.fixture(scope="module")
def real_sheet(_indexed, drawn, tmp_path_factory):
    """A sheet as the command writes it."""
    folder = tmp_path_factory.mktemp("sheet")
    home = dataclasses.replace(_indexed, path=shutil.copytree(_indexed.path, folder / "home"))
    probe = drawn.list_path.parent / "probes" / "S0004.jpg"
    asked = ("--gallery", "county", "--case", "2026-0117", "--purpose", "robbery", "-k", 20, "--by", "encounter")
    done(home.run("search", probe, *asked, "--report", folder / "lead.html", credential=home.sheriff))
    return folder / "lead.html"


def test_the_commands_sheet_shows_every_candidates_own_face(real_sheet):
    page = Page(real_sheet.read_text("utf-8"))
    pictures = [base64.b64decode(image["src"].split(",")[1]) for image in page.all("img")]

    assert len(pictures) == 41
    assert len(set(pictures)) > 15  # the archive holds some pictures twice, turned
    for one in pictures[:3]:
        with Image.open(io.BytesIO(one)) as picture:
            assert (picture.format, max(picture.size)) == ("JPEG", 240)
    assert real_sheet.stat().st_mode & 0o777 == 0o600


def test_a_photo_whose_bytes_are_not_those_indexed_is_not_shown(indexed_home, drawn):
    """The archive is shared by the tests, so the candidate is pointed at other files instead of changing one."""
    request = Request("search", "county", "robbery", "2026-0117")
    with SearchSession(indexed_home.path, indexed_home.sheriff.read_text().strip(), request) as session:
        probes = drawn.list_path.parent / "probes"
        first, second = session.search(probes / "S0004.jpg", k=2).candidates
        swapped = dataclasses.replace(first, location=second.location)
        gone = dataclasses.replace(first, location=first.location + ".gone")

        assert session.crop(first) is not None
        assert session.crop(swapped) is None
        assert session.crop(gone) is None


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Returns a function that has a real browser do something with a page."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium found: install it to see the sheet opened and printed")
    quiet = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars")
    still = ("--disable-background-networking", "--disable-component-update", "--disable-sync")

    def act(page, *arguments):
        profile = tmp_path_factory.mktemp("profile")
        command = [program, *quiet, *still, f"--user-data-dir={profile}", *arguments, page.as_uri()]
        return subprocess.run(command, capture_output=True, timeout=120, check=True).stdout

    return act


def test_a_browser_shows_the_sheet(browser, real_sheet, tmp_path):
    picture = tmp_path / "sheet.png"
    browser(real_sheet, "--window-size=1000,1400", f"--screenshot={picture}")

    with Image.open(picture) as shown:
        grey = shown.convert("L")
        assert shown.size == (1000, 1400)
        assert len(set(grey.tobytes())) > 100  # faces, not a blank page
        edge = grey.crop((990, 0, 1000, 1400))
        assert edge.getextrema() == (255, 255)  # nothing runs over the right margin


def test_a_browser_prints_the_sheet_on_few_pages(browser, real_sheet, tmp_path):
    pdf = tmp_path / "sheet.pdf"
    browser(real_sheet, f"--print-to-pdf={pdf}", "--no-pdf-header-footer")
    content = pdf.read_bytes()

    assert content.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) == 3


def test_a_browser_runs_nothing_that_a_subject_is_named(browser, lead, tmp_path):
    attack = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
    hostile = dataclasses.replace(lead, case=attack, candidates=[candidate(1, subject=attack, photo=attack)])
    page = tmp_path / "hostile.html"
    page.write_text(render_lead_sheet(hostile, None, [None]), "utf-8")

    shown = browser(page, "--dump-dom").decode()

    assert "<title>Lead sheet: case &lt;img" in shown
    assert "<script" not in shown
