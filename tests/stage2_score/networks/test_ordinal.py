"""The cumulative head: a distribution by construction, equal to the textbook's formula, with a checked loss."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from stage2_score import data, engine, tasks
from stage2_score.config import Member, Named
from stage2_score.loss import cumulative
from stage2_score.networks import network as model
from stage2_score.networks import ordinal
from tests.worlds.learning import by_adam, learns

MAX_GRADES = {"erosion": torch.tensor([5, 10, -1]), "narrowing": torch.tensor([4, 4, 4])}


def head(spread: float = 1.0) -> ordinal.Ordinal:
    torch.manual_seed(0)
    made = ordinal.Ordinal(6, MAX_GRADES, hidden=8, dropout=0.0)
    for finding in MAX_GRADES:
        torch.nn.init.normal_(made.out[finding].weight, std=spread)
        torch.nn.init.normal_(made.first[finding])
        torch.nn.init.normal_(made.gaps[finding])
    return made


def test_probabilities_are_differences_of_sigmoids():
    made, features, kind = head(), torch.randn(9, 6), torch.tensor([0, 1, 2] * 3)
    out = made(features, kind)
    for finding, max_grades in MAX_GRADES.items():
        score = made.out[finding](made.trunk(features)).detach().double().numpy()[:, 0]
        threshold = made.thresholds(finding).detach().double().numpy()
        assert (np.diff(threshold, axis=1) > 0).all()
        for row, j in enumerate(kind.tolist()):
            top = int(max_grades[j])
            if top < 0:
                continue
            above = 1 / (1 + np.exp(threshold[j, :top] - score[row]))
            wanted = -np.diff(np.concatenate([[1.0], above, [0.0]]))
            p = out[finding][row].softmax(0).detach().numpy()
            assert p[: top + 1] == pytest.approx(wanted, abs=1e-5) and (p[top + 1 :] == 0).all()
            assert out[finding][row].exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_an_extremely_confident_head_stays_finite():
    made = head(spread=1e4)
    out = made(100 * torch.randn(9, 6), torch.tensor([0, 1, 2] * 3))
    sum(value.sum() for value in out.values()).backward()
    assert all(torch.isfinite(value).all() for value in out.values())
    assert all(torch.isfinite(p.grad).all() for p in made.parameters() if p.grad is not None)


def test_the_prior_is_the_site_mean_model():
    made = head(spread=0.0)
    counts = {"erosion": torch.ones(3, 11), "narrowing": torch.ones(3, 5)}
    counts["erosion"][0] = torch.tensor([6000, 3000, 0, 500, 500, 0, 0, 0, 0, 0, 0.0])
    made.set_prior(counts)
    p = made(torch.randn(1, 6), torch.tensor([0]))["erosion"].softmax(1)[0, :6].tolist()
    assert p == pytest.approx([0.6, 0.3, 0, 0.05, 0.05, 0], abs=0.005)


def test_cumulative_loss_by_hand_and_its_gradient():
    # grade 2 of 0..4: above 0 and 1, not above 2 and 3. Logits ln 3, 0, 0, -ln 3: 3/4, 1/2 | 1/2, 3/4 right
    nan, ln3 = float("nan"), np.log(3.0)
    narrowing = torch.tensor([[ln3, 0.0, 0.0, -ln3], [9.0, 9.0, 9.0, 9.0]])
    erosion = torch.tensor([[0.0, 50.0, 50.0], [-ln3, 0.0, 50.0]])  # maximum 1 and 2: the others are ignored
    batch = {"narrowing": torch.tensor([2.0, nan]), "narrowing_max": torch.tensor([4.0, 4.0]), "weight": torch.tensor([2.0, 1.0])}
    batch |= {"erosion": torch.tensor([0.0, 0.0]), "erosion_max": torch.tensor([1.0, 2.0])}
    wanted = 2 * -(2 * np.log(3 / 4) + 2 * np.log(1 / 2)) + 2 * np.log(2) - (np.log(3 / 4) + np.log(1 / 2))
    assert float(cumulative({"narrowing_above": narrowing, "erosion_above": erosion}, batch)) == pytest.approx(wanted / 5)
    exact = {name: value.double() for name, value in batch.items()}
    logits = [x.double().requires_grad_() for x in (narrowing, erosion[:, :2])]
    assert torch.autograd.gradcheck(lambda n, e: cumulative({"narrowing_above": n, "erosion_above": e}, exact), logits)
    cumulative({"narrowing_above": logits[0]}, exact).backward()
    assert logits[0].grad[1].abs().sum() == 0


def test_grades_have_a_checked_gradient():
    above = torch.randn(4, 1, dtype=torch.float64) - torch.arange(4.0, dtype=torch.float64)
    top = torch.tensor([[4], [2], [0], [3]])
    opened = (torch.arange(5) <= top).double()  # masked grades stay at a constant
    assert torch.autograd.gradcheck(lambda a: ordinal.log_grades(a, top) * opened, (above.requires_grad_(),))


@pytest.mark.parametrize(
    ("name", "params", "lr"),
    [
        ("test_resnet", {}, 3e-3),
        ("vit_tiny_patch16_224", {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}, 1e-3),
    ],
)
def test_ordinal_members_learn_eight_crops(name, params, lr):
    px = 32
    rng = np.random.default_rng(0)
    erosion, narrowing = np.array([0.0, 1, 2, 3, 4, 5, 0, 5]), np.array([0.0, 4, 3, 2, 1, 0, 2, 4])
    array = rng.integers(0, 20, (8, px, px)).astype(np.uint8)
    for i in range(8):  # what is bitten off above, and the gap that is left below
        array[i, : px // 2, 4 * int(erosion[i]) :] += 180
        array[i, px // 2 :, 6 * int(narrowing[i]) :] += 90
    fields = {"erosion": erosion, "narrowing": narrowing, "erosion_max": np.full(8, 5.0), "narrowing_max": np.full(8, 4.0)}
    pictures = data.Pictures(array, pd.DataFrame({"row": np.arange(8)}), np.full(8, model.kind_of("mcp_2"), np.int64), fields)
    config = Member(
        "joints", backbone=Named(name, params), head=Named("ordinal"), loss=Named("cumulative"), weights=("scratch",), dropout=0.0
    )
    task = tasks.Joints(pictures, (np.arange(8), np.arange(8)), config, config.loss)
    batch = {**pictures.batch(np.arange(8)), "weight": torch.ones(8)}

    def start(_seed):
        network, _ = model.build(config, "none", config.head)
        task.prepare(network)
        return network, by_adam(network, lambda: task.loss(network, batch), lr)

    def right(network):
        found = task.predict(engine.predictor(network, engine.Runtime()), np.arange(8))
        for finding, grade in (("erosion", erosion), ("narrowing", narrowing)):
            expected = found[finding] @ np.arange(found[finding].shape[1])
            assert np.abs(expected - grade).max() < 0.5, (finding, expected)

    learns(start, right)
