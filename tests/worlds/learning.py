"""Tests that a network can learn: it is trained until its predictions are right, from up to three seeds.

The number of steps that a network needs differs between processors, which add numbers in different orders; whether it can learn
does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from stage2_score import engine
from stage2_score.config import Optim

Course = Iterator[None]  # each step of the iterator continues the training by a few steps, until the limit is reached


def learns(start: Callable[[int], tuple[nn.Module, Course]], right: Callable[[nn.Module], None]) -> nn.Module:
    """Train until the assertions of `right` hold, and return the network; they are checked after every few steps.

    start: seed -> a new network and its training. Fails with the last failed assertion if three seeds do not succeed. Also
    fails if a matrix or kernel never changed: no gradient reaches it, even if the remaining layers could memorise the targets.
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
    """The training loop of stage 2 with a constant rate, ten epochs at a time; each call resumes from the last checkpoint."""
    optim = replace(optim, schedule="constant", patience=optim.epochs)
    for epochs in range(10, optim.epochs + 1, 10):
        engine.fit(network, task, optim, folder / str(seed), engine.Runtime(), seed=(seed, 0), stop_after=epochs)
        yield
