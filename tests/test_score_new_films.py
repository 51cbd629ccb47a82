"""A trained run applied to another set: equal patients get equal numbers, and the set's readers are not used."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data import prepare
from data.phantom.cohort import Cohort, patients
from ra import atomic, config, folds, paths, tables
from ra.anatomy import COLUMNS_A
from ra.config import UserError
from stage3_stack import intervals, predict, submit, train
from tests.worlds import stack_world
from tests.worlds.stack_world import call

BLEND = paths.ROOT / "configs" / "joints" / "stack" / "blend.yaml"
PHANTOM = paths.ROOT / "configs" / "phantom"
MEMBERS = ["m0", "m1", "m2", "film"]


def new_set(name: str, trained: str, prefix: str = "") -> None:
    """Make a set of a trained set's test patients, with its members applied to them; `prefix` gives the patients new ids."""
    sites = tables.SITES.read(paths.sites(trained))
    sites = sites[sites.split == "test"]
    tables.SITES.write(sites.assign(patient_id=prefix + sites.patient_id), paths.sites(name))
    for member in MEMBERS:
        table = tables.SCORES.read(paths.scores(trained, 2, member, "test"))
        tables.SCORES.write(table.assign(patient_id=prefix + table.patient_id), paths.scores(name, 2, member, "test"))
        atomic.write_json(paths.run_dir(name, 2, member) / "run.json", {"run": member, "trained": trained})


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> dict:
    """A finished stack with its intervals on the set `trained`, and its test patients as the set `new`."""
    with stack_world.data_folders(tmp_path_factory.mktemp("apply")):
        made = stack_world.make("trained", n_train=36, n_test=14, n_folds=2)
        sites = "site_learners=[{name: mean}, {name: ridge}, {name: lightgbm, params: {rounds: 30}}]"
        few = [word for item in ("members=[m0, m1, m2, film]", sites, "inner_folds=2", "bags=2") for word in ("--set", item)]
        call(train, str(BLEND), "--data", "trained", "--profile", "smoke", *few)
        intervals.make("trained", "blend")
        new_set("new", "trained", "N")
        call(predict, "--trained", "trained", "--data", "new")
        yield made


def numbers(table: pd.DataFrame) -> pd.DataFrame:
    """The table without the prefix of its ids, so that the same patients under other ids have equal rows."""
    return table.assign(patient_id=table.patient_id.str.removeprefix("N"))


def test_the_same_patients_get_the_same_numbers_to_the_bit(world):  # noqa: ARG001
    trained, new = (tables.SCORES.read(paths.scores(data, 3, "blend", "test")) for data in ("trained", "new"))
    pd.testing.assert_frame_equal(numbers(trained), numbers(new), check_exact=True)
    assert tables.SCORES.read(paths.scores("new", 3, "blend", "oof")).empty


def test_intervals_are_calibrated_on_the_training_patients_of_the_other_set(world):
    intervals.make("new", "blend")
    files = [paths.prediction_intervals(data, "blend", "test") for data in ("trained", "new")]
    trained, new = (tables.PREDICTION_INTERVALS.read(path) for path in files)
    pd.testing.assert_frame_equal(numbers(trained), numbers(new), check_exact=True)
    assert np.isfinite(new[["low95", "high95"]]).any(axis=None)
    assert tables.PREDICTION_INTERVALS.read(paths.prediction_intervals("new", "blend", "oof")).empty
    submit.submit("new", "blend", "new")
    assert list(pd.read_csv(paths.submission("new")).Patient_ID) == sorted("N" + p for p in world["gold"].index)


def test_readers_scores_of_the_new_patients_change_nothing(world):  # noqa: ARG001
    before = paths.scores("new", 3, "blend", "test").read_bytes()
    sites = tables.SITES.read(paths.sites("new"))
    tables.SITES.write(sites.assign(target=4.0), paths.sites("new"))
    for name in ("gold", "reader2", "truth"):
        paths.reader("new", name).write_text("Patient_ID\n")
    call(predict, "--trained", "trained", "--data", "new", "--force")
    assert paths.scores("new", 3, "blend", "test").read_bytes() == before


