"""The two levels of the stack: grades of the 86 sites, and from them the patient's three totals."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ra.anatomy import MAX_TOTAL, SITES
from ra.challenge_scores import log_score, unlog_score
from ra.config import UserError
from stage3_stack.cohort import FINDING_SITES, MAX_GRADES, TARGETS, Cohort
from stage3_stack.config import JointStack
from stage3_stack.cross_fitting import Layer, inner_folds
from stage3_stack.features import site_features, total_features

REFIT = "all"  # the "fold" whose stack was fitted on all training patients; it predicts the test patients


@dataclass
class StackPrediction:
    """grades (n, 86) and totals (n, 3: total, erosion, narrowing), not as logarithms; `learners`: (grades, totals) by learner."""

    grades: np.ndarray
    totals: np.ndarray
    learners: dict[str, tuple[np.ndarray, np.ndarray]]

    @classmethod
    def empty(cls, n: int, config: JointStack) -> StackPrediction:
        """NaN everywhere, to be filled fold by fold."""
        names = dict.fromkeys(spec.name for spec in (*config.site_learners, *config.total_learners))
        return cls(*_nan_pair(n), {name: _nan_pair(n) for name in names})

    def assign(self, rows: np.ndarray, other: StackPrediction) -> None:
        """Write another prediction into some rows."""
        self.grades[rows], self.totals[rows] = other.grades, other.totals
        for name, (grades, totals) in other.learners.items():
            self.learners[name][0][rows], self.learners[name][1][rows] = grades, totals


def _nan_pair(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full((n, len(SITES)), np.nan), np.full((n, len(TARGETS)), np.nan)


class Stack:
    """A stack of members; `fit(rows)` reads the targets of the patients `rows` and of no others.

    A site or a total that the set does not score has no learner, and its prediction is NaN; totals are sums of the scored sites.
    """

    def __init__(self, cohort: Cohort, config: JointStack):
        self.cohort, self.config, self.scored = cohort, config, cohort.scored
        scored_sites = {finding: sites[self.scored[sites]] for finding, sites in FINDING_SITES.items()}
        self.finding_sites = {finding: sites for finding, sites in scored_sites.items() if len(sites)}
        has_target = ~np.isnan(cohort.totals).all(axis=0)
        self.targets = [target for target, known in zip(TARGETS, has_target, strict=True) if known]
        self.features, self.names = site_features(cohort, config.features)

    def fit(self, rows: np.ndarray) -> Stack:
        """Fit both levels on the patients `rows`; the totals' level learns from cross-fitted grades."""
        cohort, config = self.cohort, self.config
        fold = inner_folds(cohort.person[rows], cohort.totals[rows, 0], config)
        self.site_layers, self.total_layers = {}, {}
        grades = np.zeros((len(rows), len(SITES)))
        for finding, sites in self.finding_sites.items():
            layer = Layer(config.site_learners, config, log_score(MAX_GRADES[sites]), config.zero_below)
            y = log_score(cohort.grades[rows][:, sites])
            self.site_layers[finding] = layer.fit(self.features[rows][:, sites], y, cohort.weight[rows], fold, self.names)
            grades[:, sites] = unlog_score(layer.inner)
        for target in self.targets:
            i = TARGETS.index(target)
            x, names = total_features(cohort, rows, grades, target)
            layer = Layer(config.total_learners, config, log_score(np.array([MAX_TOTAL[target]], dtype=float)))
            y = log_score(cohort.totals[rows, i : i + 1])
            self.total_layers[target] = layer.fit(x[:, None, :], y, cohort.weight[rows], fold, names)
        return self

    def predict(self, rows: np.ndarray) -> StackPrediction:
        """Grades and totals of any patients of the cohort."""
        out = StackPrediction.empty(len(rows), self.config)
        if not len(rows):
            return out  # a set without test patients
        for finding, layer in self.site_layers.items():
            sites = self.finding_sites[finding]
            x = self.features[rows][:, sites]
            out.grades[:, sites] = unlog_score(layer.predict(x))
            for name, pred in zip(layer.candidates, unlog_score(layer.predict_all(x)), strict=True):
                if name in out.learners:  # the candidates include single members, which are not reported
                    out.learners[name][0][:, sites] = pred
        grades = np.where(self.scored, out.grades, 0.0)
        for target, layer in self.total_layers.items():
            i = TARGETS.index(target)
            x = total_features(self.cohort, rows, grades, target)[0][:, None, :]
            out.totals[:, i] = unlog_score(layer.predict(x))[:, 0]
            for name, pred in zip(layer.candidates, unlog_score(layer.predict_all(x)), strict=True):
                if name in out.learners:
                    out.learners[name][1][:, i] = pred[:, 0]
        return out

    def for_cohort(self, cohort: Cohort) -> Stack:
        """A copy of this fitted stack that predicts the patients of another cohort, which has the same members."""
        other = copy.copy(self)
        other.cohort = cohort
        other.features, names = site_features(cohort, self.config.features)
        if names != self.names:
            odd = min(set(names) ^ set(self.names))
            raise UserError(f"the members' tables of the two sets hold different predictions ({odd}); apply their runs again")
        return other

    @property
    def layers(self) -> dict[str, Layer]:
        """All layers by their names in weights.json and in the exported files."""
        return {**self.site_layers, **{f"overall_{target}": layer for target, layer in self.total_layers.items()}}

    def describe(self) -> dict:
        """Blend weights, thresholds and inner losses of every layer."""
        return {name: layer.describe() for name, layer in self.layers.items()}

    def export(self, folder: Path) -> list[Path]:
        """Write the fitted learners of every layer for reading; no code loads them (learners.py)."""
        return [path for name, layer in self.layers.items() for path in layer.export(folder, name)]
