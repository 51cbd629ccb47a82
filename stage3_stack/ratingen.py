"""How well the Ratingen members read: their grades and percentages against reader 1's, and three readers among each other.

After Rohrbach et al. 2019, sections 3.3 and 4, and the thesis behind it, sections 2.3 and 4.4. A member's grade is its likeliest
one (of a percentage without probabilities: its step), its percentage the median of its CDF for the absolute error and the mean
for the squared one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from ra import agreement, clinical, paths, tables
from ra.agreement import Interval
from ra.anatomy import ID, MEDIAN, PERCENT, RATINGEN
from ra.config import UserError
from ra.tables import PROBABILITIES

KEY = ["patient_id", "part", "joint"]
FOLDERS = {"oof": "train", "test": "gold"}  # where the raw folder keeps the readers of a split
OWN = {"oof": ("train", paths.ratingen), "test": ("test", paths.ratingen_gold)}  # where the set itself keeps its reader
CDF = [f"c{k}" for k in range(agreement.N_PERCENT)]
PER_GRADE = 51  # joints of each grade in the re-scoring set: the paper's 308 joints of 6 grades


def _reading(percent: pd.Series, grade: pd.Series | None = None) -> pd.DataFrame:
    """columns percent and grade, by KEY; the grade follows from the percentage where that is given."""
    own = clinical.percents2grades(percent.to_numpy())
    return pd.DataFrame({"percent": percent, "grade": own if grade is None else np.where(np.isnan(own), grade, own)})


def read_csv(path: Path) -> pd.DataFrame | None:
    """A reader's ratingen CSV (Patient_ID, part, joint, percent and/or grade) by KEY; None when there is none."""
    if not path.is_file():
        return None
    table = pd.read_csv(path, dtype={ID: str, "part": str, "joint": str}).rename(columns={ID: "patient_id"})
    lacking = [name for name in KEY if name not in table.columns]
    if lacking or not {"percent", "grade"} & set(table.columns):
        raise UserError(f"{path} lacks column {(lacking or ['percent'])[0]}; it needs {ID}, part, joint and percent or grade")
    table = table.set_index(KEY).astype(float)
    if table.index.has_duplicates:
        raise UserError(f"{path} reads {table.index[table.index.duplicated()][0]} twice; keep one")
    nothing = pd.Series(np.nan, table.index)
    return _reading(table.get("percent", nothing), table.get("grade", nothing))


@dataclass
class Readings:
    """Readers of one split by KEY, `reader1` the target; what there is not is None."""

    reader1: pd.DataFrame
    reader2: pd.DataFrame | None
    truth: pd.DataFrame | None

    def of(self, name: str, column: str) -> np.ndarray:
        """Another reader's column in reader 1's order."""
        return getattr(self, name)[column].reindex(self.reader1.index).to_numpy()


def readings(data: str, root: Path | None) -> dict[str, Readings]:
    """Per split what the readers saw; reader 1 is the set's own table where it has one. Empty for a set without any scores."""
    out = {}
    for split, folder in FOLDERS.items():
        first, second, truth = (
            read_csv(root / folder / f"ratingen{who}.csv") if root else None for who in ("", "_reader2", "_truth")
        )
        of, path = OWN[split]
        if path(data).is_file():
            table = tables.RATINGEN.read(path(data))
            first = _reading(table[table.split == of].set_index(KEY).percent)
        if first is not None:
            out[split] = Readings(first.dropna(subset="grade"), second, truth)
    return out


@dataclass
class Prediction:
    """A member's answers to a split's joints (n,): grade, the median and the mean percentage, cdf (n, 101); NaN: no film.

    percentages and CDF are None for a member of grades alone.
    """

    grade: np.ndarray
    median: np.ndarray | None = None
    mean: np.ndarray | None = None
    cdf: np.ndarray | None = None


def predict(data: str, run: str | tuple[str, ...], split: str, index: pd.MultiIndex) -> Prediction:
    """A run's answers in the index's order; those of several fold models, and of several runs, are averaged first."""
    runs = (run,) if isinstance(run, str) else run
    table = pd.concat([tables.SCORES.read(paths.scores(data, 2, name, split)) for name in runs])
    found = {prefix: _by_joint(table, prefix).reindex(index) for prefix in (RATINGEN, PERCENT, MEDIAN)}
    p = found[RATINGEN][list(PROBABILITIES[: agreement.N_GRADES])].to_numpy()
    mean, median = found[PERCENT].pred.to_numpy(), found[MEDIAN].pred.to_numpy()
    of_percent = clinical.percents2grades(np.rint(mean))  # a member of the percentage alone: readers give whole percents
    likeliest = np.where(np.isnan(p).any(axis=1), of_percent, np.nan_to_num(p).argmax(axis=1))
    if np.isnan(mean).all():
        return Prediction(likeliest)
    files = [paths.run_dir(data, 2, name) / f"cdf_{split}.parquet" for name in runs]
    found = [pd.read_parquet(path) for path in files if path.is_file()]
    cdf = pd.concat(found).groupby(KEY)[CDF].mean().reindex(index).to_numpy(float) if found else point(mean)
    return Prediction(likeliest, np.where(np.isnan(median), mean, median), mean, cdf)


