"""Learners against data whose solution is known."""

import json

import numpy as np
import pytest

from ra.config import Named, UserError
from stage3_stack import learners
from stage3_stack.features import SITE_KIND


def test_extratrees_are_averaged_with_the_members():
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.uniform(0, 2, (200, 2)), np.zeros(200)])
    names = ["a:elog", "b:elog", SITE_KIND]
    y = x[:, 0] * 2
    fitted = {share: learners.ExtraTrees(share, trees=20).fit(x, y, np.ones(200), names).predict(x) for share in (0.0, 0.5, 1.0)}
    np.testing.assert_allclose(fitted[0.0], x[:, :2].mean(axis=1))
    np.testing.assert_allclose(fitted[0.5], (fitted[0.0] + fitted[1.0]) / 2)
    assert np.corrcoef(fitted[1.0], y)[0, 1] > 0.95


def test_imputer_fills_by_kind():
    x = np.array([[1.0, 0], [3.0, 0], [np.nan, 0], [10.0, 1], [np.nan, 1], [np.nan, 2]])
    filled = learners.Imputer().fit(x, ["a:elog", SITE_KIND])(x)
    assert filled[:, 0].tolist() == [1, 3, 2, 10, 10, 14 / 3]


def test_linear_learners_recover_the_coefficients_of_the_data():
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=(400, 3)), rng.integers(0, 3, 400)])
    names = ["a:elog", "b:elog", "row_elog", SITE_KIND]
    y = 0.3 + x[:, :3] @ [0.5, -0.4, 0.2]
    weight = rng.uniform(0.5, 2, 400)
    for learner in (learners.Ridge(1e-9), learners.LeastAbsoluteDeviations(1e-6)):
        assert learner.fit(x, y, weight, names).predict(x) == pytest.approx(y, abs=1e-3)
    fitted = learners.NonNegativeLeastSquares(1e-9).fit(x, y, weight, names)
    slopes = dict(zip(fitted.names, fitted.coefficient / fitted.scale, strict=True))
    assert slopes["b:elog"] == 0 and slopes["a:elog"] == pytest.approx(0.5, abs=0.05)


def test_lad_is_the_weighted_median():
    x, y = np.zeros((5, 1)), np.array([0.0, 1, 2, 3, 100])
    assert learners.LeastAbsoluteDeviations().fit(x, y, np.ones(5), ["a:own"]).predict(x)[0] == pytest.approx(2)
    assert learners.LeastAbsoluteDeviations().fit(x, y, np.array([1, 1, 1, 1, 10.0]), ["a:own"]).predict(x)[0] == pytest.approx(
        100
    )


def test_a_learner_exports_its_coefficients_for_people_to_read(tmp_path):
    """The exported intercept and slope of y = 1 + 2 x are on the scale of the features."""
    x = np.linspace(0, 1, 50)[:, None]
    learner = learners.Ridge(1e-9).fit(x, 1 + 2 * x[:, 0], np.ones(50), ["a:elog"])
    (path,) = learner.export(tmp_path, "ridge")
    fitted = json.loads(path.read_text())
    assert fitted["coefficients"]["a:elog"] == pytest.approx(2, abs=1e-5) and fitted["intercept"] == pytest.approx(1, abs=1e-5)
    assert learners.Mean().fit(x, x[:, 0], np.ones(50), ["a:elog"]).export(tmp_path, "mean") == []


def test_an_unknown_learner_or_parameter_is_refused_in_one_sentence():
    with pytest.raises(UserError, match="learner 'forest' is unknown"):
        learners.make(Named("forest"))
    with pytest.raises(UserError, match="correct its params in the config"):
        learners.make(Named("ridge", {"alfa": 1}))
    with pytest.raises(UserError, match="learner nnls finds no column"):
        learners.make(Named("nnls")).fit(np.ones((3, 1)), np.ones(3), np.ones(3), ["foot"])
