"""The page's section of Ratingen grades and disease activity."""

import numpy as np
import pandas as pd
import pytest

from evaluation import statistic
from evaluation.raters import MODEL, READER1, of_crops
from ra import paths, tables
from report.blocks import Picture, Table
from report.sections import ratingen as section
from tests.worlds import crops_world

pytestmark = pytest.mark.usefixtures("empty_data_root")


def cells(made):
    return {cell.id: cell for cell in made.statistics()}


def test_the_section_of_a_set_with_everything(raters):
    rng = np.random.default_rng(1)
    people = {"patient_id": raters.patients, "person_id": raters.person, "visit": raters.visit, "days": 0}
    items = dict.fromkeys(("swollen", "tender", "esr", "crp", "global_health"), np.nan)
    das = {"das28_esr": rng.normal(3, 1, 150), "das28_crp": 3 + 0.05 * raters.by[READER1].totals[:, 0]}
    tables.ACTIVITY.write(pd.DataFrame(people | items | das), paths.activity("world"))
    made = section.make(raters)
    found = cells(made)
    statistic.table(list(found.values()))
    assert found["ratingen/pearson/all/reader-1/svdh-total-das28-crp"].value == pytest.approx(1)
    assert abs(found["ratingen/pearson/all/reader-1/rau-score-das28-esr"].value) < 0.3
    assert sum(isinstance(block, Picture) for block in made.blocks) == 3 and "ICC" in made.lead
    assert found["ratingen/kappa/test/model-against-reader-1/joint-grades"].text in made.lead
    assert "simulated" in " ".join(getattr(block, "text", "") for block in made.blocks), "a set with true grades is synthetic"


def test_the_section_of_a_set_of_crops_and_of_one_that_has_nothing(raters):
    crops_world.make()
    named = of_crops("s", "scqm_joints", ("good",))
    made = section.make(named)
    assert "ratingen/kappa/test/model-against-reader-1/joint-grades" in cells(made)
    assert [block.caption for block in made.blocks if isinstance(block, Table)][-1].startswith("Correlation")
    unscored = np.full_like(raters.by[MODEL].grades, np.nan)
    empty = section.make(raters.with_model(unscored, np.full((150, 3), np.nan)))
    assert empty.lead == section.NO_GRADES and [block.text for block in empty.blocks] == [section.NO_ACTIVITY]
