"""The parts of stage 3 against numbers worked by hand: masks, learners, blend, check, score."""

import json
import sys

import numpy as np
import pandas as pd
import pytest

from evaluation import score
from ra import anatomy, challenge_scores
from ra.anatomy import COLUMNS_B, ID, RATINGEN, SITES
from stage3_stack import blend, learners, predictions, submission, validate
from stage3_stack.cohort import Cohort
from stage3_stack.features import IDENTITY, MASKS, mean_over, site_features
from stage3_stack.predictions import moments_of

PLACE = {s.column: j for j, s in enumerate(SITES)}


def related(name: str, column: str) -> set[str]:
    return {SITES[i].column for i in np.flatnonzero(MASKS[name][PLACE[column]])}


def test_masks_name_the_right_joints():
    assert related("other_side", "LH_mcp_E__ip") == {"RH_mcp_E__ip"}
    assert related("other_side", "RF_mtp_J__ip") == {"LF_mtp_J__ip"}
    assert related("other_finding", "LH_pip_E__3") == {"LH_pip_J__3"}
    assert related("other_finding", "LF_mtp_J__1") == {"LF_mtp_E__1"}
    wrist = {f"LH_wrist_J__{place}" for place in ("cmc3", "cmc4", "cmc5", "mna", "capnlun", "radcar")}
    assert related("other_finding", "LH_wrist_E__nav") == wrist
    assert related("adjacent", "RH_pip_J__3") == {"RH_pip_J__2", "RH_pip_J__4"}
    assert related("adjacent", "RH_pip_E__5") == {"RH_pip_E__4"}
    assert len(related("row", "LH_wrist_E__nav")) == 5 and len(related("part", "LF_mtp_J__2")) == 5
    assert len(related("finding", "LH_pip_E__2")) == 43 and len(related("patient", "LH_pip_E__2")) == 85
    assert not any(mask.diagonal().any() for mask in MASKS.values())


def test_mean_over_leaves_out_what_is_missing():
    values = np.zeros((1, 86))
    values[0, PLACE["RH_pip_J__2"]], values[0, PLACE["RH_pip_J__4"]] = 3.0, np.nan
    means = mean_over(values, MASKS["adjacent"])
    assert means[0, PLACE["RH_pip_J__3"]] == 3.0
    assert np.isnan(mean_over(np.full((1, 86), np.nan), MASKS["row"])).all()


def test_moments_of_a_distribution():
    p = np.full((1, 2, 11), np.nan)
    p[0, 0, :5] = [0.5, 0, 0, 0.5, 0]
    moments = moments_of(np.array([[1.5, 3.0]]), p)
    assert moments[0, 0] == pytest.approx([1.0, 1.5, 0.5, 1.5])  # E[L] = 0.5 * log2(4)
    assert moments[0, 1, :2] == pytest.approx([2.0, 3.0]) and np.isnan(moments[0, 1, 2:]).all()


def test_ratingen_grades_go_to_their_erosion_sites():
    """By hand: a wrist's grade stands at six sites, a foot's is doubled, half a film is NaN; narrowing is never touched."""
    keys = [("LH", "wrist"), ("RF", "mtp_2"), ("LH", "mcp_2")]
    p = np.array([[0, 0.5, 0, 0.5, 0, 0], [0.5, 0, 0, 0, 0, 0.5], [np.nan] * 6])
    table = pd.DataFrame([(part, RATINGEN + joint) for part, joint in keys], columns=["part", "site"])
    table = table.assign(pred=[2.0, 2.5, np.nan], **{f"p{k}": p[:, k] for k in range(6)})
    found = predictions.READ["ratingen"](table, np.zeros(3, dtype=int), 1)["ratingen"][0]
    wrist = [PLACE[f"LH_wrist_E__{place}"] for place in ("mc1", "mul", "nav", "lunate", "radius", "ulna")]
    assert set(np.flatnonzero(~np.isnan(found[:, 1]))) == {*wrist, PLACE["RF_mtp_E__2"]}
    assert found[wrist[3]] == pytest.approx([1.5, 2.0, 1.0, 1.0])  # E[L] = (log2 2 + log2 4) / 2
    assert found[PLACE["RF_mtp_E__2"]] == pytest.approx([np.log2(11) / 2, 5.0, 0.5, 5.0])  # grades 0 and 10, half each


