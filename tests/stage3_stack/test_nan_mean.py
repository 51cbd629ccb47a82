"""Means over values, some of which are missing."""

import numpy as np

from stage3_stack.nan_mean import nan_mean, ratio


def test_missing_values_do_not_count():
    values = np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, 5.0]])
    np.testing.assert_array_equal(nan_mean(values, axis=1), [2, 5])
    np.testing.assert_array_equal(nan_mean(values, axis=0), [1, np.nan, 4])
    np.testing.assert_array_equal(nan_mean(values, axis=0, otherwise=np.array([7.0, 8.0, 9.0])), [1, 8, 4])


def test_a_ratio_without_a_count_is_the_other_value():
    np.testing.assert_array_equal(ratio(np.array([4.0, 0.0]), np.array([2, 0])), [2, np.nan])
    assert ratio(np.array([1.0]), np.array([0]), otherwise=0.5) == [0.5]
