"""A joint's crop -> its Ratingen grade, or the eroded percentage of its surface, as a distribution or as one number.

Thesis: J. Rohrbach, sections 4.3 and 4.4. Paper: Rohrbach et al. 2019, section 3. The head decides which of the three is
predicted. A distribution is given by its CDF at whole percents, F_k = P(percentage <= k), k = 0..100.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression
from torch import Tensor

from ra import agreement, clinical, paths, tables
from ra.agreement import N_RATINGEN_GRADES
from ra.anatomy import MEDIAN, PERCENT, RATINGEN, RATINGEN_STEPS_PERCENT
from stage2_score import scores
from stage2_score.config import Member, Sampler
from stage2_score.data import draw
from stage2_score.networks.rohrbach import N_STEPS
from stage2_score.tasks.base import PictureTask, Predict, target_fields

KEY = ["patient_id", "part", "joint"]
CDF = [f"c{k}" for k in range(N_STEPS)]
PREFIXES = {  # form of the head -> prefixes of the site names that it fills
    "classes": (RATINGEN,),
    "cdf": (RATINGEN, PERCENT, MEDIAN),
    "percent": (RATINGEN, PERCENT),
}


def form_of(member: Member) -> str:
    """The form of the head's output: classes, cdf or percent."""
    return member.head.name.removeprefix("ratingen_")


class Ratingen(PictureTask):
    """Joint crops, with the wrist as one joint -> Ratingen grades, and percentages if the head predicts them."""

    targets = ("percent",)

    @property
    def outputs(self) -> tuple[str, ...]:
        return (form_of(self.config),)

    def sampler_grade(self) -> np.ndarray:
        return self.pictures.fields["class"]

    def decode(self, out: dict[str, Tensor]) -> dict[str, Tensor]:
        return {form: value.softmax(1) if form == "classes" else value for form, value in out.items()}

    def validate(self, predict: Predict) -> dict[str, float]:
        """Balanced accuracy, with the training loss as criterion, class-weighted if training weighs or balances its classes."""
        grades, weight = self.sampler_grade()[self.val_rows], None
        if self.config.sampler.name != "all":
            order, drawn_weight = draw(grades, Sampler("weighted"), np.random.default_rng(0))
            weight = drawn_weight[np.argsort(order)]
        predicted = most_likely(form_of(self.config), self.predict(predict, self.val_rows))
        balanced = agreement.balanced_accuracy(grades, predicted).value
        return {"val_balanced_accuracy": balanced, "criterion": self.validation_loss(predict, weight)}

    @classmethod
    def rows(cls, member: Member, data: str) -> pd.DataFrame:
        joints = tables.RATINGEN.read(paths.ratingen(data))
        grade = percent_grades(joints.percent.to_numpy())
        blocks = []
        for prefix in PREFIXES[form_of(member)]:
            target, maximum = (grade, N_RATINGEN_GRADES - 1) if prefix == RATINGEN else (joints.percent, N_STEPS - 1)
            blocks.append(joints.assign(site=prefix + joints.joint, target=target, max_score=maximum))
        return pd.concat(blocks, ignore_index=True).drop(columns="percent").assign(finding="erosion")

    @classmethod
    def fields(cls, member: Member, data: str, index: pd.DataFrame) -> dict[str, np.ndarray]:
        joints = tables.RATINGEN.read(paths.ratingen(data)).rename(columns={"percent": "target"})
        percent = target_fields(joints.assign(finding="erosion"), index, ("erosion",))["erosion"]
        return {"percent": percent, "class": percent_grades(percent)}

    def fill(self, rows: pd.DataFrame, index: pd.DataFrame, outputs: dict[str, np.ndarray]) -> pd.DataFrame:
        def rows_of(prefix: str) -> pd.DataFrame:
            return rows[rows.site.str.startswith(prefix)]

        if "classes" in outputs:
            return scores.with_probabilities(rows_of(RATINGEN), index, {"erosion": outputs["classes"]})
        if "percent" in outputs:
            percent, blocks = outputs["percent"].clip(0, 100), []
            values = {RATINGEN: percent_grades(percent), PERCENT: percent}
        else:
            cdf = monotone(outputs["cdf"])
            blocks = [scores.with_probabilities(rows_of(RATINGEN), index, {"erosion": cdf_grades(cdf)})]
            values = {PERCENT: cdf_mean(cdf), MEDIAN: cdf_median(cdf)}
        blocks += [scores.with_values(rows_of(prefix), index, {"erosion": value}) for prefix, value in values.items()]
        return pd.concat(blocks)

    def extra_tables(self, index: pd.DataFrame, outputs: dict[str, np.ndarray]) -> dict[str, pd.DataFrame]:
        """The monotone CDF of each joint, c0..c100."""
        if "cdf" not in outputs:
            return {}
        cdf = pd.DataFrame(monotone(outputs["cdf"]).astype(np.float32), columns=CDF)
        table = pd.concat([index[KEY].reset_index(drop=True), cdf], axis=1)
        return {"cdf": table[table.joint.isin(tables.RATINGEN.columns["joint"].values)]}

    @classmethod
    def metrics(cls, oof: pd.DataFrame, data: str) -> dict[str, float]:
        """Accuracy, balanced accuracy, balanced accuracy within one grade; mean squared and absolute error of the percentage."""
        scored = oof.dropna(subset=["target", "pred"])
        grades = scored[scored.site.str.startswith(RATINGEN)]
        p = grades[[f"p{k}" for k in range(N_RATINGEN_GRADES)]].to_numpy()
        pair = grades.target.to_numpy(), np.where(np.isnan(p[:, 0]), grades.pred, np.nan_to_num(p).argmax(1))
        metrics = {
            "accuracy": agreement.accuracy(*pair).value,
            "balanced_accuracy": agreement.balanced_accuracy(*pair).value,
            "balanced_accuracy_within_1": agreement.within_one_balanced_accuracy(*pair).value,
        }
        percent = scored[scored.site.str.startswith(PERCENT)]
        pair = percent.target.to_numpy(), percent.pred.to_numpy()
        if len(percent):
            metrics |= {"percent_mse": agreement.mse(*pair), "percent_mae": agreement.mae(*pair)}
        return metrics

    @classmethod
    def after_folds(cls, run: str, data: str, member: Member) -> tuple[list[Path], dict[str, float]]:
        if form_of(member) != "cdf":
            return [], {}
        files = [paths.run_dir(data, 2, run) / f"cdf_{split}.parquet" for split in ("oof", "test")]
        cdf = pd.read_parquet(files[0]).merge(tables.RATINGEN.read(paths.ratingen(data)), on=KEY)
        return files, {"crps": agreement.crps(cdf[CDF].to_numpy(), cdf.percent.to_numpy())}


