"""The report: numbers the same in all three files, whole in a browser, honest about broken models and about what is lacking."""

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import cv2
import numpy as np
import pandas as pd
import pytest

from evaluation import statistic
from evaluation.raters import MODEL, READER1, READER2, TRUTH, Rater, Raters
from evaluation.statistic import Statistic
from ra.anatomy import SITES, limb
from ra.config import UserError
from report import page, plotting, sections
from report.blocks import Alarms, Gallery, Picture, Section, Table, Text
from tests.worlds import evaluation_world

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
TOLD = ("standing", "agreement")  # sections that a broken model of grades shows itself in
# broken model -> the rules that it must break gravely, the first of them first on the page
BREAKS = {
    "constant": ["flat", "chance", "below-readers"],
    "shuffled": ["chance", "worse-than-column-mean", "below-readers"],
    "shifted": ["bias", "worse-than-column-mean", "alarmist"],
    "blind_to_feet": ["blind", "below-readers"],
}


class Page(HTMLParser):
    """What a reader of the HTML finds: cells by data-id, sections, alarms by rule with their gravity."""

    def __init__(self, text: str):
        super().__init__()
        self.cells: list[tuple[str, str]] = []
        self.sections: list[str] = []
        self.alarms: dict[str, str] = {}
        self._inside = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        known = dict(attributes)
        if "data-id" in known:
            self.cells.append((known["data-id"], ""))
            self._inside = 1
        elif self._inside:
            self._inside += 1
        if "data-rule" in known:
            self.alarms[known["data-rule"]] = known["class"]
        if tag == "section":
            self.sections.append(known["id"])

    def handle_endtag(self, _tag: str) -> None:
        self._inside = max(0, self._inside - 1)

    def handle_data(self, text: str) -> None:
        if self._inside:
            name, said = self.cells[-1]
            self.cells[-1] = name, said + text


pytestmark = pytest.mark.usefixtures("nowhere")


@pytest.fixture(scope="module")
def nowhere(tmp_path_factory):
    """No set on disk: sections have the raters alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RA_DATA", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture
def unseen(monkeypatch):
    """Pictures are not drawn, which takes most of a section's time."""
    blank = data_of(np.zeros((4, 4), np.uint8))
    monkeypatch.setattr(
        plotting, "picture", lambda _, title, caption, alt, *, wide=False: Picture(title, caption, blank, alt, wide)
    )


def data_of(grey: np.ndarray) -> bytes:
    return cv2.imencode(".png", grey)[1].tobytes()


@pytest.fixture(scope="module")
def report(nowhere, tmp_path_factory):  # noqa: ARG001 - before the first section is made
    """The folder of a whole report."""
    world, folder = evaluation_world.make(n_train=60, n_test=45), tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(plotting.STYLE, "figure.dpi", 60)  # coarse pictures are drawn sooner
        made = sections.make(world)
    page.write(folder, "a world", made, {"Set": "world"}, notice="Synthetic", command="made so")
    return folder


def numbers_of(text: str) -> list[tuple[float, float]]:
    """The numbers of a cell, each with half of its last decimal."""
    return [(float(word), 0.5 * 10.0 ** -len(word.partition(".")[2])) for word in re.findall(r"-?\d+(?:\.\d+)?", text)]


def test_the_three_files_hold_the_same_numbers(report):
    told = pd.read_csv(report / "numbers.csv", keep_default_na=False, na_values=[""]).set_index("id")
    rows = {row["id"]: row for row in json.loads((report / "numbers.json").read_text())}
    assert told.index.is_unique and list(rows) == list(told.index)
    for name, row in told.iterrows():
        for column in ("value", "low", "high"):
            assert rows[name][column] == row[column] or (rows[name][column] is None and np.isnan(row[column]))
        assert rows[name]["n"] == row.n
    cells = Page((report / "report.html").read_text()).cells
    assert len(cells) > 300
    for name, text in cells:
        row = told.loc[name]
        wanted = [x for x in (row.value, row.low, row.high) if not np.isnan(x)]
        found = numbers_of(text)
        if np.isnan(row.value):
            assert text == "–"
        else:
            assert len(found) in (1, len(wanted)), name
            assert all(abs(x - y) <= half * 1.000001 for (x, half), y in zip(found, wanted, strict=False)), (name, text)


def test_one_name_has_one_number():
    one = Statistic("s", "icc", "oof", "A against B", "total", 0.5)
    assert len(statistic.table([one, replace(one)])) == 1
    with pytest.raises(ValueError, match="s/icc/oof/a-against-b/total"):
        statistic.table([one, replace(one, value=0.6)])


def test_every_section_is_there_and_an_intact_model_raises_no_grave_alarm(report):
    found = Page((report / "report.html").read_text())
    assert found.sections == ["alarms", *sections.ORDER]
    assert "grave" not in found.alarms.values(), found.alarms


@pytest.mark.parametrize("broken", evaluation_world.BROKEN)
@pytest.mark.usefixtures("unseen")
def test_a_broken_model_is_visible(tmp_path, broken):
    told = sections.make(evaluation_world.BROKEN[broken](evaluation_world.make(n_train=60, n_test=0)), TOLD)
    listed = [alarm.rule.name for block in told[0].blocks if isinstance(block, Alarms) for alarm in block.found]
    text = page.write(tmp_path, broken, told, {}).read_text()
    numbers = pd.read_csv(tmp_path / "numbers.csv").set_index("id").value
    on_page = Page(text)
    assert listed[0] == BREAKS[broken][0] and list(on_page.alarms) == listed
    if broken == "blind_to_feet":
        blind = told[0].blocks[0].found[0]
        assert blind.raised == 6 and blind.figure.scope in blind.words  # foot, MTP, hallux IP x two findings, and no hand
        assert blind.figure.scope.split()[0] in {"foot", "MTP", "hallux"}
    for rule in BREAKS[broken]:
        assert on_page.alarms[rule] == "grave" and numbers[f"alarms/raised/all/model/{rule}"] >= 1
    assert set(dict(on_page.cells)) <= set(numbers.index)


