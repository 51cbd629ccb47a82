"""Ratingen members compared with reader 1 and with null models, and the agreement of three raters.

Grades and percentages are compared as in Rohrbach et al. 2019, sections 3.3 and 4, and in the thesis behind it, sections 2.3 and
4.4; the metrics are those of stage3_stack/ratingen.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from ra import agreement, paths, tables
from ra.anatomy import ID
from ra.config import UserError
from stage3_stack.ratingen import CDF, KEY, Figures, Prediction, certain, figures, graded, point, predict, rau_scores

__all__ = ["CDF", "KEY", "Figures", "Prediction", "Readings", "Study", "figures", "point", "predict", "rau_scores", "readings"]

FOLDERS = {"oof": "train", "test": "gold"}  # where the raw folder keeps the readers of a split
# split -> (the split's name in a prepared set's table of readers' scores, function that gives the path of this table)
PREPARED = {"oof": ("train", paths.ratingen), "test": ("test", paths.ratingen_gold)}
PER_GRADE = 51  # joints of each grade in the re-scoring set; the paper's set had 308 joints of 6 grades


def read_csv(path: Path) -> pd.DataFrame | None:
    """A reader's ratingen CSV (Patient_ID, part, joint, percent and/or grade) by KEY; None if the file does not exist."""
    if not path.is_file():
        return None
    table = pd.read_csv(path, dtype={ID: str, "part": str, "joint": str}).rename(columns={ID: "patient_id"})
    lacking = [name for name in KEY if name not in table.columns]
    if lacking or not {"percent", "grade"} & set(table.columns):
        raise UserError(f"{path} lacks column {(lacking or ['percent'])[0]}; it needs {ID}, part, joint and percent or grade")
    table = table.set_index(KEY).astype(float)
    if table.index.has_duplicates:
        raise UserError(f"{path} has {table.index[table.index.duplicated()][0]} twice; keep one")
    missing = pd.Series(np.nan, table.index)
    return graded(table.get("percent", missing), table.get("grade", missing))


@dataclass
class Readings:
    """Grades and percentages of one split's readers by KEY. reader1 gives the targets; a missing reader is None."""

    reader1: pd.DataFrame
    reader2: pd.DataFrame | None
    truth: pd.DataFrame | None

    def column(self, reader: str, name: str) -> np.ndarray:
        """A column of another reader (reader2 or truth) in reader 1's order."""
        return getattr(self, reader)[name].reindex(self.reader1.index).to_numpy()


def readings(data: str, root: Path | None) -> dict[str, Readings]:
    """Readers' scores per split; {} for a set without any. If the set has a table of scores, it gives those of reader 1.

    root: the raw folder, which may hold a second reader and the simulated truth.
    """
    out = {}
    for split, folder in FOLDERS.items():
        files = [root / folder / f"ratingen{suffix}.csv" for suffix in ("", "_reader2", "_truth")] if root else []
        first, second, truth = [read_csv(path) for path in files] or (None, None, None)
        name, prepared = PREPARED[split]
        if prepared(data).is_file():
            table = tables.RATINGEN.read(prepared(data))
            first = graded(table[table.split == name].set_index(KEY).percent)
        if first is not None:
            out[split] = Readings(first.dropna(subset="grade"), second, truth)
    return out


@dataclass(eq=False)
class Study:
    """The Ratingen members of a set against its readers."""

    data: str
    runs: list[str]
    readings: dict[str, Readings]

    @cached_property
    def predictions(self) -> dict[tuple[str, str], Prediction]:
        """(run, split) -> predictions for reader 1's joints."""
        return {
            (run, split): predict(self.data, run, split, readers.reader1.index)
            for split, readers in self.readings.items()
            for run in self.runs
        }

    @cache  # noqa: B019 - lives as long as the study
    def figures(self, run: str, split: str) -> Figures:
        """Metrics of a member; {} if the split has no reader."""
        return figures(self.readings[split].reader1, self.predictions[run, split]) if split in self.readings else {}

    @cache  # noqa: B019
    def floors(self, split: str) -> dict[str, Figures]:
        """Metrics of a null model (all joints healthy) and, as the noise floor, of the truth behind the reader if it is known."""
        if split not in self.readings:
            return {}
        readers = self.readings[split]
        zero = np.zeros(len(readers.reader1))
        predictions = {"all zero": certain(zero, zero)}
        if readers.truth is not None:
            predictions["noise floor: truth"] = certain(readers.column("truth", "grade"), readers.column("truth", "percent"))
        return {name: figures(readers.reader1, pred) for name, pred in predictions.items()}

    def best(self) -> str | None:
        """The member with the highest balanced accuracy out of fold."""
        if "oof" not in self.readings:
            return None
        accuracy = {run: self.figures(run, "oof")["balanced_accuracy"].value for run in self.runs}
        known = {run: value for run, value in accuracy.items() if not np.isnan(value)}
        return max(known, key=known.get) if known else None

    def raters(self, run: str, split: str, seed: int = 0) -> tuple[int, Figures]:
        """Size of the re-scoring set, and the agreement of model and two readers on it (paper, section 4.2 and Table 3)."""
        readers = self.readings[split]
        grades = np.stack([self.predictions[run, split].grade, readers.reader1.grade, readers.column("reader2", "grade")])
        known = np.flatnonzero(~np.isnan(grades).any(axis=0))
        chosen = known[agreement.rescoring_set(grades[1, known], np.random.default_rng(seed), PER_GRADE)]
        model, first, second = grades[:, chosen]
        kappa = agreement.quadratic_kappa
        out: Figures = {"model - reader 1": kappa(first, model), "model - reader 2": kappa(second, model)}
        out |= {"reader 1 - reader 2": kappa(first, second), "ICC of the three": agreement.icc(grades[:, chosen].T)}
        return len(chosen), out
