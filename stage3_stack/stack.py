"""The two storeys of the stack: grades of the 86 sites, and on top of them the patient's three totals."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ra.anatomy import MAX_TOTAL, SITES
from ra.challenge_scores import log_score, unlog_score
from ra.config import UserError
from stage3_stack.cohort import FINDING_SITES, MAX_GRADES, TARGETS, Cohort
from stage3_stack.config import Recipe
from stage3_stack.cross_fitting import Layer, inner_folds
from stage3_stack.features import site_features, total_features


@dataclass
class Prediction:
    """grades (n, 86) and totals (n, 3: total, erosion, narrowing), decoded; `learners` holds each learner's own pair."""

    grades: np.ndarray
    totals: np.ndarray
    learners: dict[str, tuple[np.ndarray, np.ndarray]]

    @classmethod
    def empty(cls, n: int, recipe: Recipe) -> Prediction:
        """NaN everywhere, to be filled fold by fold."""
        names = dict.fromkeys(s.name for s in (*recipe.site_learners, *recipe.total_learners))
        return cls(*_nan_pair(n), {name: _nan_pair(n) for name in names})

    def put(self, rows: np.ndarray, other: Prediction) -> None:
        """Write another prediction into some rows."""
        self.grades[rows], self.totals[rows] = other.grades, other.totals
        for name, (grades, totals) in other.learners.items():
            self.learners[name][0][rows], self.learners[name][1][rows] = grades, totals


def _nan_pair(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full((n, len(SITES)), np.nan), np.full((n, len(TARGETS)), np.nan)


class Stack:
    """Fitted on the training patients `rows`; no target of any other patient is read.

    A site or a total that the set does not score has no learner and is predicted by NaN; totals are sums of what is scored.
    """

    def __init__(self, cohort: Cohort, recipe: Recipe):
        self.cohort, self.recipe, self.scored = cohort, recipe, cohort.scored
        self.own = {f: own[self.scored[own]] for f, own in FINDING_SITES.items() if self.scored[own].any()}
        self.targets = [t for t, known in zip(TARGETS, ~np.isnan(cohort.totals).all(axis=0), strict=True) if known]
        self.cube, self.names = site_features(cohort, recipe.features)

    def fit(self, rows: np.ndarray) -> Stack:
        c, recipe = self.cohort, self.recipe
        fold = inner_folds(c.person[rows], c.totals[rows, 0], recipe)
        self.sites, self.totals = {}, {}
        grades = np.zeros((len(rows), len(SITES)))
        for finding, own in self.own.items():
            layer = Layer(recipe.site_learners, recipe, log_score(MAX_GRADES[own]), recipe.zero_below)
            y = log_score(c.grades[rows][:, own])
            self.sites[finding] = layer.fit(self.cube[rows][:, own], y, c.weight[rows], fold, self.names)
            grades[:, own] = unlog_score(layer.inner)
        for target in self.targets:
            i = TARGETS.index(target)
            x, names = total_features(c, rows, grades, target)
            layer = Layer(recipe.total_learners, recipe, log_score(np.array([MAX_TOTAL[target]], dtype=float)))
            y = log_score(c.totals[rows, i : i + 1])
            self.totals[target] = layer.fit(x[:, None, :], y, c.weight[rows], fold, names)
        return self

    def predict(self, rows: np.ndarray) -> Prediction:
        """Decoded grades and totals of any patients of the cohort."""
        out = Prediction.empty(len(rows), self.recipe)
        if not len(rows):
            return out  # a set without test patients
        for finding, layer in self.sites.items():
            own = self.own[finding]
            x = self.cube[rows][:, own]
            out.grades[:, own] = unlog_score(layer.predict(x))
            for name, each in zip(layer.candidates, unlog_score(layer.each(x)), strict=True):
                if name in out.learners:
                    out.learners[name][0][:, own] = each
        grades = np.where(self.scored, out.grades, 0.0)
        for target, layer in self.totals.items():
            i = TARGETS.index(target)
            x = total_features(self.cohort, rows, grades, target)[0][:, None, :]
            out.totals[:, i] = unlog_score(layer.predict(x))[:, 0]
            for name, each in zip(layer.candidates, unlog_score(layer.each(x)), strict=True):
                if name in out.learners:
                    out.learners[name][1][:, i] = each[:, 0]
        return out

    def on(self, cohort: Cohort) -> Stack:
        """This stack, fitted as it is, for the patients of another cohort: what the same members say of them."""
        other = copy.copy(self)
        other.cohort = cohort
        other.cube, names = site_features(cohort, self.recipe.features)
        if names != self.names:
            odd = min(set(names) ^ set(self.names))
            raise UserError(f"the members do not say the same of both sets of patients ({odd}); apply their runs again")
        return other

    def describe(self) -> dict:
        """What each layer chose."""
        return {name: layer.describe() for name, layer in {**self.sites, **_prefixed(self.totals)}.items()}

    def save(self, folder: Path) -> list[Path]:
        """The learners' files of every layer."""
        layers = {**self.sites, **_prefixed(self.totals)}
        return [path for name, layer in layers.items() for path in layer.save(folder, name)]


def _prefixed(totals: dict[str, Layer]) -> dict[str, Layer]:
    return {f"overall_{name}": layer for name, layer in totals.items()}
