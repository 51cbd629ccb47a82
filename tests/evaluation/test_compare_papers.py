"""The table of systems: its numbers against direct computations, and sets in which much is missing."""

import contextlib
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score

from evaluation import compare_papers, ratingen, results
from evaluation.papers import published
from evaluation.papers.config import PaperComparison
from ra import atomic, challenge_scores, clinical, config, paths, tables
from ra.anatomy import MEDIAN, PERCENT, RATINGEN, SITES, limb
from stage3_stack import train
from tests.worlds import stack_world
from tests.worlds.stack_world import call

BLEND = str(paths.ROOT / "configs" / "joints" / "stack" / "blend.yaml")

GROUPS = [
    {"paper": "someone", "kind": "joints", "runs": ["m0", "nowhere"]},
    {"paper": "someone", "kind": "ratingen", "runs": ["eroded"]},
    {"paper": "someone", "kind": "total", "runs": ["total0", "both"]},
    {"paper": "someone", "kind": "severity", "runs": ["class0"]},
]
CLAIMS = [
    {"effect": "stacking", "pred": "small", "other": "m0"},
    {"effect": "an untrained run", "pred": "nowhere", "other": "m0"},
    {"effect": "two of them", "pred": "both", "other": "total0"},
    {"effect": "almost the truth", "pred": "cdf", "other": "eroded"},
]


def write_reader(percent: pd.DataFrame, path: Path) -> None:
    """A reader's percentages, patients x (part, joint), in the raw folder's layout."""
    rows = [(patient, *key, value) for patient, row in percent.iterrows() for key, value in row.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows, columns=["Patient_ID", "part", "joint", "percent"]).to_csv(path, index=False)


def write_percent_member(percent: pd.DataFrame, n_train: int, fold: np.ndarray) -> None:
    """Write the run `cdf`, whose percentages are 7 above the truth and whose CDFs jump at these percentages."""
    seen = (percent + 7).clip(upper=100)
    for split, rows in (("oof", slice(0, n_train)), ("test", slice(n_train, None))):
        value = seen.to_numpy()[rows]
        n, width = value.shape
        folds = np.repeat(fold if split == "oof" else np.zeros(n, dtype=int), width)
        start = stack_world.head("cdf", split, folds[::width], percent.index.to_numpy()[rows], width)
        p = np.eye(6)[clinical.percents2grades(value).astype(int)]
        grades = stack_world.ratingen_table(start, p, np.full(value.shape, np.nan))
        others = [
            grades.assign(
                site=grades.site.str.replace(RATINGEN, prefix),
                pred=value.ravel(),
                max_score=100,
                **dict.fromkeys(tables.PROBABILITIES, np.nan),
            )
            for prefix in (PERCENT, MEDIAN)
        ]
        tables.SCORES.write(pd.concat([grades, *others]), paths.scores("world", 2, "cdf", split))
        joint = grades.site.str.removeprefix(RATINGEN)
        cdf = pd.DataFrame(ratingen.point(value.ravel()), columns=ratingen.CDF).astype("float32")
        keys = pd.DataFrame({"patient_id": grades.patient_id, "part": grades.part, "joint": joint, "fold": folds})
        pd.concat([keys, cdf], axis=1).to_parquet(paths.run_dir("world", 2, "cdf") / f"cdf_{split}.parquet")
    atomic.write_json(paths.run_dir("world", 2, "cdf") / "run.json", {"seconds": 60.0, "metrics": {"parameters": 1072818}})


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A set with every kind of member, a stack, an ensemble, gold and truth, and a raw folder with two readers' percentages."""
    with stack_world.data_folders(tmp_path_factory.mktemp("systems")) as folder:
        made = stack_world.make("world", noise=(1.0,))
        percent, n_train = made["percent"], len(made["fold"])
        write_percent_member(percent, n_train, made["fold"])
        root = paths.raw("world")
        for of, rows in (("train", slice(0, n_train)), ("gold", slice(n_train, None))):
            write_reader(percent[rows], root / of / "ratingen.csv")
            write_reader((percent[rows] * 0.8).round(), root / of / "ratingen_reader2.csv")
        for name in ("gold", "truth"):
            made[name].to_csv(paths.reader("world", name))
        mean = "[{name: mean}, {name: ridge}]"
        stacked = [BLEND, "--data", "world", "--profile", "smoke", "--run", "small"]
        sets = ["members=[m0,film]", f"site_learners={mean}", f"total_learners={mean}"]
        call(train, *stacked, *(word for item in sets for word in ("--set", item)))
        both = {"kind": "hand_totals", "combine": "linear", "members": ["total0", "total1"]}
        (folder / "both.yaml").write_text(yaml.safe_dump(both))
        call(train, str(folder / "both.yaml"), "--data", "world")
        systems = {"kind": "comparison", "groups": GROUPS, "comparisons": CLAIMS, "boxes": ["yolo"]}
        (folder / "comparison.yaml").write_text(yaml.safe_dump(systems))
        yield made | {"config": str(folder / "comparison.yaml"), "n_train": n_train}


