"""The agreement of raters against scikit-learn, scipy, pingouin and published examples; models broken on purpose are named."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, confusion_matrix, recall_score

from evaluation import (
    agreement,
    bootstrap,
    calibration,
    confusion,
    halo_effect,
    site_errors,
    site_groups,
    three_raters,
    total_agreement,
)
from evaluation.raters import MODEL, READER1, READER2
from ra import agreement as readers
from ra import paths, tables
from ra.anatomy import SITES
from report import page
from report.sections import agreement as section
from report.sections import errors as errors_section
from tests.worlds import evaluation_world as world
from tests.worlds import stack_world
from tests.worlds.undrawn import undrawn

PAIR = "model against reader 1"


@pytest.fixture(scope="module")
def raters():
    return world.make()


@pytest.fixture(scope="module")
def pages(raters, tmp_path_factory):
    """{model: (agreement's figures of the training patients, the page's folder)}: the sound model, of all patients and drawn,
    and the broken ones."""
    out = {}
    for name, change in {"sound": None, **world.BROKEN}.items():
        with pytest.MonkeyPatch.context() as patch:
            if change:
                undrawn(patch)
            rows = change(raters).in_split("oof") if change else raters
            sections = [section.make(rows), errors_section.make(rows)]
        folder = tmp_path_factory.mktemp(name)
        page.write(folder, name, sections, {})
        found = {(one.name, one.of, one.scope): one for one in sections[0].statistics() if one.split == "oof"}
        out[name] = found, folder
    return out


def written(folder):
    """(the page, the CSV by id) of a folder."""
    return (folder / "report.html").read_text(), pd.read_csv(folder / "numbers.csv").set_index("id")


def reading_of(raters, name, grades):
    """The same raters with other grades by one of them."""
    return replace(raters, by=raters.by | {name: world.rater(grades)})


def plain(n):
    """n rows of a person each."""
    return bootstrap.resample(np.arange(n), times=50)


def counted(first, second):
    return confusion.count(first[:, None].astype(float), second[:, None].astype(float))


def test_measures_of_counts_against_scikit_learn():
    rng = np.random.default_rng(5)
    second = rng.choice(6, 300, p=[0.6, 0.15, 0.1, 0.05, 0.05, 0.05])
    first = np.clip(second + rng.integers(-2, 3, 300), 0, 5)
    counts = counted(first, second)
    table = counts.sum(0)
    assert (table[:6, :6] == confusion_matrix(second, first)).all()  # a row per grade of the reference
    assert confusion.quadratic_kappa(table) == pytest.approx(cohen_kappa_score(second, first, weights="quadratic"))
    assert confusion.agreement(table) == pytest.approx(np.mean(first == second))
    assert confusion.within_one(table) == pytest.approx(np.mean(np.abs(first - second) <= 1))
    assert confusion.sensitivity(table) == pytest.approx(recall_score(second > 0, first > 0))
    assert confusion.specificity(table) == pytest.approx(recall_score(second == 0, first == 0))
    balanced, theirs = confusion.balanced(counts), readers.balanced_accuracy(second, first)
    assert balanced.value == pytest.approx(balanced_accuracy_score(second, first))
    half = (theirs.high - theirs.low) * np.sqrt(300 / 299)  # a site each: Wald's interval of independent sites
    assert balanced.high - balanced.low == pytest.approx(half)
    assert confusion.balanced(counts, 1).value == pytest.approx(readers.within_one_balanced_accuracy(second, first).value)
    same = confusion.balanced(np.repeat(counts, 4, axis=0).reshape(300, 4, 11, 11).sum(1))  # four joints that always agree
    assert same.high - same.low == pytest.approx(balanced.high - balanced.low)  # tell no more than one


def test_what_is_not_defined_is_nan():
    never = counted(np.zeros(9), np.zeros(9)).sum(0)
    assert (
        np.isnan(confusion.quadratic_kappa(never))
        and np.isnan(confusion.sensitivity(never))
        and confusion.specificity(never) == 1
    )
    varies = counted(np.zeros(6), np.arange(6)).sum(0)
    assert confusion.quadratic_kappa(varies) == 0 and np.isnan(confusion.specificity(np.zeros((11, 11))))
    assert np.isnan(total_agreement.icc(np.ones((9, 2)), plain(9))["ICC(A,1)"]).all()
    missing = confusion.count(np.array([[np.nan, 1.0]]), np.array([[2.0, 1.0]]))
    assert missing.sum() == 1


def test_icc_of_shrout_and_fleiss():
    """Psychol Bull 1979;86:420, table 2: ICC(1,1) 0.17, ICC(2,1) 0.29, ICC(2,k) 0.62; pingouin on sites with gaps."""
    judges = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)
    found = total_agreement.icc(judges, plain(6))
    assert [round(float(found[form][0]), 2) for form in ("ICC(1,1)", "ICC(A,1)", "ICC(A,k)")] == [0.17, 0.29, 0.62]
    rng = np.random.default_rng(0)
    cube = rng.normal(size=(12, 5, 1)) + rng.normal(0, 0.6, (12, 5, 3)) + [0, 0.3, -0.2]
    cube[2, 3, 1] = np.nan
    ours, theirs = total_agreement.icc(cube, plain(12)), readers.iccs(cube.reshape(-1, 3))
    for form, values in ours.items():
        assert values[0] == pytest.approx(theirs[form].value), form


def test_bland_altman_by_hand_and_by_scipy():
    first, second = np.array([10.0, 12, 20, 31, 44, 80]), np.array([8.0, 13, 17, 30, 40, 70])
    found = {name: values[0] for name, values in total_agreement.bland_altman(first, second, plain(6)).items()}
    difference = first - second  # 2 -1 3 1 4 10: mean 19/6, sum of squares 131
    sd = np.sqrt((131 - 19**2 / 6) / 5)
    assert (
        found["bias"] == pytest.approx(19 / 6) and found["sd"] == pytest.approx(sd) and found["distance"] == pytest.approx(21 / 6)
    )
    assert (found["lower"], found["upper"]) == pytest.approx((19 / 6 - 1.96 * sd, 19 / 6 + 1.96 * sd), abs=1e-3)
    assert found["slope"] == pytest.approx(stats.linregress((first + second) / 2, difference).slope)


def test_bootstrap_of_a_mean_is_students_interval_and_keeps_persons_together():
    rng = np.random.default_rng(1)
    values = rng.normal(10, 3, 200)
    draws = bootstrap.resample(np.arange(200))
    value, low, high = draws.estimate(draws.sums(values) / draws.sums(np.ones(200)))
    half = 1.96 * values.std(ddof=1) / np.sqrt(200)
    assert value == pytest.approx(values.mean()) and (high - low) / 2 == pytest.approx(half, rel=0.08)
    twice = np.tile(values, 4)  # four visits that say the same are no more than one
    draws = bootstrap.resample(np.tile(np.arange(200), 4))
    _, low4, high4 = draws.estimate(draws.sums(twice) / draws.sums(np.ones(800)))
    assert high4 - low4 == pytest.approx(high - low, rel=0.02)
    few = bootstrap.resample(np.arange(4))
    assert np.isnan(few.estimate(few.sums(np.ones(4)))[1])


def test_a_splits_figures_are_those_of_its_own_patients(raters):
    found, rows = agreement.measure(raters, "test"), raters.in_split("test")
    model, reader = rows.by[MODEL], rows.by[READER1]
    feet = site_groups.LIMB_FINDINGS["foot erosion"]
    theirs = cohen_kappa_score(reader.grades[:, feet].ravel(), model.whole[:, feet].ravel(), weights="quadratic")
    one = found["kappa", PAIR, "foot erosion"]
    assert one.value == pytest.approx(theirs) and one.low < one.value < one.high and one.n == 60 * 12 and one.split == "test"
    total = found["icc_2_1", PAIR, "total"]
    assert total.value == pytest.approx(readers.icc(np.stack([model.totals[:, 0], reader.totals[:, 0]], 1), "ICC(A,1)").value)
    assert (
        sum(mask.sum() for mask in site_groups.JOINT_TYPES.values())
        == 86
        == sum(m.sum() for m in site_groups.LIMB_FINDINGS.values())
    )
    assert len(site_groups.BOTH_SIDES) == 43 and {int(mask.sum()) for mask in site_groups.BOTH_SIDES.values()} == {2}
    gap, pairs = (
        found["kappa_gap", agreement.GAP, site_groups.EVERYTHING],
        ((MODEL, READER1), (MODEL, READER2), (READER1, READER2)),
    )
    one, two, own = (found["kappa", agreement.pair_name(*pair), site_groups.EVERYTHING].value for pair in pairs)
    assert gap.value == pytest.approx((one + two) / 2 - own)


def test_regions_of_the_agreement_diagram():
    grades = np.array([[1, 1, 1], [1, 1, 2], [1, 2, 1], [2, 1, 1], [1, 2, 3]])
    held = three_raters.regions(*grades.T)
    assert held[:, :5].tolist() == np.eye(5, dtype=bool).tolist()
    assert held[:, 5:].tolist() == [[False] * 3, [False, False, True], [False, True, False], [True, False, False], [True] * 3]


def test_the_drawn_set_has_equal_grades_and_the_same_figures(raters):
    names = [MODEL, READER1, READER2]
    sites = three_raters.chosen(raters, names)[three_raters.RESCORED]
    drawn = np.bincount(raters.by[READER1].grades[sites].astype(int))
    assert drawn.max() == three_raters.PER_GRADE and (drawn[:4] == three_raters.PER_GRADE).all()
    found = {(one.name, one.of): one for one in three_raters.measure(raters, "all", names) if one.scope == three_raters.RESCORED}
    shares = [found["same_grade", of].value for of in three_raters.labels(names)]
    assert sum(shares[:5]) == pytest.approx(1) and found["exact", PAIR].value == pytest.approx(shares[0] + shares[1])
    assert shares[5] == pytest.approx(1 - shares[0] - shares[1] - shares[2])


def test_calibration_finds_probabilities_that_hold_and_those_that_do_not(raters):
    rng = np.random.default_rng(2)
    belief = raters.probabilities
    drawn = (belief.cumsum(-1) < rng.random(belief.shape[:2])[..., None]).sum(-1).astype(float)
    honest = reading_of(raters, READER1, drawn)
    found = calibration.measure(honest, "all")
    excess = found["excess", "hand erosion"]
    assert excess.low < 0 < excess.high and found["ece", "hand erosion"].value < 0.02
    grade2 = found["expected", "hand erosion, grade 2"], found["observed", "hand erosion, grade 2"]
    assert grade2[0].value == pytest.approx(grade2[1].value, abs=0.01)
    healthy = calibration.measure(reading_of(raters, READER1, np.zeros_like(drawn)), "all")
    one, sites = healthy["ece", "foot erosion"], site_groups.LIMB_FINDINGS["foot erosion"]
    assert one.value == pytest.approx((1 - belief[:, sites, 0]).mean()) == healthy["excess", "foot erosion"].value


def test_a_reader_who_scores_healthy_joints_of_damaged_patients_worse_is_seen(raters):
    damaged = raters.by["truth"].totals[:, :1] >= 40
    biased = reading_of(raters, READER1, raters.by["truth"].grades + 0.5 * damaged)
    found = halo_effect.measure(biased, "all")
    name, band = halo_effect.band_names()[0], halo_effect.band_names()[2]
    assert found["mean_at_healthy", READER1, name].value == 0 and found["mean_at_healthy", READER1, band].value == 0.5
    rise = found["rise_at_healthy", READER1, halo_effect.RISE]
    assert rise.value == 0.5 and rise.n == (raters.by["truth"].grades == 0).sum()


def test_a_stack_that_sees_each_joint_alone_stands_beside_the_model(raters, monkeypatch, tmp_path):
    assert halo_effect.with_own_site_run(raters) is raters  # no such run
    monkeypatch.setenv("RA_DATA", str(tmp_path))
    p = np.zeros((*raters.probabilities.shape[:2], 11))
    p[..., 0], p[..., 1] = 0.75, 0.25
    for split in ("oof", "test"):
        rows = raters.split == split
        start = stack_world.head(halo_effect.OWN_SITE_RUN, split, raters.fold[rows], raters.patients[rows], 86)
        table = stack_world.scores_table(start, p[rows], np.zeros((rows.sum(), 86), bool))
        tables.SCORES.write(table, paths.scores(raters.data, 3, halo_effect.OWN_SITE_RUN, split))
    beside = halo_effect.with_own_site_run(raters.take(np.arange(150)[::-1]))
    assert beside.names[-1] == halo_effect.OWN_SITE_NAME and (beside.by[halo_effect.OWN_SITE_NAME].grades == 0.25).all()
    assert halo_effect.measure(beside, "test")["mean_at_healthy", halo_effect.OWN_SITE_NAME, "0 to 10"].value == 0.25


def test_error_by_site_is_of_both_sides(raters):
    found = site_errors.by_site(raters, "all", (MODEL, READER1))["foot", "mtp_5", "erosion"]
    off = np.concatenate([
        raters.by[MODEL].grades[:, k] - raters.by[READER1].grades[:, k]
        for k, site in enumerate(SITES)
        if site.column in {"LF_mtp_E__5", "RF_mtp_E__5"}
    ])  # fmt: skip
    assert found["bias"].value == pytest.approx(off.mean()) and found["mae"].value == pytest.approx(np.abs(off).mean())


def test_a_constant_model_agrees_with_nobody(pages):
    found, folder = pages["constant"]
    text, numbers = written(folder)
    icc, gap = found["icc_2_1", PAIR, "total"], found["icc_gap", agreement.GAP, "total"]
    assert abs(icc.value) < 0.05 and icc.low < 0 < icc.high and gap.high < -0.5
    assert found["kappa", PAIR, "all sites"].high < 0.3 and "is below theirs" in text
    assert numbers.value[icc.id] == pytest.approx(icc.value, abs=1e-12)


def test_shuffled_answers_have_no_correlation_but_the_right_mean(pages):
    found, folder = pages["shuffled"]
    text, _ = written(folder)
    icc, bias = found["icc_2_1", PAIR, "total"], found["bias", PAIR, "total"]
    assert icc.low < 0.05 and icc.value < 0.3 and bias.low < 0 < bias.high and "is below theirs" in text


def test_a_shift_is_a_bias_and_leaves_the_order(raters, pages):
    found, folder = pages["shifted"]
    text, numbers = written(folder)
    rows = raters.in_split("oof")
    sound = pages["sound"][0]
    added = (world.shifted(rows).by[MODEL].totals - rows.by[MODEL].totals)[:, 0].mean()
    bias = found["bias", PAIR, "total"]
    assert bias.value == pytest.approx(sound["bias", PAIR, "total"].value + added) and bias.low > 100
    assert found["exact", PAIR, "all sites"].high < 0.1 and sound["exact", PAIR, "all sites"].low > 0.8
    model, reader = (rows.by[name].totals[:, 0] for name in (MODEL, READER1))
    assert stats.spearmanr(model + 2 * len(SITES), reader)[0] > 0.85  # the order stays
    assert f'data-id="{bias.id}"' in text and numbers.low[bias.id] == pytest.approx(bias.low)


def test_a_model_blind_to_feet_is_named_by_its_feet(pages):
    found, folder = pages["blind_to_feet"]
    text, numbers = written(folder)
    sound = pages["sound"][0]
    for finding in ("erosion", "narrowing"):
        assert found["kappa", PAIR, f"foot {finding}"].value == 0 == found["sensitivity", PAIR, f"foot {finding}"].value
        hands = ("kappa", PAIR, f"hand {finding}")
        assert found[hands] == sound[hands]
    assert found["kappa", PAIR, "MTP erosion"].value == 0 and found["slope", PAIR, "total"].high < 0
    largest = numbers[(numbers.section == "errors") & (numbers.name == "mae") & (numbers.of == PAIR)].value.idxmax()
    assert "/foot-" in largest and "furthest apart at foot" in text
    assert (
        numbers[(numbers.section == "errors") & (numbers.name == "bias") & (numbers.of == PAIR)].value.idxmin().split("/")[-1][:4]
        == "foot"
    )


def test_html_csv_and_json_are_the_same_numbers(pages):
    folder = pages["sound"][1]
    text, numbers = (folder / "report.html").read_text(), pd.read_csv(folder / "numbers.csv")
    listed = json.loads((folder / "numbers.json").read_text())
    assert len(re.findall("data:image/png", text)) == 8 and len(text) > 300_000
    assert numbers.id.tolist() == [row["id"] for row in listed] and numbers.id.is_unique and len(numbers) > 1500
    known = {row["id"]: row["value"] for row in listed}
    for name, value in zip(numbers.id, numbers.value, strict=True):
        assert (known[name] is None and np.isnan(value)) or known[name] == pytest.approx(value, rel=1e-12)
    shown = set(re.findall(r'data-id="([^"]+)"', text))
    assert shown <= set(numbers.id) and len(shown) > 300
    assert set(numbers.split) == {"oof", "test"}


def test_a_set_with_one_reader_says_what_is_lacking(raters, monkeypatch):
    undrawn(monkeypatch)
    alone = raters.take(np.arange(30))
    alone = reading_of(alone, READER2, np.full((30, 86), np.nan))
    alone = reading_of(alone, "truth", np.full((30, 86), np.nan))
    made = section.make(alone)
    assert "reader2.csv" in made.lead and "–" not in made.lead and made.blocks
    assert "needs a second reader" in " ".join(b.words for b in errors_section.make(alone).blocks if hasattr(b, "words"))
    none = reading_of(alone, READER1, np.full((30, 86), np.nan))
    assert section.make(none).blocks == [] == errors_section.make(none).blocks
