"""Ratingen scores of readers: read from CSV, and their Rau scores."""

import numpy as np
import pandas as pd
import pytest

from evaluation import ratingen
from ra import clinical, config


def test_grades_of_percentages_and_raters_by_hand():
    found = clinical.percents2grades(np.array([0, 0.5, 20, 20.1, 80, 80.5, 100, np.nan]))
    assert found[:7].tolist() == [0, 1, 1, 2, 4, 5, 5] and np.isnan(found[7])
    index = pd.MultiIndex.from_product([["a"], ["LH"], ["pip_2", "pip_3", "wrist", "mcp_2"]], names=ratingen.KEY)
    assert ratingen.rau_scores(index, np.array([0, 5, np.nan, 1.0])).tolist() == [38 * 6 / 3]


def test_a_reader_may_give_grades_alone_and_faults_are_named(tmp_path):
    path = tmp_path / "ratingen.csv"
    path.write_text("Patient_ID,part,joint,percent,grade\n007,LH,wrist,,3\n007,LH,pip_2,30,\n")
    found = ratingen.read_csv(path)
    assert found.grade.tolist() == [3, 2] and found.index[0][0] == "007"
    path.write_text("Patient_ID,part,percent\n007,LH,3\n")
    with pytest.raises(config.UserError, match="lacks column joint"):
        ratingen.read_csv(path)
    path.write_text("Patient_ID,part,joint,grade\n007,LH,wrist,3\n007,LH,wrist,3\n")
    with pytest.raises(config.UserError, match="twice"):
        ratingen.read_csv(path)
    assert ratingen.read_csv(tmp_path / "none.csv") is None
