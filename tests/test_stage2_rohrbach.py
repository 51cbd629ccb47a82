"""Rohrbach's networks and losses: the papers' own counts, CRPS and the decoding of CDFs by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ra.anatomy import percent2grade
from ra.config import UserError
from stage2_score import ratingen, rohrbach


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
    assert float(ratingen.crps({"cdf": half}, batch)) == pytest.approx(0.25)
    assert float(ratingen.crps({"cdf": (k >= 35).float()[None]}, batch)) == 0
    assert float(ratingen.crps({"cdf": (k >= 36).float()[None]}, batch)) == pytest.approx(1 / 101)
    # weights multiply, N divides, an unscored picture counts neither above nor below the line
    three = {"percent": torch.tensor([35.0, 0.0, float("nan")]), "weight": torch.tensor([3.0, 1.0, 9.0])}
    assert float(ratingen.crps({"cdf": half.repeat(3, 1)}, three)) == pytest.approx(0.25 * (3 + 1) / 2)
    logits = torch.randn(3, 101, dtype=torch.float64, requires_grad=True)
    exact = {name: value.double() for name, value in three.items()}
    assert torch.autograd.gradcheck(lambda x: ratingen.crps({"cdf": x.sigmoid()}, exact), (logits,))
    ratingen.crps({"cdf": logits.sigmoid()}, exact).backward()
    assert logits.grad[2].abs().sum() == 0 < logits.grad[0].abs().sum()


def test_percent_mse_by_hand():
    batch = {"percent": torch.tensor([50.0, 10.0, float("nan")]), "weight": torch.tensor([1.0, 2.0, 5.0])}
    found = ratingen.percent_mse({"percent": torch.tensor([30.0, 20.0, 0.0])}, batch)
    assert float(found) == pytest.approx((0.2**2 + 2 * 0.1**2) / 2)


def test_reading_a_cdf_by_hand():
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
