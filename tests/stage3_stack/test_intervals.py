"""The intervals verb on tables with refused, missing and cut-off films, up to the submission with its imputed cells."""

import json

import numpy as np
import pandas as pd
import pytest

from evaluation import raters
from ra import atomic, config, paths, tables
from ra.anatomy import JOINTS, PARTS, SITES, limb
from report.sections import intervals as section
from stage3_stack import intervals, submission, submit, train
from stage3_stack.uncertainty import prediction_table
from tests.worlds import stack_world
from tests.worlds.stack_world import call


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A world of tables with a trained stack and its intervals.

    UAB002's left hand was refused, UAB038 has no film of the right foot, and UAB036's left hallux lies off the film.
    """
    with stack_world.data_folders(tmp_path_factory.mktemp("intervals")):
        made = stack_world.make("w", n_train=30, n_test=10, noise=(0.9, 1.0))
        off_film("UAB036", "LF", "hallux_ip")
        films([("UAB002", "LH"), ("UAB038", "RF")])
        issue = {"film": "UAB002-LH", "patient_id": "UAB002", "reason": "too_dark", "refused": 1, "detail": None}
        tables.FILM_ISSUES.write(pd.DataFrame([issue]), paths.work("w") / "film_issues.parquet")
        train.train("w", "blend", stack_world.SMALL_STACK)
        call(intervals, "--data", "w")
        yield made


def films(without: list[tuple[str, str]]) -> None:
    """Write a films table with every film of every patient, except those of some (patient, part)."""
    people = tables.SITES.read(paths.sites("w")).drop_duplicates("patient_id")
    rows = [
        (p, part, s) for p, s in zip(people.patient_id, people.split, strict=True) for part in PARTS if (p, part) not in without
    ]
    table = pd.DataFrame(rows, columns=["patient_id", "part", "split"])
    table = table.assign(film_id=table.patient_id + "-" + table.part, person_id=table.patient_id, visit=1, path="x", sha1="x")
    table = table.assign(view="PA", laterality=table.part.str[0], width_px=900, height_px=1200)
    tables.FILMS.write(table, paths.films("w"))


def off_film(patient: str, part: str, joint: str) -> None:
    """Remove the members' predictions for a joint, and write boxes for their crops in which the joint is off the film."""
    sites = [s.site for s in SITES if s.joint == joint and s.part == part]
    for member in ("m0", "m1"):
        for split in ("oof", "test"):
            path = paths.scores("w", 2, member, split)
            table = tables.SCORES.read(path)
            rows = (table.patient_id == patient) & (table.part == part) & table.site.isin(sites)
            table.loc[rows, ["pred", *tables.PROBABILITIES]] = np.nan
            tables.SCORES.write(table, path)
        atomic.write_json(paths.run_dir("w", 2, member) / "run.json", {"inputs": {"../../sites.parquet": "", "../crops": ""}})
    inputs = {"../../films.parquet": "", "../../stage1/yolo/boxes_test.parquet": ""}
    atomic.write_json(paths.run_dir("w", 2, "crops") / "run.json", {"inputs": inputs})
    boxes = pd.DataFrame({"joint": JOINTS[limb(part)]}).assign(film_id=f"{patient}-{part}", fold=0, x_px=1.0, y_px=1.0, w_px=2.0)
    boxes = boxes.assign(h_px=2.0, conf=np.nan, source=np.where(boxes.joint == joint, "outside", "template"))
    tables.BOXES.write(boxes, paths.boxes("w", "yolo", "test"))


def read(split: str) -> pd.DataFrame:
    return tables.PREDICTION_INTERVALS.read(paths.prediction_intervals("w", "blend", split))


@pytest.mark.usefixtures("world")
def test_an_unseen_site_has_a_state_and_no_number():
    table = pd.concat([read("oof"), read("test")])
    sites = table[table.site != "total"]
    assert len(table) == 40 * (86 + 15) and (sites.value.isna() == (sites.state != "scored")).all()
    unscored = sites[sites.state != "scored"]
    states = unscored.groupby("patient_id").state.unique().map(list).to_dict()
    assert states == {"UAB002": ["refused"], "UAB038": ["no_film"], "UAB036": ["off_film"]}
    assert unscored.state.value_counts().to_dict() == {"refused": 31, "no_film": 12, "off_film": 2}
    assert unscored.imputed.notna().all() and unscored.low95.isna().all()
    assert (unscored.lowest == 0).all() and (unscored.highest == unscored.max_score).all()


