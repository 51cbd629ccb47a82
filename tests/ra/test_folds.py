"""Folds keep persons whole, spread severity, and do not depend on the order of the rows."""

import numpy as np
import pandas as pd
import pytest

from ra import folds
from ra.config import UserError


def cohort(n: int = 120) -> pd.DataFrame:
    """Up to three ids per person; totals as skewed as RA2-DREAM's, some missing."""
    rng = np.random.default_rng(3)
    total = np.round(np.exp(rng.normal(2.3, 1.1, n)))
    total[:5] = np.nan
    people = [f"P{i}" for i in rng.integers(0, n // 2, n)]
    return pd.DataFrame({"patient_id": [f"U{i:03d}" for i in range(n)], "person_id": people, "total": total})


@pytest.mark.parametrize("n_folds", [3, 5])
def test_persons_stay_whole_and_folds_are_alike(n_folds):
    patients = cohort()
    table = folds.make(patients, n_folds, seed=1).merge(patients, on="patient_id")
    assert len(table) == len(patients) and table.drop_duplicates(["person_id", "fold"]).person_id.is_unique
    sizes = table.fold.value_counts()
    assert set(sizes.index) == set(range(n_folds)) and sizes.max() - sizes.min() <= 0.25 * len(patients) / n_folds


def test_severe_patients_are_spread_because_they_dominate_the_score():
    patients = cohort()
    for seed in range(4):
        table = folds.make(patients, 3, seed).merge(patients, on="patient_id")
        severe = table[table.total > 20].fold.value_counts()
        assert severe.max() - severe.min() <= 2, "chance alone differs by 4 to 8"


def test_folds_depend_on_the_seed_and_not_on_the_order():
    patients = cohort()
    first = folds.make(patients, 3, seed=1)
    pd.testing.assert_frame_equal(first, folds.make(patients.sample(frac=1, random_state=0), 3, seed=1))
    assert (first.fold != folds.make(patients, 3, seed=2).fold).any()


def test_too_few_persons_are_refused():
    patients = cohort(10).assign(person_id="one")
    with pytest.raises(UserError, match="1 training persons cannot make 3 folds"):
        folds.make(patients, 3, seed=0)


def test_digest_follows_the_content(tmp_path):
    path = tmp_path / "folds.csv"
    path.write_text("a")
    before = folds.digest(path)
    path.write_text("b")
    assert folds.digest(path) != before


@pytest.mark.parametrize("flag", ["3", "-1", "x", "1.0", ""])
def test_the_fold_flag_is_a_number_or_all(flag):
    assert folds.chosen("all", 3) == [0, 1, 2] and folds.chosen("2", 3) == [2]
    with pytest.raises(UserError, match="from 0 to 2, or all"):
        folds.chosen(flag, 3)
