"""Change over time and its forecast: hand-worked figures, an independent ICC, models broken on purpose, no leak, no healing."""

import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data.phantom import histories
from evaluation import change, progression
from evaluation import changes as change_verb
from evaluation import forecast as verb
from evaluation import prognosis as pg
from evaluation.raters import MODEL, READER1, READER2, TRUTH, Raters
from evaluation.statistic import table
from ra.agreement import icc as pingouin_icc
from ra.anatomy import ALL_PARTS, ID, OVERALL, SITES
from ra.config import UserError
from report.sections import change as change_section
from report.sections import prognosis as prognosis_section
from tests.worlds import evaluation_world


def with_reading(raters: Raters, total: float = 12.0, site: float = 1.0) -> Raters:
    """The raters with status intervals of a fixed half-width."""
    keys = [(ALL_PARTS, "total", finding) for finding in ("total", "erosion", "narrowing")]
    keys += [(s.part, s.site, s.finding) for s in SITES]
    values = change.columns(raters.by[MODEL])
    arm = np.where(np.arange(len(keys)) < 3, total, site)
    rows = pd.DataFrame(keys * len(values), columns=["part", "site", "finding"])
    rows["patient_id"] = np.repeat(raters.patients, len(keys))
    rows["value"] = values.ravel()
    for level, z in ((80, 0.65), (95, 1.0)):
        rows[f"low{level}"], rows[f"high{level}"] = (np.maximum(values - z * arm, 0).ravel(), (values + z * arm).ravel())
    return replace(raters, reading=rows)


@pytest.fixture(scope="module")
def world() -> Raters:
    return with_reading(evaluation_world.make(n_train=180, n_test=60))


def found(section) -> pd.DataFrame:
    return table(list(section.statistics())).set_index("id")


def test_pairs_are_one_persons_successive_visits(world):
    mixed = world.take(np.random.default_rng(3).permutation(len(world.patients)))
    pairs, ends = change.successive(mixed), change.first_to_last(mixed)
    assert len(pairs) == 160 and len(ends) == 80
    assert (mixed.person[pairs.before] == mixed.person[pairs.after]).all()
    assert (mixed.visit[pairs.after] - mixed.visit[pairs.before] == 1).all()
    assert (mixed.visit[ends.before] == 1).all() and (mixed.visit[ends.after] == 3).all()
    straddling = replace(world, split=np.where(world.visit == 3, "test", "oof").astype(object))
    assert len(change.successive(straddling)) == 80  # visits of one person in both splits are no pair
    assert len(change.successive(world.take(world.visit == 1))) == 0


def test_sdc_and_sdd_by_hand():
    """Differences of the two readers' changes 1, -1, 2, -2, 0: their SD is sqrt(10 / 4) = 1.581."""
    a, b, person = np.array([4.0, 2, 5, 1, 3, np.nan]), np.array([3.0, 3, 3, 3, 3, 1]), np.arange(6)
    assert progression.sdc(a, b, person).value == pytest.approx(1.96 * 1.5811 / 2, rel=1e-3)  # sqrt 2 sqrt 2
    assert progression.sdc(a, b, person, 1).value == pytest.approx(1.96 * 1.5811 / np.sqrt(2), rel=1e-3)
    assert progression.sdc(a, b, person, 1, z=progression.Z80).value == pytest.approx(1.28 * 1.5811 / np.sqrt(2), rel=2e-3)
    assert progression.sdd(a, b, person).value == pytest.approx(1.96 * 1.5811 / np.sqrt(2), rel=1e-3)
    wide = progression.sdc(a, b, person, 1)
    assert wide.low < wide.value < wide.high
    shifted = progression.sdc(a + 7, b, person, 1)  # a constant offset between readers is no error of a change
    assert shifted.value == pytest.approx(wide.value)


