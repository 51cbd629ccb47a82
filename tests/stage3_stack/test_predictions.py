"""Arrays of a member's predictions, computed by hand."""

import numpy as np
import pandas as pd
import pytest

from ra.anatomy import RATINGEN, SITES
from stage3_stack import predictions
from stage3_stack.predictions import moments_of

PLACE = {s.column: j for j, s in enumerate(SITES)}


def test_moments_of_a_distribution():
    p = np.full((1, 2, 11), np.nan)
    p[0, 0, :5] = [0.5, 0, 0, 0.5, 0]
    moments = moments_of(np.array([[1.5, 3.0]]), p)
    assert moments[0, 0] == pytest.approx([1.0, 1.5, 0.5, 1.5])  # E[L] = 0.5 * log2(4)
    assert moments[0, 1, :2] == pytest.approx([2.0, 3.0]) and np.isnan(moments[0, 1, 2:]).all()


def test_ratingen_grades_go_to_their_erosion_sites():
    """By hand: a wrist's grade is copied to six sites, a foot's is doubled, a missing one is NaN; narrowing sites get none."""
    keys = [("LH", "wrist"), ("RF", "mtp_2"), ("LH", "mcp_2")]
    p = np.array([[0, 0.5, 0, 0.5, 0, 0], [0.5, 0, 0, 0, 0, 0.5], [np.nan] * 6])
    table = pd.DataFrame([(part, RATINGEN + joint) for part, joint in keys], columns=["part", "site"])
    table = table.assign(pred=[2.0, 2.5, np.nan], **{f"p{k}": p[:, k] for k in range(6)})
    moments = predictions.PARSERS["ratingen"](table, np.zeros(3, dtype=int), 1)["ratingen"][0]
    wrist = [PLACE[f"LH_wrist_E__{place}"] for place in ("mc1", "mul", "nav", "lunate", "radius", "ulna")]
    assert set(np.flatnonzero(~np.isnan(moments[:, 1]))) == {*wrist, PLACE["RF_mtp_E__2"]}
    assert moments[wrist[3]] == pytest.approx([1.5, 2.0, 1.0, 1.0])  # E[L] = (log2 2 + log2 4) / 2
    assert moments[PLACE["RF_mtp_E__2"]] == pytest.approx([np.log2(11) / 2, 5.0, 0.5, 5.0])  # grades 0 and 10, half each
