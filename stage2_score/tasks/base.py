"""What every kind of network shares: batches of its pictures, a loss by name, predictions; the loop is engine.fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ra import paths
from ra.anatomy import FINDINGS
from ra.config import UserError
from stage2_score import data
from stage2_score.config import Member, Named, Pretrain
from stage2_score.data import Pictures
from stage2_score.loss import LOSSES
from stage2_score.networks.network import kind_of

Predict = Callable[[dict[str, Tensor]], dict[str, Tensor]]


class PictureTask:
    """Batches of some pictures, a loss by name; subclasses say how well the held-back ones are predicted.

    A kind of member also says which rows of a Scores table it fills (`rows`), from which pictures (`open`), how the
    network's answers become those rows (`fill`), and what is told of an out-of-fold table (`figures`).
    """

    eval_batch = 256  # pictures at a time when nothing is learned
    array = "crops"  # which pictures of the crops' run it sees
    outputs: tuple[str, ...] = FINDINGS  # what the network answers, decoded
    targets: tuple[str, ...] = FINDINGS  # fields of the pictures; one that is known makes a picture worth learning from

    def __init__(
        self,
        pictures: Pictures,
        rows: tuple[np.ndarray, np.ndarray],
        config: Member | Pretrain,
        loss: Named,
        *,
        seed: tuple[int, ...] = (0, 0),
        workers: int = 0,
    ):
        """rows: index rows to fit on, and held back for validation."""
        if loss.name not in LOSSES:
            raise UserError(f"loss {loss.name!r} is unknown; one of {', '.join(LOSSES)}")
        self.pictures, (self.fit, self.held), self.config, self.named = pictures, rows, config, loss
        self.seed, self.workers = seed, workers
        self.steps = data.n_steps(config.sampler.epoch_size or len(self.fit), config.optim.batch)

    def batches(self, epoch: int) -> Iterable[dict[str, Tensor]]:
        seed = (*self.seed, epoch)
        rows, weight = data.draw(self.worst()[self.fit], self.config.sampler, np.random.default_rng(seed))
        same = {"batch": self.config.optim.batch, "change": self.config.augment, "seed": seed, "workers": self.workers}
        return data.epoch_batches(self.pictures, (self.fit[rows], weight), **same)

    def worst(self) -> np.ndarray:
        """The grade (0..5) by which the sampler tells pictures apart."""
        return np.zeros(len(self.pictures.index))

    def prepare(self, network: nn.Module) -> None:
        """Give a new network what it may know of the pictures trained on before the first step."""

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        out = network(batch["picture"], batch["kind"], batch.get("extra"))
        return LOSSES[self.named.name](out, batch, **self.named.params)

    def validate(self, predict: Predict) -> dict[str, float]:
        """Figures of the held-back pictures; `criterion`, the lower the better, chooses the epoch."""
        raise NotImplementedError

    def validation_loss(self, predict: Predict, weight: np.ndarray | None = None) -> float:
        """The training loss itself on the held-back pictures, each with its weight (of mean 1) or all alike."""
        weight = torch.ones(len(self.held)) if weight is None else torch.from_numpy(weight.astype(np.float32))
        total, done = 0.0, 0
        for views in data.plain_batches(self.pictures, self.held, self.eval_batch):
            n = len(views[0]["kind"])
            batch = {**views[0], "weight": weight[done : done + n]}
            total += float(LOSSES[self.named.name](predict(views[0]), batch, **self.named.params)) * n
            done += n
        return total / len(self.held)

    def predict(self, predict: Predict, rows: np.ndarray, tta: int = 1, trim: float = 0.0) -> dict[str, np.ndarray]:
        """Decoded outputs of index rows: the mean over test-time views, without a share `trim` of them at either end."""
        found = [
            {k: trimmed_mean(torch.stack([out[k] for out in outs]), trim) for k in self.outputs}
            for outs in (
                [self.decode(predict(view)) for view in views]
                for views in data.plain_batches(self.pictures, rows, self.eval_batch, tta)
            )
        ]
        return {k: torch.cat([f[k] for f in found]).numpy().astype(np.float64) for k in self.outputs}

    def decode(self, out: dict[str, Tensor]) -> dict[str, Tensor]:
        return out

    def known(self) -> np.ndarray:
        """(n pictures,) which of them have a target."""
        fields = [self.pictures.fields[name].reshape(len(self.pictures.index), -1) for name in self.targets]
        return np.concatenate([~np.isnan(field) for field in fields], axis=1).any(axis=1)

    @classmethod
    def open(cls, member: Member, of: str) -> Pictures:
        """The pictures of a prepared set with their targets (NaN where not scored, and for test patients)."""
        folder = paths.run_dir(of, 2, member.crops)
        index = data.read_index(folder, cls.array)
        kind = index.joint.map(kind_of).to_numpy(np.int64)
        return Pictures(data.open_array(folder, cls.array), index, kind, cls.fields(member, of, index))

    @classmethod
    def fields(cls, member: Member, of: str, index: pd.DataFrame) -> dict[str, np.ndarray]:
        """Targets of each picture."""
        raise NotImplementedError

    @classmethod
    def rows(cls, member: Member, of: str) -> pd.DataFrame:
        """The rows of a Scores table that this kind fills, with targets, maxima and split: every patient of a prepared set."""
        raise NotImplementedError

    def fill(self, rows: pd.DataFrame, index: pd.DataFrame, found: dict[str, np.ndarray]) -> pd.DataFrame:
        """Rows with the decoded outputs of their pictures; NaN where there is no picture."""
        raise NotImplementedError

    def extras(self, index: pd.DataFrame, found: dict[str, np.ndarray]) -> dict[str, pd.DataFrame]:
        """Further tables by name, such as boxes: left beside the Scores table as <name>_<split>.parquet, with their fold."""
        return {}

    @classmethod
    def figures(cls, oof: pd.DataFrame, of: str) -> dict[str, float]:
        """What is told of a finished run's out-of-fold table."""
        return {}

    @classmethod
    def finished(cls, run: str, of: str, member: Member) -> tuple[list[Path], dict[str, float]]:
        """When all folds are joined: further files written from the extras, and figures about them."""
        return [], {}


def trimmed_mean(values: Tensor, trim: float) -> Tensor:
    """Mean over the first axis of each number on its own, without the floor(trim n) lowest and highest of its n values.

    Probabilities trimmed one by one need not sum to 1 any more; the Scores table makes them.
    """
    cut = int(trim * len(values))
    return values.sort(0).values[cut : len(values) - cut].mean(0) if cut else values.mean(0)


def target_fields(rows: pd.DataFrame, index: pd.DataFrame, findings: tuple[str, ...]) -> dict[str, np.ndarray]:
    """finding -> the target of each picture of an index (patient_id, part, joint); NaN where a picture has no such row."""
    key = ["patient_id", "part", "joint"]
    of = {f: rows[rows.finding == f].set_index(key).target for f in findings}
    return {f: target.reindex(pd.MultiIndex.from_frame(index[key])).to_numpy(float) for f, target in of.items()}
