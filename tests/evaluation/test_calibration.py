"""Calibration of correct and of wrong probabilities."""

import numpy as np
import pytest

from evaluation import calibration, site_groups
from evaluation.raters import READER1
from tests.worlds.evaluation_world import with_grades


def test_calibration_distinguishes_correct_from_wrong_probabilities(raters):
    rng = np.random.default_rng(2)
    p = raters.probabilities
    drawn = (p.cumsum(-1) < rng.random(p.shape[:2])[..., None]).sum(-1).astype(float)
    found = calibration.measure(with_grades(raters, READER1, drawn), "all")
    excess = found["excess", "hand erosion"]
    assert excess.low < 0 < excess.high and found["ece", "hand erosion"].value < 0.02
    grade2 = found["expected", "hand erosion, grade 2"], found["observed", "hand erosion, grade 2"]
    assert grade2[0].value == pytest.approx(grade2[1].value, abs=0.01)
    healthy = calibration.measure(with_grades(raters, READER1, np.zeros_like(drawn)), "all")
    one, sites = healthy["ece", "foot erosion"], site_groups.LIMB_FINDINGS["foot erosion"]
    assert one.value == pytest.approx((1 - p[:, sites, 0]).mean()) == healthy["excess", "foot erosion"].value
