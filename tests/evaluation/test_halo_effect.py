"""The halo effect of a biased reader, and the stack of single joints next to the model."""

import numpy as np

from evaluation import halo_effect
from evaluation.raters import READER1
from ra import paths, tables
from tests.worlds import stack_world
from tests.worlds.evaluation_world import with_grades


def test_a_reader_who_scores_healthy_joints_of_damaged_patients_higher_is_detected(raters):
    damaged = raters.by["truth"].totals[:, :1] >= 40
    biased = with_grades(raters, READER1, raters.by["truth"].grades + 0.5 * damaged)
    found = halo_effect.measure(biased, "all")
    name, band = halo_effect.band_names()[0], halo_effect.band_names()[2]
    assert found["mean_at_healthy", READER1, name].value == 0 and found["mean_at_healthy", READER1, band].value == 0.5
    rise = found["rise_at_healthy", READER1, halo_effect.RISE]
    assert rise.value == 0.5 and rise.n == (raters.by["truth"].grades == 0).sum()


def test_a_stack_that_uses_each_joint_alone_is_added_to_the_raters(raters, monkeypatch, tmp_path):
    assert halo_effect.with_own_site_run(raters) is raters  # no such run
    monkeypatch.setenv("RA_DATA", str(tmp_path))
    p = np.zeros((*raters.probabilities.shape[:2], 11))
    p[..., 0], p[..., 1] = 0.75, 0.25
    for split in ("oof", "test"):
        rows = raters.split == split
        start = stack_world.head(halo_effect.OWN_SITE_RUN, split, raters.fold[rows], raters.patients[rows], 86)
        table = stack_world.scores_table(start, p[rows], np.zeros((rows.sum(), 86), bool))
        tables.SCORES.write(table, paths.scores(raters.data, 3, halo_effect.OWN_SITE_RUN, split))
    more = halo_effect.with_own_site_run(raters.take(np.arange(150)[::-1]))
    assert more.names[-1] == halo_effect.OWN_SITE_NAME and (more.by[halo_effect.OWN_SITE_NAME].grades == 0.25).all()
    assert halo_effect.measure(more, "test")["mean_at_healthy", halo_effect.OWN_SITE_NAME, "0 to 10"].value == 0.25
