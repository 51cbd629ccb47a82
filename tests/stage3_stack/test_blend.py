"""The greedy blend and its threshold."""

import numpy as np
import pytest

from stage3_stack import blend


def test_greedy_blend_finds_the_mixture():
    rng = np.random.default_rng(0)
    target = rng.uniform(0, 2, (60, 20))
    noise = rng.normal(0, 0.4, (2, 60, 20))
    good, bad = target + noise, target + rng.normal(1.0, 1.0, (60, 20))
    weights = blend.weights(np.stack([*good, bad]), target, np.ones(60), rounds=10, bags=4, seed=0)
    assert weights.sum() == pytest.approx(1) and weights[2] < 0.02 and weights[:2] == pytest.approx([0.5, 0.5], abs=0.1)


def test_threshold_is_taken_only_when_it_helps():
    target = np.array([[0.0, 0.0, 1.0, 2.0]])
    maximum, weight = np.full(4, 2.58), np.ones(1)
    noisy = np.array([[0.2, 0.1, 1.0, 2.0]])  # 0.2 is L(0.149)
    assert blend.threshold(noisy, target, weight, maximum, (0.0, 0.3)) == 0.3
    assert blend.threshold(target, target, weight, maximum, (0.0, 0.3)) == 0.0
    assert blend.threshold(np.array([[0.0, 0.0, 0.3, 2.0]]), target, weight, maximum, (0.0, 0.3)) == 0.0
    assert blend.finish(np.array([[-1.0, 0.2, 1.0, 9.0]]), maximum, 0.3).tolist() == [[0, 0, 1, 2.58]]
