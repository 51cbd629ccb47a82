"""Joint crops -> a distribution over the SvdH grades of erosion and of narrowing; and whole parts -> their totals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ra import paths, tables
from ra.anatomy import ALL_JOINTS, FINDINGS
from stage2_score import scores
from stage2_score.config import Member
from stage2_score.loss import log_grades
from stage2_score.networks.network import N_KINDS, WIDTHS, max_grade
from stage2_score.tasks.base import PictureTask, Predict, target_fields


class Joints(PictureTask):
    """Joint crops -> a distribution over the grades of erosion and of narrowing."""

    def sampler_grade(self) -> np.ndarray:
        return np.fmax(self.pictures.fields["erosion"], self.pictures.fields["narrowing"])

    def prepare(self, network: nn.Module) -> None:
        if hasattr(network.head, "set_prior"):
            network.head.set_prior(self.counts())

    def decode(self, out: dict[str, Tensor]) -> dict[str, Tensor]:
        return {f: out[f].softmax(1) for f in FINDINGS}

    def counts(self) -> dict[str, Tensor]:
        """How often each joint has each grade among the training pictures: finding -> (N_KINDS, n grades)."""
        counts = {}
        for finding, n in WIDTHS.items():
            target = self.pictures.fields[finding][self.train_rows]
            scored = ~np.isnan(target)
            cell = self.pictures.kind[self.train_rows][scored] * n + target[scored].round().astype(int)
            counts[finding] = torch.from_numpy(np.bincount(cell, minlength=N_KINDS * n).reshape(N_KINDS, n)).float()
        return counts

    def validate(self, predict: Predict) -> dict[str, float]:
        """RMS errors of log2(grade + 1) over the held-back joints.

        The challenge's patient weights are not used: with so few patients a single one would decide.
        """
        p = self.predict(predict, self.val_rows)
        metrics = {}
        for name, finding in (("val_narrowing", "narrowing"), ("val_erosion", "erosion")):
            target = np.log2(self.pictures.fields[finding][self.val_rows] + 1)
            metrics[name] = rms(p[finding] @ log_grades(p[finding].shape[1]).numpy() - target)
        return {**metrics, "criterion": sum(metrics.values())}

    @classmethod
    def rows(cls, member: Member, data: str) -> pd.DataFrame:
        return scores.site_rows(tables.SITES.read(paths.sites(data)))

    @classmethod
    def fields(cls, member: Member, data: str, index: pd.DataFrame) -> dict[str, np.ndarray]:
        maxima = {}
        for finding in FINDINGS:
            max_of = {joint: max(0, max_grade(joint, finding)) for joint in ALL_JOINTS}
            maxima[f"{finding}_max"] = index.joint.map(max_of).to_numpy(float)
        return target_fields(cls.rows(member, data), index, FINDINGS) | maxima

    def fill(self, rows: pd.DataFrame, index: pd.DataFrame, outputs: dict[str, np.ndarray]) -> pd.DataFrame:
        return scores.with_probabilities(rows, index, outputs)

    @classmethod
    def metrics(cls, oof: pd.DataFrame, data: str) -> dict[str, float]:
        return scores.metrics(oof, scores.gold_totals(tables.SITES.read(paths.sites(data))))


class Whole(PictureTask):
    """Whole parts -> log2(total + 1) of erosion and of narrowing."""

    input = "canvases"

    def sampler_grade(self) -> np.ndarray:
        total = np.fmax(self.pictures.fields["erosion"], self.pictures.fields["narrowing"])
        return np.ceil(np.log2(total + 1))

    def validate(self, predict: Predict) -> dict[str, float]:
        """RMS errors of log2(total + 1)."""
        p = self.predict(predict, self.val_rows)
        metrics = {}
        for name, finding in (("val_narrowing", "narrowing"), ("val_erosion", "erosion")):
            metrics[name] = rms(p[finding] - np.log2(self.pictures.fields[finding][self.val_rows] + 1))
        return {**metrics, "criterion": sum(metrics.values())}

    @classmethod
    def rows(cls, member: Member, data: str) -> pd.DataFrame:
        return scores.part_totals(tables.SITES.read(paths.sites(data)))

    @classmethod
    def fields(cls, member: Member, data: str, index: pd.DataFrame) -> dict[str, np.ndarray]:
        return target_fields(cls.rows(member, data), index, FINDINGS)

    def fill(self, rows: pd.DataFrame, index: pd.DataFrame, outputs: dict[str, np.ndarray]) -> pd.DataFrame:
        return scores.with_values(rows, index, {f: np.exp2(outputs[f].clip(0, 12)) - 1 for f in FINDINGS})

    @classmethod
    def metrics(cls, oof: pd.DataFrame, data: str) -> dict[str, float]:
        return Joints.metrics(oof, data)


def rms(error: np.ndarray) -> float:
    """Root mean square of the known errors; 0 when all are NaN, so that an unscored finding does not affect the criterion."""
    return float(np.sqrt(np.nanmean(error**2))) if np.isfinite(error).any() else 0.0
