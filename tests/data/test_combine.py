"""Several prepared sets as one: ids stay distinct, unscored sites stay NaN, and the stages accept the combined set."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from data import combine, file_cache, prepare
from ra import folds, paths
from ra.config import UserError
from ra.tables import FILMS, SITES
from tests.data.test_sanity_checks import ra2_root


@pytest.fixture(autouse=True)
def data_root(tmp_path, monkeypatch):
    monkeypatch.setenv("RA_DATA", str(tmp_path / "data"))


def two_sets(tmp_path) -> None:
    """Write set a with eight patients and all sites, and set b with eight patients and hands only; A1 is in both."""
    ids = {"a": [f"A{i}" for i in range(8)], "b": ["A1", *(f"B{i}" for i in range(1, 8))]}
    for k, (name, train) in enumerate(ids.items()):
        root = ra2_root(tmp_path / name, {"train": train, "test": [f"T{name}"]}, 1000 * k, hands_only=name == "b")
        prepare.prepare("ra2dream", root, name, trust=True)


def test_combined_sets_keep_patients_distinct_and_unscored_sites_empty(tmp_path, capsys):
    two_sets(tmp_path)
    prepare.prepare("ra2dream", tmp_path / "a", "twin", trust=True)
    combine.combine(["a", "b"], "ab", 3)
    films, sites, of_fold = FILMS.read(paths.films("ab")), SITES.read(paths.sites("ab")), folds.load("ab")
    assert len(films) == 4 * 18 and {"a.A1-LH", "b.A1-LH", "A2-LH", "B2-LH"} <= set(films.film_id)
    assert {"a.A1", "b.A1"} <= set(films.person_id) and {"a.A1", "b.A1"} <= set(of_fold.index) and len(of_fold) == 16
    assert len(sites) == 89 * 18 and set(films[films.split == "test"].patient_id) == {"Ta", "Tb"}
    feet = sites[(sites.part.isin(["LF", "RF"])) & (sites.split == "train")]
    scored = feet.groupby("patient_id").target.apply(lambda t: t.notna().all())
    assert scored[[f"A{i}" for i in (0, *range(2, 8))]].all() and not scored[["b.A1", "B1", "B7"]].any()
    assert (paths.work("ab") / "template.csv").read_bytes() == (paths.work("a") / "template.csv").read_bytes()
    combine.combine(["a", "b", "twin"], "all", 3)
    assert pd.read_csv(paths.work("all") / "template.csv").Patient_ID.tolist() == ["a.Ta"], "the id in the combined set"
    found = json.loads((paths.work("all") / "report.json").read_text())["faults"]
    assert "a.A0-LH and twin.A0-LH: one film of one file" in found["same film twice"]
    combine.combine(["a", "b"], "ab", 3)
    assert "skipped" in capsys.readouterr().out
    file_cache.cache_file("a").unlink()
    file_cache.cache_file("b").unlink()
    combine.combine(["a", "b"], "ab", 3, same_people=True)
    assert "72 films were compared only by the hash of their files" in capsys.readouterr().out
    person = FILMS.read(paths.films("ab")).drop_duplicates("patient_id").set_index("patient_id").person_id
    assert person["a.A1"] == person["b.A1"] == "A1" and folds.load("ab")["a.A1"] == folds.load("ab")["b.A1"]
    with pytest.raises(UserError, match="new name with --data"):
        combine.combine(["a", "b"], "a")
    with pytest.raises(UserError, match="does not exist"):
        combine.combine(["a", "nothing"], "ab")


def verb(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=paths.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-1500:]


@pytest.mark.slow
def test_the_stages_accept_combined_sets_and_unscored_feet_add_no_loss(tmp_path):
    two_sets(tmp_path)
    combine.combine(["a", "b"], "ab", 2)
    smoke, joints = ("--data", "ab", "--profile", "smoke"), "configs/joints"
    verb("stage1_detect.train", "configs/detect/template.yaml", *smoke)
    verb("stage2_score.pictures", f"{joints}/pictures", *smoke, "--set", "boxes=template")
    verb("stage2_score.train", f"{joints}/members/resnet.yaml", *smoke, "--set", "weights=[scratch]", "--set", "optim.epochs=1")
    run = paths.run_dir("ab", 2, "resnet")
    log = pd.read_csv(run / "log.csv")
    assert np.isfinite(log.select_dtypes("number").filter(like="loss").to_numpy()).all() and len(log)
    oof = pd.read_parquet(run / "oof.parquet")
    assert oof.patient_id.nunique() == 16 and oof.pred.notna().all() and oof[oof.target.isna()].part.isin(["LF", "RF"]).all()
