"""Patient folds: made once per set and shared by all stages; all visits of a person are in the same fold."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from ra import paths
from ra.config import UserError
from ra.tables import FOLDS

STRATA = (0, 5, 10, 20, 55)  # bounds between the strata of total, from RA2-DREAM's quartiles and weight bands


def make(patients: pd.DataFrame, n_folds: int, seed: int) -> pd.DataFrame:
    """Assign the training patients to folds, stratified by total and grouped by person.

    patients: patient_id, person_id, total (NaN is a stratum). A set without training patients has no folds. Raises UserError
    when there are fewer persons than folds.
    """
    if patients.empty:
        return FOLDS.check(pd.DataFrame(columns=list(FOLDS.columns)))
    from sklearn.model_selection import StratifiedGroupKFold  # takes a second to import

    persons = patients.person_id.nunique()
    if persons < n_folds:
        raise UserError(f"{persons} training persons cannot make {n_folds} folds; use --folds {max(2, persons)} or add patients")
    stratum = pd.cut(patients.total, [-np.inf, *STRATA, np.inf]).cat.codes.to_numpy()
    if np.bincount(stratum + 1).max() < n_folds:  # too few patients to stratify
        stratum = np.zeros_like(stratum)
    ordered = patients.assign(stratum=stratum).sort_values("patient_id", ignore_index=True)
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    fold = np.empty(len(ordered), dtype=int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a stratum may have fewer patients than there are folds
        for k, (_, held_out) in enumerate(splitter.split(ordered, ordered.stratum, ordered.person_id)):
            fold[held_out] = k
    return FOLDS.check(pd.DataFrame({"patient_id": ordered.patient_id, "fold": fold, "stratum": ordered.stratum.astype(str)}))


def load(data: str) -> pd.Series:
    """Fold number of each training patient, indexed by patient_id."""
    return FOLDS.read(paths.folds(data)).set_index("patient_id").fold


def digest(path: Path) -> str:
    """Hash of a folds file, recorded in every run.json."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def chosen(flag: str, n_folds: int) -> list[int]:
    """The folds that the flag --fold selects: all, or one number."""
    if flag == "all":
        return list(range(n_folds))
    if not flag.isdigit() or int(flag) >= n_folds:
        raise UserError(f"--fold {flag}: give a number from 0 to {n_folds - 1}, or all")
    return [int(flag)]
