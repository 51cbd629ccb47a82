"""evaluation.statistic: an id stands for one number."""

from dataclasses import replace

import pytest

from evaluation import statistic
from evaluation.statistic import Statistic


def test_one_id_has_one_number():
    icc = Statistic("s", "icc", "oof", "A against B", "total", 0.5)
    assert len(statistic.table([icc, replace(icc)])) == 1
    with pytest.raises(ValueError, match="s/icc/oof/a-against-b/total"):
        statistic.table([icc, replace(icc, value=0.6)])
