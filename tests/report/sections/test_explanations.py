"""report.sections.explanations: the order of the largest errors."""

import numpy as np

from evaluation.raters import READER1
from ra.anatomy import SITES
from report.sections import explanations
from tests.worlds import evaluation_world


def test_the_largest_errors_come_first_relative_to_the_scale():
    raters = evaluation_world.make(6, 0)
    grades = raters.by[READER1].grades.copy()
    erosion = [j for j, s in enumerate(SITES) if s.finding == "erosion"]
    hand, foot = (next(j for j in erosion if SITES[j].max_grade == max_grade) for max_grade in (5, 10))
    grades[2, hand] += np.where(grades[2, hand] > 2, -3, 3)  # three of five
    grades[4, foot] += np.where(grades[4, foot] > 4, -5, 5)  # five of ten
    changed = raters.with_model(grades, evaluation_world.totals(grades))
    assert explanations.largest_errors(changed, "erosion") == [(2, hand), (4, foot)]
    assert explanations.largest_errors(changed, "narrowing") == []
