"""Training on a tiny set: held-back patients, and tables that cover every patient and site once."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ra import config as configs
from ra import folds, paths, tables
from ra.config import UserError
from stage2_score import pictures, predict, train
from stage2_score.config import MEMBERS, PICTURES, PRETRAINING, Member, Pretrain
from stage2_score.data import hold_back
from tests.worlds.stage2_world import CROPS, JOINT_KIND, QUICK, call, write_config


def test_tables_cover_every_patient_and_site_once(world, monkeypatch, capsys):
    call(monkeypatch, pictures, write_config(world, "crops", CROPS))
    assert "p09-RH" in capsys.readouterr().out  # the damaged film is named
    resnet, totals = QUICK + "backbone: {name: test_resnet}\n", "kind: whole\nhead: {name: totals}\nloss: {name: totals_log}\n"
    configs = [
        write_config(world, "joints", JOINT_KIND + resnet),
        write_config(world, "whole", resnet + totals),
        write_config(world, "sitemean", "kind: sitemean\n"),
    ]  # fmt: skip
    call(monkeypatch, train, *configs, "--jobs", "1")
    sites = tables.SITES.read(paths.sites("tiny"))
    fold_of = folds.load("tiny")
    for run, per_patient in (("joints", 86), ("whole", 8), ("sitemean", 86)):
        oof = tables.SCORES.read(paths.scores("tiny", 2, run, "oof"))
        test = tables.SCORES.read(paths.scores("tiny", 2, run, "test"))
        assert len(oof) == 9 * per_patient and len(test) == 3 * 2 * per_patient, run
        assert (oof.fold == oof.patient_id.map(fold_of)).all(), run
        missing = oof[oof.pred.isna()]
        wanted = {("p02", "LF")} if run != "sitemean" else set()
        assert set(zip(missing.patient_id, missing.part, strict=True)) == wanted, run
        assert (missing.box_source == "none").all() and test.target.isna().all()
        assert (test[test.pred.isna()].part.unique().tolist() == ["RH"]) == (run != "sitemean"), run
        p = oof.loc[oof.pred.notna(), list(tables.PROBABILITIES)].to_numpy()
        if run != "whole":
            assert np.allclose(np.nansum(p, 1), 1) and np.allclose(np.nansum(p * np.arange(11), 1), oof.pred.dropna())
            assert (np.isnan(p).sum(1) == 10 - oof.max_score[oof.pred.notna()]).all()
    merged = tables.SCORES.read(paths.scores("tiny", 2, "joints", "oof")).merge(
        sites, on=["patient_id", "part", "site", "finding"]
    )
    assert ((merged.target_x == merged.target_y) | (merged.target_x.isna() & merged.target_y.isna())).all()
    before = {path: path.stat().st_mtime_ns for path in world.rglob("*.parquet")}
    call(monkeypatch, train, *configs, "--jobs", "1")
    assert before == {path: path.stat().st_mtime_ns for path in world.rglob("*.parquet")}  # all of it skipped
    assert "finished, skipped" in capsys.readouterr().out


@pytest.mark.usefixtures("world")
def test_held_back_patients_come_from_the_training_folds_only():
    sites, fold_of = tables.SITES.read(paths.sites("tiny")), folds.load("tiny")
    for fold in range(3):
        fit, held, out = train.split_fold("tiny", Member("joints", weights=("scratch",)), fold, sites)
        assert held and fit and not (fit & held) and not ((fit | held) & out)
        assert out == set(fold_of.index[fold_of == fold]) and fit | held | out == set(fold_of.index)
        assert ("p00" in held) == ("p01" in held) or fold_of["p00"] == fold  # one person, one side
    persons = pd.Series({f"q{i}": f"h{i // 2}" for i in range(40)})
    held = hold_back(persons, pd.Series(np.arange(40.0), persons.index), 0.2, np.random.default_rng(0))
    assert len(held) == 8 and all(
        (a in held) == (b in held) for a, b in zip(persons.index[::2], persons.index[1::2], strict=True)
    )


def test_a_holdout_predicts_its_own_share_once_and_leaves_the_rest_open(world, monkeypatch):
    sites = tables.SITES.read(paths.sites("tiny"))
    member = Member("joints", weights=("scratch",), holdout=(0.4, 0.3, 0.3))
    fit, held, out = train.split_fold("tiny", member, 0, sites)
    assert not (fit & held or fit & out or held & out) and len(fit | held | out) == 9 and min(len(held), len(out)) >= 2
    assert len({"p00", "p01"} & fit) in (0, 2) and len({"p00", "p01"} & held) in (0, 2)  # one person, one side
    call(monkeypatch, pictures, write_config(world, "crops", CROPS))
    quick = JOINT_KIND + QUICK + "backbone: {name: test_resnet}\nholdout: [0.4, 0.3, 0.3]\n"
    call(monkeypatch, train, write_config(world, "held", quick), "--jobs", "1")
    oof, test = (tables.SCORES.read(paths.scores("tiny", 2, "held", split)) for split in ("oof", "test"))
    seen = oof[oof.patient_id.isin(out)]
    assert len(oof) == 9 * 86 and oof[~oof.patient_id.isin(out)].pred.isna().all() and (seen.fold == 0).all()
    assert seen.pred.notna().mean() > 0.8 and len(test) == 2 * 86
    with pytest.raises(UserError, match="three shares"):
        Member("joints", weights=("scratch",), holdout=(0.7, 0.2))


def test_a_finished_fold_is_not_trained_again_and_targets_of_its_fold_are_not_seen(world, monkeypatch):
    """Corrupt the grades of fold 0: its own predictions must not change by one bit."""
    call(monkeypatch, pictures, write_config(world, "crops", CROPS))
    path = write_config(world, "joints", JOINT_KIND + QUICK + "backbone: {name: test_resnet}\n")
    call(monkeypatch, train, path, "--fold", "0", "--jobs", "1")
    folder = paths.fold_dir("tiny", 2, "joints", 0)
    clean = pd.read_parquet(folder / "oof.parquet").pred
    sites = tables.SITES.read(paths.sites("tiny"))
    mine = sites.patient_id.isin(folds.load("tiny").loc[lambda f: f == 0].index)
    tables.SITES.write(sites.assign(target=sites.target.where(~mine, 4.0)), paths.sites("tiny"))
    call(monkeypatch, train, path, "--fold", "0", "--jobs", "1")
    poisoned = pd.read_parquet(folder / "oof.parquet")
    assert (poisoned.target == 4.0).all() and np.array_equal(clean, poisoned.pred, equal_nan=True)


@pytest.mark.parametrize("profile", ["smoke", "demo", "full"])
def test_experiments_are_valid_and_every_member_fits_its_pretraining(profile):
    kinds = PICTURES | PRETRAINING | MEMBERS
    for task in ("joints", "hand_totals", "joint_visits", "papers"):
        runs = {}
        for folder in (paths.ROOT / "configs" / task / step for step in ("pictures", "pretrain", "members")):
            if folder.is_dir():
                runs |= dict(configs.experiments(kinds, [folder], profile))
        shared = configs.experiments(kinds, [paths.ROOT / "configs/joints" / name for name in ("pictures", "pretrain")], profile)
        runs = dict(shared) | runs  # the papers' systems share the crops and bone-age runs of the joints
        for name, found in runs.items():
            if isinstance(found, Member | Pretrain) and getattr(found, "sees_pictures", True):
                assert found.pictures in runs, (task, name)
            if isinstance(found, Member) and found.pretrained:
                start = runs[found.pretrained]
                assert (start.backbone, start.embedding) == (found.backbone, found.embedding), (task, name)


def test_members_of_a_folder_that_need_missing_scores_are_left_out(world, monkeypatch, capsys):
    """The tiny set has no Ratingen scores: a folder is trained without the members that learn them; one alone is an error."""
    call(monkeypatch, pictures, write_config(world, "crops", CROPS))
    folder = world / "members"
    folder.mkdir()
    write_config(folder, "sitemean", "kind: sitemean\n")
    ratingen = write_config(folder, "percent", "kind: ratingen\nweights: [scratch]\n")
    call(monkeypatch, train, str(folder))
    assert "no Ratingen scores; left out: percent" in capsys.readouterr().out
    assert (paths.run_dir("tiny", 2, "sitemean") / "run.json").is_file() and not paths.run_dir("tiny", 2, "percent").exists()
    with pytest.raises(UserError, match="no Ratingen percentages"):
        call(monkeypatch, train, ratingen)


@pytest.mark.parametrize(("verb", "flag"), [(pictures, "--boxes=truth"), (pictures, "--fold=0"), (predict, "--fold=0")])
def test_a_verb_refuses_flags_that_it_does_not_use(verb, flag, monkeypatch):
    monkeypatch.setattr("sys.argv", ["verb", "config.yaml", flag])
    with pytest.raises(SystemExit, match="2"):
        verb.run()
