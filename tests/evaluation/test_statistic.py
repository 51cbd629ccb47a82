"""Ids, texts and tables of statistics."""

import numpy as np
import pytest

from evaluation import section_ids, statistic
from evaluation.statistic import Statistic
from report import sections


def test_the_example_of_the_docstring():
    one = Statistic("agreement", "icc_2_1", "oof", "model against reader 1", "total", 0.91, 0.85, 0.94, n=100, digits=2)
    assert one.id == "agreement/icc_2_1/oof/model-against-reader-1/total" and one.text == "0.91 (0.85 to 0.94)"
    assert one.id in Statistic.__doc__ and one.text in Statistic.__doc__
    assert all(name in Statistic.__doc__ for name in Statistic.__dataclass_fields__)


def test_what_is_not_defined_is_a_dash_and_zero_has_no_sign():
    assert Statistic("a", "b", "oof", "c", "d", np.nan).text == "–"
    assert Statistic("a", "b", "oof", "c", "d", -0.0004).text == "0.000"


def test_equal_statistics_are_listed_once_and_different_ones_need_different_ids():
    one = Statistic("a", "b", "oof", "c", "d", 1.0)
    assert len(statistic.table([one, Statistic("a", "b", "oof", "c", "d", 1.0)])) == 1
    with pytest.raises(ValueError, match="two different statistics have the id a/b/oof/c/d"):
        statistic.table([one, Statistic("a", "b", "oof", "c", "d", 2.0)])


def test_the_report_has_a_section_of_every_id():
    ids = {value for name, value in vars(section_ids).items() if name.isupper()}
    assert {sections.module(name).ID for name in (*sections.ORDER, "alarms")} == ids
