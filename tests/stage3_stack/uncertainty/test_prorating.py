"""Pro-rated totals and their bounds, computed by hand."""

import numpy as np
import pytest

from stage3_stack.uncertainty import prorating


def test_pro_rata_by_hand():
    """Four sites with maxima 5 5 5 10: the stack predicts 1 2 0 1, sum 4, and a total of 8, so a point of the sum counts 2."""
    sites, maxima = np.ones(4, bool), np.array([5.0, 5.0, 5.0, 10.0])
    grades = np.array([[1.0, 2.0, 0.0, 1.0]] * 4)
    scored = np.array([[1, 1, 1, 1], [1, 1, 1, 0], [0, 1, 0, 1], [1, 0, 0, 0]], bool)
    pred = prorating.prorate(np.full(4, 8.0), grades, scored, maxima, sites, sites)
    assert pred.state.tolist() == ["scored", "partial", "partial", "missing"] and pred.n_scored.tolist() == [4, 3, 2, 1]
    np.testing.assert_allclose(pred.share, [8, 6, 6, 2])
    np.testing.assert_allclose(pred.value, [8, 6 * 25 / 15, 6 * 25 / 15, np.nan])  # maxima scored: 25, 15, 15
    np.testing.assert_allclose(pred.lowest, [8, 6, 6, 2])
    np.testing.assert_allclose(pred.highest, [8, 16, 16, 22])
    np.testing.assert_allclose(pred.submitted, 8)


def test_parts_add_up_also_for_a_patient_without_damage():
    maxima, within = np.array([5.0, 5.0, 10.0]), np.ones(3, bool)
    grades, whole = np.array([[1.0, 2.0, 1.0], [0.0, 0.0, 0.0]]), np.array([10.0, 0.4])
    scored = np.array([[1, 0, 1], [1, 1, 0]], bool)
    parts = [prorating.prorate(whole, grades, scored, maxima, sites, within) for sites in (np.arange(3) < 2, np.arange(3) == 2)]
    both = prorating.prorate(whole, grades, scored, maxima, within, within)
    np.testing.assert_allclose(sum(p.share for p in parts), both.share)
    np.testing.assert_allclose(sum(p.submitted for p in parts), whole)
    assert both.value[1] == pytest.approx(0.4)  # in proportion to the maxima: a scored share of 0.2 is pro-rated to 0.4


def test_a_single_number_is_a_total_of_one_site():
    pred = prorating.single(np.array(["scored", "no_film"], dtype=object), np.array([2.0, 1.5]), 4)
    np.testing.assert_array_equal(pred.value, [2, np.nan])
    assert pred.submitted.tolist() == [2, 1.5] and pred.lowest.tolist() == [2, 0] and pred.highest.tolist() == [2, 4]
    assert pred.n_scored.tolist() == [1, 0] and pred.n_sites == 1
