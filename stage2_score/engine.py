"""The one training loop, of pretraining and of every member: resumable at an epoch, equal to a run that was never stopped.

Nothing random is carried from epoch to epoch: each epoch's draw, augmentation and dropout are seeded by (seed, fold,
epoch), so the checkpoint holds weights, averaged weights, optimizer and counters only, and loads with weights_only.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ra import atomic, track
from ra.config import UserError
from stage2_score.config import Optim, Phase
from stage2_score.networks.network import save

Batch = dict[str, Tensor]


class Task(Protocol):
    """What a kind of member adds to the loop."""

    steps: int  # batches per epoch

    def batches(self, epoch: int) -> Iterable[Batch]: ...
    def loss(self, network: nn.Module, batch: Batch) -> Tensor: ...
    def validate(self, predict: Callable[[Batch], dict[str, Tensor]]) -> dict[str, float]:
        """Figures of the held-back patients; `criterion` among them, lower is better."""
        ...


@dataclass(frozen=True)
class Machine:
    """Where a training runs: device, autocast to bfloat16 or not, and loader processes."""

    device: str = "cpu"
    bf16: bool = False
    workers: int = 0

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.split(":")[0], torch.bfloat16, enabled=self.bf16)

    def move(self, batch: Batch) -> Batch:
        return {k: v.to(self.device, non_blocking=True) for k, v in batch.items()}

    def sync(self) -> None:
        if self.device != "cpu":
            torch.cuda.synchronize(self.device)


def learning_rate(optim: Optim, step: int, steps: int) -> float:
    """The rate of a step in 0..steps-1: onecycle rises from lr/25 by a half cosine and falls to lr/1000; cosine starts at lr."""
    if optim.schedule == "constant":
        return optim.lr
    peak = optim.warmup_frac * steps if optim.schedule == "onecycle" else 0.0
    if step < peak:
        return optim.lr * (1 / 25 + (1 - 1 / 25) * (1 - math.cos(math.pi * step / peak)) / 2)
    done = (step - peak) / max(1.0, steps - peak)
    return optim.lr * (1e-3 + (1 - 1e-3) * (1 + math.cos(math.pi * done)) / 2)


def phase_at(optim: Optim, epoch: int) -> tuple[Phase, int]:
    """The phase that an epoch belongs to, and the epoch at which it starts."""
    start = 0
    for phase in optim.in_turn:
        if epoch < start + phase.epochs:
            return phase, start
        start += phase.epochs
    raise ValueError(f"epoch {epoch} lies beyond the last phase")


def set_training(network: nn.Module, freeze: tuple[str, ...]) -> None:
    """Training mode for all but the frozen modules: those keep their weights, and batch norm its running statistics."""
    modules = dict(network.named_modules())
    unknown = [name for name in freeze if name not in modules]
    if unknown:
        below = unknown[0].rpartition(".")[0]
        near = [name for name in modules if name.rpartition(".")[0] == below]
        raise UserError(f"optim.freeze: the network has no module {unknown[0]!r}; beside it are {', '.join(near)}")
    network.train().requires_grad_(True)
    for name in freeze:
        modules[name].eval().requires_grad_(False)


def make_optimizer(network: nn.Module, optim: Optim) -> torch.optim.Optimizer:
    """The optimizer that a config names."""
    groups = _groups(network, optim.weight_decay)
    if optim.name == "sgd":
        return torch.optim.SGD(groups, lr=optim.lr, momentum=optim.momentum)  # fused, it stumbles over a thawed part
    return {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[optim.name](groups, lr=optim.lr, fused=True)


def _groups(network: nn.Module, weight_decay: float) -> list[dict]:
    """Decay matrices and kernels only; biases, norms, embeddings and priors stay free."""
    free = {p for m in network.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    decay, rest = [], []
    for name, p in network.named_parameters():
        (rest if p.ndim < 2 or p in free or ".prior." in name else decay).append(p)
    return [{"params": decay, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]


def _average(ema: dict[str, Tensor], network: nn.Module, decay: float, step: int) -> None:
    """ema <- d ema + (1 - d) weights, with d rising from 0 so that the start is soon forgotten."""
    d = min(decay, (1 + step) / (10 + step))
    own = network.state_dict()
    real = [name for name, value in own.items() if value.dtype.is_floating_point]
    torch._foreach_lerp_([ema[name] for name in real], [own[name] for name in real], 1 - d)
    for name in own.keys() - set(real):
        ema[name].copy_(own[name])


class Learner:
    """A network with its optimizer, averaged weights and counters: what a checkpoint holds."""

    def __init__(self, network: nn.Module, optim: Optim, machine: Machine, path: Path):
        self.network, self.optim, self.machine, self.path = network, optim, machine, path
        network.to(machine.device, memory_format=torch.channels_last)
        self.optimizer = make_optimizer(network, optim)
        self.ema = {k: v.detach().clone() for k, v in network.state_dict().items()} if optim.ema else None
        self.state = {"epoch": 0, "best": math.inf, "since_best": 0, "seconds": 0.0, "figures": {}}
        if path.is_file():
            self._resume()

    def _resume(self) -> None:
        saved = torch.load(self.path, map_location=self.machine.device, weights_only=True)
        self.network.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.ema is not None:
            for name, value in saved["ema"].items():
                self.ema[name].copy_(value)
        self.state = saved["state"]

    def checkpoint(self) -> None:
        """Write last.pt, moved into place when whole."""
        temporary = self.path.with_name(f".{self.path.name}.tmp")
        network, optimizer = self.network.state_dict(), self.optimizer.state_dict()
        torch.save({"network": network, "optimizer": optimizer, "ema": self.ema, "state": self.state}, temporary)
        temporary.replace(self.path)

    def epoch(self, task: Task, seed: tuple[int, ...]) -> float:
        """One pass over the epoch's batches; returns the mean loss."""
        epoch = self.state["epoch"]
        torch.manual_seed(int(np.random.SeedSequence((*seed, epoch)).generate_state(1)[0]))  # dropout
        phase, start = phase_at(self.optim, epoch)
        set_training(self.network, phase.freeze)
        losses, steps, own = [], phase.epochs * task.steps, replace(self.optim, lr=phase.lr)
        for i, batch in enumerate(task.batches(epoch)):
            step = epoch * task.steps + i
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(own, step - start * task.steps, steps)
            with self.machine.autocast():
                loss = task.loss(self.network, self.machine.move(batch))
            if not torch.isfinite(loss):
                raise UserError(f"the loss became {loss.item()} in epoch {epoch}, step {i}; lower optim.lr ({phase.lr})")
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), self.optim.clip or math.inf)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            if self.ema is not None:
                _average(self.ema, self.network, self.optim.ema, step)
            losses.append(loss.detach())
        return float(torch.stack(losses).mean())


