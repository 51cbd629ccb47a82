"""Scores tables: the null model and the totals of whole parts, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from stage2_score import scores


def test_site_means_by_hand():
    rows = pd.DataFrame(
        {"patient_id": list("abcd"), "visit": 1, "part": "LH", "joint": "pip_2", "site": "pip_E__2", "finding": "erosion"}
    ).assign(max_score=5)
    found = scores.site_means(rows.assign(target=[0.0, 0.0, 2.0, np.nan]), rows.assign(target=np.nan))
    assert found.pred.tolist() == pytest.approx([2 / 3] * 4)
    assert found.p0.iloc[0] == pytest.approx(2 / 3) and found.p2.iloc[0] == pytest.approx(1 / 3) and np.isnan(found.p6.iloc[0])


def test_whole_totals_stay_within_the_parts_maximum():
    place = {"patient_id": "a", "visit": 1, "part": "LF", "joint": "foot", "site": "total"}
    rows = pd.DataFrame({**place, "finding": ["erosion", "narrowing"], "max_score": [60, 24]})
    index = pd.DataFrame({"patient_id": ["a"], "part": ["LF"], "joint": ["foot"], "box_source": ["model"]})
    found = scores.with_values(rows, index, {"erosion": np.array([511.0]), "narrowing": np.array([3.0])})
    assert found.pred.tolist() == [60.0, 3.0]
