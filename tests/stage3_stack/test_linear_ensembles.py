"""Bo's stacking: the maps against independent fits, and the runs they become."""

import json

import numpy as np
import pytest
import yaml
from scipy.optimize import check_grad
from sklearn.linear_model import LinearRegression, LogisticRegression

from ra import config, paths, tables
from stage3_stack import config as recipe
from stage3_stack import hands, linear_ensembles
from tests.stage3_stack.test_stack import call
from tests.worlds import stack_world

BOUNDS = np.array([10.0, 20.0])


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    """300 patients, two classifiers of three classes (n, 2, 3), totals whose class they half know."""
    rng = np.random.default_rng(0)
    total = rng.uniform(0, 30, 300)
    level = np.digitize(total, BOUNDS)
    logits = np.eye(3)[level][:, None] * [[1.5], [0.8]] + rng.normal(0, 1, (300, 2, 3))
    p = np.exp(logits)
    return p / p.sum(axis=2, keepdims=True), total


def test_linear_map_is_least_squares():
    rng = np.random.default_rng(0)
    x, total = rng.uniform(0, 200, (50, 3, 1)), rng.uniform(0, 280, 50)
    found = linear_ensembles.Linear(1e-9, np.empty(0)).fit(x, total)
    free = LinearRegression().fit(x[..., 0], total)
    np.testing.assert_allclose(found.weights, free.coef_, atol=1e-5)
    np.testing.assert_allclose(found.predict(x)[:, 0], free.predict(x[..., 0]).clip(0, 280), atol=1e-3)
    stiff = linear_ensembles.Linear(1e9, np.empty(0)).fit(x, total)
    np.testing.assert_allclose(stiff.weights, 1 / 3, atol=1e-6)


def test_all_classes_is_multinomial_regression(drawn):
    x, total = drawn
    found = linear_ensembles.Classes(1e-7, BOUNDS).fit(x, total).predict(x)
    flat = linear_ensembles.log_outputs(x).reshape(300, -1)
    free = LogisticRegression(C=1e6, max_iter=5000, tol=1e-8).fit(flat, np.digitize(total, BOUNDS)).predict_proba(flat)
    np.testing.assert_allclose(found, free, atol=2e-3)


def test_single_class_looks_at_its_own_class_alone(drawn):
    x, total = drawn
    found = linear_ensembles.SingleClass(0.01, BOUNDS).fit(x, total)
    for k in range(3):
        assert (np.delete(found.weights[k], k, axis=1) == 0).all() and (found.weights[k][:, k] > 0).all()
    assert (found.weights[:, 0].sum(), found.weights[:, 1].sum()) > (0, 0)
    truth, out = np.eye(3)[np.digitize(total, BOUNDS)], linear_ensembles.log_outputs(x)
    mask = found.connected(2)
    prior, theta = mask / 2, np.random.default_rng(1).normal(size=3 + mask.size)
    more = (out, truth, prior, mask)
    assert check_grad(lambda t: found.loss(t, *more)[0], lambda t: found.loss(t, *more)[1], theta) < 1e-5


def test_stiff_map_is_the_members_mean(drawn):
    x, total = drawn
    found = linear_ensembles.Classes(1e6, BOUNDS).fit(x, total).predict(x)
    product = np.sqrt(x.prod(axis=1))  # the mean of the logs, by hand
    np.testing.assert_allclose(found, product / product.sum(axis=1, keepdims=True), atol=1e-4)


def test_totals_become_classes_at_the_bounds():
    mapped = linear_ensembles.TotalToClass(1e9, BOUNDS)
    mapped.weights, mapped.intercept = np.array([1.0]), 0.0
    p = mapped.predict(np.array([9.9, 10.0, 19.9, 20.0, np.nan])[:, None, None])
    assert linear_ensembles.likeliest(p)[:4].tolist() == [0, 1, 1, 2] and np.isnan(p[4]).all()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hands")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RA_DATA", str(folder))
        made = stack_world.make("world", noise=(1.0,))
        chosen = [
            {"name": "all", "stack": "linear", "members": [f"total{i}" for i in range(3)]},
            *({"name": s, "stack": s, "members": [f"class{i}" for i in range(3)]} for s in ("all_classes", "single_class")),
            {"name": "cut", "stack": "total_to_class", "members": ["total0", "total1"], "bounds_of": "class0"},
        ]
        path = folder / "hands.yaml"
        path.write_text(yaml.safe_dump({"ensembles": chosen}))
        call(hands, "--data", "world", "--config", str(path))
        yield made | {"config": path}


def figures(run: str) -> dict:
    return json.loads((paths.run_dir("world", 3, run) / "run.json").read_text())["metrics"]


def test_ensembles_beat_their_members(world):
    oof = tables.SCORES.read(paths.scores("world", 2, "total0", "oof"))
    assert figures("all")["rmse"] < linear_ensembles.regression_figures(oof.target, oof.pred)["rmse"]
    single = tables.SCORES.read(paths.scores("world", 2, "class0", "oof"))
    alone = linear_ensembles.figures(single.target.to_numpy(), single[[f"p{k}" for k in range(10)]].to_numpy())
    assert figures("single_class")["rmse"] < alone["rmse"] and figures("all_classes")["rmse"] < alone["rmse"]
    cut = tables.SCORES.read(paths.scores("world", 3, "cut", "test"))
    assert cut.pred.isin(range(10)).all() and len(cut) == len(world["gold"])
    held = tables.SCORES.read(paths.scores("world", 3, "all", "oof"))
    assert held.pred.isna().sum() == 1 and (held.fold.to_numpy() == world["fold"]).all()  # one patient has no film of a hand


def test_poison_of_a_fold_never_reaches_its_ensembles(world):
    runs = ("all", "all_classes", "single_class", "cut")
    before = {run: tables.SCORES.read(paths.scores("world", 3, run, "oof")) for run in runs}
    sites = tables.SITES.read(paths.sites("world"))
    held = world["train_gold"].index[world["fold"] == 1]
    bad = sites.patient_id.isin(held) & (sites.site != "total")
    tables.SITES.write(sites.assign(target=np.where(bad, 4.0, sites.target)), paths.sites("world"))
    try:
        call(hands, "--data", "world", "--config", str(world["config"]))  # other inputs: made anew
    finally:
        tables.SITES.write(sites, paths.sites("world"))
    for run in runs:
        after = tables.SCORES.read(paths.scores("world", 3, run, "oof"))
        same = before[run].patient_id.isin(held) & before[run].pred.notna()
        assert (before[run].pred[same] == after.pred[same]).all()
        assert run == "cut" or (before[run].pred[~same] != after.pred[~same]).any()


@pytest.mark.usefixtures("world")
def test_user_errors():
    with pytest.raises(config.UserError, match="predicts no severity classes"):
        wrong = hands.Ensemble("x", "single_class", ("total0",))
        hands.inputs(hands_cohort(wrong), wrong)
    with pytest.raises(config.UserError, match=r"names no head\.params\.bounds"):
        hands.class_bounds("world", "m0")
    with pytest.raises(config.UserError, match="bounds_of names a classifier"):
        hands.Ensemble("x", "linear", ("total0",), bounds_of="class0")


def hands_cohort(ensemble: hands.Ensemble):
    from stage3_stack import cohort

    return cohort.load("world", ensemble.members, joints=False)


def test_default_config_is_valid():
    for path in recipe.CONFIGS.glob("*/hands.yaml"):
        config.load(hands.Ensembles, path)