def test_patient_features_put_the_sites_own_side_first():
    """The opinion of site j is the number j: a right MCP 3 sees the right side as `same`, the left as `other`."""
    moments = np.broadcast_to(np.arange(86.0)[None, :, None], (1, 86, 4))
    one = predictions.Member("m", moments, np.zeros((1, 86)))
    empty = np.empty((0, 86))
    cohort = Cohort(np.array(["a"]), np.ones(1), np.empty(0), np.empty(0), empty, empty[:, :3], np.empty(0), [one])
    cube, names = site_features(cohort, "patient")
    seen = dict(zip(names, cube[0, PLACE["RH_mcp_E__3"]], strict=True))
    assert seen["same_mcp_3_erosion"] == seen["m:elog"] == PLACE["RH_mcp_E__3"]
    assert seen["other_mcp_3_erosion"] == seen["other_side_elog"] == PLACE["LH_mcp_E__3"]
    assert seen["same_mcp_3_narrowing"] == seen["other_finding_elog"] == PLACE["RH_mcp_J__3"]
    assert seen["same_mtp_5_erosion"] == PLACE["RF_mtp_E__5"] and seen["other_hallux_ip_narrowing"] == PLACE["LF_mtp_J__ip"]
    assert sum(name.startswith(("same_", "other_")) for name in names) == 86 + 2
    own = site_features(cohort, "own")[1]
    assert set(own) < set(names) and not any(name.startswith(("same", "other", "row")) for name in own)


def test_extratrees_are_averaged_with_the_members():
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.uniform(0, 2, (200, 2)), np.zeros(200)])
    names = ["a:elog", "b:elog", IDENTITY]
    y = x[:, 0] * 2
    fitted = {share: learners.ExtraTrees(share, trees=20).fit(x, y, np.ones(200), names).predict(x) for share in (0.0, 0.5, 1.0)}
    np.testing.assert_allclose(fitted[0.0], x[:, :2].mean(axis=1))
    np.testing.assert_allclose(fitted[0.5], (fitted[0.0] + fitted[1.0]) / 2)
    assert np.corrcoef(fitted[1.0], y)[0, 1] > 0.95


def test_imputer_fills_by_kind():
    x = np.array([[1.0, 0], [3.0, 0], [np.nan, 0], [10.0, 1], [np.nan, 1], [np.nan, 2]])
    filled = learners.Imputer().fit(x, ["a:elog", IDENTITY])(x)
    assert filled[:, 0].tolist() == [1, 3, 2, 10, 10, 14 / 3]


def test_linear_learners_recover_what_made_the_data():
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=(400, 3)), rng.integers(0, 3, 400)])
    names = ["a:elog", "b:elog", "row_elog", IDENTITY]
    y = 0.3 + x[:, :3] @ [0.5, -0.4, 0.2]
    weight = rng.uniform(0.5, 2, 400)
    for learner in (learners.Ridge(1e-9), learners.Lad(1e-6)):
        assert learner.fit(x, y, weight, names).predict(x) == pytest.approx(y, abs=1e-3)
    slope = learners.Nnls(1e-9).fit(x, y, weight, names)
    found = dict(zip(slope.names, slope.coefficient / slope.scale, strict=True))
    assert found["b:elog"] == 0 and found["a:elog"] == pytest.approx(0.5, abs=0.05)


def test_lad_is_the_weighted_median():
    x, y = np.zeros((5, 1)), np.array([0.0, 1, 2, 3, 100])
    assert learners.Lad().fit(x, y, np.ones(5), ["a:own"]).predict(x)[0] == pytest.approx(2)
    assert learners.Lad().fit(x, y, np.array([1, 1, 1, 1, 10.0]), ["a:own"]).predict(x)[0] == pytest.approx(100)


def test_greedy_blend_finds_the_mixture():
    rng = np.random.default_rng(0)
    target = rng.uniform(0, 2, (60, 20))
    noise = rng.normal(0, 0.4, (2, 60, 20))
    good, bad = target + noise, target + rng.normal(1.0, 1.0, (60, 20))
    weights = blend.weights(np.stack([*good, bad]), target, np.ones(60), rounds=10, bags=4, seed=0)
    assert weights.sum() == pytest.approx(1) and weights[2] < 0.02 and weights[:2] == pytest.approx([0.5, 0.5], abs=0.1)


def test_threshold_is_taken_only_when_it_helps():
    target = np.array([[0.0, 0.0, 1.0, 2.0]])
    top, weight = np.full(4, 2.58), np.ones(1)
    noisy = np.array([[0.2, 0.1, 1.0, 2.0]])  # 0.2 is L(0.149)
    assert blend.threshold(noisy, target, weight, top, (0.0, 0.3)) == 0.3
    assert blend.threshold(target, target, weight, top, (0.0, 0.3)) == 0.0
    assert blend.threshold(np.array([[0.0, 0.0, 0.3, 2.0]]), target, weight, top, (0.0, 0.3)) == 0.0
    assert blend.finish(np.array([[-1.0, 0.2, 1.0, 9.0]]), top, 0.3).tolist() == [[0, 0, 1, 2.58]]


@pytest.fixture
def template(tmp_path):
    """The template's path and a faultless submission's table."""
    ids = ["UAB001", "UAB002", "UAB003"]
    path = tmp_path / "template.csv"
    pd.DataFrame({ID: ids}).reindex(columns=list(COLUMNS_B)).to_csv(path, index=False)
    good = pd.DataFrame(1.0, index=range(3), columns=list(COLUMNS_B)).astype(object)
    good[ID] = ids
    return path, good


