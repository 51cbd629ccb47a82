"""The training loop of pretraining and of every member; a run that is resumed after an epoch equals one that was never stopped.

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

from ra import atomic, training_log
from ra.config import UserError
from stage2_score.config import Optim, Phase
from stage2_score.networks.network import save

Batch = dict[str, Tensor]


class Task(Protocol):
    """The interface that the loop needs from a kind of member (tasks.base.PictureTask)."""

    steps: int  # batches per epoch

    def batches(self, epoch: int) -> Iterable[Batch]: ...
    def loss(self, network: nn.Module, batch: Batch) -> Tensor: ...
    def validate(self, predict: Callable[[Batch], dict[str, Tensor]]) -> dict[str, float]:
        """Metrics of the held-back patients; `criterion` among them, lower is better."""
        ...


@dataclass(frozen=True)
class Runtime:
    """How a network runs: its device, and whether in autocast to bfloat16."""

    device: str = "cpu"
    bf16: bool = False

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.split(":")[0], torch.bfloat16, enabled=self.bf16)

    def move(self, batch: Batch) -> Batch:
        return {k: v.to(self.device, non_blocking=True) for k, v in batch.items()}

    def sync(self) -> None:
        if self.device != "cpu":
            torch.cuda.synchronize(self.device)


def learning_rate(optim: Optim, step: int, steps: int) -> float:
    """Rate of a step in 0..steps-1: onecycle rises from lr/25 by a half cosine and falls to lr/1000; cosine starts at lr."""
    if optim.schedule == "constant":
        return optim.lr
    peak = optim.warmup_frac * steps if optim.schedule == "onecycle" else 0.0
    if step < peak:
        return optim.lr * (1 / 25 + (1 - 1 / 25) * (1 - math.cos(math.pi * step / peak)) / 2)
    done = (step - peak) / max(1.0, steps - peak)
    return optim.lr * (1e-3 + (1 - 1e-3) * (1 + math.cos(math.pi * done)) / 2)


def phase_at(optim: Optim, epoch: int) -> tuple[Phase, int]:
    """The phase that an epoch belongs to, and the first epoch of that phase."""
    start = 0
    for phase in optim.schedule_phases:
        if epoch < start + phase.epochs:
            return phase, start
        start += phase.epochs
    raise ValueError(f"epoch {epoch} lies beyond the last phase")


def set_training(network: nn.Module, freeze: tuple[str, ...]) -> None:
    """Put all but the frozen modules into training mode; frozen ones keep their weights and batch norm statistics."""
    modules = dict(network.named_modules())
    unknown = [name for name in freeze if name not in modules]
    if unknown:
        parent = unknown[0].rpartition(".")[0]
        siblings = [name for name in modules if name.rpartition(".")[0] == parent]
        raise UserError(f"optim.freeze: the network has no module {unknown[0]!r}; there are {', '.join(siblings)}")
    network.train().requires_grad_(True)
    for name in freeze:
        modules[name].eval().requires_grad_(False)


def make_optimizer(network: nn.Module, optim: Optim) -> torch.optim.Optimizer:
    """The optimizer that a config describes."""
    groups = _groups(network, optim.weight_decay)
    if optim.name == "sgd":
        return torch.optim.SGD(groups, lr=optim.lr, momentum=optim.momentum)  # fused SGD fails on modules that are unfrozen later
    return {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[optim.name](groups, lr=optim.lr, fused=True)


def _groups(network: nn.Module, weight_decay: float) -> list[dict]:
    """Parameter groups: weight decay for matrices and kernels, none for biases, norms, embeddings and priors."""
    embeddings = {p for m in network.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    decayed, undecayed = [], []
    for name, p in network.named_parameters():
        exempt = p.ndim < 2 or p in embeddings or ".prior." in name
        (undecayed if exempt else decayed).append(p)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": undecayed, "weight_decay": 0.0}]


def _average(ema: dict[str, Tensor], network: nn.Module, decay: float, step: int) -> None:
    """Update the averaged weights: ema <- d ema + (1 - d) weights, with d rising from 0.1 so that the start is soon forgotten."""
    d = min(decay, (1 + step) / (10 + step))
    weights = network.state_dict()
    floats = [name for name, value in weights.items() if value.dtype.is_floating_point]
    torch._foreach_lerp_([ema[name] for name in floats], [weights[name] for name in floats], 1 - d)
    for name in weights.keys() - set(floats):
        ema[name].copy_(weights[name])


class TrainingState:
    """A network with its optimizer, averaged weights and counters: the content of a checkpoint."""

    def __init__(self, network: nn.Module, optim: Optim, runtime: Runtime, path: Path):
        self.network, self.optim, self.runtime, self.path = network, optim, runtime, path
        network.to(runtime.device, memory_format=torch.channels_last)
        self.optimizer = make_optimizer(network, optim)
        self.ema = {k: v.detach().clone() for k, v in network.state_dict().items()} if optim.ema else None
        self.counters = {"epoch": 0, "best": math.inf, "since_best": 0, "seconds": 0.0, "metrics": {}}
        if path.is_file():
            self._resume()

    def _resume(self) -> None:
        saved = torch.load(self.path, map_location=self.runtime.device, weights_only=True)
        self.network.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.ema is not None:
            for name, value in saved["ema"].items():
                self.ema[name].copy_(value)
        self.counters = saved["counters"]

    def checkpoint(self) -> None:
        """Write last.pt."""
        network, optimizer = self.network.state_dict(), self.optimizer.state_dict()
        with atomic.replacing(self.path) as temporary:
            torch.save({"network": network, "optimizer": optimizer, "ema": self.ema, "counters": self.counters}, temporary)

    def train_epoch(self, task: Task, seed: tuple[int, ...]) -> float:
        """Train on the next epoch's batches; returns the mean loss."""
        epoch = self.counters["epoch"]
        torch.manual_seed(int(np.random.SeedSequence((*seed, epoch)).generate_state(1)[0]))  # dropout
        phase, start = phase_at(self.optim, epoch)
        set_training(self.network, phase.freeze)
        losses, steps, optim = [], phase.epochs * task.steps, replace(self.optim, lr=phase.lr)
        for i, batch in enumerate(task.batches(epoch)):
            step = epoch * task.steps + i
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(optim, step - start * task.steps, steps)
            with self.runtime.autocast():
                loss = task.loss(self.network, self.runtime.move(batch))
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
    runtime: Runtime,
    *,
    seed: tuple[int, ...],
    log: training_log.Log | None = None,
    fold: int = -1,
    stop_after: int | None = None,
) -> dict[str, float]:
    """Train to the last epoch (or until patience ends); leaves the best epoch's weights in `network` and best.safetensors.

    Resumes from folder/last.pt if that exists. Returns the best epoch's metrics with `epochs` and `seconds`. `stop_after` ends
    the call after that many epochs in all, as if it were killed (for tests).
    """
    folder.mkdir(parents=True, exist_ok=True)
    best_path = folder / "best.safetensors"
    state = TrainingState(network, optim, runtime, folder / "last.pt")
    epochs = sum(phase.epochs for phase in optim.schedule_phases)
    while (epoch := next_epoch(optim, state.counters)) < epochs:
        started = time.perf_counter()
        train_loss = state.train_epoch(task, seed)
        metrics = task.validate(predictor(network, runtime, state.ema))
        phase_starts = phase_at(optim, epoch)[1] == epoch  # patience is counted within a phase
        since_best = 0 if phase_starts else state.counters["since_best"]
        counters = {**state.counters, "epoch": epoch + 1, "since_best": since_best + 1}
        if metrics["criterion"] < counters["best"]:
            counters |= {"best": metrics["criterion"], "since_best": 0, "metrics": {**metrics, "best_epoch": epoch}}
            save(state.ema or network.state_dict(), best_path)
        seconds = time.perf_counter() - started
        state.counters = {**counters, "seconds": counters["seconds"] + seconds}
        if log:
            log.row(fold=fold, epoch=epoch, train_loss=train_loss, **metrics, seconds=seconds)
        state.checkpoint()
        if epoch + 1 == stop_after:
            break
    if not best_path.is_file():
        raise UserError(f"{folder}: the validation criterion was never a number; lower optim.lr or check the targets")
    network.load_state_dict(load_file(best_path, device=runtime.device))
    return {**state.counters["metrics"], "epochs": state.counters["epoch"], "seconds": round(state.counters["seconds"], 1)}


