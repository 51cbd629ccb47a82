"""Stage 3 on a set that scores only some sites: the other sites are not predicted, not submitted and not scored."""

import json
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evaluation import score
from ra import challenge_scores, paths, tables
from ra.anatomy import BY_COLUMN, COLUMNS_B, OVERALL, SITES
from ra.config import UserError
from stage2_score.scores import site_means
from stage3_stack import cohort as cohorts
from stage3_stack import intervals, outputs, submission, submit, train, validate
from stage3_stack.features import total_features
from tests.worlds import stack_world

HANDS = [c for c in COLUMNS_B if c in BY_COLUMN and c[1] == "H"]
MEMBERS = ("m0", "m1", "film", "total0", "eroded")


def stack(data: str, keep) -> pd.DataFrame:
    """Train on the rows of sites that `keep` selects, with unchanged members; the out-of-fold predictions as a submission."""
    sites = tables.SITES.read(paths.sites(data))
    tables.SITES.write(sites.assign(target=sites.target.where(keep(sites))), paths.sites(data))
    train.train(data, "blend", replace(stack_world.SMALL_STACK, members=MEMBERS), force=True)
    return outputs.read_scores(paths.scores(data, 3, "blend", "oof"))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A set whose members predict feet too, but whose readers scored only hands and gave no totals."""
    with stack_world.data_folders(tmp_path_factory.mktemp("hands")):
        made = stack_world.make("s", n_train=40, n_test=12, noise=(0.9, 1.0))
        yield made | {"oof": stack("s", lambda sites: sites.part.isin(["LH", "RH"]))}


def test_feet_without_scores_are_not_predicted(world):
    oof = world["oof"]
    feet = [c for c in BY_COLUMN if c[1] == "F"]
    assert oof[feet].isna().all(axis=None) and oof[HANDS].notna().all(axis=None)
    learners = outputs.read_learners(paths.run_dir("s", 3, "blend") / "learners.parquet")
    assert all(table[feet].isna().all(axis=None) for table in learners.values())


@pytest.mark.usefixtures("world")
def test_totals_do_not_depend_on_the_members_predictions_of_feet():
    cohort = cohorts.load("s", MEMBERS)
    grades = np.where(cohort.scored, np.random.default_rng(0).uniform(0, 3, (cohort.n_train, len(SITES))), 0.0)
    before = {target: total_features(cohort, cohort.train, grades, target)[0] for target in cohorts.TARGETS}
    for member in cohort.members:
        for values in (member.moments, member.ratingen):
            if values is not None:
                values[:, ~cohort.scored] = 4.0
        if member.films is not None:
            member.films[:, 4:] = 50.0
    for target, features in before.items():
        np.testing.assert_array_equal(total_features(cohort, cohort.train, grades, target)[0], features)
    np.testing.assert_array_equal(cohort.totals[:, 0], np.nansum(cohort.grades, axis=1))


def test_a_submission_has_the_columns_that_are_scored(world, capsys, tmp_path, monkeypatch):
    intervals.make("s", "blend")
    submit.submit("s", "blend", "s")
    written = submission.read_text(paths.submission("s"))
    assert list(written.columns) == ["Patient_ID", *HANDS] and (written != "").all(axis=None)
    assert validate.faults(written, written) == [] and len(validate.faults(written.drop(columns=HANDS[0]), written)) == 1
    gold = tmp_path / "gold.csv"
    one_hand = world["gold"][HANDS].copy()
    one_hand.loc[one_hand.index[0], [c for c in HANDS if c[0] == "R"]] = np.nan
    one_hand.to_csv(gold)
    monkeypatch.setattr(sys, "argv", ["score", str(paths.submission("s")), str(gold)])
    capsys.readouterr()
    score.run()
    scores = json.loads(capsys.readouterr().out)
    assert list(scores) == ["sc2", "sc2_hand", "sc3", "sc3_hand"] and all(0 < v < 2 for v in scores.values())
    template = world["gold"].reset_index().assign(**dict.fromkeys(world["gold"], ""))
    template[["Patient_ID", "RF_mtp_J__2", "LH_pip_E__2"]].to_csv(paths.work("s") / "template.csv", index=False)
    with pytest.raises(UserError, match="asks for RF_mtp_J__2, for which no training patient"):
        submit.submit("s", "blend", "s")


def test_a_patient_without_feet_among_others_has_no_total_but_counts(tmp_path, monkeypatch):
    monkeypatch.setenv("RA_DATA", str(tmp_path))
    stack_world.make("mixed", n_train=12, n_test=2, noise=(0.9,))
    whole = cohorts.load("mixed", ("m0",))
    sites = tables.SITES.read(paths.sites("mixed"))
    first = sites.patient_id == whole.patients[0]
    target = sites.target.mask(first & sites.part.isin(["LF", "RF", "ALL"]))
    target[(sites.patient_id == whole.patients[1]) & ((sites.part == "ALL") | (sites.site == "mtp_E__1"))] = np.nan
    tables.SITES.write(sites.assign(target=target), paths.sites("mixed"))
    mixed = cohorts.load("mixed", ("m0",))
    assert np.isnan(mixed.totals[0]).all() and mixed.scored.all() and (mixed.weight > 0).all()
    assert mixed.totals[1, 0] == np.nansum(mixed.grades[1]), "single missing cells do not remove a total"
    np.testing.assert_array_equal(mixed.totals[2:], whole.totals[2:])
    gold = outputs.gold_of(mixed)
    assert challenge_scores.gold_weight(gold).tolist() == mixed.weight.tolist()


@pytest.mark.usefixtures("world")
def test_one_finding_of_one_hand():
    oof = stack("s", lambda sites: (sites.part == "LH") & (sites.finding == "erosion"))
    scored = [c for c in BY_COLUMN if c.startswith("LH") and "_E__" in c]
    assert oof[scored].notna().all(axis=None) and oof.drop(columns=[*scored, *OVERALL.values()]).isna().all(axis=None)
    assert oof[OVERALL["erosion"]].notna().all() and oof[OVERALL["narrowing"]].isna().all()


def test_the_null_member_predicts_no_feet_without_scores():
    rows = pd.DataFrame({"patient_id": "a", "visit": 1, "part": ["LH", "LF"], "joint": ["pip_2", "mtp_1"]}).assign(
        site=["pip_E__2", "mtp_E__1"], finding="erosion", max_score=[5, 10], target=[2.0, np.nan]
    )
    assert site_means(rows, rows).pred.tolist() == pytest.approx([2.0, np.nan], nan_ok=True)
