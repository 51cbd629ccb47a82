"""Runs of kind joint_visits: the members' mean by hand, its submission, and verbs that have nothing to do for this kind."""

import json

import numpy as np
import pandas as pd
import pytest

from evaluation import joint_visits as results
from ra import clinical, paths, tables
from ra.anatomy import RATINGEN
from ra.config import UserError
from stage3_stack import intervals, ratingen, submit, train
from tests.worlds import stack_world
from tests.worlds.stack_world import call


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A trained and submitted run of the member `eroded` and a member `shifted` whose grades are one class higher."""
    with stack_world.data_folders(tmp_path_factory.mktemp("visits")) as folder:
        made = stack_world.make("world", n_train=20, n_test=6, n_folds=2, noise=(1.0,))
        for split in ("oof", "test"):
            table = tables.SCORES.read(paths.scores("world", 2, "eroded", split))
            p = table[[f"p{k}" for k in range(6)]].to_numpy()
            higher = np.column_stack([np.zeros(len(p)), p[:, :4], p[:, 4] + p[:, 5]])
            higher[np.isnan(p[:, 0])] = np.nan
            table[[f"p{k}" for k in range(6)]] = higher
            shifted = table.assign(pred=higher @ np.arange(6), run="shifted")
            tables.SCORES.write(shifted, paths.scores("world", 2, "shifted", split))
        (paths.run_dir("world", 2, "shifted") / "run.json").write_text("{}")
        experiment = folder / "visits.yaml"
        experiment.write_text("kind: joint_visits\nmembers: [eroded, shifted]\n")
        call(train, str(experiment), "--data", "world")
        call(submit, "--data", "world", "--run", "visits")
        yield made


def test_the_runs_tables_are_the_mean_of_members_and_fold_models(world):
    members = [tables.SCORES.read(paths.scores("world", 2, member, "test")) for member in ("eroded", "shifted")]
    mean = pd.concat(members).groupby(["patient_id", "part", "site"]).p1.mean()
    test = tables.SCORES.read(paths.scores("world", 3, "visits", "test")).set_index(["patient_id", "part", "site"])
    assert len(test) == 6 * 34
    np.testing.assert_array_equal(test.p1, mean.loc[test.index])
    oof = tables.SCORES.read(paths.scores("world", 3, "visits", "oof"))
    assert len(oof) == 20 * 34 and oof.site.str.startswith(RATINGEN).all() and oof.target.notna().all()
    assert (oof.patient_id.map(dict(zip(world["train_gold"].index, world["fold"], strict=True))) == oof.fold).all()


def test_the_run_predicts_like_its_members_averaged(world):  # noqa: ARG001
    index = ratingen.training_targets("world").index
    together = ratingen.predict("world", ("eroded", "shifted"), "oof", index)
    np.testing.assert_array_equal(ratingen.predict("world", "visits", "oof", index, stage=3).grade, together.grade)


def test_the_submission_has_a_row_per_visit_with_its_rau_score(world):
    table = pd.read_csv(paths.submission("world"))
    assert list(table.Patient_ID) == list(world["gold"].index) and table.filter(like="_grade").shape[1] == 34
    grades = table.filter(like="_grade").to_numpy()
    np.testing.assert_allclose(table.rau, (clinical.RAU_FACTOR * grades.mean(axis=1)).round(1))
    assert (table.n_scored == 34).all() and (table.rau_low == table.rau).all()
    record = json.loads(paths.submission("world").with_suffix(".json").read_text())
    assert (record["kind"], record["split"], record["patients"]) == ("joint_visits", "test", 6)
    assert set(record["inputs"]) == {"run", "ratingen.parquet"} and 0 < record["oof"]["quadratic_kappa"] < 1


@pytest.mark.usefixtures("world")
def test_intervals_end_without_an_error_and_a_second_submission_is_skipped(capsys):
    call(intervals, "--data", "world", "--run", "visits")
    call(submit, "--data", "world", "--run", "visits")
    output = capsys.readouterr().out
    assert "visits: a run of kind joint_visits has no intervals" in output and "world.csv: finished, skipped" in output


@pytest.mark.usefixtures("world")
def test_the_results_show_the_null_model_the_members_and_their_mean():
    text = results.text("world", "visits")
    for row in (results.FLOOR, "eroded", "shifted", results.MEAN):
        assert sum(line.startswith(row) for line in text.splitlines()) == 1, (
            "only the table out of fold is shown, because test has no reader"
        )


@pytest.mark.usefixtures("world")
def test_members_without_ratingen_grades_are_refused(tmp_path):
    experiment = tmp_path / "joints.yaml"
    experiment.write_text("kind: joint_visits\nmembers: [m0]\n")
    with pytest.raises(UserError, match="m0 predict none of the joints of world; name runs of kind ratingen"):
        call(train, str(experiment), "--data", "world")


def test_a_set_without_test_rows_submits_its_training_visits_out_of_fold(tmp_path, monkeypatch):
    monkeypatch.setenv("RA_DATA", str(tmp_path))
    monkeypatch.setenv("RA_SUBMISSIONS", str(tmp_path / "submissions"))
    stack_world.make("world", n_train=12, n_test=0, n_folds=2, noise=(1.0,))
    experiment = tmp_path / "visits.yaml"
    experiment.write_text("kind: joint_visits\nmembers: [eroded]\n")
    call(train, str(experiment), "--data", "world")
    call(submit, "--data", "world", "--run", "visits")
    record = json.loads(paths.submission("world").with_suffix(".json").read_text())
    assert (record["split"], record["patients"]) == ("oof", 12) and len(pd.read_csv(paths.submission("world"))) == 12
