"""Agreement of Ratingen grades and Rau scores, and the table for users."""

import numpy as np
import pandas as pd
import pytest

from evaluation import rau, svdh_to_ratingen
from evaluation.raters import MODEL
from ra.anatomy import SITES, limb
from tests.worlds import evaluation_world

pytestmark = pytest.mark.usefixtures("empty_data_root")


def test_grades_are_close_to_the_readers_unless_they_are_shuffled(raters):
    found = svdh_to_ratingen.scores(raters)
    assert found.readers == svdh_to_ratingen.CONVERTED and found.runs == ()
    figures = rau.measure(raters, found)
    kappa, icc, bias = (figures[name, "test"] for name in ("kappa", "icc_2_1", "bias"))
    assert kappa.value > 0.6 and icc.value > 0.8 and abs(bias.value) < 2 and kappa.n == 60 * 34
    assert 0.85 <= figures["coverage_95", "oof"].value <= 1 and figures["coverage_80", "oof"].value < 0.97
    is_test = raters.split == "test"
    assert figures["exact", "test"].value == pytest.approx((found.whole[is_test] == found.reader[is_test]).mean())
    broken = rau.measure(raters, svdh_to_ratingen.scores(evaluation_world.shuffled(raters)))
    assert broken["icc_2_1", "test"].high < 0.5 and broken["kappa", "test"].high < 0.3


def test_joints_without_a_number_are_left_out_of_the_score(raters):
    """A patient without films of the feet has 22 joints and bounds, also in the table for users."""
    feet = np.array([limb(s.part) == "foot" for s in SITES])
    grades = raters.by[MODEL].grades.copy()
    grades[-1, feet] = np.nan
    without_feet = raters.with_model(grades, raters.by[MODEL].totals)
    found = svdh_to_ratingen.scores(without_feet)
    row = rau.table(without_feet, found).iloc[-1]
    assert row.n_scored == 22 and row.rau_lowest < row.rau < row.rau_highest and pd.isna(row.LF_mtp_1_grade)
    assert row.rau_highest - row.rau_lowest == pytest.approx(190 * 12 / 34, abs=0.11)
    assert [one.value for one in rau.joints_scored(found)] == [34, 22]
