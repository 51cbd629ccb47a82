"""The results verb on a small stack: rows against hand-made scores, and the ledger's test scores."""

import numpy as np
import pandas as pd
import pytest

from evaluation import results
from ra import challenge_scores, paths, tables
from stage3_stack import intervals, submission, submit, train
from tests.worlds import stack_world
from tests.worlds.stack_world import call

RANKED = ("sc1", "sc2", "sc3")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A submitted stack; its gold scores are also the truth behind the reader, so that the noise floor is 0."""
    with stack_world.data_folders(tmp_path_factory.mktemp("results")):
        made = stack_world.make("world", n_train=40, n_test=16, noise=(0.9, 1.0))
        train.train("world", "blend", stack_world.SMALL_STACK)
        intervals.make("world", "blend")
        submit.submit("world", "blend", "world")
        for name in ("gold", "truth"):
            made["gold"].to_csv(paths.reader("world", name))
        yield made


def test_results_table_of_a_perfect_truth(world, capsys):
    """The truth, scored against itself, is 100 % below the column mean, the column mean is 0 % below itself; zeros by hand."""
    call(results, "--data", "world")
    table = pd.read_csv(paths.run_dir("world", 3, "blend") / "results.csv").set_index("name")
    assert table.loc["truth", "sc2_test_below_mean_percent"] == 100 and np.isnan(table.loc["truth", "sc2_oof"])
    assert table.loc["column mean", "sc3_oof_below_mean_percent"] == 0
    zero = challenge_scores.ra2_score(world["gold"] * 0, world["gold"], "sc2")
    assert table.loc["all zero", "sc2_test"] == pytest.approx(zero, abs=1e-5)
    output = capsys.readouterr().out
    assert "31 of 3440 sites filled" in output and "95 % interval over patients" in output


def test_the_column_mean_is_that_of_the_other_folds(world):
    call(results, "--data", "world")
    table = pd.read_csv(paths.run_dir("world", 3, "blend") / "results.csv").set_index("name")
    fold = tables.FOLDS.read(paths.folds("world")).set_index("patient_id").fold.loc[world["train_gold"].index].to_numpy()
    mean = world["train_gold"].astype(float).copy()
    for k in np.unique(fold):
        mean[fold == k] = world["train_gold"][fold != k].mean().to_numpy()
    for name in RANKED:
        expected = challenge_scores.ra2_score(mean, world["train_gold"], name)
        assert table.loc["column mean", f"{name}_oof"] == pytest.approx(expected, abs=1e-5)


def test_the_ledger_gets_the_test_scores_once(world):
    for _ in range(2):
        call(results, "--data", "world")
    ledger = pd.read_csv(paths.submissions() / "ledger.csv")
    expected = challenge_scores.ra2_scores(submission.read_numbers(paths.submission("world")), world["gold"])
    assert len(ledger) == 1
    assert [ledger[f"{name}_test"][0] for name in RANKED] == pytest.approx([expected[name] for name in RANKED], abs=2e-4)