def most_likely(form: str, outputs: dict[str, np.ndarray]) -> np.ndarray:
    """Ratingen grades (n,) of a head's decoded outputs."""
    if form == "percent":
        return percent_grades(outputs["percent"].clip(0, 100))
    p = outputs["classes"] if form == "classes" else cdf_grades(monotone(outputs["cdf"]))
    return p.argmax(1)


def monotone(cdf: np.ndarray) -> np.ndarray:
    """The nearest non-decreasing CDFs (n, 101) to independent sigmoid outputs; the last value is 1.

    Isotonic regression projects onto the non-decreasing functions; the truth is one of them, so no CRPS becomes larger. With a
    running maximum, one outlier would raise every later value.
    """
    rising = np.array([isotonic_regression(row).x for row in cdf]).reshape(cdf.shape).clip(0, 1)
    rising[:, -1:] = 1.0
    return rising


def cdf_mean(cdf: np.ndarray) -> np.ndarray:
    """Mean percentage (n,) of CDFs (n, 101): the sum of 1 - F_k over k = 0..99."""
    return (1 - cdf[:, :-1]).sum(1)


def cdf_median(cdf: np.ndarray) -> np.ndarray:
    """Median percentage (n,) of CDFs (n, 101): the first k with F_k >= 1/2."""
    return (cdf >= 0.5).argmax(1).astype(float)


def cdf_grades(cdf: np.ndarray) -> np.ndarray:
    """(n, 6) probabilities of the Ratingen grades of CDFs (n, 101): grade 0 is 0 %, then steps of 20 %."""
    edges = cdf[:, list(RATINGEN_STEPS_PERCENT)]
    return np.diff(edges, axis=1, prepend=0.0, append=1.0)


def percent_grades(percent: np.ndarray) -> np.ndarray:
    """Ratingen grades (n,) of percentages, rounded to whole percents as readers give them; NaN stays NaN."""
    return clinical.percents2grades(np.rint(percent))
