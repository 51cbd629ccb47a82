"""Cross-fitting: a layer of learners and their blend, fitted on some patients without ever looking at the others.

`Layer.fit` sees the outer training patients only. Inside them, patient splits (persons stay whole) give every learner
out-of-fold predictions, on which blend weights and the threshold are chosen; then every learner is fitted on all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ra import folds
from ra.config import UserError
from stage3_stack import blend, learners
from stage3_stack.config import Named, Recipe

SMALLEST_ERROR = 0.15  # added to a patient's error before it divides his weight


def inner_folds(person: np.ndarray, total: np.ndarray, recipe: Recipe) -> np.ndarray:
    """(n,) fold of each training patient, persons whole and totals spread; fewer folds when there are fewer persons."""
    n_folds = min(recipe.inner_folds, len(set(person)))
    if n_folds < 2:
        raise UserError("the training patients outside a fold are one person; make fewer folds or add patients")
    names = [f"{i:06d}" for i in range(len(person))]  # keeps the order through the sort by patient_id
    people = pd.DataFrame({"patient_id": names, "person_id": person, "total": total})
    return folds.make(people, n_folds, recipe.seed).fold.to_numpy()


def row_weight(target: np.ndarray, guess: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(n, s) weights under which a squared loss moves like the score, sum_i w_i sqrt(mean_j d_ij^2).

    The score's gradient is w_i d_ij / (s r_i): a patient whose joints are easy counts for more than his weight says.
    """
    if target.shape[1] == 1:
        return weight[:, None]
    error = blend.root_mean_square(target - guess)
    return np.broadcast_to((weight / (np.nan_to_num(error) + SMALLEST_ERROR))[:, None], target.shape)


@dataclass
class Layer:
    """Learners of one target (a finding's sites or one total) and how they are blended. top (s,): the largest log grade."""

    specs: tuple[Named, ...]
    recipe: Recipe
    top: np.ndarray
    zero_below: tuple[float, ...] = (0.0,)

    def fit(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray, fold: np.ndarray, names: list[str]) -> Layer:
        """x (n, s, features), y (n, s) log targets (NaN: not scored), weight (n,), fold (n,) inner folds."""
        guesses = [name for name in names if name.endswith(learners.GUESS)]
        # a lone member would only repeat the mean
        members = [Named("mean", {"only": name}) for name in guesses] if len(guesses) > 1 else []
        self.candidates = [spec.name for spec in self.specs] + [spec.params["only"] for spec in members]
        self.all_specs, self.names = [*self.specs, *members], names
        held = np.full((len(self.all_specs), *y.shape), np.nan)
        for k in np.unique(fold):
            fitted = self._fit(x[fold != k], y[fold != k], weight[fold != k])
            held[:, fold == k] = _predict(fitted, x[fold == k])
        held = np.clip(held, 0.0, self.top)
        options = {"rounds": self.recipe.rounds, "bags": self.recipe.bags, "seed": self.recipe.seed}
        self.weights = blend.weights(held, y, weight, **options)
        mixed = np.tensordot(self.weights, held, axes=1)
        self.threshold = blend.threshold(mixed, y, weight, self.top, self.zero_below)
        self.inner = blend.finish(mixed, self.top, self.threshold)  # (n, s) cross-fitted but for the blend's few weights
        self.inner_loss = {name: blend.loss(h, y, weight) for name, h in zip(self.candidates, held, strict=True)}
        self.fitted = self._fit(x, y, weight)
        return self

    def _fit(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> list[learners.Learner]:
        rows, flat = x.reshape(-1, x.shape[-1]), y.reshape(-1)
        guess = learners.Mean().fit(rows, flat, flat, self.names).predict(rows).reshape(y.shape)
        counted = row_weight(y, guess, weight).reshape(-1)
        use = ~np.isnan(flat) & (counted > 0)
        if not use.any():
            raise UserError("no training patient outside a fold has a target; score more patients or make fewer folds")
        return [learners.make(spec).fit(rows[use], flat[use], counted[use], self.names) for spec in self.all_specs]

    def each(self, x: np.ndarray) -> np.ndarray:
        """(m, n, s) log grades of every candidate."""
        return np.clip(_predict(self.fitted, x), 0.0, self.top)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """(n, s) log grades of the blend."""
        return blend.finish(np.tensordot(self.weights, self.each(x), axes=1), self.top, self.threshold)

    def describe(self) -> dict:
        """Blend weights, threshold and inner out-of-fold losses, to be read."""
        kept = {name: round(float(w), 4) for name, w in zip(self.candidates, self.weights, strict=True)}
        inner = {name: round(value, 5) for name, value in self.inner_loss.items()}
        return {"weights": kept, "zero_below": self.threshold, "inner_loss": inner}

    def save(self, folder: Path, prefix: str) -> list[Path]:
        """The learners' own files (members have none)."""
        folder.mkdir(parents=True, exist_ok=True)
        named = zip(self.candidates, self.fitted, strict=True)
        return [path for name, learner in named for path in learner.save(folder, f"{prefix}_{name}")]


def _predict(fitted: list[learners.Learner], x: np.ndarray) -> np.ndarray:
    rows = x.reshape(-1, x.shape[-1])
    return np.stack([learner.predict(rows).reshape(x.shape[:-1]) for learner in fitted])
