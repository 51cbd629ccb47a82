"""Intervals that cover, states in place of numbers, totals of what was scored: by hand, simulated, from tables to submission."""

import json
from dataclasses import astuple

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from evaluation import bootstrap, raters
from ra import atomic, config, manifest, paths, tables
from ra.anatomy import JOINTS, PARTS, SITES, limb
from report.sections import intervals as section
from stage3_stack import hands, intervals, submission, submit, totals, train
from stage3_stack.config import Recipe
from stage3_stack.uncertainty import conformal, prediction_table, prorating, scorability
from stage3_stack.uncertainty.conformal import Stratum
from tests.stage3_stack.test_stack import call
from tests.worlds import stack_world

RECIPE = {
    "members": ["m0", "m1", "film"],
    "inner_folds": 2,
    "bags": 2,
    "site_learners": [{"name": "mean"}, {"name": "ridge"}],
    "total_learners": [{"name": "mean"}, {"name": "ridge"}],
}


def test_the_quantile_of_one_score_each_is_the_textbooks():
    """ceil((n + 1) level)-th smallest of n; infinity when n is too small for the level."""
    scores, person = np.arange(1.0, 20.0), np.arange(19)
    assert conformal.quantile(scores, person, 0.95) == 19  # ceil(20 x 0.95)
    assert conformal.quantile(scores, person, 0.80) == 16
    assert conformal.quantile(scores[:18], person[:18], 0.95) == np.inf  # ceil(19 x 0.95) = 19 of 18


def test_a_person_of_many_scores_weighs_as_one():
    """Persons a (1, 2, 3) and b (10): a's scores weigh 1/9 each, b's 1/3, the next person's 1/3 lies at infinity."""
    scores, person = np.array([3.0, 10.0, 1.0, 2.0]), np.array(["a", "b", "a", "a"])
    found = [conformal.quantile(scores, person, level) for level in (0.1, 0.2, 0.3, 0.6, 0.7)]
    assert found == [1, 2, 3, 10, np.inf]


def simulated(n: int, rng: np.random.Generator) -> Stratum:
    """Totals whose error grows with them, and more upward than downward; one clue tells of it, one is noise."""
    value = np.exp(rng.normal(3, 1, (n, 1)))
    size = 0.15 + 0.25 * (value > 20)
    error = size * rng.normal(0, 1, (n, 1))
    target = np.expm1(np.log1p(value) + np.where(error > 0, 1.5 * error, error))
    clues = np.stack([np.log1p(value), rng.normal(0, 1, (n, 1))], axis=-1)
    return Stratum("total", value, np.clip(target, 0, 448), np.array([448.0]), clues)


def test_intervals_of_new_patients_cover_and_the_mild_get_short_ones():
    """Calibrated on 100 persons, 20 times over: nominal coverage on average, in each third of severity as well."""
    rng, found, thirds, width = np.random.default_rng(0), [], [], []
    for _ in range(20):
        made = simulated(500, rng)
        fold = np.r_[np.arange(100) % 3, np.full(400, -1)]
        low, high, _ = conformal.cross_fitted(made, np.arange(500), fold)
        inside = ((low[..., :] <= made.target[..., None]) & (made.target[..., None] <= high))[100:, 0]
        order = np.array_split(np.argsort(made.value[100:, 0]), 3)
        found.append(inside.mean(axis=0))
        thirds.append([inside[own, 1].mean() for own in order])
        width.append([(high - low)[100:][own, 0, 1].mean() for own in order])
    assert np.mean(found, axis=0) == pytest.approx([0.80, 0.95], abs=0.02)
    assert (np.mean(thirds, axis=0) > 0.90).all()
    mild, _, severe = np.mean(width, axis=0)
    assert 5 * mild < severe


def test_a_grades_interval_is_of_whole_grades_and_holds_the_rounded_one():
    rng = np.random.default_rng(1)
    damaged = rng.random((300, 8)) < 0.15
    value = np.where(damaged, rng.uniform(0.5, 5, damaged.shape), rng.uniform(0, 0.1, damaged.shape))
    target = np.clip(np.round(value + damaged * rng.normal(0, 0.8, value.shape)), 0, 5)
    made = Stratum("site", value, target, np.full(8, 5.0), np.log(0.1 + value)[..., None], whole=True)
    low, high, _ = conformal.cross_fitted(made, np.arange(300), np.r_[np.arange(150) % 3, np.full(150, -1)])
    assert (low == np.round(low)).all() and (high == np.round(high)).all() and (low >= 0).all() and (high <= 5).all()
    rounded = np.floor(value + 0.5)[..., None]
    assert ((low <= rounded) & (rounded <= high)).all()
    inside = ((low <= target[..., None]) & (target[..., None] <= high))[150:]
    assert (inside.mean(axis=(0, 1)) > [0.8, 0.95]).all()
    assert (inside[damaged[150:]].mean(axis=0) > [0.76, 0.92]).all(), "the healthy must not pay for the damaged"


