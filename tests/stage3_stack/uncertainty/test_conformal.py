"""Conformal quantiles by hand, coverage by simulation."""

import numpy as np
import pytest

from stage3_stack.uncertainty import conformal
from stage3_stack.uncertainty.conformal import Stratum


def test_the_quantile_of_one_score_per_person_is_the_textbooks():
    """ceil((n + 1) level)-th smallest of n; infinity when n is too small for the level."""
    scores, person = np.arange(1.0, 20.0), np.arange(19)
    assert conformal.quantile(scores, person, 0.95) == 19  # ceil(20 x 0.95)
    assert conformal.quantile(scores, person, 0.80) == 16
    assert conformal.quantile(scores[:18], person[:18], 0.95) == np.inf  # ceil(19 x 0.95) = 19 of 18


def test_a_person_with_many_scores_has_the_same_weight_as_any_other():
    """Persons a (1, 2, 3) and b (10): a's scores weigh 1/9 each, b's 1/3, the next person's 1/3 lies at infinity."""
    scores, person = np.array([3.0, 10.0, 1.0, 2.0]), np.array(["a", "b", "a", "a"])
    quantiles = [conformal.quantile(scores, person, level) for level in (0.1, 0.2, 0.3, 0.6, 0.7)]
    assert quantiles == [1, 2, 3, 10, np.inf]


def simulated(n: int, rng: np.random.Generator) -> Stratum:
    """Totals whose error grows with the total and is larger upward than downward; one difficulty predicts it, one is noise."""
    value = np.exp(rng.normal(3, 1, (n, 1)))
    size = 0.15 + 0.25 * (value > 20)
    error = size * rng.normal(0, 1, (n, 1))
    target = np.expm1(np.log1p(value) + np.where(error > 0, 1.5 * error, error))
    difficulty = np.stack([np.log1p(value), rng.normal(0, 1, (n, 1))], axis=-1)
    return Stratum("total", value, np.clip(target, 0, 448), np.array([448.0]), difficulty)


def test_intervals_of_new_patients_cover_and_those_of_mild_patients_are_short():
    """Over 20 calibrations on 100 persons each, the mean coverage is nominal, and it is high in each third of severity."""
    rng, coverage, coverage_of_thirds, width = np.random.default_rng(0), [], [], []
    for _ in range(20):
        stratum = simulated(500, rng)
        fold = np.r_[np.arange(100) % 3, np.full(400, -1)]
        low, high, _ = conformal.cross_fitted(stratum, np.arange(500), fold)
        inside = ((low <= stratum.target[..., None]) & (stratum.target[..., None] <= high))[100:, 0]
        thirds = np.array_split(np.argsort(stratum.value[100:, 0]), 3)
        coverage.append(inside.mean(axis=0))
        coverage_of_thirds.append([inside[third, 1].mean() for third in thirds])
        width.append([(high - low)[100:][third, 0, 1].mean() for third in thirds])
    assert np.mean(coverage, axis=0) == pytest.approx([0.80, 0.95], abs=0.02)
    assert (np.mean(coverage_of_thirds, axis=0) > 0.90).all()
    mild, _, severe = np.mean(width, axis=0)
    assert 5 * mild < severe


def test_intervals_of_grades_have_whole_ends_and_include_the_rounded_value():
    rng = np.random.default_rng(1)
    damaged = rng.random((300, 8)) < 0.15
    value = np.where(damaged, rng.uniform(0.5, 5, damaged.shape), rng.uniform(0, 0.1, damaged.shape))
    target = np.clip(np.round(value + damaged * rng.normal(0, 0.8, value.shape)), 0, 5)
    stratum = Stratum("site", value, target, np.full(8, 5.0), np.log(0.1 + value)[..., None], whole=True)
    low, high, _ = conformal.cross_fitted(stratum, np.arange(300), np.r_[np.arange(150) % 3, np.full(150, -1)])
    assert (low == np.round(low)).all() and (high == np.round(high)).all() and (low >= 0).all() and (high <= 5).all()
    rounded = np.floor(value + 0.5)[..., None]
    assert ((low <= rounded) & (rounded <= high)).all()
    inside = ((low <= target[..., None]) & (target[..., None] <= high))[150:]
    assert (inside.mean(axis=(0, 1)) > [0.8, 0.95]).all()
    assert (inside[damaged[150:]].mean(axis=0) > [0.76, 0.92]).all(), "healthy sites must not make up for damaged ones"