FAULTS = {
    "UAB002 is missing": lambda t: t.drop(index=1),
    "UAB009 is not in the template": lambda t: pd.concat([t, t.tail(1).assign(**{ID: "UAB009"})]),
    "UAB003 appears 2 times": lambda t: pd.concat([t, t.tail(1)]),
    "column LH_pip_E__2 is missing": lambda t: t.drop(columns="LH_pip_E__2"),
    "column comment is not in the template": lambda t: t.assign(comment=1),
    "column LH_pip_E__2 appears 2 times": lambda t: t.rename(columns={"LH_pip_E__3": "LH_pip_E__2"}),
    "LH_pip_E__2 of UAB001: '' is empty": lambda t: t.mask(cell(t, "LH_pip_E__2")),
    "LH_pip_E__2 of UAB001: 'two' is not a number": lambda t: t.mask(cell(t, "LH_pip_E__2"), "two"),
    "LH_pip_E__2 of UAB001: 'inf' is not finite": lambda t: t.mask(cell(t, "LH_pip_E__2"), "inf"),
    "LH_pip_E__2 of UAB001: '-0.5' is negative": lambda t: t.mask(cell(t, "LH_pip_E__2"), -0.5),
    "LH_pip_J__2 of UAB001: '4.1' is above the maximum 4": lambda t: t.mask(cell(t, "LH_pip_J__2"), 4.1),
    "LF_mtp_E__1 of UAB001: '10.5' is above the maximum 10": lambda t: t.mask(cell(t, "LF_mtp_E__1"), 10.5),
    "Overall_Tol of UAB001: '449' is above the maximum 448": lambda t: t.mask(cell(t, "Overall_Tol"), 449),
    "every value except Overall_Tol is 0": lambda t: t.assign(**dict.fromkeys(COLUMNS_B[2:], 0)),
}


def cell(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Marks the first row's cell of a column."""
    return pd.DataFrame(False, index=table.index, columns=table.columns).assign(**{column: table.index == table.index[0]})


@pytest.mark.parametrize("said", FAULTS)
def test_check_names_the_fault(template, tmp_path, monkeypatch, capsys, said):
    path, good = template
    pred = tmp_path / "pred.csv"
    monkeypatch.setattr(sys, "argv", ["check", str(pred), str(path)])
    good.to_csv(pred, index=False)
    validate.run()
    assert "no fault" in capsys.readouterr().out
    FAULTS[said](good).to_csv(pred, index=False)
    with pytest.raises(validate.UserError, match=r"has [12] faults"):
        validate.run()
    assert said in capsys.readouterr().out


def test_check_names_all_faults_and_notes_order(template, tmp_path):
    path, good = template
    pred = tmp_path / "pred.csv"
    good.iloc[::-1][list(anatomy.COLUMNS_A)].to_csv(pred, index=False)
    tables = submission.read_text(pred), submission.read_text(path)
    assert validate.faults(*tables) == [] and len(validate.notes(*tables)) == 2
    good.loc[0, ["LH_pip_E__2", "RH_pip_E__3"]], good.loc[2, "LF_mtp_J__1"] = "x", 7
    good.to_csv(pred, index=False)
    assert len(validate.faults(submission.read_text(pred), submission.read_text(path))) == 3


def test_ids_that_look_like_numbers_stay_text(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(f"{ID},Overall_Tol\n007,3\n")
    assert submission.read_numbers(path).index[0] == "007"


def test_score_prints_nine_numbers_or_null(template, tmp_path, monkeypatch, capsys):
    _, good = template
    gold, pred = tmp_path / "gold.csv", tmp_path / "pred.csv"
    good.to_csv(gold, index=False)
    good.assign(Overall_Tol=3).to_csv(pred, index=False)
    monkeypatch.setattr(sys, "argv", ["score", str(pred), str(gold), "--bootstrap", str(gold)])
    score.run()
    found = json.loads(capsys.readouterr().out)
    assert list(found) == [*challenge_scores.RA2, "bootstrap"]
    assert found["sc1"] == pytest.approx(1.0) and found["sc2"] == 0
    assert found["bootstrap"]["sc1"]["better"] == "other" and found["bootstrap"]["sc1"]["difference"] == pytest.approx(1.0)
    good.drop(columns="LH_pip_E__2").to_csv(pred, index=False)
    monkeypatch.setattr(sys, "argv", ["score", str(pred), str(gold)])
    with pytest.raises(SystemExit) as end:
        score.run()
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert end.value.code == 1 and found["sc3"] is None and found["sc3_hand"] is None and found["sc3_foot"] == 0
    assert "sc3 is NA: submission: LH_pip_E__2 of UAB001 is empty" in told.err
