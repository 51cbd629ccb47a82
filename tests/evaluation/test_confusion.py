"""Measures of confusion tables against scikit-learn and ra.agreement."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, confusion_matrix, recall_score

from evaluation import (
    confusion,
)
from ra import agreement as readers


def counted(first, second):
    return confusion.count(first[:, None].astype(float), second[:, None].astype(float))


def test_measures_of_counts_against_scikit_learn():
    rng = np.random.default_rng(5)
    second = rng.choice(6, 300, p=[0.6, 0.15, 0.1, 0.05, 0.05, 0.05])
    first = np.clip(second + rng.integers(-2, 3, 300), 0, 5)
    counts = counted(first, second)
    table = counts.sum(0)
    assert (table[:6, :6] == confusion_matrix(second, first)).all()  # a row per grade of the reference
    assert confusion.quadratic_kappa(table) == pytest.approx(cohen_kappa_score(second, first, weights="quadratic"))
    assert confusion.agreement(table) == pytest.approx(np.mean(first == second))
    assert confusion.within_one(table) == pytest.approx(np.mean(np.abs(first - second) <= 1))
    assert confusion.sensitivity(table) == pytest.approx(recall_score(second > 0, first > 0))
    assert confusion.specificity(table) == pytest.approx(recall_score(second == 0, first == 0))
    balanced, theirs = confusion.balanced(counts), readers.balanced_accuracy(second, first)
    assert balanced.value == pytest.approx(balanced_accuracy_score(second, first))
    half = (theirs.high - theirs.low) * np.sqrt(300 / 299)  # with one site per person: Wald's interval of independent sites
    assert balanced.high - balanced.low == pytest.approx(half)
    assert confusion.balanced(counts, 1).value == pytest.approx(readers.within_one_balanced_accuracy(second, first).value)
    four_equal = np.repeat(counts, 4, axis=0).reshape(300, 4, 11, 11).sum(1)  # each person has four equal joints
    same = confusion.balanced(four_equal)
    assert same.high - same.low == pytest.approx(balanced.high - balanced.low), "they give no more information than one"


def test_values_are_those_of_the_metrics_for_two_columns_of_grades():
    rng = np.random.default_rng(6)
    second = rng.integers(0, 6, 200)
    first = np.clip(second + rng.integers(-1, 2, 200), 0, 5)
    counts = counted(first, second)
    table = counts.sum(0)
    assert (table[:6, :6] == readers.confusion(second, first)).all()
    assert confusion.quadratic_kappa(table) == pytest.approx(readers.quadratic_kappa(second, first).value, abs=1e-12)
    assert confusion.agreement(table) == pytest.approx(readers.accuracy(second, first).value, abs=1e-12)
    for within in (0, 1):
        expected = readers.balanced_accuracy(second, first, within=within).value
        assert confusion.balanced(counts, within).value == pytest.approx(expected, abs=1e-12)


def test_what_is_not_defined_is_nan():
    never = counted(np.zeros(9), np.zeros(9)).sum(0)
    assert (
        np.isnan(confusion.quadratic_kappa(never))
        and np.isnan(confusion.sensitivity(never))
        and confusion.specificity(never) == 1
    )
    varies = counted(np.zeros(6), np.arange(6)).sum(0)
    assert confusion.quadratic_kappa(varies) == 0 and np.isnan(confusion.specificity(np.zeros((11, 11))))
    missing = confusion.count(np.array([[np.nan, 1.0]]), np.array([[2.0, 1.0]]))
    assert missing.sum() == 1
