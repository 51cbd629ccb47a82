"""Change between visits: pairs, intervals, verdicts, and their sections of the page; models broken on purpose are recognised."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evaluation import changes as change_verb
from evaluation import detectable_change, visit_pairs
from evaluation.raters import MODEL, READER1, READER2, TRUTH, Raters
from evaluation.statistic import table
from ra.anatomy import ALL_PARTS, SITES
from report.sections import change as change_section
from report.sections import prognosis as prognosis_section
from tests.worlds import evaluation_world


def with_intervals(raters: Raters, total: float = 12.0, site: float = 1.0) -> Raters:
    """The raters with status intervals of a fixed half-width."""
    keys = [(ALL_PARTS, "total", finding) for finding in ("total", "erosion", "narrowing")]
    keys += [(s.part, s.site, s.finding) for s in SITES]
    values = visit_pairs.columns(raters.by[MODEL])
    arm = np.where(np.arange(len(keys)) < 3, total, site)
    rows = pd.DataFrame(keys * len(values), columns=["part", "site", "finding"])
    rows["patient_id"] = np.repeat(raters.patients, len(keys))
    rows["value"] = values.ravel()
    for level, z in ((80, 0.65), (95, 1.0)):
        rows[f"low{level}"], rows[f"high{level}"] = (np.maximum(values - z * arm, 0).ravel(), (values + z * arm).ravel())
    return replace(raters, intervals=rows)


@pytest.fixture(scope="module")
def world() -> Raters:
    return with_intervals(evaluation_world.make(n_train=180, n_test=60))


def found(section) -> pd.DataFrame:
    return table(list(section.statistics())).set_index("id")


def test_pairs_are_one_persons_successive_visits(world):
    mixed = world.take(np.random.default_rng(3).permutation(len(world.patients)))
    pairs, ends = visit_pairs.successive(mixed), visit_pairs.first_to_last(mixed)
    assert len(pairs) == 160 and len(ends) == 80
    assert (mixed.person[pairs.before] == mixed.person[pairs.after]).all()
    assert (mixed.visit[pairs.after] - mixed.visit[pairs.before] == 1).all()
    assert (mixed.visit[ends.before] == 1).all() and (mixed.visit[ends.after] == 3).all()
    straddling = replace(world, split=np.where(world.visit == 3, "test", "oof").astype(object))
    assert len(visit_pairs.successive(straddling)) == 80  # visits of one person in both splits are no pair
    assert len(visit_pairs.successive(world.take(world.visit == 1))) == 0


def test_intervals_cover_persons_on_whom_they_were_not_fitted(world):
    pairs = visit_pairs.successive(world)
    for level in (80, 95):
        limits = visit_pairs.bounds(pairs, level)
        seen = pairs.change(READER1)
        inside = (limits.low <= seen) & (seen <= limits.high)
        for split in ("oof", "test"):
            assert level / 100 - 0.1 <= inside[pairs.split == split, 0].mean() <= 1
        assert abs(inside[:, 3:].mean() - level / 100) < 0.05
    poisoned = world.by[READER1].totals.copy()
    poisoned[world.fold == 1] = 400 * (world.visit[world.fold == 1, None] > 1)
    by = world.by | {READER1: replace(world.by[READER1], totals=poisoned)}
    again = visit_pairs.bounds(visit_pairs.successive(replace(world, by=by)), 95)
    own = pairs.fold == 1
    assert np.array_equal(again.low[own], limits.low[own]) and not np.array_equal(again.low[~own, 0], limits.low[~own, 0])


def test_with_too_few_persons_for_a_quantile_errors_are_taken_as_independent(world):
    few = visit_pairs.successive(world.take(np.isin(world.person, [f"P{k:03d}" for k in (*range(6), 70, 71)])))
    limits = visit_pairs.bounds(few, 95)
    assert limits.factor == dict.fromkeys(visit_pairs.MEASURES, 1.0) and limits.persons == 6
    far = (few.raters.by[MODEL].totals[[few.before, few.after], 0] > 12).all(
        axis=0
    )  # from the scale's end, where a status interval is cut
    assert far.any() and (limits.high - limits.low)[far, 0] == pytest.approx(2 * np.hypot(12, 12))


def test_intervals_of_new_patients_are_calibrated_on_the_training_pairs(world):
    """A run applied to another set: its pairs get the same intervals alone as together with the training pairs."""
    whole, alone = visit_pairs.successive(world), visit_pairs.successive(world.in_split("test"))
    wanted, made = visit_pairs.bounds(whole, 80), visit_pairs.bounds(alone, 80, visit_pairs.successive(world.in_split("oof")))
    np.testing.assert_array_equal(made.low, wanted.low[whole.split == "test"])
    assert made.factor == wanted.factor and made.persons == 60
    assert set(visit_pairs.bounds(alone, 80).factor.values()) == {1.0}


def test_an_interval_of_a_higher_level_contains_that_of_a_lower_level(world):
    few = visit_pairs.successive(world.take(np.isin(world.person, [f"P{k:03d}" for k in (*range(12), 70, 71)])))
    limits = visit_pairs.nested_bounds(few)
    assert limits[80].factor["total"] != 1 and limits[95].factor["total"] == 1
    assert (limits[95].low <= limits[80].low).all() and (limits[95].high >= limits[80].high).all()


def test_verdicts_by_hand():
    limits = visit_pairs.Bounds(95, *(np.array(ends)[:, None] for ends in ([1, -3, -3, np.nan], [9, 3, 8, np.nan])), {}, 9)
    assert visit_pairs.verdicts(limits, 5.0).tolist() == ["progressed", "not progressed", "cannot tell", "cannot tell"]


def test_the_section_shows_pairs_verdicts_and_coverage(world):
    made = change_section.make(world)
    numbers = found(made)
    assert numbers.loc["change/pairs/all/reader-1/successive-visits", "value"] == 160
    assert numbers.loc["change/coverage_95/all/model/total", "value"] > 0.9
    verdicts = numbers[numbers.index.str.contains("/verdict/all/") & numbers.index.str.endswith("95")]
    assert verdicts.value.sum() == 160
    every = change_verb.table(detectable_change.Study(visit_pairs.successive(world)))
    assert len(every) == 160 * 89 and (every.low95 <= every.low80).all() and (every.low80 <= every.change).all()
    assert every[every.verdict != ""].verdict.value_counts().sum() == 160
    assert numbers.loc["change/progression_icc_a1/all/model-and-reader-1/total", "value"] > 0.3


@pytest.mark.parametrize("name", ["constant", "shuffled"])
def test_a_broken_model_is_recognised_by_its_change(world, name):
    numbers = found(change_section.make(evaluation_world.BROKEN[name](world)))
    icc = numbers.loc["change/progression_icc_a1/all/model-and-reader-1/total"]
    sdc = numbers.loc["change/sdc_1_reader/all/model-and-reader-1/total", "value"]
    sure = numbers.loc["change/verdict/all/model/progressed-95", "value"]
    assert abs(icc.value) < 1e-9 if name == "constant" else icc.low < 0.1 and abs(icc.value) < 0.3
    if name == "constant":
        assert numbers.loc["change/mean_change/all/model/total-first-to-last-visit", "value"] == 0 and sure == 0
        assert numbers[numbers.index.str.contains("/sites_rose/all/model/")].value.eq(0).all()
    else:
        assert sdc > 2 * numbers.loc["change/sdc_1_reader/all/reader-1-and-reader-2/total", "value"] and sure < 20


def test_sections_of_a_set_that_lacks_visits_or_readers(world):
    single = world.take(world.visit == 1)
    assert "two visits" in change_section.make(single).lead and not change_section.make(single).blocks
    assert "there is no forecast" in prognosis_section.make(single).lead
    lone = {name: rater for name, rater in world.by.items() if name in (MODEL, READER1)}
    blank = replace(world.by[READER1], grades=world.by[READER1].grades * np.nan, totals=world.by[READER1].totals * np.nan)
    alone = replace(world, by=lone | dict.fromkeys((READER2, TRUTH), blank), intervals=pd.DataFrame())
    numbers = found(change_section.make(alone))
    assert "change/sdc_1_reader/all/model-and-reader-1/total" in numbers.index
    assert np.isnan(numbers.loc["change/coverage_95/all/model/total", "value"])