def test_wilsons_interval_is_scipys_and_wider_for_rows_of_one_person():
    covered = np.arange(60) % 6 > 0
    alone = bootstrap.wilson(covered, np.arange(60))
    wanted = binomtest(50, 60).proportion_ci(method="wilson")
    assert astuple(alone) == pytest.approx((50 / 60, wanted.low, wanted.high), abs=1e-6)
    pairs = bootstrap.wilson(np.repeat(covered, 2), np.repeat(np.arange(60), 2))
    assert astuple(pairs) == pytest.approx(astuple(alone), abs=1e-12)  # the same persons twice tell nothing new


def test_pro_rata_by_hand():
    """Four places of maxima 5 5 5 10; the stack gives 1 2 0 1, total 8: 2 points per point of the sum."""
    own, top = np.ones(4, bool), np.array([5.0, 5.0, 5.0, 10.0])
    grades = np.array([[1.0, 2.0, 0.0, 1.0]] * 4)
    scored = np.array([[1, 1, 1, 1], [1, 1, 1, 0], [0, 1, 0, 1], [1, 0, 0, 0]], bool)
    found = prorating.total(np.full(4, 8.0), grades, scored, top, own, own)
    assert found.state.tolist() == ["scored", "partial", "partial", "missing"] and found.n_scored.tolist() == [4, 3, 2, 1]
    np.testing.assert_allclose(found.share, [8, 6, 6, 2])
    np.testing.assert_allclose(found.value, [8, 6 * 25 / 15, 6 * 25 / 15, np.nan])  # maxima scored: 25, 15, 15
    np.testing.assert_allclose(found.lowest, [8, 6, 6, 2])
    np.testing.assert_allclose(found.highest, [8, 16, 16, 22])
    np.testing.assert_allclose(found.submitted, 8)


