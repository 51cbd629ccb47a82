"""A joint's crop -> how much of its surface is eroded: Ratingen grade, distribution of the percentage, or the percentage.

Thesis: J. Rohrbach, sections 4.3 and 4.4. Paper: Rohrbach et al. 2019, section 3. The head says which of the three it is.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor

from ra import agreement, paths, tables
from ra.anatomy import MEDIAN, PERCENT, RATINGEN
from stage2_score import data, ratingen_losses, scores
from stage2_score.config import Member, Sampler
from stage2_score.networks.rohrbach import N_GRADES, N_STEPS
from stage2_score.tasks.base import PictureTask, Predict, target_fields

KEY = ["patient_id", "part", "joint"]
CDF = [f"c{k}" for k in range(N_STEPS)]
FILLED = {"classes": (RATINGEN,), "cdf": (RATINGEN, PERCENT, MEDIAN), "percent": (RATINGEN, PERCENT)}


def form_of(member: Member) -> str:
    """What the head answers: classes, cdf or percent."""
    return member.head.name.removeprefix("ratingen_")


class Ratingen(PictureTask):
    """Joint crops, the wrist as one -> Ratingen rows, and rows of the percentage where the head knows it."""

    targets = ("percent",)

    @property
    def outputs(self) -> tuple[str, ...]:
        return (form_of(self.config),)

    def worst(self) -> np.ndarray:
        return self.pictures.fields["class"]

    def decode(self, out: dict[str, Tensor]) -> dict[str, Tensor]:
        return {form: value.softmax(1) if form == "classes" else value for form, value in out.items()}

    def validate(self, predict: Predict) -> dict[str, float]:
        """The training loss chooses the epoch, with class weights where training has them in any form."""
        weight = None
        if self.config.sampler.name != "all":
            order, drawn = data.draw(self.worst()[self.held], Sampler("weighted"), np.random.default_rng(0))
            weight = drawn[np.argsort(order)]
        chosen = most_likely(form_of(self.config), self.predict(predict, self.held))
        balanced = agreement.balanced_accuracy(self.worst()[self.held], chosen).value
        return {"val_balanced_accuracy": balanced, "criterion": self.validation_loss(predict, weight)}

    @classmethod
    def rows(cls, member: Member, of: str) -> pd.DataFrame:
        joints = tables.RATINGEN.read(paths.ratingen(of))
        grade = ratingen_losses.percent_grades(joints.percent.to_numpy())
        blocks = [
            joints.assign(site=place + joints.joint, target=grade if place == RATINGEN else joints.percent, max_score=maximum)
            for place, maximum in ((RATINGEN, N_GRADES - 1), (PERCENT, N_STEPS - 1), (MEDIAN, N_STEPS - 1))
            if place in FILLED[form_of(member)]
        ]
        return pd.concat(blocks, ignore_index=True).drop(columns="percent").assign(finding="erosion")

    @classmethod
    def fields(cls, member: Member, of: str, index: pd.DataFrame) -> dict[str, np.ndarray]:
        joints = tables.RATINGEN.read(paths.ratingen(of)).rename(columns={"percent": "target"})
        percent = target_fields(joints.assign(finding="erosion"), index, ("erosion",))["erosion"]
        return {"percent": percent, "class": ratingen_losses.percent_grades(percent)}

    def fill(self, rows: pd.DataFrame, index: pd.DataFrame, found: dict[str, np.ndarray]) -> pd.DataFrame:
        of = {place: rows[rows.site.str.startswith(place)] for place in FILLED[form_of(self.config)]}
        if "classes" in found:
            return scores.with_probabilities(of[RATINGEN], index, {"erosion": found["classes"]})
        if "percent" in found:
            percent = found["percent"].clip(0, 100)
            values = {RATINGEN: ratingen_losses.percent_grades(percent), PERCENT: percent}
            return pd.concat([scores.with_values(of[place], index, {"erosion": v}) for place, v in values.items()])
        cdf = ratingen_losses.monotone(found["cdf"])
        grades = scores.with_probabilities(of[RATINGEN], index, {"erosion": ratingen_losses.cdf_grades(cdf)})
        values = {PERCENT: ratingen_losses.cdf_mean(cdf), MEDIAN: ratingen_losses.cdf_median(cdf)}
        return pd.concat([grades, *(scores.with_values(of[place], index, {"erosion": v}) for place, v in values.items())])

    def extras(self, index: pd.DataFrame, found: dict[str, np.ndarray]) -> dict[str, pd.DataFrame]:
        """The monotone CDF of each joint, c0..c100."""
        if "cdf" not in found:
            return {}
        cdf = pd.DataFrame(ratingen_losses.monotone(found["cdf"]).astype(np.float32), columns=CDF)
        table = pd.concat([index[KEY].reset_index(drop=True), cdf], axis=1)
        return {"cdf": table[table.joint.isin(tables.RATINGEN.columns["joint"].values)]}

    @classmethod
    def figures(cls, oof: pd.DataFrame, of: str) -> dict[str, float]:
        """Accuracy, balanced accuracy and that within one grade; mean squared and absolute error of the percentage."""
        known = oof.dropna(subset=["target", "pred"])
        grades = known[known.site.str.startswith(RATINGEN)]
        p = grades[[f"p{k}" for k in range(N_GRADES)]].to_numpy()
        pair = grades.target.to_numpy(), np.where(np.isnan(p[:, 0]), grades.pred, np.nan_to_num(p).argmax(1))
        found = {
            "accuracy": agreement.accuracy(*pair).value,
            "balanced_accuracy": agreement.balanced_accuracy(*pair).value,
            "balanced_accuracy_within_1": agreement.within_one_balanced_accuracy(*pair).value,
        }
        percent = known[known.site.str.startswith(PERCENT)]
        pair = percent.target.to_numpy(), percent.pred.to_numpy()
        return found | ({"percent_mse": agreement.mse(*pair), "percent_mae": agreement.mae(*pair)} if len(percent) else {})

    @classmethod
    def finished(cls, run: str, of: str, member: Member) -> tuple[list[Path], dict[str, float]]:
        if form_of(member) != "cdf":
            return [], {}
        files = [paths.run_dir(of, 2, run) / f"cdf_{split}.parquet" for split in ("oof", "test")]
        cdf = pd.read_parquet(files[0]).merge(tables.RATINGEN.read(paths.ratingen(of)), on=KEY)
        return files, {"crps": agreement.crps(cdf[CDF].to_numpy(), cdf.percent.to_numpy())}


def most_likely(form: str, found: dict[str, np.ndarray]) -> np.ndarray:
    """Ratingen grades (n,) of a head's answers."""
    if form == "percent":
        return ratingen_losses.percent_grades(found["percent"].clip(0, 100))
    return (found["classes"] if form == "classes" else ratingen_losses.cdf_grades(ratingen_losses.monotone(found["cdf"]))).argmax(
        1
    )
