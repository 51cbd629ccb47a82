"""The joint stack on a synthetic set: it beats its members, no target of a fold leaks into it, and its files are right."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ra import anatomy, challenge_scores, config, paths, tables
from ra.config import Named
from stage3_stack import cohort as cohorts
from stage3_stack import intervals, outputs, submission, submit, train
from stage3_stack.config import KINDS, JointStack
from stage3_stack.cross_fitting import inner_folds
from stage3_stack.features import site_features
from stage3_stack.stack import Stack
from tests.worlds import stack_world
from tests.worlds.stack_world import call

ROOT = Path(__file__).resolve().parents[2]
BLEND = ROOT / "configs" / "joints" / "stack" / "blend.yaml"
SMOKE = [str(BLEND), "--data", "world", "--profile", "smoke"]
RANKED = ("sc1", "sc2", "sc3")


def stack_arguments(world: dict) -> list[str]:
    return [*SMOKE, "--set", f"members=[{','.join(world['members'])}]"]


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> dict:
    """A stack of joint, whole-film, both-hands and Ratingen members on 70 training and 40 test patients, some data missing."""
    with stack_world.data_folders(tmp_path_factory.mktemp("stack")) as folder:
        made = stack_world.make("world")
        made["members"] += ["total0", "class0", "eroded"]
        sites = tables.SITES.read(paths.sites("world"))
        sites.loc[sites.index[5:600:37], "target"] = np.nan
        tables.SITES.write(sites, paths.sites("world"))
        call(train, *stack_arguments(made))
        yield made | {"folder": folder, "run": paths.run_dir("world", 3, "blend")}


def test_every_site_of_every_patient_has_a_number(world):
    for split, patients in (("oof", world["train_gold"].index), ("test", world["gold"].index)):
        table = tables.SCORES.read(world["run"] / f"{split}.parquet")
        assert len(table) == len(patients) * 89 and set(table.patient_id) == set(patients)
        assert table.pred.notna().all() and (table.pred >= 0).all() and (table.pred <= table.max_score).all()
    oof = tables.SCORES.read(world["run"] / "oof.parquet")
    unseen = oof[oof.box_source == "none"]
    assert len(unseen) == 31 and len(set(unseen.patient_id)) == 1  # the left hand's 16 erosion and 15 narrowing sites
    fold = dict(zip(world["train_gold"].index, world["fold"], strict=True))
    assert (oof.patient_id.map(fold) == oof.fold).all()


def test_blend_beats_members_and_the_column_mean(world):
    """A member's joint is decoded as 2^E[L] - 1, its total is the sum of expected grades; a fold's mean uses the other folds."""
    cohort, gold = cohorts.load("world", tuple(world["members"])), world["train_gold"]
    mean = outputs.gold_of(cohort)
    for k in range(3):
        mean[cohort.fold == k] = mean[cohort.fold != k].mean().to_numpy()
    rivals = [mean]
    for member in cohort.members:
        if member.moments is not None:
            moments = np.nan_to_num(member.moments[cohort.train])
            totals = np.stack([moments[:, :, 1].sum(axis=1)] * 3, axis=1)
            rivals.append(submission.frame(gold.index, challenge_scores.unlog_score(moments[:, :, 0]), totals))
    blend = challenge_scores.ra2_scores(outputs.read_scores(world["run"] / "oof.parquet"), gold)
    for name in RANKED:
        others = [challenge_scores.ra2_score(rival, gold, name) for rival in rivals]
        assert blend[name] < 0.95 * min(others), (name, blend[name], others)


def random_targets(table: pd.DataFrame) -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.integers(0, 5, len(table)) * rng.integers(0, 2, len(table))


def healthy_but_heavy(table: pd.DataFrame) -> np.ndarray:
    """No damage at any joint, but the largest weight: such targets would move thresholds, which random targets do not."""
    return np.where(table.site == "total", 160, 0)


@pytest.mark.parametrize("poison", [random_targets, healthy_but_heavy])
def test_wrong_targets_of_a_fold_do_not_change_its_predictions(world, poison):
    """Corrupt every target of fold 1 and refit: the predictions of fold 1 keep every bit, those of the other folds change."""
    held = world["train_gold"].index[world["fold"] == 1]
    before = outputs.read_scores(world["run"] / "oof.parquet")
    saved = {p: p.read_bytes() for p in [paths.sites("world"), *(paths.scores("world", 2, m, "oof") for m in world["members"])]}
    try:
        for path in saved:
            schema = tables.SITES if path == paths.sites("world") else tables.SCORES
            table = schema.read(path)
            bad = table.patient_id.isin(held)
            table.loc[bad, "target"] = poison(table[bad]).astype(float)
            schema.write(table, path)
        call(train, *stack_arguments(world), "--run", "poisoned", "--force")
        after = outputs.read_scores(paths.run_dir("world", 3, "poisoned") / "oof.parquet")
        learners = [outputs.read_learners(paths.run_dir("world", 3, run) / "learners.parquet") for run in ("blend", "poisoned")]
    finally:
        for path, content in saved.items():
            path.write_bytes(content)
    pd.testing.assert_frame_equal(before.loc[held], after.loc[held], check_exact=True)
    for key in learners[0]:
        if key[1] == "oof":
            pd.testing.assert_frame_equal(learners[0][key].loc[held], learners[1][key].loc[held], check_exact=True)
    rest = before.index.difference(held)
    assert (before.loc[rest] != after.loc[rest]).any(axis=1).all()


def test_a_patients_features_do_not_depend_on_other_patients(world):
    """Another patient's tables must not change a feature; names and order are the same for any patients."""
    cohort = cohorts.load("world", tuple(world["members"]))
    features, names = site_features(cohort)
    assert len(set(names)) == len(names) == features.shape[2]
    for member in cohort.members:
        for array in (member.moments, member.films):
            if array is not None:
                array[1:] = np.nan
    again, names_again = site_features(cohort)
    assert names_again == names
    np.testing.assert_array_equal(features[0], again[0])


