"""Disease activity and the Ratingen scale: simulated, read, set beside damage; and what the report says of them."""

import csv
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from data.issues import Report
from data.phantom import cohort
from data.phantom import disease_activity as items_of
from data.phantom import severity as sv
from data.sources import activity as sheet_of
from data.sources import ra2dream
from evaluation import bootstrap, disease_activity, raters, rau, statistic, svdh_to_ratingen
from evaluation.raters import MODEL, READER1
from ra import clinical, paths, tables
from ra.anatomy import PERCENT, RATINGEN, SITES, limb
from ra.config import UserError
from report.blocks import Picture, Table
from report.sections import ratingen as section
from tests.worlds import evaluation_world

ITEMS = ("tender", "swollen", "esr", "crp", "global")


@pytest.fixture(autouse=True)
def nothing_on_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("RA_DATA", str(tmp_path / "data"))


@pytest.fixture(scope="module")
def world():
    return evaluation_world.make(90, 60)


# the synthetic cohort


@pytest.fixture(scope="module")
def registry():
    """Items, DAS28 and reader 1's Rau score of some thousand simulated visits, without films."""
    people = [p for seed in range(4) for p in cohort.patients(cohort.Cohort(seed=seed, train=700, test=290))]
    table = pd.DataFrame([items_of.items(p) for p in people])
    both = table.tender.to_numpy(), table.swollen.to_numpy()
    health = table["global"].to_numpy()
    seen = [{k: float(clinical.percents2grades(v)) for k, v in sv.read_ratingen(p, 0, 0.85).items()} for p in people]
    return table.assign(
        person=[(p.seed, p.person_id) for p in people],
        visit=[p.visit for p in people],
        days=[p.days for p in people],
        das28_esr=clinical.das28_esr(*both, table.esr.to_numpy(), health),
        das28_crp=clinical.das28_crp(*both, table.crp.to_numpy(), health),
        rau=[clinical.rau(grades).score for grades in seen],
    )


def test_simulated_activity_is_that_of_a_treated_registry(registry):
    assert 3.0 < registry.das28_esr.mean() < 3.6 and 1.0 < registry.das28_esr.std() < 1.6
    assert registry.esr.median() < registry.esr.mean() and registry.crp.median() < 0.7 * registry.crp.mean()
    for name, (low, high) in sheet_of.BOUNDS.items():
        assert registry[name].min() >= low and registry[name].max() <= high, name
        assert name not in sheet_of.WHOLE or (registry[name] % 1 == 0).all()
    assert registry[["tender", "swollen"]].skew().min() > 1
    assert 0.03 < registry.esr.isna().mean() < 0.07, "what a registry did not measure"
    assert np.log(registry[["esr", "crp"]]).corr().iloc[0, 1] > 0.4
    later = registry[registry.visit == 2]
    assert later.days.between(365, 5 * 366).all() and (registry.days[registry.visit == 1] == 0).all()


def test_activity_hangs_together_with_damage_as_weakly_as_in_the_thesis(registry):
    found = registry[["das28_esr", "das28_crp"]].corrwith(registry.rau)
    assert 0.10 < found.das28_esr < 0.20 and 0.03 < found.das28_crp < 0.13
    wide = registry.pivot_table(index="person", columns="visit", values="das28_crp").dropna()
    assert 0.2 < wide[1].corr(wide[2]) < 0.7, "a person's visits are more alike than two persons"


def test_activity_changes_nothing_else_and_needs_no_film():
    """Its draws come from a stream of their own, so patients drawn with and without it are the same."""
    small = cohort.Cohort(train=12, test=6, second_visits=0.4)
    before = [p.readers.sum() for p in cohort.patients(small)]
    people = cohort.patients(small)
    table = cohort.activity_table(people)
    assert [p.readers.sum() for p in cohort.patients(small)] == before
    assert table.equals(cohort.activity_table(people[::-1])[::-1].reset_index(drop=True)), "order does not matter"
    assert list(table.columns) == ["Patient_ID", "days", *ITEMS] and len(table) == 18


# its way into a set


HEAD = ("Patient_ID", "days", *ITEMS)
ROWS = [("A1", "0", "4", "9", "0", "", "50"), ("A2", "400", "1", "0", "10", "3", ""), ("B1", "", "28", "28", "300", "0", "100")]
PEOPLE = [
    {"patient_id": p, "person_id": p[0], "visit": visit, "split": "train"} for p, visit in (("A1", 1), ("A2", 2), ("B1", 1))
]


