"""Errors by site."""

import numpy as np
import pytest

from evaluation import site_errors
from evaluation.raters import MODEL, READER1
from ra.anatomy import SITES


def test_the_error_of_a_site_is_computed_from_both_sides(raters):
    found = site_errors.by_site(raters, "all", (MODEL, READER1))["foot", "mtp_5", "erosion"]
    off = np.concatenate([
        raters.by[MODEL].grades[:, k] - raters.by[READER1].grades[:, k]
        for k, site in enumerate(SITES)
        if site.column in {"LF_mtp_E__5", "RF_mtp_E__5"}
    ])  # fmt: skip
    assert found["bias"].value == pytest.approx(off.mean()) and found["mae"].value == pytest.approx(np.abs(off).mean())