@pytest.fixture(scope="module")
def printed(world) -> tuple[str, pd.DataFrame]:
    """What the verb prints, and its CSV by system, split and metric."""
    with contextlib.redirect_stdout(io.StringIO()) as output:
        call(compare_papers, "--data", "world", "--config", world["config"])
    table = pd.read_csv(paths.run_dir("world", 3, "systems").with_suffix(".csv"))
    return output.getvalue(), table.set_index(["system", "split", "metric"])


def test_scores_are_the_challenges(world, printed):
    text, table = printed
    pred = {split: tables.SCORES.read(paths.scores("world", 3, "small", split)) for split in ("oof", "test")}
    for split, gold in (("oof", "train_gold"), ("test", "gold")):
        total = pred[split][(pred[split].site == "total") & (pred[split].finding == "total")].set_index("patient_id").pred
        own = world[gold].assign(Overall_Tol=total)
        assert table.value["small", split, "sc1"] == pytest.approx(challenge_scores.ra2_score(own, world[gold], "sc1"), abs=1e-4)
    assert table.value["truth", "test", "sc3"] == pytest.approx(
        challenge_scores.ra2_score(world["truth"], world["gold"], "sc3"), abs=1e-4
    )
    assert "nowhere (not trained)" in text and "an untrained run: nowhere or m0 is not trained" in text
    claims = [line for line in text.splitlines() if "balanced accuracy: " in line or ("RMSE: " in line and "interval" in line)]
    assert sum("oof RMSE: -" in line and line.endswith(": better") for line in claims) == 1
    gain = table.value["cdf", "test", "balanced_accuracy"] - table.value["eroded", "test", "balanced_accuracy"]
    assert any(f"test balanced accuracy: {gain:+.2f}" in line for line in claims)
    assert "stacking: small - m0" in text and "test SC3" in text and "film" in text


def test_ratingen_figures_are_those_of_sklearn(world, printed):
    text, table = printed
    n = world["n_train"]
    oof = tables.SCORES.read(paths.scores("world", 2, "eroded", "oof")).dropna(subset="pred")
    pred, target = oof[[f"p{k}" for k in range(6)]].to_numpy().argmax(1), oof.target.astype(int)
    assert table.value["eroded", "oof", "balanced_accuracy"] == pytest.approx(balanced_accuracy_score(target, pred), abs=1e-4)
    kappa = cohen_kappa_score(target, pred, weights="quadratic")
    assert table.value["eroded", "oof", "quadratic_kappa"] == pytest.approx(kappa, abs=1e-4)
    percent = world["percent"].to_numpy()[n:]
    seen = np.minimum(percent + 7, 100)
    assert table.value["cdf", "test", "mae"] == pytest.approx(np.abs(seen - percent).mean(), abs=1e-4)
    assert table.value["cdf", "test", "crps"] == pytest.approx(np.abs(seen - percent).mean() / 101, abs=1e-4)  # sure of one value
    sums = [clinical.percents2grades(values).mean(axis=1) * clinical.RAU_FACTOR for values in (percent, seen)]
    assert table.value["cdf", "test", "rau_mae"] == pytest.approx(np.abs(np.subtract(*sums)).mean(), abs=1e-3)
    assert table.parameters["cdf", "test", "mae"] == 1072818
    assert "reader 1 - reader 2" in text and "0.562 (0.487, 0.638)" in text


