"""Rohrbach's networks and losses: the papers' own counts, CRPS and the decoding of CDFs by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from ra import paths, tables
from ra.anatomy import MEDIAN, PERCENT, RATINGEN
from ra.clinical import percent2grade
from ra.config import UserError
from stage2_score import data, engine, loss, scores, tasks
from stage2_score.config import Member, Named, Sampler
from stage2_score.networks import network as model
from stage2_score.networks import rohrbach
from stage2_score.tasks import ratingen
from stage2_score.tasks.base import trimmed_mean
from tests.worlds.learning import by_adam, learns

PERCENTS = np.array([0.0, 0.0, 15.0, 30.0, 45.0, 55.0, 75.0, 100.0])


def n_trainable(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters() if p.requires_grad)


def test_parameters_are_the_papers():
    network = rohrbach.blocks(150)
    assert network.num_features == 2 * 2 * 128
    paper = rohrbach.RatingenHead("classes", 512, widths=(512, 256), last_norm=True)
    thesis = rohrbach.RatingenHead("classes", 512, widths=(256, 256))
    assert n_trainable(network, paper) == 1_072_818
    assert n_trainable(network, thesis) == 875_430
    assert network(torch.zeros(2, 1, 150, 150)).shape == (2, 512)


def test_sides_that_do_not_fit_are_named():
    with pytest.raises(UserError, match="64 px"):
        rohrbach.blocks(60)
    with pytest.raises(UserError, match=r"80 px.*side_px is 75"):
        rohrbach.blocks(75, width=0.1)(torch.zeros(1, 1, 80, 80))
    with pytest.raises(UserError, match="width 1"):
        rohrbach.vgg16(75, width=0.5, pretrained=True)


@pytest.mark.parametrize(
    ("make", "features"), [(lambda: rohrbach.vgg16(64, 0.125), 4 * 64), (lambda: rohrbach.inception_v3(1 / 16), 128)]
)
def test_a_narrow_network_is_whole_and_keeps_its_scale(make, features):
    """Every channel that stays is fed, and activations neither vanish nor explode."""
    torch.manual_seed(0)
    network = make().train()
    side = getattr(network, "side_px", 75)
    out = network(torch.randn(4, 1, side, side))
    assert out.shape == (4, features) == (4, network.num_features)
    assert 0.01 < out.std() < 20


def test_crps_by_hand_and_its_gradient():
    # 101 outputs of 1/2: every step costs 1/4; a perfect step function costs nothing; one step of 101 wrong costs 1/101
    k = torch.arange(101.0)
    half = torch.full((1, 101), 0.5)
    batch = {"percent": torch.tensor([35.0]), "weight": torch.ones(1)}
    assert float(loss.crps({"cdf": half}, batch)) == pytest.approx(0.25)
    assert float(loss.crps({"cdf": (k >= 35).float()[None]}, batch)) == 0
    assert float(loss.crps({"cdf": (k >= 36).float()[None]}, batch)) == pytest.approx(1 / 101)
    # weights multiply, N divides, an unscored picture counts neither in the numerator nor in the denominator
    three = {"percent": torch.tensor([35.0, 0.0, float("nan")]), "weight": torch.tensor([3.0, 1.0, 9.0])}
    assert float(loss.crps({"cdf": half.repeat(3, 1)}, three)) == pytest.approx(0.25 * (3 + 1) / 2)
    logits = torch.randn(3, 101, dtype=torch.float64, requires_grad=True)
    exact = {name: value.double() for name, value in three.items()}
    assert torch.autograd.gradcheck(lambda x: loss.crps({"cdf": x.sigmoid()}, exact), (logits,))
    loss.crps({"cdf": logits.sigmoid()}, exact).backward()
    assert logits.grad[2].abs().sum() == 0 < logits.grad[0].abs().sum()


def test_percent_mse_by_hand():
    batch = {"percent": torch.tensor([50.0, 10.0, float("nan")]), "weight": torch.tensor([1.0, 2.0, 5.0])}
    found = loss.percent_mse({"percent": torch.tensor([30.0, 20.0, 0.0])}, batch)
    assert float(found) == pytest.approx((0.2**2 + 2 * 0.1**2) / 2)


def test_mean_median_and_grades_of_a_cdf_by_hand():
    # 30 % at 0, 40 % at 10 percent, 30 % at 100 percent: mean 34, median 10; grades 0, 1 and 5
    cdf = np.where(np.arange(101) >= 10, 0.7, 0.3)[None]
    cdf[0, 100] = 1.0
    assert ratingen.cdf_mean(cdf) == pytest.approx([34.0])
    assert ratingen.cdf_median(cdf).tolist() == [10.0]
    assert ratingen.cdf_grades(cdf)[0] == pytest.approx([0.3, 0.4, 0, 0, 0, 0.3])
    # every whole percent for certain: its grade, its mean and its median are itself
    sure = (np.arange(101)[None] >= np.arange(101)[:, None]).astype(float)
    assert ratingen.cdf_grades(sure).argmax(1).tolist() == [percent2grade(p) for p in range(101)]
    assert ratingen.cdf_mean(sure) == pytest.approx(np.arange(101)) and ratingen.cdf_median(sure).tolist() == list(range(101))
    assert ratingen.percent_grades(np.array([-3.0, 0.4, 0.6, 20.4, 20.6, 99.0, 130.0])).tolist() == [0, 0, 1, 1, 2, 5, 5]


def test_monotone_never_costs_crps():
    rng = np.random.default_rng(0)
    raw = rng.random((50, 101))
    rising = ratingen.monotone(raw)
    assert (np.diff(rising, axis=1) >= 0).all() and (rising[:, -1] == 1).all() and rising.min() >= 0
    assert ratingen.monotone(np.full((1, 101), 0.5) - [[0.1, *[0] * 99, 0]])[0, :3] == pytest.approx([0.4, 0.5, 0.5])
    for truth in (0, 17, 64, 99):
        step = np.arange(100) >= truth
        assert (((rising[:, :-1] - step) ** 2).sum(1) <= ((raw[:, :-1] - step) ** 2).sum(1) + 0.02).all(), truth


def test_each_output_has_its_range():
    features = torch.randn(8, 32)
    outs = {form: rohrbach.RatingenHead(form, 32, widths=(16, 8))(features, None)[form] for form in ("classes", "cdf", "percent")}
    assert {form: tuple(out.shape) for form, out in outs.items()} == {"classes": (8, 6), "cdf": (8, 101), "percent": (8,)}
    assert outs["cdf"].min() > 0 and outs["cdf"].max() < 1


def member(backbone: Named, form: str, loss: str) -> Member:
    same = {"kind": "ratingen", "weights": ("scratch",), "embedding": 0, "dropout": 0.0, "sampler": Sampler("weighted")}
    return Member(backbone=backbone, head=Named(f"ratingen_{form}", {"widths": (32, 16)}), loss=Named(loss), **same)


def bitten(px: int) -> data.Pictures:
    """Eight knuckles that lack their percentage of a bone."""
    rng = np.random.default_rng(0)
    array = rng.integers(0, 30, (8, px, px)).astype(np.uint8)
    array[:, px // 8 : -px // 8, px // 8 : -px // 8] += 180
    for i, percent in enumerate(PERCENTS):
        array[i, px // 8 : px // 8 + round(px * 0.75 * percent / 100), px // 4 : -px // 4] = 20
    index = pd.DataFrame({"row": np.arange(8), "joint": "mcp_2", "patient_id": [f"p{i}" for i in range(8)], "part": "LH"})
    fields = {"percent": PERCENTS, "class": ratingen.percent_grades(PERCENTS)}
    return data.Pictures(array, index.assign(box_source="model"), np.full(8, model.kind_of("mcp_2"), np.int64), fields)


@pytest.mark.parametrize(
    ("backbone", "form", "loss", "px", "lr"),
    [
        (Named("rohrbach", {"side_px": 64, "width": 0.125}), "classes", "cross_entropy", 64, 3e-3),
        (Named("rohrbach", {"side_px": 64, "width": 0.125}), "cdf", "crps", 64, 1e-2),
        (Named("rohrbach", {"side_px": 64, "width": 0.125}), "percent", "percent_mse", 64, 3e-3),
        (Named("rohrbach_vgg16", {"side_px": 32, "width": 0.125}), "classes", "cross_entropy", 32, 1e-3),
        (Named("rohrbach_inception", {"width": 1 / 16}), "classes", "cross_entropy", 75, 5e-3),
    ],
)
def test_each_system_learns_eight_crops(backbone, form, loss, px, lr):
    config, rows = member(backbone, form, loss), np.arange(8)
    task = tasks.Ratingen(bitten(px), (rows, rows), config, config.loss)
    batch = {**task.pictures.batch(rows), "weight": torch.ones(8)}

    def start(_seed):
        network, _ = model.build(config, "none", config.head)
        return network, by_adam(network, lambda: task.loss(network, batch), lr)

    def right(network):
        network.train(backbone.name == "rohrbach_inception")  # eight crops are too few for its running statistics
        with torch.no_grad():
            found = {k: v.double().numpy() for k, v in task.decode(network(batch["picture"], batch["kind"])).items()}
        chosen = ratingen.most_likely(form, found)
        assert (np.abs(chosen - task.sampler_grade()) <= (form == "percent")).all(), chosen  # 0 % exactly is hard to hit
        if form == "cdf":
            assert np.abs(ratingen.cdf_median(ratingen.monotone(found["cdf"])) - PERCENTS).max() <= 5

    network = learns(start, right)
    assert np.isfinite(task.validate(engine.predictor(network, engine.Runtime()))["criterion"])


def test_ratingen_rows_hold_grade_mean_and_median(tmp_path, monkeypatch):
    """A known CDF gives the expected rows; a joint without a picture is NaN, one that the method does not score is left out."""
    monkeypatch.setattr(paths, "ratingen", lambda data: tmp_path / data)
    one = {"patient_id": "a", "person_id": "a", "visit": 1, "part": "LH", "split": "train"}
    joints = [{**one, "joint": "mcp_2", "percent": 30.0}, {**one, "joint": "wrist", "percent": np.nan}]
    tables.RATINGEN.write(pd.DataFrame(joints), tmp_path / "set.parquet")
    config = member(Named("rohrbach", {"side_px": 64}), "cdf", "crps")
    rows = tasks.Ratingen.rows(config, "set.parquet")
    index = pd.DataFrame({"patient_id": "a", "part": "LH", "joint": ["mcp_2", "wrist_nav"], "box_source": "model"})
    assert tasks.Ratingen.fields(config, "set.parquet", index)["class"][0] == 2
    task = tasks.Ratingen(bitten(64), (np.arange(8), np.arange(8)), config, config.loss)
    cdf = np.tile(np.where(np.arange(101) >= 10, 0.7, 0.3), (2, 1))
    filled = task.fill(rows, index, {"cdf": cdf})
    table = scores.table(filled, "run", "oof", 0, 0).set_index("site")
    found = table.loc[[place + "mcp_2" for place in (RATINGEN, PERCENT, MEDIAN)]]
    assert found.target.tolist() == [2, 30, 30] and found.max_score.tolist() == [5, 100, 100]
    assert found.pred.tolist() == pytest.approx([0.4 * 1 + 0.3 * 5, 34.0, 10.0])
    assert found.iloc[0][["p0", "p1", "p5"]].tolist() == pytest.approx([0.3, 0.4, 0.3]) and np.isnan(found.p0.iloc[1])
    assert table.loc[RATINGEN + "wrist", ["target", "pred", "p0"]].isna().all()
    kept = task.extra_tables(index, {"cdf": cdf})["cdf"]
    assert kept.joint.tolist() == ["mcp_2"] and kept.c100.tolist() == [1.0] and kept.c10.iloc[0] == pytest.approx(0.7)


def test_trimmed_mean_leaves_out_either_end():
    views = torch.tensor([[9.0, 1], [1, 1], [2, 1], [3, 1], [-70, 6]])
    assert trimmed_mean(views, 0.2).tolist() == [2, 1]
    assert trimmed_mean(views, 0.19).tolist() == pytest.approx([-11, 2])