def fit(
    network: nn.Module,
    task: Task,
    optim: Optim,
    folder: Path,
    machine: Machine,
    *,
    seed: tuple[int, ...],
    log: track.Log | None = None,
    fold: int = -1,
    stop_after: int | None = None,
) -> dict[str, float]:
    """Train to the last epoch (or until patience ends); the best epoch's weights end in `network` and best.safetensors.

    Goes on from folder/last.pt when there is one. Returns the best epoch's figures with `epochs` and `seconds`.
    `stop_after` ends the call after that many epochs in all, as a kill would (for tests).
    """
    folder.mkdir(parents=True, exist_ok=True)
    best_path = folder / "best.safetensors"
    learner = Learner(network, optim, machine, folder / "last.pt")
    epochs = sum(phase.epochs for phase in optim.in_turn)
    while (epoch := next_epoch(optim, learner.state)) < epochs:
        started = time.perf_counter()
        train_loss = learner.epoch(task, seed)
        figures = task.validate(predictor(network, machine, learner.ema))
        since = 0 if phase_at(optim, epoch)[1] == epoch else learner.state["since_best"]  # each phase has its own patience
        state = {**learner.state, "epoch": epoch + 1, "since_best": since + 1}
        if figures["criterion"] < state["best"]:
            state |= {"best": figures["criterion"], "since_best": 0, "figures": {**figures, "best_epoch": epoch}}
            save(learner.ema or network.state_dict(), best_path)
        seconds = time.perf_counter() - started
        learner.state = {**state, "seconds": state["seconds"] + seconds}
        if log:
            log.row(fold=fold, epoch=epoch, train_loss=train_loss, **figures, seconds=seconds)
        learner.checkpoint()
        if epoch + 1 == stop_after:
            break
    if not best_path.is_file():
        raise UserError(f"{folder}: the validation figure never became a number; lower optim.lr or check the targets")
    network.load_state_dict(load_file(best_path, device=machine.device))
    return {**learner.state["figures"], "epochs": learner.state["epoch"], "seconds": round(learner.state["seconds"], 1)}


def next_epoch(optim: Optim, state: dict) -> int:
    """The epoch that comes next: the one after the last, or the next phase's first when patience has ended."""
    if state["since_best"] < optim.patience:
        return state["epoch"]
    start = 0
    for phase in optim.in_turn:
        start += phase.epochs
        if start >= state["epoch"]:
            break
    return start


def predictor(network: nn.Module, machine: Machine, weights: dict[str, Tensor] | None = None) -> Callable[[Batch], Batch]:
    """A function from a batch to the head's outputs on the CPU, in evaluation mode, with `weights` in place of its own."""

    def predict(batch: Batch) -> Batch:
        network.eval()
        moved = machine.move(batch)
        args = (moved["picture"], moved["kind"], moved.get("extra"))
        with torch.inference_mode(), machine.autocast():
            out = network(*args) if weights is None else torch.func.functional_call(network, weights, args)
        return {k: v.float().cpu() for k, v in out.items()}

    return predict


def measure(network: nn.Module, task: Task, machine: Machine, steps: int = 3) -> Machine:
    """The faster of fp32 and bfloat16 autocast for this network here, by timing a few steps of each (weights unchanged)."""
    before = {k: v.clone() for k, v in network.state_dict().items()}
    network.to(machine.device, memory_format=torch.channels_last)
    set_training(network, task.config.optim.in_turn[-1].freeze)
    batch = machine.move(next(iter(task.batches(0))))
    seconds = {}
    for bf16 in (False, True):
        trial = replace(machine, bf16=bf16)
        for step in range(steps + 1):
            if step == 1:  # the first one warms up
                trial.sync()
                started = time.perf_counter()
            with trial.autocast():
                loss = task.loss(network, batch)
            loss.backward()
            network.zero_grad(set_to_none=True)
        trial.sync()
        seconds[bf16] = time.perf_counter() - started
    network.load_state_dict(before)
    return replace(machine, bf16=seconds[True] < 0.9 * seconds[False])


def choose(network: nn.Module, task: Task, machine: Machine, precision: str, folder: Path) -> Machine:
    """The machine of a run: `auto` precision is measured once and kept in folder/precision.json for a run that goes on.

    A processor that does not multiply bfloat16 crawls with it: there is nothing to measure.
    """
    kept = folder / "precision.json"
    if kept.is_file():
        return replace(machine, bf16=json.loads(kept.read_text())["bf16"])
    if precision == "auto" and (machine.device != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        machine = measure(network, task, machine)
    else:
        machine = replace(machine, bf16=precision == "bf16")
    atomic.write_json(kept, {"bf16": machine.bf16})
    return machine
