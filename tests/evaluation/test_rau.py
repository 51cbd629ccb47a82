"""Agreement of Ratingen grades and Rau scores, and the table for users."""

import numpy as np
import pandas as pd
import pytest

from evaluation import rau, svdh_to_ratingen
from evaluation.raters import MODEL
from ra.anatomy import SITES, limb
from tests.worlds import evaluation_world


@pytest.fixture(autouse=True)
def nothing_on_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("RA_DATA", str(tmp_path / "data"))


@pytest.fixture(scope="module")
def world():
    return evaluation_world.make(90, 60)


def test_a_reading_is_near_the_readers_and_a_shuffled_one_is_not(world):
    found = svdh_to_ratingen.scores(world)
    assert found.readers == svdh_to_ratingen.CONVERTED and found.runs == ()
    figures = rau.measure(world, found)
    kappa, icc, bias = (figures[name, "test"] for name in ("kappa", "icc_2_1", "bias"))
    assert kappa.value > 0.6 and icc.value > 0.8 and abs(bias.value) < 2 and kappa.n == 60 * 34
    assert 0.85 <= figures["coverage_95", "oof"].value <= 1 and figures["coverage_80", "oof"].value < 0.97
    one, (_, truth) = figures["exact", "test"], (None, found.reader[world.split == "test"])
    assert one.value == pytest.approx((found.whole[world.split == "test"] == truth).mean())
    broken = rau.measure(world, svdh_to_ratingen.scores(evaluation_world.shuffled(world)))
    assert broken["icc_2_1", "test"].high < 0.5 and broken["kappa", "test"].high < 0.3


def test_joints_without_a_number_are_left_out_of_the_score(world):
    """A patient without feet: 22 joints, bounds, and the same in the table for users."""
    feet = np.array([limb(s.part) == "foot" for s in SITES])
    grades = world.by[MODEL].grades.copy()
    grades[-1, feet] = np.nan
    gone = world.with_model(grades, world.by[MODEL].totals)
    found = svdh_to_ratingen.scores(gone)
    row = rau.table(gone, found).iloc[-1]
    assert row.n_scored == 22 and row.rau_lowest < row.rau < row.rau_highest and pd.isna(row.LF_mtp_1_grade)
    assert row.rau_highest - row.rau_lowest == pytest.approx(190 * 12 / 34, abs=0.11)
    assert [one.value for one in rau.joints_scored(found)] == [34, 22]