@pytest.mark.parametrize("k", [2, 3])
def test_icc_is_pingouins_and_its_interval_is_over_persons(k):
    rng = np.random.default_rng(k)
    x = rng.normal(0, 3, (60, 1)) + rng.normal(0, 2, (60, k)) + np.arange(k)
    single, mean = (progression.icc(x, np.arange(60), mean=m) for m in (False, True))
    for mine, theirs in ((single, pingouin_icc(x, "ICC(A,1)")), (mean, pingouin_icc(x, "ICC(A,k)"))):
        assert mine.value == pytest.approx(theirs.value, abs=1e-9)
        assert (mine.low, mine.high) == pytest.approx((theirs.low, theirs.high), abs=0.08)
    doubled = progression.icc(np.repeat(x, 4, axis=0), np.repeat(np.arange(60), 4))  # the same persons, no more known of them
    assert doubled.high - doubled.low == pytest.approx(single.high - single.low, rel=0.1)


def test_shares_have_wilsons_interval_and_rows_of_one_person_count_little():
    from statsmodels.stats.proportion import proportion_confint

    hit = np.arange(40) < 12
    alone = progression.share(hit, np.full(40, True), np.arange(40))
    assert (alone.low, alone.high) == pytest.approx(proportion_confint(12, 40, method="wilson"), abs=0.003)
    none = progression.share(np.zeros(40, bool), np.full(40, True), np.arange(40))
    assert (none.low, none.high) == pytest.approx(proportion_confint(0, 40, method="wilson"), abs=1e-6)
    alike = progression.share(np.repeat(hit, 10), np.full(400, True), np.repeat(np.arange(40), 10))
    assert (alike.low, alike.high) == pytest.approx((alone.low, alone.high), abs=0.001)


def test_intervals_cover_persons_whom_they_were_not_fitted_to(world):
    pairs = change.successive(world)
    for level in (80, 95):
        limits = change.bounds(pairs, level)
        seen = pairs.change(READER1)
        inside = (limits.low <= seen) & (seen <= limits.high)
        for split in ("oof", "test"):
            assert level / 100 - 0.1 <= inside[pairs.split == split, 0].mean() <= 1
        assert abs(inside[:, 3:].mean() - level / 100) < 0.05
    poisoned = world.by[READER1].totals.copy()
    poisoned[world.fold == 1] = 400 * (world.visit[world.fold == 1, None] > 1)
    by = world.by | {READER1: replace(world.by[READER1], totals=poisoned)}
    again = change.bounds(change.successive(replace(world, by=by)), 95)
    own = pairs.fold == 1
    assert np.array_equal(again.low[own], limits.low[own]) and not np.array_equal(again.low[~own, 0], limits.low[~own, 0])


def test_too_few_persons_for_a_quantile_leave_independent_errors(world):
    few = change.successive(world.take(np.isin(world.person, [f"P{k:03d}" for k in (*range(6), 70, 71)])))
    limits = change.bounds(few, 95)
    assert limits.factor == dict.fromkeys(change.MEASURES, 1.0) and limits.persons == 6
    far = (few.raters.by[MODEL].totals[[few.before, few.after], 0] > 12).all(
        axis=0
    )  # from the scale's end, where a status interval is cut
    assert far.any() and (limits.high - limits.low)[far, 0] == pytest.approx(2 * np.hypot(12, 12))


def test_new_patients_intervals_rest_on_the_training_pairs(world):
    """A run applied to another set: its pairs alone, taught by the training pairs, get what they get beside them."""
    whole, alone = change.successive(world), change.successive(world.in_split("test"))
    wanted, made = change.bounds(whole, 80), change.bounds(alone, 80, change.successive(world.in_split("oof")))
    np.testing.assert_array_equal(made.low, wanted.low[whole.split == "test"])
    assert made.factor == wanted.factor and made.persons == 60
    assert set(change.bounds(alone, 80).factor.values()) == {1.0}


def test_a_wider_level_holds_the_narrower_one(world):
    few = change.successive(world.take(np.isin(world.person, [f"P{k:03d}" for k in (*range(12), 70, 71)])))
    limits = change.nested_bounds(few)
    assert limits[80].factor["total"] != 1 and limits[95].factor["total"] == 1
    assert (limits[95].low <= limits[80].low).all() and (limits[95].high >= limits[80].high).all()