def _by_joint(table: pd.DataFrame, prefix: str) -> pd.DataFrame:
    own = table[table.site.str.startswith(prefix)]
    return own.assign(joint=own.site.str.removeprefix(prefix)).groupby(KEY)[["pred", *PROBABILITIES]].mean()


def point(percent: np.ndarray) -> np.ndarray:
    """(n, 101) the CDF that is sure of a percentage (n,)."""
    return np.where(np.isnan(percent)[:, None], np.nan, np.arange(agreement.N_PERCENT) >= percent[:, None])


def sure(grade: np.ndarray, percent: np.ndarray) -> Prediction:
    """A reader, or a floor, as a member that is sure."""
    return Prediction(grade, percent, percent, point(percent))


Figures = dict[str, Interval | float]


def figures(target: pd.DataFrame, pred: Prediction) -> Figures:
    """The paper's and the thesis's metrics of one split."""
    grade, percent = target.grade.to_numpy(), target.percent.to_numpy()
    names = ("accuracy", "balanced_accuracy", "within_one_balanced_accuracy", "quadratic_kappa")
    out: Figures = {name: getattr(agreement, name)(grade, pred.grade) for name in names}
    if pred.cdf is not None:
        out |= {"crps": agreement.crps(pred.cdf, percent), "mse": agreement.mse(percent, pred.mean)}
        out["mae"] = agreement.mae(percent, pred.median)
    scores = rau_scores(target.index, grade), rau_scores(target.index, np.where(np.isnan(grade), np.nan, pred.grade))
    return out | {"rau_pcc": agreement.pcc(*scores), "rau_mae": agreement.mae(*scores)}


def rau_scores(index: pd.MultiIndex, grade: np.ndarray) -> np.ndarray:
    """(patients,) Rau scores, 0..190, of grades by KEY, patients sorted."""
    wide = pd.Series(grade, index).unstack(["part", "joint"]).sort_index()  # noqa: PD010 - a pivot table drops NaN
    return np.array([clinical.rau(dict(zip(wide.columns, row, strict=True))).score for row in wide.to_numpy()])


@dataclass(eq=False)
class Study:
    """The Ratingen members of a set against its readers."""

    data: str
    runs: list[str]
    readings: dict[str, Readings]

    @cached_property
    def predictions(self) -> dict[tuple[str, str], Prediction]:
        return {
            (run, split): predict(self.data, run, split, own.reader1.index)
            for split, own in self.readings.items()
            for run in self.runs
        }

    @cache  # noqa: B019 - lives as long as the study
    def figures(self, run: str, split: str) -> Figures:
        """Of a member; {} where there is nothing to compare with."""
        return figures(self.readings[split].reader1, self.predictions[run, split]) if split in self.readings else {}

    @cache  # noqa: B019
    def floors(self, split: str) -> dict[str, Figures]:
        """All joints healthy, and the truth behind the reader where it is known: the noise floor."""
        if split not in self.readings:
            return {}
        own = self.readings[split]
        zero = np.zeros(len(own.reader1))
        found = {"all zero": sure(zero, zero)}
        if own.truth is not None:
            found["noise floor: truth"] = sure(own.of("truth", "grade"), own.of("truth", "percent"))
        return {name: figures(own.reader1, pred) for name, pred in found.items()}

    def best(self) -> str | None:
        """The member with the highest balanced accuracy out of fold."""
        found = {run: self.figures(run, "oof")["balanced_accuracy"].value for run in self.runs if "oof" in self.readings}
        known = {run: value for run, value in found.items() if not np.isnan(value)}
        return max(known, key=known.get) if known else None

    def raters(self, run: str, split: str, seed: int = 0) -> tuple[int, Figures]:
        """Joints of the re-scoring set, and the agreement of model and two readers on it (paper, section 4.2 and Table 3)."""
        own = self.readings[split]
        grades = np.stack([self.predictions[run, split].grade, own.reader1.grade, own.of("reader2", "grade")])
        known = np.flatnonzero(~np.isnan(grades).any(axis=0))
        chosen = known[agreement.rescoring_set(grades[1, known], np.random.default_rng(seed), PER_GRADE)]
        model, first, second = grades[:, chosen]
        kappa = agreement.quadratic_kappa
        out: Figures = {"model - reader 1": kappa(first, model), "model - reader 2": kappa(second, model)}
        out |= {"reader 1 - reader 2": kappa(first, second), "ICC of the three": agreement.icc(grades[:, chosen].T)}
        return len(chosen), out
