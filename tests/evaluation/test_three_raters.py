"""Three raters at once: regions of the agreement diagram, and the drawn set."""

import numpy as np
import pytest

from evaluation import three_raters
from evaluation.raters import MODEL, READER1, READER2

PAIR = "model against reader 1"


def test_regions_of_the_agreement_diagram():
    grades = np.array([[1, 1, 1], [1, 1, 2], [1, 2, 1], [2, 1, 1], [1, 2, 3]])
    held = three_raters.regions(*grades.T)
    assert held[:, :5].tolist() == np.eye(5, dtype=bool).tolist()
    assert held[:, 5:].tolist() == [[False] * 3, [False, False, True], [False, True, False], [True, False, False], [True] * 3]


def test_the_drawn_set_has_equally_many_sites_of_each_grade_and_consistent_shares(raters):
    names = [MODEL, READER1, READER2]
    sites = three_raters.chosen(raters, names)[three_raters.RESCORED]
    drawn = np.bincount(raters.by[READER1].grades[sites].astype(int))
    assert drawn.max() == three_raters.PER_GRADE and (drawn[:4] == three_raters.PER_GRADE).all()
    found = {(one.name, one.of): one for one in three_raters.measure(raters, "all", names) if one.scope == three_raters.RESCORED}
    shares = [found["same_grade", of].value for of in three_raters.labels(names)]
    assert sum(shares[:5]) == pytest.approx(1) and found["exact", PAIR].value == pytest.approx(shares[0] + shares[1])
    assert shares[5] == pytest.approx(1 - shares[0] - shares[1] - shares[2])