def next_epoch(optim: Optim, counters: dict) -> int:
    """The epoch that comes next: the one after the last, or the next phase's first when patience has ended."""
    if counters["since_best"] < optim.patience:
        return counters["epoch"]
    start = 0
    for phase in optim.schedule_phases:
        start += phase.epochs
        if start >= counters["epoch"]:
            break
    return start


def predictor(network: nn.Module, runtime: Runtime, weights: dict[str, Tensor] | None = None) -> Callable[[Batch], Batch]:
    """A function from a batch to the head's outputs on the CPU, in evaluation mode; `weights` replaces the network's weights."""

    def predict(batch: Batch) -> Batch:
        network.eval()
        moved = runtime.move(batch)
        args = (moved["picture"], moved["kind"], moved.get("extra"))
        with torch.inference_mode(), runtime.autocast():
            out = network(*args) if weights is None else torch.func.functional_call(network, weights, args)
        return {k: v.float().cpu() for k, v in out.items()}

    return predict


def measure_precision(network: nn.Module, task: Task, runtime: Runtime, steps: int = 3) -> Runtime:
    """The faster of fp32 and bfloat16 autocast for this network on this device, by a few timed steps (weights unchanged)."""
    before = {k: v.clone() for k, v in network.state_dict().items()}
    network.to(runtime.device, memory_format=torch.channels_last)
    set_training(network, task.config.optim.schedule_phases[-1].freeze)
    batch = runtime.move(next(iter(task.batches(0))))
    seconds = {}
    for bf16 in (False, True):
        trial = replace(runtime, bf16=bf16)
        for step in range(steps + 1):
            if step == 1:  # step 0 warms up
                trial.sync()
                started = time.perf_counter()
            with trial.autocast():
                loss = task.loss(network, batch)
            loss.backward()
            network.zero_grad(set_to_none=True)
        trial.sync()
        seconds[bf16] = time.perf_counter() - started
    network.load_state_dict(before)
    return replace(runtime, bf16=seconds[True] < 0.9 * seconds[False])


def choose_precision(network: nn.Module, task: Task, runtime: Runtime, precision: str, folder: Path) -> Runtime:
    """The runtime with the precision of a run: `auto` is measured once and stored in folder/precision.json for a resumed run.

    A processor without native bfloat16 multiplication is far slower with bfloat16, so fp32 is chosen there without measuring.
    """
    record = folder / "precision.json"
    if record.is_file():
        return replace(runtime, bf16=json.loads(record.read_text())["bf16"])
    if precision == "auto" and (runtime.device != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        runtime = measure_precision(network, task, runtime)
    else:
        runtime = replace(runtime, bf16=precision == "bf16")
    atomic.write_json(record, {"bf16": runtime.bf16})
    return runtime
