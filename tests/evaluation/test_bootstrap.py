"""Intervals of shares whose rows belong to persons."""

from dataclasses import astuple

import numpy as np
import pytest
from scipy.stats import binomtest

from evaluation import bootstrap


def test_wilsons_interval_is_scipys_and_wider_for_rows_of_one_person():
    covered = np.arange(60) % 6 > 0
    alone = bootstrap.wilson(covered, np.arange(60))
    expected = binomtest(50, 60).proportion_ci(method="wilson")
    assert astuple(alone) == pytest.approx((50 / 60, expected.low, expected.high), abs=1e-6)
    pairs = bootstrap.wilson(np.repeat(covered, 2), np.repeat(np.arange(60), 2))
    assert astuple(pairs) == pytest.approx(astuple(alone), abs=1e-12)  # the same persons twice add no information
