"""Intraclass correlation and Bland-Altman limits against published examples, pingouin and scipy."""

import numpy as np
import pytest
from scipy import stats

from evaluation import (
    bootstrap,
    total_agreement,
)
from ra import agreement as readers


def plain(n):
    """n rows of a person each."""
    return bootstrap.resample(np.arange(n), times=50)


def test_icc_of_shrout_and_fleiss():
    """Psychol Bull 1979;86:420, table 2: ICC(1,1) 0.17, ICC(2,1) 0.29, ICC(2,k) 0.62; pingouin on sites with gaps."""
    judges = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)
    found = total_agreement.icc(judges, plain(6))
    assert [round(float(found[form][0]), 2) for form in ("ICC(1,1)", "ICC(A,1)", "ICC(A,k)")] == [0.17, 0.29, 0.62]
    rng = np.random.default_rng(0)
    cube = rng.normal(size=(12, 5, 1)) + rng.normal(0, 0.6, (12, 5, 3)) + [0, 0.3, -0.2]
    cube[2, 3, 1] = np.nan
    ours, theirs = total_agreement.icc(cube, plain(12)), readers.iccs(cube.reshape(-1, 3))
    for form, values in ours.items():
        assert values[0] == pytest.approx(theirs[form].value), form


def test_bland_altman_by_hand_and_by_scipy():
    first, second = np.array([10.0, 12, 20, 31, 44, 80]), np.array([8.0, 13, 17, 30, 40, 70])
    found = {name: values[0] for name, values in total_agreement.bland_altman(first, second, plain(6)).items()}
    difference = first - second  # 2 -1 3 1 4 10: mean 19/6, sum of squares 131
    sd = np.sqrt((131 - 19**2 / 6) / 5)
    assert (
        found["bias"] == pytest.approx(19 / 6) and found["sd"] == pytest.approx(sd) and found["distance"] == pytest.approx(21 / 6)
    )
    assert (found["lower"], found["upper"]) == pytest.approx((19 / 6 - 1.96 * sd, 19 / 6 + 1.96 * sd), abs=1e-3)
    assert found["slope"] == pytest.approx(stats.linregress((first + second) / 2, difference).slope)


def test_ratings_that_do_not_vary_have_no_icc():
    assert np.isnan(total_agreement.icc(np.ones((9, 2)), plain(9))["ICC(A,1)"]).all()
