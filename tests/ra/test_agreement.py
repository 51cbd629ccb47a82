"""Agreement against hand-worked numbers, published examples and scikit-learn; generated readers agree as real ones do."""

import numpy as np
import pytest
from scipy.stats import f as f_distribution
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score

from data.phantom import cohort, severity
from ra import agreement as ag
from ra.clinical import percent2grade
from ra.config import UserError

# Ten joints: class 0 four times, 1 three times, 3 three times; recalls 3/4, 1/3, 0; within one 4/4, 3/3, 2/3.
TARGET = np.array([0, 0, 0, 0, 1, 1, 1, 3, 3, 3, np.nan, 2])
PRED = np.array([0, 0, 0, 1, 0, 1, 2, 2, 4, 1, 5, np.nan])


def test_accuracies_by_hand():
    assert vars(ag.accuracy(TARGET, PRED)) == pytest.approx({"value": 0.4, "low": 0.4 - 0.30364, "high": 0.4 + 0.30364}, abs=1e-4)
    balanced = ag.balanced_accuracy(TARGET, PRED)
    half = 1.96 * np.sqrt(0.75 * 0.25 / 4 + (1 / 3) * (2 / 3) / 3) / 3
    assert balanced.value == pytest.approx((3 / 4 + 1 / 3) / 3)
    assert (balanced.low, balanced.high) == pytest.approx((balanced.value - half, balanced.value + half), abs=1e-4)
    assert balanced.value == pytest.approx(balanced_accuracy_score(TARGET[:10], PRED[:10]))
    within = ag.within_one_balanced_accuracy(TARGET, PRED)
    assert within.value == pytest.approx(8 / 9) and within.high == 1


def test_confusion_has_a_row_per_target():
    table = ag.confusion(TARGET, PRED)
    assert table[0].tolist() == [3, 1, 0, 0, 0, 0] and table[3].tolist() == [0, 1, 1, 0, 1, 0] and table.sum() == 10
    shares = ag.confusion(TARGET, PRED, normalise=True)
    assert shares[1].tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0, 0, 0]) and np.isnan(shares[2]).all()


def test_quadratic_kappa_and_its_interval():
    rng = np.random.default_rng(3)
    a = rng.choice(6, 400, p=[0.5, 0.25, 0.1, 0.05, 0.05, 0.05])
    b = np.clip(a + rng.integers(-2, 3, 400), 0, 5)
    kappa = ag.quadratic_kappa(a, b)
    assert kappa.value == pytest.approx(cohen_kappa_score(a, b, weights="quadratic"))
    draws = rng.integers(0, 400, (200, 400))
    spread = np.std([cohen_kappa_score(a[i], b[i], weights="quadratic") for i in draws])
    assert kappa.high - kappa.value == pytest.approx(kappa.value - kappa.low) == pytest.approx(1.96 * spread, rel=0.2)
    assert np.isnan(ag.quadratic_kappa(np.zeros(5), np.zeros(5)).value)


def test_icc_of_shrout_and_fleiss():
    """Their worked example (Psychol Bull 1979;86:420, table 2), with the interval of ICC(2,1); a missing rating drops its row."""
    ratings = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7], [np.nan, 1, 1, 1]])
    published = dict(zip(ag.ICC_FORMS, (0.17, 0.29, 0.71, 0.44, 0.62, 0.91), strict=True))
    assert {form: round(ag.icc(ratings, form).value, 2) for form in published} == published
    agreed = ag.icc(ratings, "ICC(A,1)")
    assert (agreed.low, agreed.high) == pytest.approx((0.0188, 0.7611), abs=1e-3) and agreed.p == pytest.approx(1.35e-4, rel=0.01)
    assert np.isnan(ag.icc(np.ones((9, 3))).value)
    with pytest.raises(UserError, match="take one of"):
        ag.icc(ratings, "ICC3")


def test_the_papers_icc_is_the_one_way_form():
    """Interval and p of Rohrbach 2019, section 4.2, from its value alone: 308 joints, three raters."""
    rng = np.random.default_rng(0)
    ratings = rng.normal(size=(308, 1)) * np.sqrt(0.61 / 0.39) + rng.normal(size=(308, 3))
    ours = ag.icc(ratings)
    ratio = (1 + 2 * ours.value) / (1 - ours.value)
    low, high = ratio / f_distribution.ppf(0.975, 307, 616), ratio * f_distribution.ppf(0.975, 616, 307)
    assert (ours.low, ours.high) == pytest.approx(((low - 1) / (low + 2), (high - 1) / (high + 2)))
    assert ours.p == pytest.approx(f_distribution.sf(ratio, 307, 616))
    ratio = (1 + 2 * 0.601) / (1 - 0.601)
    low, high = ratio / f_distribution.ppf(0.975, 307, 616), ratio * f_distribution.ppf(0.975, 616, 307)
    assert ((low - 1) / (low + 2), (high - 1) / (high + 2)) == pytest.approx((0.543, 0.656), abs=5e-4)
    assert f_distribution.sf(ratio, 307, 616) == pytest.approx(2.26e-72, rel=0.1)


