"""report.sections: broken models are visible, and missing inputs give a sentence instead of a failure."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evaluation.raters import MODEL, READER1, READER2, TRUTH, Rater, Raters
from ra.anatomy import SITES, limb
from report import page, sections
from report.blocks import Alarms
from tests.report.page_parser import Page
from tests.worlds import evaluation_world

MODULES = ("leaderboard", "agreement")  # sections that show a broken model of grades
# broken model -> the rules that it must break gravely, the first of them first on the page
BREAKS = {
    "constant": ["flat", "chance", "below-readers"],
    "shuffled": ["chance", "worse-than-column-mean", "below-readers"],
    "shifted": ["bias", "worse-than-column-mean", "alarmist"],
    "blind_to_feet": ["blind", "below-readers"],
}

pytestmark = pytest.mark.usefixtures("no_set", "blank_figures")


@pytest.mark.parametrize("broken", evaluation_world.BROKEN)
def test_a_broken_model_is_visible(tmp_path, broken):
    made = sections.make(evaluation_world.BROKEN[broken](evaluation_world.make(n_train=60, n_test=0)), MODULES)
    raised = [alarm.rule.name for block in made[0].blocks if isinstance(block, Alarms) for alarm in block.alarms]
    parsed = Page(page.write(tmp_path, broken, made, {}).read_text())
    numbers = pd.read_csv(tmp_path / "numbers.csv").set_index("id").value
    assert raised[0] == BREAKS[broken][0] and list(parsed.alarms) == raised
    if broken == "blind_to_feet":
        blind = made[0].blocks[0].alarms[0]
        assert blind.raised == 6 and blind.figure.scope in blind.words  # foot, MTP, hallux IP x two findings, and no hand
        assert blind.figure.scope.split()[0] in {"foot", "MTP", "hallux"}
    for rule in BREAKS[broken]:
        assert parsed.alarms[rule] == "grave" and numbers[f"alarms/raised/all/model/{rule}"] >= 1
    assert set(dict(parsed.cells)) <= set(numbers.index)


def with_gaps(raters: Raters) -> Raters:
    """Raters who each scored another 70 % of the patients."""
    rng, by = np.random.default_rng(5), {}
    for name, rater in raters.by.items():
        scored = rng.random(len(raters.patients)) < 0.7
        by[name] = Rater(np.where(scored[:, None], rater.grades, np.nan), np.where(scored[:, None], rater.totals, np.nan))
    return replace(raters, by=by)


def hands_only() -> Raters:
    """Raters of hands only: one visit per person, one reader, and no test patient with a reader's score."""
    raters = evaluation_world.make(n_train=18, n_test=6, visits=1)
    test = raters.split == "test"
    on_hand = np.array([limb(site.part) == "hand" for site in SITES])

    def hand_grades(rater: Rater, scored: np.ndarray) -> Rater:
        grades = np.where(on_hand & scored[:, None], rater.grades, np.nan)
        totals = evaluation_world.totals(np.where(on_hand, rater.grades, 0.0))
        return Rater(grades, np.where(scored[:, None], totals, np.nan))

    by = {MODEL: hand_grades(raters.by[MODEL], test | ~test), READER1: hand_grades(raters.by[READER1], ~test)}
    return replace(raters, by=by | dict.fromkeys((READER2, TRUTH), unscored(raters)), probabilities=None)


def unscored(raters: Raters) -> Rater:
    n = len(raters.patients)
    return Rater(np.full((n, len(SITES)), np.nan), np.full((n, 3), np.nan))


@pytest.mark.parametrize(
    "raters",
    [
        pytest.param(hands_only, id="hands only, one reader, one visit"),
        pytest.param(lambda: hands_only().in_split("test").take(np.arange(1)), id="a single patient and no training patients"),
        pytest.param(lambda: (r := hands_only()) and replace(r, by=r.by | {READER1: unscored(r)}), id="no reader"),
        pytest.param(lambda: with_gaps(evaluation_world.make(n_train=36, n_test=12)), id="every rater lacks other patients"),
    ],
)
def test_a_set_that_lacks_almost_everything_has_every_section(tmp_path, raters):
    text = page.write(tmp_path, "poor", sections.make(raters()), {}).read_text()
    assert Page(text).sections == ["alarms", *(sections.module(name).ID for name in sections.ORDER)]


@pytest.mark.parametrize("name", ["explanations", "films", "training"])
def test_without_runs_on_disk_a_section_is_only_its_lead(name):
    section = sections.module(name).make(evaluation_world.make(9, 2, visits=1))
    assert section.lead.endswith(".") and not section.blocks