def test_finished_run_is_skipped_without_heavy_imports(world):
    code = (
        "import sys; from stage3_stack import train; train.run(); assert not {'lightgbm', 'sklearn', 'torch'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *stack_arguments(world)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "finished, skipped" in done.stdout, done.stderr


def test_submission_follows_the_template_and_the_ledger_counts_it_once(world):
    template = world["folder"] / "work" / "world" / "template.csv"
    ids = list(world["gold"].index[::-1])
    pd.DataFrame({anatomy.ID: ids}).reindex(columns=list(anatomy.COLUMNS_B)).to_csv(template, index=False)
    with pytest.raises(config.UserError, match=r"python -m stage3_stack\.intervals --data world --run blend first"):
        call(submit, "--data", "world")
    call(intervals, "--data", "world")
    call(submit, "--data", "world")
    call(submit, "--data", "world")
    table = pd.read_csv(paths.submission("world"))
    assert list(table.columns) == list(anatomy.COLUMNS_B) and list(table[anatomy.ID]) == ids
    pred = outputs.read_scores(world["run"] / "test.parquet")
    for column in ("LF_mtp_J__ip", "RF_mtp_J__ip", "Overall_Tol"):
        np.testing.assert_allclose(table.set_index(anatomy.ID)[column], pred.loc[ids, column], atol=1e-4)
    ledger = pd.read_csv(paths.submissions() / "ledger.csv")
    metrics = json.loads((world["run"] / "run.json").read_text())["metrics"]
    assert len(ledger) == 1 and [ledger[f"{name}_oof"][0] for name in RANKED] == pytest.approx(
        [metrics[name] for name in RANKED], abs=1e-4
    )


@pytest.mark.parametrize("case", ["one member", "few patients", "zero columns", "a finding without damage"])
def test_poor_worlds_still_give_numbers(tmp_path, monkeypatch, case):
    monkeypatch.setenv("RA_DATA", str(tmp_path))
    size = {"n_train": 14 if case == "few patients" else 40, "n_test": 8, "noise": (1.0,) if case == "one member" else (1.0, 1.2)}
    made = stack_world.make("poor", seed=3, **size)
    members = tuple(m for m in made["members"] if case == "few patients" or m != "film")
    cohort = cohorts.load("poor", members)
    if case == "zero columns":
        for member in cohort.members:
            member.moments[:, 3:20] = 0.0
    if case == "a finding without damage":
        cohort.grades[:, cohorts.FINDING_SITES["narrowing"]] = 0.0
        cohort.totals[:, 2] = 0.0
    learners = tuple(Named(name) for name in ("mean", "nnls", "ridge", "lightgbm"))
    fast = JointStack("joints", members, learners, (Named("ridge"), Named("lad")), inner_folds=3, bags=2)
    pred = Stack(cohort, fast).fit(cohort.train).predict(np.arange(len(cohort.patients)))
    assert np.isfinite(pred.grades).all() and np.isfinite(pred.totals).all()
    if case == "a finding without damage":
        assert pred.grades[:, cohorts.FINDING_SITES["narrowing"]].max() < 0.02 and pred.totals[:, 2].max() < 0.05


def test_a_set_without_test_patients_trains_but_cannot_be_submitted(tmp_path, monkeypatch):
    monkeypatch.setenv("RA_DATA", str(tmp_path))
    made = stack_world.make("world", n_train=30, n_test=0, n_folds=2, noise=(1.0,))
    call(train, *stack_arguments(made), "--set", "site_learners=[{name: ridge}]", "--set", "total_learners=[{name: ridge}]")
    assert len(tables.SCORES.read(paths.scores("world", 3, "blend", "oof"))) == 30 * 89
    call(intervals, "--data", "world")
    with pytest.raises(config.UserError, match="no test patients"):
        call(submit, "--data", "world")


def test_the_rest_of_the_patient_helps_to_predict_a_site(tmp_path, monkeypatch):
    """Li & Guan's gain: the joints of a patient are correlated, so both sides and both findings beat the site alone."""
    monkeypatch.setenv("RA_DATA", str(tmp_path))
    made = stack_world.make("world", n_train=100, n_test=150, n_folds=2, seed=5, noise=(0.9, 1.1))
    cohort, scores = cohorts.load("world", tuple(made["members"])), {}
    for features in ("own", "patient"):
        trees = (Named("extratrees", {"trees": 12, "min_samples_leaf": 10}),)
        members, mean = tuple(made["members"]), (Named("mean"),)
        experiment = JointStack("joints", members, trees, mean, features=features, inner_folds=2, bags=0)
        pred = Stack(cohort, experiment).fit(cohort.train).predict(cohort.test)
        scores[features] = outputs.scores(pred.grades, pred.totals, made["gold"])
    for name in ("sc2", "sc3"):
        assert scores["patient"][name] < 0.98 * scores["own"][name]


def test_inner_folds_keep_persons_whole():
    person = np.array([f"p{i // 2}" for i in range(40)])
    fold = inner_folds(person, np.arange(40.0), JointStack("joints", ("m",), (Named("mean"),), (Named("mean"),)))
    assert len(set(fold)) == 5
    assert all(len(set(fold[person == p])) == 1 for p in set(person))


def test_user_errors(world):
    with pytest.raises(config.UserError, match="did you mean inner_folds"):
        config.load(JointStack, BLEND, ["inner_fold=3"])
    with pytest.raises(config.UserError, match="does not exist; run the step"):
        call(train, *SMOKE)
    with pytest.raises(config.UserError, match="learner 'forest' is unknown"):
        call(train, *stack_arguments(world), "--run", "x", "--set", "site_learners=[{name: forest}]")
    with pytest.raises(config.UserError, match="none of the members film scores joints"):
        call(train, *SMOKE, "--run", "y", "--set", "members=[film]")
    assert not (paths.run_dir("world", 3, "y") / "run.json").exists()


def test_weights_are_readable(world):
    chosen = json.loads((world["run"] / "weights.json").read_text())
    assert set(chosen) == {"fold_0", "fold_1", "fold_2", "fold_all"}
    for layers in chosen.values():
        assert set(layers) == {"erosion", "narrowing", "overall_total", "overall_erosion", "overall_narrowing"}
        assert all(sum(layer["weights"].values()) == pytest.approx(1, abs=1e-3) for layer in layers.values())
    assert (world["run"] / "fold_1" / "erosion_lightgbm.txt").is_file()


@pytest.mark.parametrize("profile", config.PROFILES)
def test_the_experiments_of_the_project_are_valid(profile):
    folders = sorted((ROOT / "configs").glob("*/stack"))
    names = [name for folder in folders for name, _ in config.experiments(KINDS, [folder], profile)]
    assert {"blend", "totals", "visits", "li_guan", "bo_total"} <= set(names)


def test_a_folder_trains_one_run_per_experiment(world, tmp_path, capsys):
    """Two files of one folder, each a run of its own name; the second call skips both."""
    for name in ("first", "second"):
        members = "[m0, film]" if name == "first" else "[m1]"
        learners = "site_learners: [{name: mean}]\ntotal_learners: [{name: mean}]"
        (tmp_path / f"{name}.yaml").write_text(f"kind: joints\nmembers: {members}\n{learners}\ninner_folds: 2\nbags: 1\n")
    call(train, str(tmp_path), "--data", "world")
    for name in ("first", "second"):
        assert (paths.run_dir("world", 3, name) / "run.json").is_file() and world["run"] != paths.run_dir("world", 3, name)
    call(train, str(tmp_path), "--data", "world")
    assert capsys.readouterr().out.count("finished, skipped") == 2