def test_crps_by_hand():
    k = np.arange(101)
    certain = np.stack([k >= 30, k >= 0]).astype(float)
    assert ag.crps(certain, np.array([30, 0])) == 0
    assert ag.crps(certain, np.array([40, 0])) == pytest.approx(10 / 202)  # ten values off by one, of two joints
    assert ag.crps(np.full((1, 101), 0.5), np.array([70.0])) == pytest.approx(0.25)
    assert ag.crps(certain, np.array([np.nan, 0])) == 0
    with pytest.raises(UserError, match="101 columns"):
        ag.crps(certain[:, :100], np.array([30, 0]))


def test_errors_and_correlation_by_hand():
    target, pred = np.array([1, 2, 3, np.nan, 6]), np.array([2, 2, 5, 9, 5])
    assert (ag.mse(target, pred), ag.mae(target, pred), ag.rmse(target, pred)) == pytest.approx((1.5, 1.0, np.sqrt(1.5)))
    assert ag.pcc(target, pred) == pytest.approx(9 / np.sqrt(14 * 9))  # about the means 3 and 3.5
    assert np.isnan([ag.pcc(target, target * 0), ag.mse([], []), ag.accuracy([], []).value]).all()


def test_class_weights_are_the_formula_of_the_paper():
    """Its class counts over the whole data (table 1); the weights that it prints are of the training set and lie near."""
    weights = ag.class_weights([69067, 27853, 2316, 1041, 597, 1391])
    assert weights == pytest.approx([0.2468, 0.6119, 7.3593, 16.3729, 28.5497, 12.2532], abs=1e-4)
    assert weights == pytest.approx([0.25, 0.61, 7.14, 16.67, 30.80, 12.65], rel=0.08)
    assert np.isinf(ag.class_weights([3, 0])[1])


def test_a_rescoring_set_has_equally_many_of_each_grade():
    grades = np.array([0.0] * 50 + [1] * 20 + [2] * 3 + [np.nan] * 9)
    chosen = ag.rescoring_set(grades, np.random.default_rng(0), 5)
    assert np.bincount(grades[chosen].astype(int)).tolist() == [5, 5, 3] and len(set(chosen)) == 13
    assert (np.diff(chosen) > 0).all() and chosen[4] != 4


def test_expected_grades_are_not_classes():
    with pytest.raises(UserError, match=r"pred 1\.5 is not a class"):
        ag.accuracy([1, 2], [1.5, 2])
    with pytest.raises(UserError, match="target 7 is not a class"):
        ag.quadratic_kappa([7, 2], [1, 2])
    with pytest.raises(UserError, match="not pairs"):
        ag.mae([1, 2], [1])


def test_generated_readers_agree_as_published():
    """Quadratic kappa of the default cohort's readers; a normal joint is mostly 0; percentages come in steps of 5."""
    settings = cohort.Cohort()
    people = cohort.patients(settings)

    def percents(reader: int) -> np.ndarray:
        return np.array([list(severity.read_ratingen(p, reader, settings.reader_noise).values()) for p in people]).ravel()

    one, two = percents(0), percents(1)
    truth = np.array([list(severity.ratingen_percent(p.severity).values()) for p in people]).ravel()
    assert not (np.concatenate([one, two]) % 5).any() and one.max() <= 100 and one.min() == 0
    first, second = (np.array([percent2grade(v) for v in values]) for values in (one, two))
    assert 0.6 < ag.quadratic_kappa(first, second).value < 0.75
    chosen = ag.rescoring_set(first, np.random.default_rng(0), 40)
    assert 0.5 < ag.quadratic_kappa(first[chosen], second[chosen]).value < 0.7  # Rohrbach 2019, table 3: 0.487 to 0.638
    assert (one[truth == 0] == 0).mean() > 0.95 and (one[truth > 40] > 20).mean() > 0.8
    assert list(severity.read_ratingen(people[0], 0, 0.85)) == list(severity.ratingen_percent(people[0].severity))
