"""The page's section of Ratingen grades and disease activity."""

import numpy as np
import pandas as pd
import pytest

from evaluation import raters, statistic
from evaluation.raters import MODEL, READER1
from ra import paths, tables
from report.blocks import Picture, Table
from report.sections import ratingen as section
from tests.worlds import crops_world, evaluation_world


@pytest.fixture(autouse=True)
def nothing_on_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("RA_DATA", str(tmp_path / "data"))


@pytest.fixture(scope="module")
def world():
    return evaluation_world.make(90, 60)


def cells(made):
    return {cell.id: cell for cell in made.statistics()}


def test_the_section_of_a_set_with_everything(world):
    rng = np.random.default_rng(1)
    people = {"patient_id": world.patients, "person_id": world.person, "visit": world.visit, "days": 0}
    items = dict.fromkeys(("swollen", "tender", "esr", "crp", "global_health"), np.nan)
    das = {"das28_esr": rng.normal(3, 1, 150), "das28_crp": 3 + 0.05 * world.by[READER1].totals[:, 0]}
    tables.ACTIVITY.write(pd.DataFrame(people | items | das), paths.activity("world"))
    made = section.make(world)
    found = cells(made)
    statistic.table(list(found.values()))
    assert found["ratingen/pearson/all/reader-1/svdh-total-das28-crp"].value == pytest.approx(1)
    assert abs(found["ratingen/pearson/all/reader-1/rau-score-das28-esr"].value) < 0.3
    assert sum(isinstance(block, Picture) for block in made.blocks) == 3 and "ICC" in made.lead
    assert found["ratingen/kappa/test/model-against-reader-1/joint-grades"].text in made.lead
    assert "simulated" in " ".join(getattr(block, "text", "") for block in made.blocks), "a truth tells that the set is synthetic"


def test_the_section_of_a_set_of_crops_and_of_one_that_has_nothing(world):
    crops_world.make()
    named = raters.of_crops("s", "scqm_joints", ("good",))
    made = section.make(named)
    assert "ratingen/kappa/test/model-against-reader-1/joint-grades" in cells(made)
    assert [block.caption for block in made.blocks if isinstance(block, Table)][-1].startswith("Correlation")
    nobody = np.full_like(world.by[MODEL].grades, np.nan)
    empty = section.make(world.with_model(nobody, np.full((150, 3), np.nan)))
    assert empty.lead == section.NO_GRADES and [block.text for block in empty.blocks] == [section.NO_ACTIVITY]
