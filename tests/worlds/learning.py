"""Can a network learn? Trained until its answers are right, from up to three starts.

How many steps a network needs differs between processors, which add up in different orders; whether it learns does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from stage2_score.members import Optim
from torch import Tensor, nn

from stage2_score import engine

Course = Iterator[None]  # goes on with a training, a few steps at a time, until its steps are spent


def learns(start: Callable[[int], tuple[nn.Module, Course]], right: Callable[[nn.Module], None]) -> nn.Module:
    """The first trained network that satisfies `right`, whose assertions are asked after every few steps.

    start: from a seed, a new network and its course. Fails with what was last wrong when three seeds were of no use, and where
    a kernel or a matrix never moved: no gradient reaches it, even if the rest could learn the answers by heart.
    """
    for seed in range(3):
        torch.manual_seed(seed)
        network, course = start(seed)
        before = {name: p.detach().clone() for name, p in network.named_parameters()}
        for _ in course:
            try:
                right(network)
            except AssertionError as error:
                wrong = error
            else:
                wrong = None
                break
        still = [name for name, p in network.named_parameters() if p.ndim > 1 and torch.equal(p, before[name])]
        assert not still, f"no gradient reaches {still[:5]}"
        if wrong is None:
            return network
    raise wrong


def by_adam(network: nn.Module, loss: Callable[[], Tensor], lr: float, steps: int = 400) -> Course:
    """Steps of Adam on one batch, ten at a time."""
    optimizer = torch.optim.Adam(network.parameters(), lr)
    for step in range(steps):
        network.train()
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
        if step % 10 == 9:
            yield


def by_engine(network: nn.Module, task: engine.Task, optim: Optim, folder: Path, seed: int) -> Course:
    """The stage's own loop with a constant rate, ten epochs at a time: each call goes on from what the one before left."""
    optim = replace(optim, schedule="constant", patience=optim.epochs)
    for epochs in range(10, optim.epochs + 1, 10):
        engine.fit(network, task, optim, folder / str(seed), engine.Machine(), seed=(seed, 0), stop_after=epochs)
        yield
