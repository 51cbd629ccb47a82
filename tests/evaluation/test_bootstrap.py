"""Intervals over persons: of means, of shares, and of differences between two systems."""

from dataclasses import astuple

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from evaluation import bootstrap, leaderboard_statistics
from evaluation.leaderboard import Leaderboard
from ra import agreement, challenge_scores
from stage3_stack import submission


def test_wilsons_interval_is_scipys_and_wider_for_rows_of_one_person():
    covered = np.arange(60) % 6 > 0
    alone = bootstrap.wilson(covered, np.arange(60))
    expected = binomtest(50, 60).proportion_ci(method="wilson")
    assert astuple(alone) == pytest.approx((50 / 60, expected.low, expected.high), abs=1e-6)
    pairs = bootstrap.wilson(np.repeat(covered, 2), np.repeat(np.arange(60), 2))
    assert astuple(pairs) == pytest.approx(astuple(alone), abs=1e-12)  # the same persons twice add no information


def test_bootstrap_of_a_mean_is_students_interval_and_keeps_persons_together():
    rng = np.random.default_rng(1)
    values = rng.normal(10, 3, 200)
    draws = bootstrap.resample(np.arange(200))
    value, low, high = draws.estimate(draws.sums(values) / draws.sums(np.ones(200)))
    half = 1.96 * values.std(ddof=1) / np.sqrt(200)
    assert value == pytest.approx(values.mean()) and (high - low) / 2 == pytest.approx(half, rel=0.08)
    repeated = np.tile(values, 4)  # four equal visits of a person give no more information than one
    draws = bootstrap.resample(np.tile(np.arange(200), 4))
    _, low4, high4 = draws.estimate(draws.sums(repeated) / draws.sums(np.ones(800)))
    assert high4 - low4 == pytest.approx(high - low, rel=0.02)
    few = bootstrap.resample(np.arange(4))
    assert np.isnan(few.estimate(few.sums(np.ones(4)))[1])


def test_all_rows_of_a_drawn_patient_are_drawn():
    """Ten patients with a hundred equal rows each count as ten: the interval is that of ten numbers."""
    rng = np.random.default_rng(0)
    error = rng.normal(0, 1, 10)
    target, patient = np.zeros(1000), np.repeat(np.arange(10), 100)
    difference = bootstrap.paired_difference(agreement.mae, target, np.repeat(error, 100), target, patient)
    assert difference.value == pytest.approx(np.abs(error).mean())
    half = 1.96 * np.abs(error).std() / np.sqrt(10)
    assert (difference.high - difference.low) / 2 == pytest.approx(half, rel=0.15)
    other = target.copy()
    other[patient == 3] = np.nan  # a patient that one of the two systems does not predict
    known = bootstrap.paired_difference(agreement.mae, target, np.repeat(error, 100), other, patient)
    assert known.value == pytest.approx(np.abs(np.delete(error, 3)).mean())


def test_the_three_paired_bootstraps_agree():
    """For two submissions that differ in SC1, the difference is the same, and the intervals differ only by the random draws."""
    rng = np.random.default_rng(4)
    n = 120
    totals = rng.integers(21, 56, (n, 1)) * np.ones((1, 3))  # one band of weights
    blank = np.full((n, 86), np.nan)
    names = [f"P{i}" for i in range(n)]
    gold, pred, other = (
        submission.frame(names, blank, values) for values in (totals, totals + rng.normal(0, 3, (n, 1)), totals + 4)
    )
    expected = challenge_scores.paired_bootstrap(pred, other, gold, "sc1")
    rows = {("blend", "a"): {"oof": pred}, ("member", "b"): {"oof": other}}
    board = Leaderboard(rows, {"oof": gold}, person=pd.Series(names, index=names))
    statistics, verdicts = zip(*leaderboard_statistics.differences(board, "oof"), strict=True)
    log = [challenge_scores.log_score(table["Overall_Tol"].to_numpy()) for table in (gold, pred, other)]
    by_rows = bootstrap.paired_difference(agreement.mae, *log, np.array(names))
    for found in ((statistics[0].value, statistics[0].low, statistics[0].high), astuple(by_rows)):
        assert found[0] == pytest.approx(expected[0], abs=1e-12)
        assert found[1:] == pytest.approx(expected[1:], abs=0.1 * (expected[2] - expected[1]))
    assert verdicts[0] == "better" == bootstrap.verdict(*expected[1:])


def test_a_verdict_needs_an_interval_on_one_side_of_zero():
    assert bootstrap.verdict(-2, -1) == "better" == bootstrap.verdict(1, 2, higher_is_better=True)
    assert bootstrap.verdict(1, 2) == "worse" == bootstrap.verdict(-2, -1, higher_is_better=True)
    assert bootstrap.verdict(-1, 2) == "no significant difference" == bootstrap.verdict(np.nan, np.nan)
