"""What each kind of network learns: its pictures, targets, loss and validation; the loop is engine.fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ra.anatomy import ALL_JOINTS, FINDINGS
from ra.config import UserError
from stage2_score import data, scores
from stage2_score.data import Pictures
from stage2_score.loss import LOSSES, log_grades
from stage2_score.members import Member, Named, Pretrain
from stage2_score.model import N_KINDS, WIDTHS, kind_of, max_grade

EVAL_BATCH = 256
Predict = Callable[[dict[str, Tensor]], dict[str, Tensor]]


class PictureTask:
    """Batches of some pictures, a loss by name; subclasses say how well the held-back ones are predicted."""

    outputs: tuple[str, ...] = FINDINGS

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
        return np.zeros(len(self.pictures.index))

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        out = network(batch["picture"], batch["kind"], batch.get("extra"))
        return LOSSES[self.named.name](out, batch, **self.named.params)

    def predict(self, predict: Predict, rows: np.ndarray, tta: int = 1) -> dict[str, np.ndarray]:
        """Decoded outputs of index rows, averaged over test-time views."""
        found = [
            {k: torch.stack([self.decode(predict(view))[k] for view in views]).mean(0) for k in self.outputs}
            for views in data.plain_batches(self.pictures, rows, EVAL_BATCH, tta)
        ]
        return {k: torch.cat([f[k] for f in found]).numpy().astype(np.float64) for k in self.outputs}

    def decode(self, out: dict[str, Tensor]) -> dict[str, Tensor]:
        return out


class Joints(PictureTask):
    """Joint crops -> a distribution over the grades of erosion and of narrowing."""

    def worst(self) -> np.ndarray:
        return np.fmax(self.pictures.fields["erosion"], self.pictures.fields["narrowing"])

    def decode(self, out: dict[str, Tensor]) -> dict[str, Tensor]:
        return {f: out[f].softmax(1) for f in FINDINGS}

    def counts(self) -> dict[str, Tensor]:
        """How often each joint has each grade among the pictures trained on: finding -> (N_KINDS, n grades)."""
        found = {}
        for finding, n in WIDTHS.items():
            target = self.pictures.fields[finding][self.fit]
            scored = ~np.isnan(target)
            cell = self.pictures.kind[self.fit][scored] * n + target[scored].round().astype(int)
            found[finding] = torch.from_numpy(np.bincount(cell, minlength=N_KINDS * n).reshape(N_KINDS, n)).float()
        return found

    def validate(self, predict: Predict) -> dict[str, float]:
        """RMS errors of log2(grade + 1) over the held-back joints; the challenge's weights would leave it to one patient."""
        p = self.predict(predict, self.held)
        figures = {}
        for name, finding in (("val_narrowing", "narrowing"), ("val_erosion", "erosion")):
            target = np.log2(self.pictures.fields[finding][self.held] + 1)
            error = p[finding] @ log_grades(p[finding].shape[1]).numpy() - target
            figures[name] = float(np.sqrt(np.nanmean(error**2))) if np.isfinite(error).any() else 0.0
        return {**figures, "criterion": sum(figures.values())}


class Whole(PictureTask):
    """Whole parts -> log2(total + 1) of erosion and of narrowing."""

    def worst(self) -> np.ndarray:
        total = np.fmax(self.pictures.fields["erosion"], self.pictures.fields["narrowing"])
        return np.ceil(np.log2(total + 1))

    def validate(self, predict: Predict) -> dict[str, float]:
        """RMS errors of log2(total + 1)."""
        p = self.predict(predict, self.held)
        figures = {}
        for name, finding in (("val_narrowing", "narrowing"), ("val_erosion", "erosion")):
            error = p[finding] - np.log2(self.pictures.fields[finding][self.held] + 1)
            figures[name] = float(np.sqrt(np.nanmean(error**2))) if np.isfinite(error).any() else 0.0
        return {**figures, "criterion": sum(figures.values())}


class Age(PictureTask):
    """Crops or canvases of growing hands, with the sex -> bone age."""

    outputs = ("age",)
    mean_months, sd_months = 0.0, 1.0

    def validate(self, predict: Predict) -> dict[str, float]:
        """Mean absolute error in months, of single pictures and of each film's mean."""
        age = self.predict(predict, self.held)["age"]
        error = pd.Series((age - self.pictures.fields["age"][self.held]) * self.sd_months)
        film = error.groupby(self.pictures.index.film_id.to_numpy()[self.held]).mean().abs().mean()
        return {"val_mae_months": float(error.abs().mean()), "val_film_mae_months": float(film), "criterion": float(film)}


KINDS = {"joints": (Joints, "crops"), "whole": (Whole, "canvases")}


def member_pictures(config: Member, sites: pd.DataFrame, folder: Path) -> Pictures:
    """The crops or canvases of a set with their targets (NaN where not scored, and for test patients)."""
    name = KINDS[config.kind][1]
    index = data.read_index(folder, name)
    rows = scores.site_rows(sites) if config.kind == "joints" else scores.part_totals(sites)
    fields = {}
    for finding in FINDINGS:
        of_finding = rows[rows.finding == finding].set_index(["patient_id", "part", "joint"]).target
        fields[finding] = of_finding.reindex(pd.MultiIndex.from_frame(index[["patient_id", "part", "joint"]])).to_numpy(float)
        if config.kind == "joints":
            top = {joint: max(0, max_grade(joint, finding)) for joint in ALL_JOINTS}
            fields[f"{finding}_max"] = index.joint.map(top).to_numpy(float)
    kind = index.joint.map(kind_of).to_numpy(np.int64)
    return Pictures(data.open_array(folder, name), index, kind, fields)
