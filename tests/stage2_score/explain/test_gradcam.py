"""Grad-CAM: the map is bright at the place that decides, and equals a map that was computed without autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ra.anatomy import FINDINGS
from ra.config import UserError
from stage2_score.config import Named
from stage2_score.explain import gradcam
from stage2_score.networks import network as model
from tests.worlds.learning import by_adam, learns


class Tiny(nn.Module):
    """Two channels of a 2x2 average of the picture, weighed place by place."""

    num_features = 8

    def __init__(self, gains: tuple[float, float]):
        super().__init__()
        self.gains = nn.Parameter(torch.tensor(gains)[None, :, None, None], requires_grad=False)

    def forward_features(self, x):
        return nn.functional.adaptive_avg_pool2d(x, 2) * self.gains

    def forward(self, x):
        return self.forward_features(x).flatten(1)


class Watcher(nn.Module):
    """A network whose score is a fixed linear form of the backbone's features."""

    def __init__(self, backbone: nn.Module, weight: list[float]):
        super().__init__()
        self.backbone, self.weight = backbone, torch.tensor(weight).float()

    def forward(self, picture, kind, extra=None):  # noqa: ARG002 - called like every network
        return {"score": self.backbone(picture.float()) @ self.weight}


def test_equals_the_map_by_hand():
    # channel 0 = picture, channel 1 = -2 picture; slopes: channel 0 (1, 2, 3, 6), channel 1 (0, 0, 0, 4); means 3 and 1
    network = Watcher(Tiny((1.0, -2.0)), [1, 2, 3, 6, 0, 0, 0, 4]).train()
    quadrants = torch.tensor([[1.0, 2.0], [-1.0, 4.0]])
    picture = quadrants.repeat_interleave(2, 0).repeat_interleave(2, 1)[None, None]
    found = gradcam.gradcam(network, {"picture": picture, "kind": torch.zeros(1)}, lambda out: out["score"])
    # 3 a + 1 (-2 a) = a, clipped at 0: (1, 2; 0, 4) / 4, then bilinear to 4 x 4 with half-pixel centres
    across = np.array([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    wanted = across @ np.array([[1, 2], [0, 4]]) @ across.T / 4
    assert found[0].numpy() == pytest.approx(wanted)
    assert network.training and "forward_features" not in vars(network.backbone)


def test_the_map_is_dark_if_no_place_raises_the_score():
    network = Watcher(Tiny((1.0, 1.0)), [-1.0] * 8)
    found = gradcam.gradcam(network, {"picture": torch.ones(1, 1, 8, 8), "kind": torch.zeros(1)}, lambda out: out["score"])
    assert (found == 0).all()


class Small(nn.Sequential):
    """Two convolutions and their mean: the output does not depend on places, only the feature map does."""

    num_features = 8

    def __init__(self):
        super().__init__(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())

    def forward_features(self, x):
        return super().forward(x)

    def forward(self, x):
        return self.forward_features(x).mean((2, 3))


def test_the_map_is_bright_in_the_quadrant_that_decides():
    """Only the lower right quadrant can have the stripes that the network learns to detect; brightness elsewhere is random."""
    torch.manual_seed(0)
    n, px = 64, 16
    striped = torch.randint(0, 2, (n,)).float()
    grey = torch.randint(0, 200, (n, 1, 2, 2)).float().repeat_interleave(px // 2, 2).repeat_interleave(px // 2, 3)
    picture = grey + torch.rand(n, 1, px, px) * 20
    stripes = (torch.arange(px // 2) % 2).float()[:, None] * 50
    picture[:, :, px // 2 :, px // 2 :] += striped[:, None, None, None] * stripes
    batch = {"picture": picture, "kind": torch.zeros(n, dtype=torch.long)}

    def start(_seed):
        network = model.Network(Small(), Named("totals"), embedding=2, dropout=0.0)
        return network, by_adam(network, lambda: sum(((network(**batch)[f] - striped) ** 2).mean() for f in FINDINGS), 1e-2)

    def right(network):
        network.eval()
        with torch.no_grad():
            assert ((network(**batch)["erosion"] > 0.5) == striped).all()
        found = gradcam.gradcam(network, batch, lambda out: out["erosion"])[striped == 1]
        assert found.shape[1:] == (px, px) and found.min() >= 0 and found.max() <= 1
        share = found[:, px // 2 :, px // 2 :].sum((1, 2)) / found.sum((1, 2)).clamp_min(1e-9)
        assert share.mean() > 0.7, share.mean()

    learns(start, right)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("test_resnet", {}),
        ("test_efficientnet", {}),
        ("vit_tiny_patch16_224", {"img_size": 64, "patch_size": 8, "embed_dim": 24, "depth": 1, "num_heads": 2}),
    ],
)
def test_maps_of_any_backbone(name, params):
    """Some place raises every score or its opposite, also where the weights are frozen."""
    torch.manual_seed(0)
    network = model.Network(model.make_backbone(Named(name, params)), Named("totals"), embedding=2, dropout=0.0)
    network.backbone.requires_grad_(False)
    batch = {"picture": torch.randint(0, 255, (3, 1, 64, 64), dtype=torch.uint8), "kind": torch.zeros(3, dtype=torch.long)}
    maps = [gradcam.gradcam(network, batch, lambda out, sign=sign: sign * out["erosion"]) for sign in (1, -1)]
    assert all(m.shape == (3, 64, 64) and torch.isfinite(m).all() for m in maps)
    assert ((maps[0] + maps[1]).amax((1, 2)) >= 1).all()


def test_a_backbone_without_a_map_is_named():
    network = Watcher(nn.Flatten(), [1.0] * 4)
    with pytest.raises(UserError, match="Flatten"):
        gradcam.gradcam(network, {"picture": torch.zeros(1, 1, 2, 2), "kind": None}, lambda out: out["score"])
