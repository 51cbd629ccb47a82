"""Calibration of probabilities that hold and of probabilities that do not."""

from dataclasses import replace

import numpy as np
import pytest

from evaluation import (
    calibration,
    site_groups,
)
from evaluation.raters import READER1
from tests.worlds import evaluation_world as world


@pytest.fixture(scope="module")
def raters():
    return world.make()


def reading_of(raters, name, grades):
    """The same raters with other grades by one of them."""
    return replace(raters, by=raters.by | {name: world.rater(grades)})


def test_calibration_finds_probabilities_that_hold_and_those_that_do_not(raters):
    rng = np.random.default_rng(2)
    belief = raters.probabilities
    drawn = (belief.cumsum(-1) < rng.random(belief.shape[:2])[..., None]).sum(-1).astype(float)
    honest = reading_of(raters, READER1, drawn)
    found = calibration.measure(honest, "all")
    excess = found["excess", "hand erosion"]
    assert excess.low < 0 < excess.high and found["ece", "hand erosion"].value < 0.02
    grade2 = found["expected", "hand erosion, grade 2"], found["observed", "hand erosion, grade 2"]
    assert grade2[0].value == pytest.approx(grade2[1].value, abs=0.01)
    healthy = calibration.measure(reading_of(raters, READER1, np.zeros_like(drawn)), "all")
    one, sites = healthy["ece", "foot erosion"], site_groups.LIMB_FINDINGS["foot erosion"]
    assert one.value == pytest.approx((1 - belief[:, sites, 0]).mean()) == healthy["excess", "foot erosion"].value
