"""Forecasts of the next total: naive forecasts by hand, no leak, no gain where nothing changes."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data.phantom import histories
from evaluation import prognosis as pg
from ra.anatomy import OVERALL, SITES


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


def test_no_forecast_depends_on_the_outcomes_of_its_person(drawn):
    known = visits(drawn)
    last = known.visit == 4
    learn = np.array([person < "H0100" for person in known.person])
    before = pg.forecast(pg.cases(known, learn))
    for person in ("H0003", "H0110"):  # a training person and a test person
        poisoned = replace(known, outcome=np.where(known.person == person, 400.0, known.outcome))
        made = pg.cases(poisoned, learn)
        after, own = pg.forecast(made), made.person == person
        assert np.array_equal(before[own], after[own], equal_nan=True)
        assert np.array_equal(before, after, equal_nan=True) == (person == "H0110")
    later = replace(known, totals=np.where(last[:, None], 0.0, known.totals))  # a person's last total is in no feature
    assert np.array_equal(pg.cases(later).features, pg.cases(known).features)
