"""Both hands at once -> their total, or an ordered class of it (Bo, Coates, Papiez 2024).

The total is the sum of all erosion and narrowing grades of both hands, 0 to 280.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from torch import Tensor, nn

from ra import paths, tables
from ra.anatomy import BOTH_HANDS, MAX_BOTH_HANDS, SEVERITY
from stage2_score import scores
from stage2_score.config import Member
from stage2_score.tasks.base import PictureTask, Predict, target_fields


class Hands(PictureTask):
    """Pictures of both hands -> their total."""

    input = "hands"
    outputs = targets = ("total",)

    def prepare(self, network: nn.Module) -> None:
        total = self.pictures.fields["total"][self.train_rows]
        network.head.set_scale(float(np.nanmean(total)), max(float(np.nanstd(total)), 1.0))

    def validate(self, predict: Predict) -> dict[str, float]:
        """Root mean square error of the total: what the paper calls `best validation performance` (section 2.8)."""
        error = self.predict(predict, self.val_rows)["total"] - self.pictures.fields["total"][self.val_rows]
        rmse = float(np.sqrt(np.nanmean(error**2)))
        return {"val_rmse": rmse, "criterion": rmse}

    @classmethod
    def rows(cls, member: Member, data: str) -> pd.DataFrame:
        """One row per patient; the target is NaN when a site of either hand is not scored and there is no given total."""
        totals = scores.hands_totals(tables.SITES.read(paths.sites(data)))
        return totals.assign(part=BOTH_HANDS, joint="hand", site="total", finding="total", max_score=MAX_BOTH_HANDS)

    @classmethod
    def fields(cls, member: Member, data: str, index: pd.DataFrame) -> dict[str, np.ndarray]:
        return target_fields(Hands.rows(member, data), index, ("total",))

    def fill(self, rows: pd.DataFrame, index: pd.DataFrame, outputs: dict[str, np.ndarray]) -> pd.DataFrame:
        return scores.with_values(rows, index, outputs)

    @classmethod
    def metrics(cls, oof: pd.DataFrame, data: str) -> dict[str, float]:
        scored = oof.dropna(subset=["target", "pred"])
        error = scored.pred - scored.target
        return {
            "pcc": float(scored.pred.corr(scored.target)),
            "mae": float(error.abs().mean()),
            "rmse": float((error**2).mean() ** 0.5),
        }


class Severity(Hands):
    """Pictures of both hands -> one of the ordered classes that head.params.bounds cut the total into."""

    outputs, targets = ("classes",), ("class",)

    def sampler_grade(self) -> np.ndarray:
        return np.minimum(self.pictures.fields["class"], 5)

    def prepare(self, network: nn.Module) -> None:
        """Leave the network unchanged: classes have no scale."""

    def decode(self, out: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"classes": out["classes"].softmax(1)}

    def validate(self, predict: Predict) -> dict[str, float]:
        """Accuracy, with the cross-entropy as criterion, because the accuracy of a few patients is too coarse.

        The paper only says that the epoch is chosen by `best validation performance`.
        """
        loss = self.validation_loss(predict)
        p = self.predict(predict, self.val_rows)["classes"].argmax(1)
        return {"val_accuracy": float((p == self.pictures.fields["class"][self.val_rows]).mean()), "criterion": loss}

    @classmethod
    def rows(cls, member: Member, data: str) -> pd.DataFrame:
        totals, bounds = Hands.rows(member, data), np.asarray(member.head.params["bounds"], float)
        target = np.where(totals.target.isna(), np.nan, np.digitize(totals.target, bounds))
        return totals.assign(site=SEVERITY, target=target, max_score=len(bounds))

    @classmethod
    def fields(cls, member: Member, data: str, index: pd.DataFrame) -> dict[str, np.ndarray]:
        return {"class": target_fields(cls.rows(member, data), index, ("total",))["total"]}

    def fill(self, rows: pd.DataFrame, index: pd.DataFrame, outputs: dict[str, np.ndarray]) -> pd.DataFrame:
        return scores.with_probabilities(rows, index, {"total": outputs["classes"]})

    @classmethod
    def metrics(cls, oof: pd.DataFrame, data: str) -> dict[str, float]:
        scored = oof.dropna(subset=["target", "pred"])
        chosen = scored[[f"p{k}" for k in range(int(scored.max_score.max()) + 1)]].to_numpy().argmax(1)
        return {
            "accuracy": float((chosen == scored.target).mean()),
            **super().metrics(scored.assign(pred=chosen.astype(float)), data),
        }
