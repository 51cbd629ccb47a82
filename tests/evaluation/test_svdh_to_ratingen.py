"""From SvdH grades, or Ratingen members, to Ratingen grades."""

from dataclasses import replace

import numpy as np
import pytest

from evaluation import rau, svdh_to_ratingen
from evaluation.raters import MODEL, READER1, of_crops
from ra import clinical
from ra.anatomy import SITES
from tests.worlds import crops_world

pytestmark = pytest.mark.usefixtures("empty_data_root")


def test_percent_of_surface_by_hand():
    grades = np.zeros((2, len(SITES)))
    column = {(s.part, s.joint): i for i, s in enumerate(SITES) if s.finding == "erosion"}
    grades[0, column["LH", "mcp_2"]], grades[0, column["RF", "mtp_5"]], grades[0, column["LH", "wrist_ulna"]] = 3, 5, 3
    for joint in ("wrist_mul", "wrist_nav", "wrist_lunate"):
        grades[1, column["RH", joint]] = np.nan
    grades[1, column["RH", "wrist_ulna"]] = 4
    grades[1, column["LH", "mcp_2"]] = np.nan
    found = [dict(zip(clinical.RAU_SITES, row, strict=True)) for row in svdh_to_ratingen.converted(grades)]
    assert (found[0]["LH", "mcp_2"], found[0]["RF", "mtp_5"], found[0]["LH", "wrist"]) == (60, 50, 10)
    assert np.isnan(found[1]["LH", "mcp_2"]) and found[1]["RH", "wrist"] == pytest.approx(80 / 3), (
        "half of the wrist's sites are enough"
    )
    grades[1, column["RH", "wrist_mc1"]] = np.nan
    assert np.isnan(dict(zip(clinical.RAU_SITES, svdh_to_ratingen.converted(grades)[1], strict=True))["RH", "wrist"])


def test_a_folds_own_ratingen_grades_do_not_change_its_translation(raters):
    """With other Ratingen grades in a fold, its own translations and intervals stay as they are, to the bit."""
    percent = svdh_to_ratingen.converted(raters.by[MODEL].grades)
    reader = clinical.percents2grades(svdh_to_ratingen.converted(raters.by[READER1].whole))
    poisoned = np.where((raters.fold == 1)[:, None], 5 - reader, reader)
    own = raters.fold == 1
    models = [svdh_to_ratingen.translate(percent, target, raters.fold) for target in (reader, poisoned)]
    assert np.array_equal(models[0][own], models[1][own]) and not np.array_equal(models[0][~own], models[1][~own])
    score = svdh_to_ratingen.rau(models[0])
    bounds = [
        svdh_to_ratingen.intervals(score, svdh_to_ratingen.rau(target), raters.person, raters.fold)
        for target in (reader, poisoned)
    ]
    for clean, dirty in zip(*bounds, strict=True):
        assert np.array_equal(clean[own], dirty[own]) and not np.array_equal(clean[~own], dirty[~own])


def test_ratingen_members_are_used_if_there_are_any():
    """For a stack, the best member out of fold is used; for a set of crops, the mean of the runs that its config names."""
    crops_world.make()
    named = of_crops("s", "scqm_joints", ("good", "zero"))
    assert set(named.fold[named.split == "oof"]) == {0, 1, 2} and set(named.fold[named.split == "test"]) == {-1}
    assert svdh_to_ratingen.members(replace(named, ratingen=())) == ("good",) and svdh_to_ratingen.members(named) == (
        "good",
        "zero",
    )
    good = svdh_to_ratingen.scores(replace(named, ratingen=("good",)))
    known = ~np.isnan(good.reader)
    assert (
        good.readers == svdh_to_ratingen.GIVEN
        and known.sum() == 24 * 11
        and np.array_equal(good.model[known], good.reader[known])
    )
    figures = rau.measure(named, good)
    assert figures["exact", "test"].value == 1 and figures["mae", "oof"].value == 0
