"""Clinical scores computed from grades and measurements: Ratingen grades, the Rau score, DAS28."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ra.anatomy import PARTS, RATINGEN_JOINTS, RATINGEN_STEPS_PERCENT, limb
from ra.config import UserError

RAU_FACTOR = 38  # joints of the original method; the maximum is 38 x 5 = 190
RAU_MAX_GRADE = 5
RAU_SITES = tuple((part, joint) for part in PARTS for joint in RATINGEN_JOINTS[limb(part)])  # 34; the wrist is one joint
GRADE2PERCENT = (0, *(step + 10 for step in RATINGEN_STEPS_PERCENT))  # the middle of each grade's step


def percent2grade(percent: float) -> int:
    """Ratingen grade 0..5 of the percentage of joint surface eroded: 0 is 0, then steps of 20 %."""
    return sum(percent > step for step in RATINGEN_STEPS_PERCENT)


def percents2grades(percent: np.ndarray) -> np.ndarray:
    """Ratingen grades 0..5 (float) of percentages of any shape; NaN stays NaN."""
    percent = np.asarray(percent, float)
    return np.where(np.isnan(percent), np.nan, (percent[..., None] > np.array(RATINGEN_STEPS_PERCENT)).sum(axis=-1))


@dataclass(frozen=True)
class Rau:
    """A Rau score 0..190 and the (part, joint) that were scored; both should be published together."""

    score: float
    sites: tuple[tuple[str, str], ...]

    @property
    def n_scored(self) -> int:
        return len(self.sites)

    @property
    def bounds(self) -> tuple[float, float]:
        """The score of all RAU_SITES if the joints that were not scored were all healthy, and if they were all destroyed."""
        share = self.n_scored / len(RAU_SITES)
        low = self.score * share if self.sites else 0.0
        return low, low + RAU_FACTOR * RAU_MAX_GRADE * (1 - share)


def rau(grades: Mapping[tuple[str, str], float]) -> Rau:
    """Rau score of one patient's Ratingen grades 0..5 by (part, joint): 38 x sum / number scored (thesis, section 2.3).

    A joint that is NaN or absent was not scored; only RAU_SITES may be present.
    """
    unknown = next((key for key in grades if key not in RAU_SITES), None)
    if unknown is not None:
        raise UserError(f"Rau score: {unknown} is not a Ratingen joint; use those in ra.clinical.RAU_SITES")
    sites = tuple(site for site in RAU_SITES if not np.isnan(grades.get(site, np.nan)))
    total = sum(grades[site] for site in sites)
    return Rau(float(RAU_FACTOR * total / len(sites)) if sites else float("nan"), sites)


def das28_esr(tender: np.ndarray, swollen: np.ndarray, esr: np.ndarray, global_health: np.ndarray) -> np.ndarray:
    """DAS28-ESR (n,) from tender and swollen joints (0..28), ESR (mm/h) and global health (0..100); NaN where any of them is NaN.

    0.56 sqrt(tender) + 0.28 sqrt(swollen) + 0.70 ln(ESR) + 0.014 global (thesis, section 2.4); an ESR below 1 counts as 1.
    """
    return _joints28(tender, swollen, global_health) + 0.70 * np.log(np.maximum(esr, 1))


def das28_crp(tender: np.ndarray, swollen: np.ndarray, crp: np.ndarray, global_health: np.ndarray) -> np.ndarray:
    """DAS28-CRP (n,) from tender and swollen joints (0..28), CRP (mg/L) and global health (0..100); NaN where any of them is NaN.

    As `das28_esr`, with 0.36 ln(CRP + 1) + 0.96 in place of 0.70 ln(ESR).
    """
    return _joints28(tender, swollen, global_health) + 0.36 * np.log(np.add(crp, 1)) + 0.96


def _joints28(tender: np.ndarray, swollen: np.ndarray, global_health: np.ndarray) -> np.ndarray:
    """The terms that DAS28-ESR and DAS28-CRP share."""
    return 0.56 * np.sqrt(tender) + 0.28 * np.sqrt(swollen) + 0.014 * np.asarray(global_health, float)


def das28_band(score: float) -> str | None:
    """Band of a DAS28: remission below 2.6, low below 3.2, high above 5.1, else moderate; None for NaN (thesis, section 2.4)."""
    if np.isnan(score):
        return None
    if score < 2.6:
        return "remission"
    if score < 3.2:
        return "low"
    return "high" if score > 5.1 else "moderate"
