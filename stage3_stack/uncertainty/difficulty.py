"""What a run knows of the error that it makes: how much damage it sees, how unsure its members are, how far they disagree.

All of it is a patient's own (no target, no other patient), logarithms, in one order for fitting and predicting.
"""

from __future__ import annotations

import warnings

import numpy as np

from ra.anatomy import FINDINGS
from stage3_stack.predictions import MOMENTS, Member

GRADE, SPREAD = MOMENTS.index("grade"), MOMENTS.index("spread")
SMALL = 0.05  # grades, or log totals: below this nobody is sure


def of_sites(grades: np.ndarray, total: np.ndarray, members: list[Member]) -> np.ndarray:
    """(n, 86, 4) of the stack's grades (n, 86) and the patient's total (n,)."""
    moments = np.stack([m.moments for m in members if m.moments is not None])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a site that no member saw has no clue
        unsure, apart = np.nanmean(moments[..., SPREAD], axis=0), np.nanstd(moments[..., GRADE], axis=0)
    damage = np.broadcast_to(np.log1p(total)[:, None], grades.shape)
    return np.stack([np.log(SMALL + grades), damage, np.log(SMALL + unsure), np.log(SMALL + apart)], axis=-1)


def of_total(value: np.ndarray, grades: np.ndarray, own: np.ndarray, finding: str, members: list[Member]) -> np.ndarray:
    """(n, 5) of a finding's total (n,) over the sites `own` (86,); a member's missing grade is the stack's.

    Which finding it is has a clue of its own, for the totals that are calibrated together.
    """
    moments = np.stack([m.moments[:, own] for m in members if m.moments is not None])
    known = np.where(np.isnan(moments[..., GRADE]), np.nan_to_num(grades[:, own]), moments[..., GRADE])
    apart = np.log1p(known.sum(axis=2)).std(axis=0)
    unsure = np.sqrt(np.square(np.nan_to_num(moments[..., SPREAD])).mean(axis=0).sum(axis=1)) / (1 + value)
    which = [np.full(len(value), float(finding == f)) for f in FINDINGS]
    return np.stack([np.log1p(value), np.log(SMALL + unsure), np.log(SMALL + apart), *which], axis=-1)


def of_hands(value: np.ndarray, members: list[Member]) -> np.ndarray:
    """(n, 2) of a total of both hands (n,) and the members that read them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        apart = np.nanstd(np.stack([np.log1p(m.hands) for m in members]), axis=0)
    return np.stack([np.log1p(value), np.log(SMALL + apart)], axis=-1)