def holed(raters: Raters) -> Raters:
    """No rater saw everybody: each lacks other patients, and the model some joints of all."""
    rng, by = np.random.default_rng(5), {}
    for name, rater in raters.by.items():
        seen = rng.random(len(raters.patients)) < 0.7
        by[name] = Rater(np.where(seen[:, None], rater.grades, np.nan), np.where(seen[:, None], rater.totals, np.nan))
    return replace(raters, by=by)


@pytest.mark.usefixtures("unseen")
def test_a_set_that_lacks_everything_has_every_section(tmp_path):
    """Hands only, one visit each, one reader, no test patients that anybody scored, no tables on disk; a single patient and
    nobody to learn from; nobody scored by a reader."""
    raters = evaluation_world.make(n_train=18, n_test=6, visits=1)
    gone, test = np.full(raters.by[MODEL].grades.shape, np.nan), raters.split == "test"
    hands = np.array([limb(site.part) == "hand" for site in SITES])
    nobody = Rater(gone, np.full((len(gone), 3), np.nan))

    def hand_grades(rater: Rater, seen: np.ndarray) -> Rater:
        grades = np.where(hands & seen[:, None], rater.grades, np.nan)
        return Rater(grades, np.where(seen[:, None], evaluation_world.totals(np.where(hands, rater.grades, 0.0)), np.nan))

    by = {MODEL: hand_grades(raters.by[MODEL], test | ~test), READER1: hand_grades(raters.by[READER1], ~test)}
    poor = replace(raters, by=by | {READER2: nobody, TRUTH: nobody}, belief=None)
    unknown = replace(poor, by=poor.by | {READER1: nobody})
    for known in (poor, raters.in_split("test").take(np.arange(1)), unknown, holed(evaluation_world.make(n_train=36, n_test=12))):
        text = page.write(tmp_path, "poor", sections.make(known), {}).read_text()
        assert Page(text).sections == ["alarms", *sections.ORDER]


def test_a_run_without_its_reading_is_one_sentence(tmp_path, monkeypatch):
    from ra import paths
    from report.__main__ import write

    monkeypatch.setenv("RA_DATA", str(tmp_path))
    with pytest.raises(UserError, match="run the step that writes it first"):
        write("nothing", "blend")
    paths.run_dir("nothing", 3, "blend").mkdir(parents=True)
    (paths.run_dir("nothing", 3, "blend") / "run.json").write_text("{}")
    with pytest.raises(UserError, match="intervals --data nothing --run blend"):
        write("nothing", "blend")
    assert not paths.report("nothing", "blend").exists()


def test_words_from_outside_are_text(tmp_path):
    """A set's name or a patient's id is never markup."""
    evil = "<script>alert(1)</script>"
    shot = Picture(evil, evil, data_of(np.zeros((4, 4), np.uint8)), f'"{evil}')
    one = Statistic("s", "n", "all", evil, evil, 1.0)
    made = Section("s", evil, evil, [Text(evil), Table(evil, [evil], [[evil, one]]), shot, Gallery(evil, evil, [shot])])
    assert evil not in page.write(tmp_path, evil, [made], {evil: evil}, notice=evil, command=evil).read_text()


def test_an_unreadable_picture_is_named(tmp_path):
    whole = data_of(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    shots = [
        Picture(f"crop {name}", "", data, "") for name, data in (("cut", whole[: len(whole) // 2]), ("odd", b"?"), ("ok", whole))
    ]
    text = page.write(tmp_path, "t", [Section("s", "S", "", [*shots, Gallery("g", "", shots)])], {}).read_text()
    assert text.count("cannot be read: crop cut") == text.count("cannot be read: crop odd") == 2 and text.count("<img") == 2


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_the_page_is_whole_in_a_browser(report, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    path, faults, asked = report / "report.html", [], []
    assert path.stat().st_size < 15 * 2**20
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.on("console", lambda message: faults.append(message.text))
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url.split(",")[0][:60]))
        tab.goto(path.as_uri())
        for width in (1280, 390):
            tab.set_viewport_size({"width": width, "height": 900})
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
        images = tab.evaluate("[...document.images].map((i) => [i.naturalWidth, i.alt.length])")
        assert images and all(width > 0 and alt > 0 for width, alt in images)
        links = tab.evaluate("[...document.querySelectorAll('a[href]')].map((a) => a.getAttribute('href'))")
        assert all(link[0] == "#" and tab.locator(f"[id='{link[1:]}']").count() == 1 for link in links)
        identifiers = tab.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
        assert len(identifiers) == len(set(identifiers))
        tab.set_viewport_size({"width": 1280, "height": 900})
        tab.locator("nav a").last.click()
        tab.wait_for_selector("nav a[aria-current]")
        tab.pdf(path=str(tmp_path / "report.pdf"), format="A4")
        browser.close()
    assert not faults
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()[:60].split(",")[0]]
    assert (tmp_path / "report.pdf").stat().st_size > 20_000