def test_a_second_call_is_skipped_and_a_missing_member_is_one_sentence(world, capsys):  # noqa: ARG001
    call(predict, "--trained", "trained", "--data", "new")
    assert "finished, skipped" in capsys.readouterr().out
    new_set("other", "trained")
    with pytest.raises(UserError, match="same set"):
        call(predict, "--trained", "new", "--data", "new")
    record = paths.run_dir("other", 2, "m1") / "run.json"
    atomic.write_json(record, {"run": "m1"})  # trained on the set itself
    with pytest.raises(UserError, match="m1 is not the run of trained applied to other; run python"):
        call(predict, "--trained", "trained", "--data", "other")
    shutil.rmtree(record.parent)
    with pytest.raises(UserError, match="m1 is not the run of trained"):
        call(predict, "--trained", "trained", "--data", "other")


# The tests below use a folder that has only test/, and the fresh cohort.


@pytest.fixture
def unscored(tmp_path, monkeypatch) -> Path:
    """Films of two patients in test/ (three films of one of them), and a file with another kind of name."""
    import cv2

    monkeypatch.setenv("RA_DATA", str(tmp_path / "data"))
    root = tmp_path / "clinic"
    (root / "test").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in [f"A1-{part}" for part in ("LH", "RH", "LF", "RF")] + [f"B2-{part}" for part in ("LH", "RH", "LF")] + ["scan"]:
        cv2.imwrite(str(root / "test" / f"{name}.jpg"), rng.integers(0, 255, (90, 70), np.uint8))
    return root


def test_a_folder_with_test_only_is_prepared_from_its_films(unscored, capsys):
    prepare.prepare("ra2dream", unscored, "s", trust=True)
    films, sites = tables.FILMS.read(paths.films("s")), tables.SITES.read(paths.sites("s"))
    assert sorted(films.film_id) == ["A1-LF", "A1-LH", "A1-RF", "A1-RH", "B2-LF", "B2-LH", "B2-RH"]
    assert set(films.split) == {"test"}
    assert set(sites.patient_id) == {"A1", "B2"} and len(sites) == 2 * 89 and sites.target.isna().all()
    assert folds.load("s").empty and not (paths.work("s") / "template.csv").exists()
    faults = json.loads((paths.work("s") / "report.json").read_text())["faults"]
    assert faults["missing film"] == ["test/B2-RF"] and faults["film without a row"] == ["test/scan.jpg"]
    assert "train" not in capsys.readouterr().out


def test_a_template_lists_the_patients_and_gold_scores_are_optional(unscored):
    for path, cell in ((unscored / "test" / "template.csv", ""), (unscored / "gold" / "gold.csv", "1")):
        path.parent.mkdir(exist_ok=True)
        rows = pd.DataFrame(cell, index=range(2), columns=list(COLUMNS_A))
        rows.assign(Patient_ID=["B2", "C3"]).to_csv(path, index=False)
    prepare.prepare("ra2dream", unscored, "s", trust=True)
    assert set(tables.SITES.read(paths.sites("s")).patient_id) == {"B2", "C3"} and paths.reader("s", "gold").is_file()


def test_training_on_a_set_without_training_patients_is_refused_in_one_sentence(unscored):
    from stage2_score.config import Member
    from stage2_score.train import n_folds

    prepare.prepare("ra2dream", unscored, "s", trust=True)
    with pytest.raises(UserError, match="s has no training patients"):
        n_folds("s", Member(kind="sitemean"))


def test_films_without_a_patients_name_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("RA_DATA", str(tmp_path / "data"))
    (tmp_path / "clinic" / "test").mkdir(parents=True)
    (tmp_path / "clinic" / "test" / "scan.jpg").write_bytes(b"")
    with pytest.raises(UserError, match="holds no film named <Patient_ID>-"):
        prepare.prepare("ra2dream", tmp_path / "clinic", "s", trust=True)


def test_the_fresh_cohort_differs_from_the_default_in_its_patients_only():
    demo, fresh = (config.load(Cohort, PHANTOM / f"{name}.yaml", profile="demo") for name in ("cohort", "fresh"))
    people = ("seed", "train", "test", "first_id", "boneage")
    same = [{name: v for name, v in config.as_dict(c).items() if name not in people} for c in (demo, fresh)]
    assert same[0] == same[1] and fresh.seed != demo.seed
    ours, theirs = patients(demo), patients(fresh)
    assert {p.split for p in theirs} == {"test"} and len({p.person_id for p in theirs}) >= 400
    for name in ("patient_id", "person_id", "seed"):
        assert not {getattr(p, name) for p in ours} & {getattr(p, name) for p in theirs}, name