def test_totals_of_both_hands_are_the_golds(world, printed):
    _, table = printed
    test = tables.SCORES.read(paths.scores("world", 2, "total0", "test")).groupby("patient_id").pred.mean()
    truth = world["gold"][[s.column for s in SITES if limb(s.part) == "hand"]].sum(axis=1).loc[test.index]
    assert table.value["total0", "test", "rmse"] == pytest.approx(np.sqrt(np.mean((truth - test) ** 2)), abs=1e-4)
    level = np.digitize(truth, stack_world.BOUNDS)
    p = tables.SCORES.read(paths.scores("world", 2, "class0", "test")).groupby("patient_id")[[f"p{k}" for k in range(10)]].mean()
    assert table.value["class0", "test", "accuracy"] == pytest.approx((p.to_numpy().argmax(1) == level).mean(), abs=1e-4)


@pytest.mark.parametrize("left", [(), ("total0",), ("eroded",), ("m0",)])
def test_a_set_with_at_most_one_run_has_a_table(tmp_path, monkeypatch, capsys, left):
    """Without any run, or with one run only, and without raw folder and Ratingen table, there are rows of dashes and no crash."""
    monkeypatch.setenv("RA_DATA", str(tmp_path))
    made = stack_world.make("poor", n_train=20, n_test=0 if left == ("m0",) else 5, noise=(1.0,))
    for run in {*made["members"], *made["others"]} - set(left):
        (paths.run_dir("poor", 2, run) / "run.json").unlink()
    paths.ratingen("poor").unlink()
    call(compare_papers, "--data", "poor")
    output = capsys.readouterr().out
    assert "bo_resnet34_rbs1 (not trained)" in output and "column mean" in output and all(run in output for run in left)


def test_the_config_names_every_published_row_once():
    loaded = config.load(PaperComparison, compare_papers.CONFIG)
    runs = [run for group in loaded.groups for run in group.runs]
    assert len(set(runs)) == len(runs)
    rows = {row.run for row in (*published.BO_TABLE_1, *published.BO_TABLE_2)}
    assert rows | {row[0] for row in (*published.ROHRBACH_CLASSES, *published.ROHRBACH_PERCENT)} <= set(runs)
    assert len(published.BO_TABLE_1) == 20 and len(published.BO_TABLE_2) == 20
    assert {len(row.figures) for row in published.BO_TABLE_1} == {3} and {len(r.figures) for r in published.BO_TABLE_2} == {5}


def test_results_of_a_run_follow_its_kind(world, capsys):
    call(results, "--data", "world", "--run", "both")
    rmse = tables.SCORES.read(paths.scores("world", 3, "both", "oof")).dropna(subset=["pred", "target"])
    expected = np.sqrt(np.mean((rmse.pred - rmse.target) ** 2))
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("both"))
    assert float(line.split()[1]) == pytest.approx(expected, abs=0.01) and world


def test_faulty_configs_and_flags_are_refused(world, tmp_path):
    (tmp_path / "twice.yaml").write_text(yaml.safe_dump({"kind": "comparison", "groups": [GROUPS[0], GROUPS[0]]}))
    with pytest.raises(config.UserError, match="names system m0 twice"):
        call(compare_papers, "--data", "world", "--config", str(tmp_path / "twice.yaml"))
    with pytest.raises(config.UserError, match="kind"):
        call(compare_papers, "--data", "world", "--config", world["config"], "--set", "kind=joints")
    with pytest.raises(SystemExit) as refused:
        call(compare_papers, "--data", "world", "--force")
    assert refused.value.code == 2
