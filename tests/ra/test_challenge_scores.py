"""The challenge's scores against hand-worked numbers."""

import numpy as np
import pandas as pd
import pytest

from ra import challenge_scores
from ra.anatomy import COLUMNS_A, ID, SITES

VALUES = [c for c in COLUMNS_A if c != ID]


def submission(**patients: dict[str, float]) -> pd.DataFrame:
    """A submission of patients with a few non-zero columns."""
    return pd.DataFrame([{**dict.fromkeys(VALUES, 0.0), **v} for v in patients.values()], index=list(patients), columns=VALUES)


def test_weights_of_bands_edges_and_gaps():
    totals = [0, 1, 2, 3, 4, 7, 8, 20, 21, 55, 56, 148, 149, 448, 3.5, 0.5, 148.5, np.nan]
    expected = [1, 2, 2.143547, 2.143547, 3.863745, 3.863745, 8, 8, 16, 16, 32, 32, 64, 64, 0, 0, 0, 0]
    assert challenge_scores.patient_weight(np.array(totals)).tolist() == expected


def test_nine_numbers_by_hand():
    gold = submission(A={"Overall_Tol": 3, "Overall_erosion": 3, "LH_pip_E__2": 3}, B={"Overall_Tol": 7, "Overall_narrowing": 7})
    gold.loc["B", ["LF_mtp_J__1", "LH_pip_J__2"]] = [3, 1]
    pred = submission(A={"Overall_Tol": 7, "Overall_erosion": 1, "LH_pip_E__2": -5}, B={"Overall_Tol": 7, "Overall_narrowing": 1})
    a, b = 2.143547, 3.863745
    scores = challenge_scores.ra2_scores(pred, gold)
    expected = {
        "sc1": a * 1 / (a + b),  # L(7) - L(3) = 1 for A, B exact
        "sc2": b * np.sqrt((2**2 + 1**2) / 42) / (a + b),
        "sc2_hand": b * np.sqrt(1 / 30) / (a + b),
        "sc2_foot": b * np.sqrt(4 / 12) / (a + b),
        "sc2_total": b * 2 / (a + b),
        "sc3": a * np.sqrt(2**2 / 44) / (a + b),  # -5 counts as 0
        "sc3_hand": a * np.sqrt(2**2 / 32) / (a + b),
        "sc3_foot": 0.0,
        "sc3_total": a * 1 / (a + b),
    }
    assert scores == pytest.approx(expected, rel=1e-12)
    shuffled = pred.iloc[::-1][VALUES[::-1]]
    assert challenge_scores.ra2_scores(shuffled, gold) == pytest.approx(expected, rel=1e-12)


def test_scores_have_no_upper_limit_and_weights_come_from_gold():
    gold = submission(A={"Overall_Tol": 0}, B={"Overall_Tol": 448})
    pred = submission(A={"Overall_Tol": 1023}, B={"Overall_Tol": 448})
    assert challenge_scores.RA2["sc1"].fn(pred, gold) == pytest.approx(10 / 65)


def test_refusals():
    gold = submission(A={"Overall_Tol": 3, "LH_pip_E__2": 3}, B={"Overall_Tol": 0})
    good = submission(A={"Overall_Tol": 2, "LH_pip_E__2": 1}, B={})
    assert challenge_scores.refusals(good, gold) == {}
    assert set(challenge_scores.refusals(good.drop("B"), gold)) == set(challenge_scores.RA2)
    assert set(challenge_scores.refusals(pd.concat([good, submission(C={})]), gold)) == set(challenge_scores.RA2)
    assert set(challenge_scores.refusals(pd.concat([good, good.tail(1)]), gold)) == set(challenge_scores.RA2)
    empty = good.copy()
    empty.loc["A", "LF_mtp_E__1"] = np.nan
    assert set(challenge_scores.refusals(empty, gold)) == {"sc3", "sc3_foot"}
    assert np.isnan(challenge_scores.ra2_score(empty, gold, "sc3"))
    zeros = submission(A={"Overall_Tol": 5}, B={"Overall_Tol": 5})
    assert set(challenge_scores.refusals(zeros, gold)) == set(challenge_scores.RA2) - {"sc1"}


def test_cells_that_are_missing_in_gold_are_ignored():
    gold = submission(A={"Overall_Tol": 3, "LH_pip_E__2": np.nan})
    pred = submission(A={"Overall_Tol": 3, "LH_pip_E__2": 5, "LH_pip_E__3": 1})
    assert challenge_scores.ra2_score(pred, gold, "sc3_hand") == pytest.approx(np.sqrt(1 / 31))


@pytest.fixture
def cohort() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Gold, a near copy and a far one, 40 patients."""
    rng = np.random.default_rng(0)
    grades = rng.poisson(0.4, (40, len(SITES))).astype(float)
    gold = pd.DataFrame(grades, columns=[s.column for s in SITES], index=[f"P{i}" for i in range(40)])
    gold["Overall_Tol"] = grades.sum(axis=1)
    gold["Overall_erosion"], gold["Overall_narrowing"] = grades[:, :44].sum(axis=1), grades[:, 44:].sum(axis=1)
    near, far = (gold + rng.uniform(0, high, gold.shape) for high in (0.2, 2.0))
    return gold, near, far


@pytest.mark.parametrize("name", ["sc1", "sc2", "sc3"])
def test_ties_and_differences(cohort, name):
    gold, near, far = cohort
    result = challenge_scores.tie_test(near, far, gold, name, times=200)
    assert result["better"] == "pred" and not result["tie"] and result["k"] > 3
    assert challenge_scores.tie_test(far, near, gold, name, times=200)["better"] == "other"
    assert challenge_scores.tie_test(near, near, gold, name, times=50) == {"k": 1.0, "tie": True, "better": "equal"}
    difference, low, high = challenge_scores.paired_bootstrap(near, far, gold, name)
    assert difference == pytest.approx(challenge_scores.ra2_score(near, gold, name) - challenge_scores.ra2_score(far, gold, name))
    assert low < difference < high < 0


def test_the_bootstrap_is_centred_on_the_score(cohort):
    gold, near, _ = cohort
    for name in ("sc1", "sc2"):
        scores = challenge_scores.bootstrap_scores([near], gold, name, times=300)
        assert scores.mean() == pytest.approx(challenge_scores.ra2_score(near, gold, name), rel=0.03)


def test_bootstrap_draws_rows_for_joints_and_patients_for_totals():
    """A is wrong by 1 in every cell, B in none: SC2 is 64/65 for any sample of rows, SC1 is 0 if B is drawn twice."""
    gold = submission(A={"Overall_Tol": 255}, B={"Overall_Tol": 0})
    pred = submission(A=dict.fromkeys(VALUES, 1.0) | {"Overall_Tol": 511}, B={})
    assert challenge_scores.bootstrap_scores([pred], gold, "sc2", times=50) == pytest.approx(64 / 65)
    assert set(challenge_scores.bootstrap_scores([pred], gold, "sc1", times=50).ravel().round(4)) == {0.0, round(64 / 65, 4), 1.0}
