"""Boxes of several fold models become one, and their error is measured in shares of the film."""

import numpy as np
import pandas as pd
import pytest

from ra import boxes


def of_folds(rows: list[tuple[float, float, str]]) -> pd.DataFrame:
    """Boxes of one joint of one film: x_px, conf and source of each fold's model."""
    frame = pd.DataFrame(rows, columns=["x_px", "conf", "source"])
    return frame.assign(film_id="a", joint="mcp_2", y_px=1.0, w_px=4.0, h_px=4.0, fold=range(len(rows)))


def test_several_models_boxes_become_their_median():
    row = boxes.reduce_folds(of_folds([(10.0, 0.9, "model"), (12.0, 0.7, "model"), (90.0, np.nan, "template")])).iloc[0]
    assert (row.x_px, row.source, row.fold) == (12.0, "model", 2) and row.conf == pytest.approx(0.8)


def test_a_joint_that_most_models_did_not_detect_has_no_confidence():
    row = boxes.reduce_folds(of_folds([(10.0, 0.9, "model"), (12.0, np.nan, "outside"), (90.0, np.nan, "outside")])).iloc[0]
    assert row.source == "outside" and np.isnan(row.conf)


def test_one_models_boxes_stay_as_they_are():
    row = boxes.reduce_folds(of_folds([(10.0, 0.9, "model")]).assign(fold=3)).iloc[0]
    assert (row.x_px, row.conf, row.source, row.fold) == (10.0, 0.9, "model", 3)


def test_errors_are_shares_of_the_long_side():
    films = pd.DataFrame({"film_id": ["a"], "width_px": [300], "height_px": [500]})
    found = of_folds([(13.0, 0.9, "model")])
    truth = of_folds([(10.0, np.nan, "truth")]).assign(y_px=5.0)
    assert boxes.error_frac(found, truth, films).tolist() == [pytest.approx(0.01)]
    assert boxes.error_summary(found, truth, films) == {"median_error_frac": pytest.approx(0.01), "within_2_percent": 1.0}
