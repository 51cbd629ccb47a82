"""report.page: the same numbers in all three files, and a page that is complete in a browser."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from evaluation.statistic import Statistic
from report import page, plotting, sections
from report.blocks import Gallery, Picture, Section, Table, Text
from tests.report.conftest import png
from tests.report.page_parser import Page
from tests.worlds import evaluation_world

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def report(no_set, tmp_path_factory):  # noqa: ARG001 - before the first section is made
    """The folder of a whole report."""
    raters, folder = evaluation_world.make(n_train=60, n_test=45), tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(plotting.STYLE, "figure.dpi", 60)  # coarse figures are rendered faster
        made = sections.make(raters)
    page.write(folder, "a world", made, {"Set": "world"}, notice="Synthetic", command="command")
    return folder


def numbers_of(text: str) -> list[tuple[float, float]]:
    """The numbers of a cell, each with half of its last decimal."""
    return [(float(word), 0.5 * 10.0 ** -len(word.partition(".")[2])) for word in re.findall(r"-?\d+(?:\.\d+)?", text)]


def test_the_three_files_hold_the_same_numbers(report):
    table = pd.read_csv(report / "numbers.csv", keep_default_na=False, na_values=[""]).set_index("id")
    rows = {row["id"]: row for row in json.loads((report / "numbers.json").read_text())}
    assert table.index.is_unique and list(rows) == list(table.index)
    for name, row in table.iterrows():
        for column in ("value", "low", "high"):
            assert rows[name][column] == row[column] or (rows[name][column] is None and np.isnan(row[column]))
        assert rows[name]["n"] == row.n
    cells = Page((report / "report.html").read_text()).cells
    assert len(cells) > 300
    for name, text in cells:
        row = table.loc[name]
        expected = [x for x in (row.value, row.low, row.high) if not np.isnan(x)]
        shown = numbers_of(text)
        if np.isnan(row.value):
            assert text == "–"
        else:
            assert len(shown) in (1, len(expected)), name
            assert all(abs(x - y) <= half * 1.000001 for (x, half), y in zip(shown, expected, strict=False)), (name, text)


def test_every_section_is_there_and_an_intact_model_raises_no_grave_alarm(report):
    parsed = Page((report / "report.html").read_text())
    assert parsed.sections == ["alarms", *(sections.module(name).ID for name in sections.ORDER)]
    assert "grave" not in parsed.alarms.values(), parsed.alarms


def test_text_from_outside_is_escaped(tmp_path):
    """A set's name or a patient's id is never markup."""
    evil = "<script>alert(1)</script>"
    picture = Picture(evil, evil, png(np.zeros((4, 4), np.uint8)), f'"{evil}')
    number = Statistic("s", "n", "all", evil, evil, 1.0)
    blocks = [Text(evil), Table(evil, [evil], [[evil, number]]), picture, Gallery(evil, evil, [picture])]
    section = Section("s", evil, evil, blocks)
    assert evil not in page.write(tmp_path, evil, [section], {evil: evil}, notice=evil, command=evil).read_text()


def test_an_unreadable_picture_is_named(tmp_path):
    whole = png(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    files = {"cut": whole[: len(whole) // 2], "odd": b"?", "ok": whole}
    pictures = [Picture(f"crop {name}", "", data, "") for name, data in files.items()]
    text = page.write(tmp_path, "t", [Section("s", "S", "", [*pictures, Gallery("g", "", pictures)])], {}).read_text()
    assert text.count("cannot be read: crop cut") == text.count("cannot be read: crop odd") == 2 and text.count("<img") == 2


@pytest.mark.parametrize(("rows", "collapsed"), [(24, False), (25, True)])
def test_a_table_longer_than_a_screen_starts_collapsed(tmp_path, rows, collapsed):
    table = Table("caption", ["", "n"], [[str(k), Statistic("s", "n", "all", "a", str(k), 1.0)] for k in range(rows)])
    text = page.write(tmp_path, "t", [Section("s", "S", "", [table])], {}).read_text()
    assert table.collapsed == collapsed == ("<details>" in text) and text.count("data-id") == rows + 1  # the footer has one


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_the_page_is_whole_in_a_browser(report, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    path, faults, requested = report / "report.html", [], []
    assert path.stat().st_size < 15 * 2**20
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.on("console", lambda message: faults.append(message.text))
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.on("request", lambda request: requested.append(request.url.split(",")[0][:60]))
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
    assert [url for url in requested if not url.startswith("data:")] == [path.as_uri()[:60].split(",")[0]]
    assert (tmp_path / "report.pdf").stat().st_size > 20_000