def test_parts_add_up_and_a_patient_without_damage_has_none_to_share():
    top, within = np.array([5.0, 5.0, 10.0]), np.ones(3, bool)
    grades, whole = np.array([[1.0, 2.0, 1.0], [0.0, 0.0, 0.0]]), np.array([10.0, 0.4])
    scored = np.array([[1, 0, 1], [1, 1, 0]], bool)
    parts = [prorating.total(whole, grades, scored, top, own, within) for own in (np.arange(3) < 2, np.arange(3) == 2)]
    both = prorating.total(whole, grades, scored, top, within, within)
    np.testing.assert_allclose(sum(p.share for p in parts), both.share)
    np.testing.assert_allclose(sum(p.submitted for p in parts), whole)
    assert both.value[1] == pytest.approx(0.4)  # shared out by the maxima: 0.2 of what was scored stands for 0.4


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A stacked world of tables: UAB002's left hand was refused, UAB038 has no film of the right foot, and UAB036's hallux of the
    left foot lies off the film."""
    folder = tmp_path_factory.mktemp("intervals")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RA_DATA", str(folder))
        patch.setenv("RA_SUBMISSIONS", str(folder / "submissions"))
        made = stack_world.make("w", n_train=30, n_test=10, noise=(0.9, 1.0))
        off_film("UAB036", "LF", "hallux_ip")
        films([("UAB002", "LH"), ("UAB038", "RF")])
        gate = pd.DataFrame([{"film": "UAB002-LH", "patient_id": "UAB002", "reason": "too_dark", "refused": 1, "detail": None}])
        tables.FILM_ISSUES.write(gate, paths.work("w") / "film_issues.parquet")
        stack()
        call(intervals, "--data", "w")
        yield made


def stack() -> None:
    recipe = config.build(Recipe, RECIPE, "test")
    run = manifest.Run(paths.run_dir("w", 3, "blend"), recipe, [paths.sites("w")], True)
    run.begin()
    train.fit("w", recipe, run)


def films(without: list[tuple[str, str]]) -> None:
    people = tables.SITES.read(paths.sites("w")).drop_duplicates("patient_id")
    rows = [
        (p, part, s) for p, s in zip(people.patient_id, people.split, strict=True) for part in PARTS if (p, part) not in without
    ]
    table = pd.DataFrame(rows, columns=["patient_id", "part", "split"])
    table = table.assign(film_id=table.patient_id + "-" + table.part, person_id=table.patient_id, visit=1, path="x", sha1="x")
    table = table.assign(view="PA", laterality=table.part.str[0], width_px=900, height_px=1200)
    tables.FILMS.write(table, paths.films("w"))


def off_film(patient: str, part: str, joint: str) -> None:
    """No member saw the joint; the boxes that their crops name say that it is not on the film."""
    sites = [s.site for s in SITES if s.joint == joint and s.part == part]
    for member in ("m0", "m1"):
        for split in ("oof", "test"):
            path = paths.scores("w", 2, member, split)
            table = tables.SCORES.read(path)
            own = (table.patient_id == patient) & (table.part == part) & table.site.isin(sites)
            table.loc[own, ["pred", *tables.PROBABILITIES]] = np.nan
            tables.SCORES.write(table, path)
        (paths.run_dir("w", 2, member) / "config.yaml").write_text("crops: crops\n")
    atomic.write_json(paths.run_dir("w", 2, "crops") / "run.json", {"boxes": "yolo"})
    boxes = pd.DataFrame({"joint": JOINTS[limb(part)]}).assign(film_id=f"{patient}-{part}", fold=0, x_px=1.0, y_px=1.0, w_px=2.0)
    boxes = boxes.assign(h_px=2.0, conf=np.nan, source=np.where(boxes.joint == joint, "outside", "template"))
    tables.BOXES.write(boxes, paths.boxes("w", "yolo", "test"))


def read(split: str) -> pd.DataFrame:
    return tables.PREDICTION_INTERVALS.read(paths.prediction_intervals("w", "blend", split))


@pytest.mark.usefixtures("world")
def test_what_nobody_saw_has_a_state_and_no_number():
    table = pd.concat([read("oof"), read("test")])
    sites = table[table.site != "total"]
    assert len(table) == 40 * (86 + 15) and (sites.value.isna() == (sites.state != "scored")).all()
    said = {p: set(own.state) - {"scored"} for p, own in sites.groupby("patient_id") if (own.state != "scored").any()}
    assert said == {"UAB002": {"refused"}, "UAB038": {"no_film"}, "UAB036": {"off_film"}}
    assert (
        (sites.state == "refused").sum() == 31
        and (sites.state == "no_film").sum() == 12
        and (sites.state == "off_film").sum() == 2
    )
    unseen = sites[sites.state != "scored"]
    assert unseen.imputed.notna().all() and unseen.low95.isna().all()
    assert (unseen.lowest == 0).all() and (unseen.highest == unseen.max_score).all()


@pytest.mark.usefixtures("world")
def test_totals_of_what_was_scored():
    table = pd.concat([read("oof"), read("test")])
    totals_of = table[(table.site == "total") & (table.finding == "total")].set_index(["patient_id", "part"])
    whole = totals_of.loc[("UAB038", "ALL")]
    assert (whole.state, whole.n_scored, whole.n_sites) == ("partial", 74, 86)
    assert whole.highest == pytest.approx(whole.lowest + 84) and whole.lowest <= whole.value <= whole.highest
    assert whole.value == pytest.approx(whole.lowest * 448 / 364)  # a foot is 84 of 448 points
    foot = totals_of.loc[("UAB038", "RF")]
    assert foot.state == "missing" and np.isnan([foot.value, foot.low95, foot.high95]).all() and foot.imputed >= 0
    known = totals_of[totals_of.state != "missing"]
    assert (known.low95 <= known.low80).all() and (known.high80 <= known.high95).all()
    assert (known.low80 <= known.value + 1e-9).all() and (known.value <= known.high80 + 1e-9).all()
    parts = totals_of.drop(index="ALL", level="part").imputed.groupby("patient_id").sum()
    np.testing.assert_allclose(parts, totals_of.xs("ALL", level="part").imputed.loc[parts.index])


def test_a_fold_that_is_poisoned_keeps_its_intervals_to_the_bit(world):
    """Other targets of fold 1: its own intervals stay, those of the other folds and of the test patients move."""
    folder, before = paths.run_dir("w", 3, "blend"), {split: read(split) for split in ("oof", "test")}
    held = world["train_gold"].index[world["fold"] == 1]
    saved = tables.SITES.read(paths.sites("w"))
    poison = np.where(saved.patient_id.isin(held), np.where(saved.site == "total", 160.0, 3.0), saved.target)
    tables.SITES.write(saved.assign(target=poison), paths.sites("w"))
    try:
        after, _ = prediction_table.make("w", folder)
    finally:
        tables.SITES.write(saved, paths.sites("w"))
    ends = [f"{end}{level}" for level in tables.LEVELS for end in ("low", "high")]
    own = before["oof"].patient_id.isin(held)
    pd.testing.assert_frame_equal(before["oof"].loc[own, ends], after["oof"].loc[own, ends], check_exact=True)
    for split, rows in (("oof", ~own), ("test", slice(None))):
        assert (before[split].loc[rows, ends] != after[split].loc[rows, ends]).any(axis=None)


@pytest.mark.usefixtures("world")
def test_the_submission_imputes_and_says_so():
    call(submit, "--data", "w")
    record = json.loads(paths.submission("w").with_suffix(".json").read_text())
    assert set(record["imputed"]) == {"UAB038", "UAB036"}
    assert record["imputed"]["UAB036"]["off_film"] == ["LF_mtp_E__ip", "LF_mtp_J__ip"]
    assert set(record["imputed"]["UAB038"]) == {"no_film", "partial"} and len(record["imputed"]["UAB038"]["no_film"]) == 12
    made = submission.read_numbers(paths.submission("w"))
    assert made.notna().all(axis=None)
    beside = pd.read_csv(intervals.beside_path(paths.submission("w"))).set_index(["Patient_ID", "column"])
    assert len(beside) == 10 * 89 and np.isnan(beside.loc[("UAB036", "LF_mtp_E__ip"), "value"])
    assert beside.loc[("UAB038", "Overall_Tol"), "n_scored"] == 74
    assert beside.loc[("UAB030", "Overall_Tol"), "value"] == pytest.approx(made.Overall_Tol["UAB030"], abs=1e-4)
    lines = paths.submissions() / "ledger.csv"
    call(submit, "--data", "w")
    assert len(lines.read_text().splitlines()) == 2, "the second call is skipped"
    intervals.beside_path(paths.submission("w")).unlink()
    call(submit, "--data", "w")
    assert intervals.beside_path(paths.submission("w")).is_file()


@pytest.mark.usefixtures("world")
def test_intervals_are_skipped_until_the_run_is_another(capsys):
    call(intervals, "--data", "w")
    assert "finished, skipped" in capsys.readouterr().out
    record = paths.run_dir("w", 3, "blend") / "run.json"
    content = record.read_text()
    record.write_text(content + "\n")
    with pytest.raises(config.UserError, match="has no intervals; run python"):
        submit.submit("w", "blend", "w")
    record.write_text(content)


def test_the_section_measures_what_the_reader_says(world):
    world["gold"].to_csv(paths.reader("w", "gold"))
    known = raters.load("w", "blend")
    made = section.make(known)
    numbers = {one.id: one for one in made.statistics()}
    assert "Out of fold" in made.lead and "test patients" in made.lead
    whole = read("test").query("part == 'ALL' and finding == 'total'").set_index("patient_id")
    truth = world["gold"].Overall_Tol.loc[whole.index]
    share = ((whole.low95 <= truth) & (truth <= whole.high95)).mean()
    assert numbers["intervals/coverage_95/test/model/total"].value == pytest.approx(share)
    assert numbers["intervals/measured_95/test/model/total"].value == pytest.approx(share)
    assert numbers["intervals/sites/test/model/no_film"].value == 12
    assert section.make(known.in_split("nobody")).blocks == []


def test_a_set_of_hand_totals_has_intervals_too(world):
    ensemble = hands.Ensemble("all", "linear", ("total0", "total1", "total2"))
    run = manifest.Run(paths.run_dir("w", 3, "all"), ensemble, [paths.sites("w")])
    run.begin()
    hands.fit("w", ensemble, run)
    intervals.make("w", "all")
    table = tables.PREDICTION_INTERVALS.read(paths.prediction_intervals("w", "all", "oof"))
    assert set(table.part) == {"HANDS"} and (table.state == "missing").sum() == 1  # one patient has no film of a hand
    inside = (table.low95 <= table.target) & (table.target <= table.high95)
    assert inside[table.state == "scored"].mean() > 0.8
    totals.write("w", ensemble, paths.submission("hands"))
    beside = pd.read_csv(intervals.beside_path(paths.submission("hands")))
    assert len(beside) == len(world["gold"]) and (beside.column == "total").all() and (beside.low95 < beside.high95).all()


def test_a_set_without_a_table_of_films_says_unread(tmp_path, monkeypatch):
    monkeypatch.setenv("RA_DATA", str(tmp_path))
    seen = np.ones((2, 86), bool)
    seen[1, 3] = False
    found = scorability.states("nowhere", pd.Index(["a", "b"]), ("m0",), seen)
    assert found[1, 3] == "unread" and (found == "scored").sum() == 171
