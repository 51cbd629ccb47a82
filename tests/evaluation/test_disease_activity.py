"""Correlation of damage with disease activity against scipy, its LOESS line and its bands."""

import numpy as np
import pytest
from scipy import stats

from evaluation import bootstrap, disease_activity


def test_correlations_and_their_resamples_are_those_of_scipy():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 6, 80).astype(float)
    y = 0.4 * x + rng.normal(size=80).round(1)
    draws = bootstrap.resample(np.arange(80) // 2)
    for ours, theirs in ((disease_activity.pearson, stats.pearsonr), (disease_activity.spearman, stats.spearmanr)):
        found = ours(x, y, draws)
        for i in (0, 1, 500):
            rows = np.repeat(np.arange(80), draws.weight[i].astype(int))
            assert found[i] == pytest.approx(theirs(x[rows], y[rows]).statistic, abs=1e-12)
    pearson, spearman = disease_activity.correlations(np.r_[x, np.nan, 1], np.r_[y, 1, np.nan], np.arange(82) // 2, "r", "s")
    assert (pearson.n, spearman.n) == (80, 80) and pearson.low < pearson.value < pearson.high
    assert np.isnan(disease_activity.pearson(np.ones(80), y, draws)).all(), "a constant has no correlation"


def test_the_loess_line_follows_a_curve_and_leaves_gaps_out():
    x = np.r_[np.linspace(0, 10, 200), np.nan]
    line = disease_activity.trend(x, np.r_[3 + 0.2 * np.linspace(0, 10, 200), 5.0])
    assert np.allclose(line[:, 1], 3 + 0.2 * line[:, 0]) and (np.diff(line[:, 0]) > 0).all()
    assert not len(disease_activity.trend(np.ones(50), np.ones(50)))


def test_bands_share_all_visits():
    values = np.array([1.0, 2.6, 3.0, 3.2, 5.1, 5.2, np.nan])
    median, *shares = disease_activity.bands(values, np.arange(7), "DAS28-ESR")
    assert [round(6 * one.value) for one in shares] == [1, 2, 2, 1] and median.n == 6 and median.value == pytest.approx(3.1)