def test_verdicts():
    limits = change.Bounds(95, *(np.array(ends)[:, None] for ends in ([1, -3, -3, np.nan], [9, 3, 8, np.nan])), {}, 9)
    assert change.verdicts(limits, 5.0).tolist() == ["progressed", "not progressed", "cannot tell", "cannot tell"]


def test_the_section_says_what_it_knows(world):
    made = change_section.make(world)
    numbers = found(made)
    assert numbers.loc["change/pairs/all/reader-1/successive-visits", "value"] == 160
    assert numbers.loc["change/coverage_95/all/model/total", "value"] > 0.9
    verdicts = numbers[numbers.index.str.contains("/verdict/all/") & numbers.index.str.endswith("95")]
    assert verdicts.value.sum() == 160
    every = change_verb.table(progression.Study(change.successive(world)))
    assert len(every) == 160 * 89 and (every.low95 <= every.low80).all() and (every.low80 <= every.change).all()
    assert every[every.verdict != ""].verdict.value_counts().sum() == 160
    assert numbers.loc["change/progression_icc_a1/all/model-and-reader-1/total", "value"] > 0.3


@pytest.mark.parametrize("name", ["constant", "shuffled"])
def test_a_broken_model_is_seen_in_its_change(world, name):
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
    assert "nothing can be said" in prognosis_section.make(single).lead
    lone = {name: rater for name, rater in world.by.items() if name in (MODEL, READER1)}
    blank = replace(world.by[READER1], grades=world.by[READER1].grades * np.nan, totals=world.by[READER1].totals * np.nan)
    alone = replace(world, by=lone | dict.fromkeys((READER2, TRUTH), blank), reading=pd.DataFrame())
    numbers = found(change_section.make(alone))
    assert "change/sdc_1_reader/all/model-and-reader-1/total" in numbers.index
    assert np.isnan(numbers.loc["change/coverage_95/all/model/total", "value"])


@pytest.fixture(scope="module")
def drawn() -> dict[str, pd.DataFrame]:
    return histories.draw(histories.Histories(persons=120, visits=4, seed=5))


def visits(tables: dict[str, pd.DataFrame]) -> pg.Visits:
    scores, people = tables["training"], tables["people"]
    totals = scores[[OVERALL[f] for f in ("total", "erosion", "narrowing")]].to_numpy(float)
    damaged = (scores[[s.column for s in SITES]].to_numpy() > 0).sum(axis=1)
    return pg.Visits(
        people.person_id.to_numpy(), people.visit.to_numpy(), totals, damaged, totals[:, 0], people.days.to_numpy(float)
    )


def test_histories_are_a_function_of_their_seed_and_never_heal(drawn):
    again = histories.draw(histories.Histories(persons=120, visits=4, seed=5))
    assert all(drawn[name].equals(again[name]) for name in histories.TABLES)
    assert not drawn["training"].equals(histories.draw(histories.Histories(persons=120, visits=4, seed=6))["training"])
    assert not drawn["training"].equals(drawn["reader2"])
    truth = drawn["truth"][[s.column for s in SITES]].to_numpy().reshape(120, 4, -1)
    rise = np.diff(truth, axis=1)
    assert (rise >= 0).all() and rise.sum() > 0
    assert (drawn["people"].groupby("person_id").days.diff().dropna() > 300).all()


def test_the_ridge_beats_the_naive_forecasts_of_the_synthetic_cohort(drawn):
    made = pg.prognosis("training", visits(drawn))
    assert len(made.cases.row) == 360 and made.error("same slope", "rmse").n == 240
    for name in ("no change", "same slope"):
        assert made.difference(name, "rmse").high < 0 and f"beats {name}" in made.verdicts