def read(root, rows, head=HEAD, name="train"):
    (root / name).mkdir(exist_ok=True)
    with (root / name / "activity.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([head, *rows])
    report = Report()
    return ra2dream._activity(root, {"train": PEOPLE, "test": []}, report), report


def changed(row, column, value):
    at = HEAD.index(column)
    return [(*r[:at], value, *r[at + 1 :]) if i == row else r for i, r in enumerate(ROWS)]


def test_activity_of_sets_of_films_is_read(tmp_path):
    found, report = read(tmp_path, [*ROWS, ("C1", *ROWS[0][1:])])
    schema, rows = found["activity.parquet"]
    table = schema.check(rows).set_index("patient_id")
    assert table.days.to_dict() == {"A1": 0, "A2": 400, "B1": 0} and table.visit["A2"] == 2
    assert table.das28_esr["A1"] == pytest.approx(0.56 * 2 + 0.28 * 3 + 0 + 0.7) and np.isnan(table.das28_crp["A1"])
    assert report.faults["unknown patient in activity.csv"] == ["train/C1"]
    empty, _ = read(tmp_path, [("A1", "0", *[""] * 5)])
    assert not empty, "a file without a measurement is none"


REFUSED = {
    "tender joints above 28": (changed(0, "tender", "29"), "row 2 (A1): tender is '29', not a whole number from 0 to 28"),
    "an ESR in words": (changed(1, "esr", "high"), "row 3 (A2): esr is 'high'"),
    "negative days": (changed(1, "days", "-1"), "days is '-1', not a whole number from 0"),
    "days that are not known": (changed(1, "days", ""), "days is empty, of a person with 2 sets of films"),
    "two visits of one day": (changed(1, "days", "0"), "person A has visit 1 on day 0 and visit 2 on day 0"),
    "twice": ([*ROWS, ROWS[0]], "A1 appears 2 times"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_activity_that_cannot_be_is_one_sentence(tmp_path, name):
    rows, message = REFUSED[name]
    with pytest.raises(UserError) as error:
        read(tmp_path, rows)
    assert message in str(error.value) and "\n" not in str(error.value)


# correlation


def test_correlations_and_their_resamples_are_those_of_scipy():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 6, 80).astype(float)
    y = 0.4 * x + rng.normal(size=80).round(1)
    draws = bootstrap.resample(np.arange(80) // 2)
    for ours, theirs in ((disease_activity.pearson, stats.pearsonr), (disease_activity.spearman, stats.spearmanr)):
        found = ours(x, y, draws)
        for i in (0, 1, 500):
            rows = np.repeat(np.arange(80), draws.weight[i].astype(int))
            assert found[i] == pytest.approx(theirs(x[rows], y[rows]).statistic, abs=1e-12)
    pearson, spearman = disease_activity.correlations(np.r_[x, np.nan, 1], np.r_[y, 1, np.nan], np.arange(82) // 2, "r", "s")
    assert (pearson.n, spearman.n) == (80, 80) and pearson.low < pearson.value < pearson.high
    assert np.isnan(disease_activity.pearson(np.ones(80), y, draws)).all(), "who does not vary hangs together with nothing"


def test_the_loess_line_follows_a_curve_and_leaves_gaps_out():
    x = np.r_[np.linspace(0, 10, 200), np.nan]
    line = disease_activity.trend(x, np.r_[3 + 0.2 * np.linspace(0, 10, 200), 5.0])
    assert np.allclose(line[:, 1], 3 + 0.2 * line[:, 0]) and (np.diff(line[:, 0]) > 0).all()
    assert not len(disease_activity.trend(np.ones(50), np.ones(50)))


def test_bands_share_all_visits():
    values = np.array([1.0, 2.6, 3.0, 3.2, 5.1, 5.2, np.nan])
    median, *shares = disease_activity.bands(values, np.arange(7), "DAS28-ESR")
    assert [round(6 * one.value) for one in shares] == [1, 2, 2, 1] and median.n == 6 and median.value == pytest.approx(3.1)


# from the SvdH reading to Ratingen's scale


def test_percent_of_surface_by_hand():
    grades = np.zeros((2, len(SITES)))
    column = {(s.part, s.joint): i for i, s in enumerate(SITES) if s.finding == "erosion"}
    grades[0, column["LH", "mcp_2"]], grades[0, column["RF", "mtp_5"]], grades[0, column["LH", "wrist_ulna"]] = 3, 5, 3
    for joint in ("wrist_mul", "wrist_nav", "wrist_lunate"):
        grades[1, column["RH", joint]] = np.nan
    grades[1, column["RH", "wrist_ulna"]] = 4
    grades[1, column["LH", "mcp_2"]] = np.nan
    found = [dict(zip(clinical.RAU_SITES, row, strict=True)) for row in svdh_to_ratingen.converted(grades)]
    assert (found[0]["LH", "mcp_2"], found[0]["RF", "mtp_5"], found[0]["LH", "wrist"]) == (60, 50, 10)
    assert np.isnan(found[1]["LH", "mcp_2"]) and found[1]["RH", "wrist"] == pytest.approx(80 / 3), "half of a wrist will do"
    grades[1, column["RH", "wrist_mc1"]] = np.nan
    assert np.isnan(dict(zip(clinical.RAU_SITES, svdh_to_ratingen.converted(grades)[1], strict=True))["RH", "wrist"])


def test_what_others_were_read_as_decides_and_nothing_of_ones_own(world):
    """Poison a fold's Ratingen grades: its own translations and its intervals stay as they are, to the bit."""
    percent = svdh_to_ratingen.converted(world.by[MODEL].grades)
    reader = clinical.percents2grades(svdh_to_ratingen.converted(world.by[READER1].whole))
    poisoned = np.where((world.fold == 1)[:, None], 5 - reader, reader)
    own = world.fold == 1
    models = [svdh_to_ratingen.translate(percent, target, world.fold) for target in (reader, poisoned)]
    assert np.array_equal(models[0][own], models[1][own]) and not np.array_equal(models[0][~own], models[1][~own])
    score = svdh_to_ratingen.rau(models[0])
    bounds = [
        svdh_to_ratingen.intervals(score, svdh_to_ratingen.rau(target), world.person, world.fold) for target in (reader, poisoned)
    ]
    for clean, dirty in zip(*bounds, strict=True):
        assert np.array_equal(clean[own], dirty[own]) and not np.array_equal(clean[~own], dirty[~own])


def test_a_reading_is_near_the_readers_and_a_shuffled_one_is_not(world):
    found = svdh_to_ratingen.scores(world)
    assert found.readers == svdh_to_ratingen.CONVERTED and found.runs == ()
    figures = rau.measure(world, found)
    kappa, icc, bias = (figures[name, "test"] for name in ("kappa", "icc_2_1", "bias"))
    assert kappa.value > 0.6 and icc.value > 0.8 and abs(bias.value) < 2 and kappa.n == 60 * 34
    assert 0.85 <= figures["coverage_95", "oof"].value <= 1 and figures["coverage_80", "oof"].value < 0.97
    one, (_, truth) = figures["exact", "test"], (None, found.reader[world.split == "test"])
    assert one.value == pytest.approx((found.whole[world.split == "test"] == truth).mean())
    broken = rau.measure(world, svdh_to_ratingen.scores(evaluation_world.shuffled(world)))
    assert broken["icc_2_1", "test"].high < 0.5 and broken["kappa", "test"].high < 0.3


def test_joints_without_a_number_are_left_out_of_the_score(world):
    """A patient without feet: 22 joints, bounds, and the same in the table for users."""
    feet = np.array([limb(s.part) == "foot" for s in SITES])
    grades = world.by[MODEL].grades.copy()
    grades[-1, feet] = np.nan
    gone = world.with_model(grades, world.by[MODEL].totals)
    found = svdh_to_ratingen.scores(gone)
    row = rau.table(gone, found).iloc[-1]
    assert row.n_scored == 22 and row.rau_lowest < row.rau < row.rau_highest and pd.isna(row.LF_mtp_1_grade)
    assert row.rau_highest - row.rau_lowest == pytest.approx(190 * 12 / 34, abs=0.11)
    assert [one.value for one in rau.joints_scored(found)] == [34, 22]


def ratingen_run(name, rows):
    """A finished Ratingen run of stage 2 on disk, of rows (split, patient, part, joint, grade, percent)."""
    folder = paths.run_dir("s", 2, name)
    same = {"run": name, "fold": 0, "seed": 0, "visit": 1, "target": np.nan, "finding": "erosion", "box_source": "truth"}
    for split in ("oof", "test"):
        out = []
        for where, patient, part, joint, grade, percent in rows:
            if where == split:
                key = {**same, "split": split, "patient_id": patient, "part": part}
                sure = {p: float(k == grade) if k < 6 else np.nan for k, p in enumerate(tables.PROBABILITIES)}
                out.append({**key, "site": RATINGEN + joint, "pred": grade, "max_score": 5, **sure})
                out.append({**key, "site": PERCENT + joint, "pred": percent, "max_score": 100})
        columns = [*same, "split", "patient_id", "part", "site", "pred", "max_score", *tables.PROBABILITIES]
        tables.SCORES.write(pd.DataFrame(out, columns=columns), paths.scores("s", 2, name, split))
    (folder / "config.yaml").write_text("kind: ratingen\n")
    (folder / "run.json").write_text("{}")


def crops_set(n=24):
    """A set scored joint by joint: sites, folds, percentages, test percentages and activity; and its two runs, one good."""
    rng = np.random.default_rng(0)
    people = pd.DataFrame({"patient_id": [f"P{i}-v1" for i in range(n)], "person_id": [f"P{i}" for i in range(n)], "visit": 1})
    people["split"] = np.where(np.arange(n) < n - 6, "train", "test")
    nothing = {"part": "ALL", "joint": "total", "site": "total", "finding": "total", "target": np.nan}
    tables.SITES.write(people.assign(**nothing), paths.sites("s"))
    train = people[people.split == "train"]
    fold = pd.DataFrame({"patient_id": train.patient_id, "fold": np.arange(len(train)) % 3, "stratum": "0"})
    tables.FOLDS.write(fold, paths.folds("s"))
    joints = people.merge(pd.DataFrame(clinical.RAU_SITES[:11], columns=["part", "joint"]), how="cross")
    percent = (rng.random(len(joints)) * 100 * np.repeat(rng.random(n), 11)).round()
    gold = tables.RATINGEN.check(joints.assign(percent=percent))
    tables.RATINGEN.write(joints.assign(percent=np.where(joints.split == "test", np.nan, percent)), paths.ratingen("s"))
    tables.RATINGEN.write(gold[gold.split == "test"], paths.ratingen_gold("s"))
    das = {"das28_esr": rng.normal(3, 1, n), "das28_crp": rng.normal(3, 1, n)}
    items = dict.fromkeys(("swollen", "tender", "esr", "crp", "global_health"), np.nan)
    tables.ACTIVITY.write(people.drop(columns="split").assign(days=0, **items, **das), paths.activity("s"))
    split = np.where(joints.split == "test", "test", "oof")
    key = list(zip(split, joints.patient_id, joints.part, joints.joint, strict=True))
    ratingen_run("good", [(*k, int(clinical.percents2grades(p)), p) for k, p in zip(key, percent, strict=True)])
    ratingen_run("zero", [(*k, 0, 0.0) for k in key])


def test_ratingen_members_answer_where_there_are_any():
    """Of a stack's set the best member out of fold; of a set of crops the runs that its config names, averaged."""
    crops_set()
    named = raters.of_crops("s", "scqm_joints", ("good", "zero"))
    assert set(named.fold[named.split == "oof"]) == {0, 1, 2} and set(named.fold[named.split == "test"]) == {-1}
    assert svdh_to_ratingen.members(replace(named, ratingen=())) == ("good",) and svdh_to_ratingen.members(named) == (
        "good",
        "zero",
    )
    good = svdh_to_ratingen.scores(replace(named, ratingen=("good",)))
    known = ~np.isnan(good.reader)
    assert (
        good.readers == svdh_to_ratingen.GIVEN
        and known.sum() == 24 * 11
        and np.array_equal(good.model[known], good.reader[known])
    )
    figures = rau.measure(named, good)
    assert figures["exact", "test"].value == 1 and figures["mae", "oof"].value == 0


# the page


def cells(made):
    return {cell.id: cell for cell in made.statistics()}


def test_the_section_of_a_set_with_everything(world):
    rng = np.random.default_rng(1)
    people = {"patient_id": world.patients, "person_id": world.person, "visit": world.visit, "days": 0}
    items = dict.fromkeys(("swollen", "tender", "esr", "crp", "global_health"), np.nan)
    das = {"das28_esr": rng.normal(3, 1, 150), "das28_crp": 3 + 0.05 * world.by[READER1].totals[:, 0]}
    tables.ACTIVITY.write(pd.DataFrame(people | items | das), paths.activity("world"))
    made = section.make(world)
    found = cells(made)
    statistic.table(list(found.values()))
    assert found["ratingen/pearson/all/reader-1/svdh-total-das28-crp"].value == pytest.approx(1)
    assert abs(found["ratingen/pearson/all/reader-1/rau-score-das28-esr"].value) < 0.3
    assert sum(isinstance(block, Picture) for block in made.blocks) == 3 and "ICC" in made.lead
    assert found["ratingen/kappa/test/model-against-reader-1/joint-grades"].text in made.lead
    assert "simulated" in " ".join(getattr(block, "words", "") for block in made.blocks), (
        "a truth tells that the set is synthetic"
    )


def test_the_section_of_a_set_of_crops_and_of_one_that_has_nothing(world):
    crops_set()
    named = raters.of_crops("s", "scqm_joints", ("good",))
    made = section.make(named)
    assert "ratingen/kappa/test/model-against-reader-1/joint-grades" in cells(made)
    assert [block.caption for block in made.blocks if isinstance(block, Table)][-1].startswith("Correlation")
    nobody = np.full_like(world.by[MODEL].grades, np.nan)
    empty = section.make(world.with_model(nobody, np.full((150, 3), np.nan)))
    assert empty.lead == section.NOTHING and [block.words for block in empty.blocks] == [section.NO_ACTIVITY]
