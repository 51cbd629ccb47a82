"""Clinical scores against the published definitions and hand-worked numbers."""

import numpy as np
import pytest

from ra import clinical
from ra.config import UserError


@pytest.mark.parametrize(
    ("percent", "grade"), [(0, 0), (0.5, 1), (20, 1), (21, 2), (40, 2), (60, 3), (61, 4), (80, 4), (81, 5), (100, 5)]
)
def test_ratingen_grades(percent, grade):
    assert clinical.percent2grade(percent) == grade


def test_grades_of_arrays_are_those_of_single_percentages():
    percents = np.array([[0, 0.5, 20], [21, 100, np.nan]])
    grades = clinical.percents2grades(percents)
    assert grades.tolist()[0] == [0, 1, 1] and grades.tolist()[1][:2] == [2, 5] and np.isnan(grades[1, 2])
    assert [clinical.percent2grade(percent) for percent in clinical.GRADE2PERCENT] == [0, 1, 2, 3, 4, 5]


def test_rau_score_is_scaled_by_what_was_scored():
    grades = {("LH", "wrist"): 5, ("RF", "mtp_5"): 2, ("LH", "mcp_2"): np.nan, ("RH", "pip_2"): 0}
    rau = clinical.rau(grades)
    assert rau.score == pytest.approx(38 * 7 / 3) and rau.n_scored == 3
    assert rau.sites == (("LH", "wrist"), ("RH", "pip_2"), ("RF", "mtp_5"))
    assert len(clinical.RAU_SITES) == 34 and clinical.rau(dict.fromkeys(clinical.RAU_SITES, 5)).score == 190
    assert np.isnan(clinical.rau({}).score)
    with pytest.raises(UserError, match="not a Ratingen joint"):
        clinical.rau({("LF", "wrist"): 1})


def test_the_bounds_of_a_rau_score_assume_healthy_and_destroyed_joints():
    low, high = clinical.rau({("LH", "wrist"): 5, ("RH", "wrist"): 1}).bounds
    assert (low, high) == pytest.approx((38 * 6 / 34, 38 * (6 + 32 * 5) / 34))
    assert clinical.rau({}).bounds == (0, 190)


def test_das28_by_hand():
    assert clinical.das28_esr([4.0], [9.0], [np.e], [50.0]) == pytest.approx([0.56 * 2 + 0.28 * 3 + 0.70 + 0.014 * 50])
    assert clinical.das28_crp([4.0], [9.0], [np.e - 1], [50.0]) == pytest.approx([0.56 * 2 + 0.28 * 3 + 0.36 + 0.014 * 50 + 0.96])
    assert clinical.das28_esr([0.0], [0.0], [0.2], [0.0]) == [0.0], "an ESR below 1 counts as 1"
    assert np.isnan(clinical.das28_crp([1.0], [np.nan], [1.0], [1.0])).all()


@pytest.mark.parametrize(
    ("score", "band"),
    [(2.5, "remission"), (2.6, "low"), (3.1, "low"), (3.2, "moderate"), (5.1, "moderate"), (5.2, "high"), (np.nan, None)],
)
def test_bands_of_disease_activity(score, band):
    assert clinical.das28_band(score) == band