@pytest.mark.usefixtures("world")
def test_totals_are_pro_rated_from_the_scored_sites():
    table = pd.concat([read("oof"), read("test")])
    totals = table[(table.site == "total") & (table.finding == "total")].set_index(["patient_id", "part"])
    whole = totals.loc[("UAB038", "ALL")]
    assert (whole.state, whole.n_scored, whole.n_sites) == ("partial", 74, 86)
    assert whole.highest == pytest.approx(whole.lowest + 84) and whole.lowest <= whole.value <= whole.highest
    assert whole.value == pytest.approx(whole.lowest * 448 / 364)  # a foot is 84 of 448 points
    foot = totals.loc[("UAB038", "RF")]
    assert foot.state == "missing" and np.isnan([foot.value, foot.low95, foot.high95]).all() and foot.imputed >= 0
    known = totals[totals.state != "missing"]
    assert (known.low95 <= known.low80).all() and (known.high80 <= known.high95).all()
    assert (known.low80 <= known.value + 1e-9).all() and (known.value <= known.high80 + 1e-9).all()
    parts = totals.drop(index="ALL", level="part").imputed.groupby("patient_id").sum()
    np.testing.assert_allclose(parts, totals.xs("ALL", level="part").imputed.loc[parts.index])


def test_a_fold_that_is_poisoned_keeps_its_intervals_to_the_bit(world):
    """With other targets in fold 1, its own intervals stay; those of the other folds and of the test patients change."""
    before = {split: read(split) for split in ("oof", "test")}
    held = world["train_gold"].index[world["fold"] == 1]
    saved = tables.SITES.read(paths.sites("w"))
    poison = np.where(saved.patient_id.isin(held), np.where(saved.site == "total", 160.0, 3.0), saved.target)
    tables.SITES.write(saved.assign(target=poison), paths.sites("w"))
    try:
        after, _ = prediction_table.make(intervals.predictions("w", "blend"))
    finally:
        tables.SITES.write(saved, paths.sites("w"))
    ends = [f"{end}{level}" for level in tables.LEVELS for end in ("low", "high")]
    poisoned = before["oof"].patient_id.isin(held)
    pd.testing.assert_frame_equal(before["oof"].loc[poisoned, ends], after["oof"].loc[poisoned, ends], check_exact=True)
    for split, rows in (("oof", ~poisoned), ("test", slice(None))):
        assert (before[split].loc[rows, ends] != after[split].loc[rows, ends]).any(axis=None)


@pytest.mark.usefixtures("world")
def test_the_submission_imputes_and_its_manifest_lists_the_cells():
    call(submit, "--data", "w")
    record = json.loads(paths.submission("w").with_suffix(".json").read_text())
    assert set(record["imputed"]) == {"UAB038", "UAB036"}
    assert record["imputed"]["UAB036"]["off_film"] == ["LF_mtp_E__ip", "LF_mtp_J__ip"]
    assert set(record["imputed"]["UAB038"]) == {"no_film", "partial"} and len(record["imputed"]["UAB038"]["no_film"]) == 12
    written = submission.read_numbers(paths.submission("w"))
    assert written.notna().all(axis=None)
    table = pd.read_csv(intervals.csv_path(paths.submission("w"))).set_index(["Patient_ID", "column"])
    assert len(table) == 10 * 89 and np.isnan(table.loc[("UAB036", "LF_mtp_E__ip"), "value"])
    assert table.loc[("UAB038", "Overall_Tol"), "n_scored"] == 74
    assert table.loc[("UAB030", "Overall_Tol"), "value"] == pytest.approx(written.Overall_Tol["UAB030"], abs=1e-4)
    lines = paths.submissions() / "ledger.csv"
    call(submit, "--data", "w")
    assert len(lines.read_text().splitlines()) == 2, "the second call is skipped"
    intervals.csv_path(paths.submission("w")).unlink()
    call(submit, "--data", "w")
    assert intervals.csv_path(paths.submission("w")).is_file()


@pytest.mark.usefixtures("world")
def test_intervals_are_skipped_until_the_run_changes(capsys):
    call(intervals, "--data", "w")
    assert "finished, skipped" in capsys.readouterr().out
    record = paths.run_dir("w", 3, "blend") / "run.json"
    content = record.read_text()
    record.write_text(content + "\n")
    with pytest.raises(config.UserError, match="has no intervals; run python"):
        submit.submit("w", "blend", "w")
    record.write_text(content)


def test_the_report_measures_coverage_against_the_reader(world):
    world["gold"].to_csv(paths.reader("w", "gold"))
    known = raters.load("w", "blend")
    page = section.make(known)
    numbers = {statistic.id: statistic for statistic in page.statistics()}
    assert "Out of fold" in page.lead and "test patients" in page.lead
    whole = read("test").query("part == 'ALL' and finding == 'total'").set_index("patient_id")
    truth = world["gold"].Overall_Tol.loc[whole.index]
    share = ((whole.low95 <= truth) & (truth <= whole.high95)).mean()
    assert numbers["intervals/coverage_95/test/model/total"].value == pytest.approx(share)
    assert numbers["intervals/measured_95/test/model/total"].value == pytest.approx(share)
    assert numbers["intervals/sites/test/model/no_film"].value == 12
    assert section.make(known.in_split("nobody")).blocks == []
