"""Cross-fitting: a layer of learners and their blend, fitted on some patients without ever looking at the others.

`Layer.fit` receives the outer training patients only. It splits them again by person; on these inner folds every learner gives
out-of-fold predictions, on which blend weights and the threshold are chosen. Then every learner is fitted on all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ra import folds
from ra.config import Named, UserError
from stage3_stack import blend, learners
from stage3_stack.config import JointStack

SMALLEST_ERROR = 0.15  # added to a patient's error before the patient's weight is divided by it


def inner_folds(person: np.ndarray, total: np.ndarray, config: JointStack) -> np.ndarray:
    """(n,) inner fold of each training patient: persons stay whole, totals are spread evenly. Few persons give fewer folds."""
    n_folds = min(config.inner_folds, len(set(person)))
    if n_folds < 2:
        raise UserError("all training patients outside a fold are one person; make fewer folds or add patients")
    names = [f"{i:06d}" for i in range(len(person))]  # folds.make sorts by patient_id: these names keep the order
    people = pd.DataFrame({"patient_id": names, "person_id": person, "total": total})
    return folds.make(people, n_folds, config.seed).fold.to_numpy()


def row_weight(target: np.ndarray, pred: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(n, s) weights with which a squared loss has the gradient of the score, sum_i w_i r_i with r_i = sqrt(mean_j d_ij^2).

    The score's gradient is w_i d_ij / (s r_i), so a patient with a small error r_i counts for more than the weight w_i.
    """
    if target.shape[1] == 1:
        return weight[:, None]
    error = blend.root_mean_square(target - pred)
    return np.broadcast_to((weight / (np.nan_to_num(error) + SMALLEST_ERROR))[:, None], target.shape)


@dataclass
class Layer:
    """Learners of one target (a finding's sites or one total) and their blend. maximum (s,): the largest log grades."""

    specs: tuple[Named, ...]
    config: JointStack
    maximum: np.ndarray
    zero_below: tuple[float, ...] = (0.0,)

    def fit(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray, fold: np.ndarray, names: list[str]) -> Layer:
        """x (n, s, features), y (n, s) log targets (NaN: not scored), weight (n,), fold (n,) inner folds."""
        self.names = names
        single_members = _single_members(names)
        self.all_specs = [*self.specs, *single_members]
        self.candidates = [spec.name for spec in self.specs] + [spec.params["only"] for spec in single_members]
        out_of_fold = np.full((len(self.all_specs), *y.shape), np.nan)
        for k in np.unique(fold):
            fitted = self._fit(x[fold != k], y[fold != k], weight[fold != k])
            out_of_fold[:, fold == k] = _predict(fitted, x[fold == k])
        out_of_fold = np.clip(out_of_fold, 0.0, self.maximum)
        options = {"rounds": self.config.rounds, "bags": self.config.bags, "seed": self.config.seed}
        self.weights = blend.weights(out_of_fold, y, weight, **options)
        blended = np.tensordot(self.weights, out_of_fold, axes=1)
        self.threshold = blend.threshold(blended, y, weight, self.maximum, self.zero_below)
        # (n, s) predictions of the training patients; cross-fitted except for the few blend weights and the threshold
        self.inner = blend.finish(blended, self.maximum, self.threshold)
        self.inner_loss = {name: blend.loss(p, y, weight) for name, p in zip(self.candidates, out_of_fold, strict=True)}
        self.fitted = self._fit(x, y, weight)
        return self

    def _fit(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> list[learners.Learner]:
        rows, flat = x.reshape(-1, x.shape[-1]), y.reshape(-1)
        mean_prediction = learners.Mean().fit(rows, flat, flat, self.names).predict(rows).reshape(y.shape)
        weights = row_weight(y, mean_prediction, weight).reshape(-1)
        use = ~np.isnan(flat) & (weights > 0)
        if not use.any():
            raise UserError("no training patient outside a fold has a target; score more patients or make fewer folds")
        return [learners.make(spec).fit(rows[use], flat[use], weights[use], self.names) for spec in self.all_specs]

    def predict_all(self, x: np.ndarray) -> np.ndarray:
        """(m, n, s) log grades of every candidate."""
        return np.clip(_predict(self.fitted, x), 0.0, self.maximum)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """(n, s) log grades of the blend."""
        return blend.finish(np.tensordot(self.weights, self.predict_all(x), axes=1), self.maximum, self.threshold)

    def describe(self) -> dict:
        """Blend weights, threshold and inner out-of-fold losses, for weights.json."""
        weights = {name: round(float(w), 4) for name, w in zip(self.candidates, self.weights, strict=True)}
        inner = {name: round(value, 5) for name, value in self.inner_loss.items()}
        return {"weights": weights, "zero_below": self.threshold, "inner_loss": inner}

    def export(self, folder: Path, prefix: str) -> list[Path]:
        """Write the fitted learners as files for people to read (learners.Learner.export); single members have none."""
        folder.mkdir(parents=True, exist_ok=True)
        named = zip(self.candidates, self.fitted, strict=True)
        return [path for name, learner in named for path in learner.export(folder, f"{prefix}_{name}")]


def _single_members(names: list[str]) -> list[Named]:
    """A blend candidate for the prediction of each member; [] if there is one member only, because it equals the mean."""
    columns = [name for name in names if name.endswith(learners.PREDICTION_COLUMNS)]
    return [Named("mean", {"only": name}) for name in columns] if len(columns) > 1 else []


def _predict(fitted: list[learners.Learner], x: np.ndarray) -> np.ndarray:
    """(m, n, s) predictions of fitted learners for x (n, s, features)."""
    rows = x.reshape(-1, x.shape[-1])
    return np.stack([learner.predict(rows).reshape(x.shape[:-1]) for learner in fitted])
