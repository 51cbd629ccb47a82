"""Difficulty estimates: quantities that predict the size of an error and so the width of a conformal interval.

They are logarithms of the predicted damage, of the members' uncertainty and of their disagreement. They are computed patient by
patient, without targets and without other patients, in the same way for fitting and for predicting.
"""

from __future__ import annotations

import warnings

import numpy as np

from ra.anatomy import FINDINGS
from stage3_stack.features import mean_moments
from stage3_stack.predictions import MOMENTS, MemberPredictions

GRADE, SPREAD = MOMENTS.index("grade"), MOMENTS.index("spread")
OFFSET = 0.05  # in grades or log totals; added before each logarithm, so that smaller uncertainties make no difference


def of_sites(grades: np.ndarray, total: np.ndarray, members: list[MemberPredictions]) -> np.ndarray:
    """(n, 86, 4) difficulties of the sites, from the stack's grades (n, 86) and the patient's total (n,)."""
    uncertainty = mean_moments(members)[..., SPREAD]
    disagreement = _nan_std(np.stack([m.moments[..., GRADE] for m in members if m.moments is not None]))
    damage = np.broadcast_to(np.log1p(total)[:, None], grades.shape)
    return np.stack([np.log(OFFSET + grades), damage, np.log(OFFSET + uncertainty), np.log(OFFSET + disagreement)], axis=-1)


def of_total(
    value: np.ndarray, grades: np.ndarray, sites: np.ndarray, finding: str, members: list[MemberPredictions]
) -> np.ndarray:
    """(n, 5) difficulties of a finding's total (n,) over some sites (86,); the stack's grade replaces a member's missing one.

    Two columns name the finding, because totals of different findings are calibrated together.
    """
    moments = np.stack([m.moments[:, sites] for m in members if m.moments is not None])
    filled = np.where(np.isnan(moments[..., GRADE]), np.nan_to_num(grades[:, sites]), moments[..., GRADE])
    disagreement = np.log1p(filled.sum(axis=2)).std(axis=0)
    variance = np.square(np.nan_to_num(moments[..., SPREAD])).mean(axis=0).sum(axis=1)
    uncertainty = np.sqrt(variance) / (1 + value)
    is_finding = [np.full(len(value), float(finding == f)) for f in FINDINGS]
    return np.stack([np.log1p(value), np.log(OFFSET + uncertainty), np.log(OFFSET + disagreement), *is_finding], axis=-1)


def of_hands(value: np.ndarray, members: list[MemberPredictions]) -> np.ndarray:
    """(n, 2) difficulties of a total of both hands (n,), from the members' totals."""
    disagreement = _nan_std(np.stack([np.log1p(m.hands) for m in members]))
    return np.stack([np.log1p(value), np.log(OFFSET + disagreement)], axis=-1)


def _nan_std(values: np.ndarray) -> np.ndarray:
    """Standard deviation over the first axis (members) of the known values; NaN where none is known."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanstd(values, axis=0)
