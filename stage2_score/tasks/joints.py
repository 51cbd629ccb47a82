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

    def worst(self) -> np.ndarray:
        return np.fmax(self.pictures.fields["erosion"], self.pictures.fields["narrowing"])

    def prepare(self, network: nn.Module) -> None:
        if hasattr(network.head, "set_prior"):
            network.head.set_prior(self.counts())

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
            figures[name] = rms(p[finding] @ log_grades(p[finding].shape[1]).numpy() - target)
        return {**figures, "criterion": sum(figures.values())}

    @classmethod
    def rows(cls, member: Member, of: str) -> pd.DataFrame:
        return scores.site_rows(tables.SITES.read(paths.sites(of)))

    @classmethod
    def fields(cls, member: Member, of: str, index: pd.DataFrame) -> dict[str, np.ndarray]:
        top = {f: {joint: max(0, max_grade(joint, f)) for joint in ALL_JOINTS} for f in FINDINGS}
        maxima = {f"{f}_max": index.joint.map(top[f]).to_numpy(float) for f in FINDINGS}
        return target_fields(cls.rows(member, of), index, FINDINGS) | maxima

    def fill(self, rows: pd.DataFrame, index: pd.DataFrame, found: dict[str, np.ndarray]) -> pd.DataFrame:
        return scores.with_probabilities(rows, index, found)

    @classmethod
    def figures(cls, oof: pd.DataFrame, of: str) -> dict[str, float]:
        return scores.figures(oof, scores.gold_totals(tables.SITES.read(paths.sites(of))))


class Whole(PictureTask):
    """Whole parts -> log2(total + 1) of erosion and of narrowing."""

    array = "canvases"

    def worst(self) -> np.ndarray:
        total = np.fmax(self.pictures.fields["erosion"], self.pictures.fields["narrowing"])
        return np.ceil(np.log2(total + 1))

    def validate(self, predict: Predict) -> dict[str, float]:
        """RMS errors of log2(total + 1)."""
        p = self.predict(predict, self.held)
        figures = {}
        for name, finding in (("val_narrowing", "narrowing"), ("val_erosion", "erosion")):
            figures[name] = rms(p[finding] - np.log2(self.pictures.fields[finding][self.held] + 1))
        return {**figures, "criterion": sum(figures.values())}

    @classmethod
    def rows(cls, member: Member, of: str) -> pd.DataFrame:
        return scores.part_totals(tables.SITES.read(paths.sites(of)))

    @classmethod
    def fields(cls, member: Member, of: str, index: pd.DataFrame) -> dict[str, np.ndarray]:
        return target_fields(cls.rows(member, of), index, FINDINGS)

    def fill(self, rows: pd.DataFrame, index: pd.DataFrame, found: dict[str, np.ndarray]) -> pd.DataFrame:
        return scores.with_values(rows, index, {f: np.exp2(found[f].clip(0, 12)) - 1 for f in FINDINGS})

    @classmethod
    def figures(cls, oof: pd.DataFrame, of: str) -> dict[str, float]:
        return Joints.figures(oof, of)


def rms(error: np.ndarray) -> float:
    """Root mean square of what is known; 0 when nothing is, so that a finding nobody scored decides nothing."""
    return float(np.sqrt(np.nanmean(error**2))) if np.isfinite(error).any() else 0.0