def test_the_ridge_does_not_beat_no_change_where_nothing_changes():
    rng = np.random.default_rng(0)
    base = np.repeat(rng.gamma(2, 20, 60), 3)
    totals = np.column_stack([base, base / 2, base / 2])
    still = pg.Visits(np.repeat(np.arange(60).astype(str), 3), np.tile([1, 2, 3], 60), totals, base, base, np.full(180, np.nan))
    noisy = replace(still, outcome=base + rng.normal(0, 3, 180))
    assert "beats no change" not in pg.prognosis("still", noisy).verdicts


def test_naive_forecasts_by_hand():
    totals = np.array([[10.0, 4, 6], [16, 7, 9], [20, 9, 11]])
    days = np.array([0, 730.5, 1095.75])
    one = pg.Visits(np.array(["P"] * 3), np.array([1, 2, 3]), totals, np.array([5, 6, 7]), totals[:, 0], days)
    made = pg.cases(one)
    assert made.outcome.tolist() == [16, 20]
    assert made.naive[1].tolist() == [16, 19] and np.isnan(made.naive[0, 1])  # 3 a year for one more year
    assert dict(zip(pg.FEATURES, made.features[1], strict=True)) == {
        "last total": 16, "last erosion": 7, "last narrowing": 9, "damaged sites": 6, "slope so far": 3, "slope known": 1,
        "visits so far": 2, "time to the next": 1,
    }  # fmt: skip
    by_visit = pg.cases(replace(one, day=np.full(3, np.nan)))
    assert by_visit.naive[1].tolist() == [16, 22]


def test_no_forecast_sees_its_own_persons_outcomes(drawn):
    known = visits(drawn)
    last = known.visit == 4
    learn = np.array([person < "H0100" for person in known.person])
    before = pg.forecast(pg.cases(known, learn))
    for person in ("H0003", "H0110"):  # one to learn from, one of the test
        poisoned = replace(known, outcome=np.where(known.person == person, 400.0, known.outcome))
        made = pg.cases(poisoned, learn)
        after, own = pg.forecast(made), made.person == person
        assert np.array_equal(before[own], after[own], equal_nan=True)
        assert np.array_equal(before, after, equal_nan=True) == (person == "H0110")
    later = replace(known, totals=np.where(last[:, None], 0.0, known.totals))  # nobody's last total is anybody's feature
    assert np.array_equal(pg.cases(later).features, pg.cases(known).features)


def test_the_verbs_end_to_end(tmp_path, capsys, monkeypatch):
    def call(verb_module, *arguments):
        monkeypatch.setattr(sys, "argv", ["verb", *map(str, arguments)])
        verb_module.run()

    call(histories, "--out", tmp_path / "h", "--persons", 30, "--visits", 3, "--seed", 5)
    scores, people = tmp_path / "h" / "training.csv", tmp_path / "h" / "people.csv"
    call(verb, "--scores", scores, "--people", people, "--out", tmp_path / "out")
    assert "60 visits of 30 persons" in capsys.readouterr().out
    written = pd.read_csv(tmp_path / "out" / "forecasts_training.csv")
    numbers = pd.read_csv(tmp_path / "out" / "numbers.csv").set_index("name")
    assert np.sqrt(np.mean(np.square(written.ridge - written.outcome))) == pytest.approx(numbers.loc["rmse", "value"].iloc[0])
    pd.read_csv(scores).head(6).to_csv(tmp_path / "few.csv", index=False)
    call(verb, "--scores", tmp_path / "few.csv", "--people", people)
    assert "2 persons" in capsys.readouterr().out
    pd.read_csv(people).drop(columns="visit").to_csv(tmp_path / "nobody.csv", index=False)
    pd.read_csv(scores).assign(**{ID: "X"}).iloc[:1].to_csv(tmp_path / "others.csv", index=False)
    for bad, who, why in (
        (scores, tmp_path / "nobody.csv", "the column visit 0 times"),
        (people, people, "holds no score"),
        (tmp_path / "others.csv", people, "give the people of these scores"),
    ):
        with pytest.raises(UserError, match=why):
            call(verb, "--scores", bad, "--people", who)
