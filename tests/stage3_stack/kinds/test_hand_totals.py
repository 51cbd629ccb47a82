"""Runs of kind hand_totals: ensembles beat their members, nothing leaks between folds, and totals are submitted."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml

from evaluation import hand_totals
from ra import paths, tables
from ra.config import UserError
from stage3_stack import cohort as cohorts
from stage3_stack import ensemble, intervals, linear_ensembles, predict, submit, train
from stage3_stack.config import HandTotals
from tests.worlds import stack_world
from tests.worlds.stack_world import call

VARIANTS = {
    "all": {"combine": "linear", "members": ["total0", "total1", "total2"]},
    "all_classes": {"combine": "all_classes", "members": ["class0", "class1", "class2"]},
    "single_class": {"combine": "single_class", "members": ["class0", "class1", "class2"]},
    "cut": {"combine": "total_to_class", "members": ["total0", "total1"], "bounds_of": "class0"},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A set with a run of every variant."""
    with stack_world.data_folders(tmp_path_factory.mktemp("hands")) as folder:
        made = stack_world.make("world", noise=(1.0,))
        path = folder / "hands.yaml"
        path.write_text(yaml.safe_dump({"kind": "hand_totals", "variants": VARIANTS}))
        call(train, str(path), "--data", "world")
        yield made | {"config": str(path)}


def figures(run: str) -> dict:
    return json.loads((paths.run_dir("world", 3, run) / "run.json").read_text())["metrics"]


def test_ensembles_beat_their_members(world):
    oof = tables.SCORES.read(paths.scores("world", 2, "total0", "oof"))
    assert figures("all")["rmse"] < linear_ensembles.regression_figures(oof.target, oof.pred)["rmse"]
    single = tables.SCORES.read(paths.scores("world", 2, "class0", "oof"))
    alone = linear_ensembles.figures(single.target.to_numpy(), single[[f"p{k}" for k in range(10)]].to_numpy())
    assert figures("single_class")["rmse"] < alone["rmse"] and figures("all_classes")["rmse"] < alone["rmse"]
    cut = tables.SCORES.read(paths.scores("world", 3, "cut", "test"))
    assert cut.pred.isin(range(10)).all() and len(cut) == len(world["gold"])
    held = tables.SCORES.read(paths.scores("world", 3, "all", "oof"))
    assert held.pred.isna().sum() == 1 and (held.fold.to_numpy() == world["fold"]).all()  # one patient has no film of a hand


def test_wrong_targets_of_a_fold_do_not_change_its_predictions(world):
    runs = ("all", "all_classes", "single_class", "cut")
    before = {run: tables.SCORES.read(paths.scores("world", 3, run, "oof")) for run in runs}
    sites = tables.SITES.read(paths.sites("world"))
    held = world["train_gold"].index[world["fold"] == 1]
    bad = sites.patient_id.isin(held) & (sites.site != "total")
    tables.SITES.write(sites.assign(target=np.where(bad, 4.0, sites.target)), paths.sites("world"))
    try:
        call(train, world["config"], "--data", "world")  # the inputs changed: trained again
    finally:
        tables.SITES.write(sites, paths.sites("world"))
    for run in runs:
        after = tables.SCORES.read(paths.scores("world", 3, run, "oof"))
        same = before[run].patient_id.isin(held) & before[run].pred.notna()
        assert (before[run].pred[same] == after.pred[same]).all()
        assert run == "cut" or (before[run].pred[~same] != after.pred[~same]).any()


@pytest.mark.usefixtures("world")
def test_user_errors():
    regressors = HandTotals("hand_totals", "single_class", ("total0",))
    with pytest.raises(UserError, match="predicts no severity classes"):
        ensemble.member_outputs(cohorts.load("world", regressors.members, joints=False), regressors)
    with pytest.raises(UserError, match=r"has no head\.params\.bounds"):
        ensemble.class_bounds("world", "m0")
    with pytest.raises(UserError, match="bounds_of names a classifier"):
        HandTotals("hand_totals", "linear", ("total0",), bounds_of="class0")
    with pytest.raises(UserError, match=r"cut predicts classes .* have no intervals"):
        intervals.make("world", "cut")
    with pytest.raises(UserError, match="only runs of kind joints can be applied"):
        call(predict, "--trained", "world", "--data", "other", "--run", "all")


def test_totals_have_intervals_and_a_submission(world, capsys):
    call(intervals, "--data", "world", "--run", "all")
    table = tables.PREDICTION_INTERVALS.read(paths.prediction_intervals("world", "all", "oof"))
    assert set(table.part) == {"HANDS"} and (table.state == "missing").sum() == 1  # one patient has no film of a hand
    inside = (table.low95 <= table.target) & (table.target <= table.high95)
    assert inside[table.state == "scored"].mean() > 0.8
    for _ in range(2):
        call(submit, "--data", "world", "--run", "all", "--name", "hands")
    assert "hands.csv: finished, skipped" in capsys.readouterr().out
    written = pd.read_csv(intervals.csv_path(paths.submission("hands")))
    assert len(written) == len(world["gold"]) and (written.column == "total").all() and (written.low95 < written.high95).all()
    record = json.loads(paths.submission("hands").with_suffix(".json").read_text())
    assert (record["kind"], record["split"], record["run"]) == ("hand_totals", "test", "all")
    assert not (paths.submissions() / "ledger.csv").exists(), "the ledger lists submissions to the challenge"


def test_the_results_show_the_column_mean_the_members_and_the_ensemble(world):
    text = hand_totals.text("world", "all")
    assert [line.split("  ")[0] for line in text.splitlines()[1:-1]] == ["column mean", "total0", "total1", "total2", "all"]
    assert text.endswith(f"{len(world['fold'])} patients oof")
    with pytest.raises(UserError, match="does not predict totals of hands"):
        hand_totals.text("world", "cut")
