"""The learners: fit(x, y, weight, names) on rows of features, predict(x); all in the log scale L(grade) = log2(grade + 1).

A learner fits imputation and scaling itself, on the same rows, so that a fold's learner depends on that fold's training patients
only. `export` writes the fitted learner as JSON, or in LightGBM's text format, for people to read. No code loads these files,
because stage3_stack.predict fits the stack again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from scipy.optimize import nnls

from ra import atomic
from ra.config import Named, UserError
from stage3_stack.features import SITE_KIND, SITE_KINDS
from stage3_stack.nan_mean import nan_mean

# Endings of the columns that hold a member's prediction of the target (features.py): <member>:elog is E[L(grade)] of a site,
# <member>:own is L(the member's value of the predicted total).
PREDICTION_COLUMNS = (":elog", ":own")
THREADS = 1  # fixed, so that sums do not depend on the machine; on such small tables a second thread saves no time


class Learner(Protocol):
    """x (rows, features) with NaN for missing values; y, weight (rows,); names: the names of the features."""

    def fit(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray, names: list[str]) -> Learner: ...
    def predict(self, x: np.ndarray) -> np.ndarray: ...
    def export(self, folder: Path, name: str) -> list[Path]: ...


class Imputer:
    """Replaces NaN by the column's mean over training rows of the same kind of site, else over all training rows, else by 0."""

    def fit(self, x: np.ndarray, names: list[str]) -> Imputer:
        self.kind_column = names.index(SITE_KIND) if SITE_KIND in names else None
        mean, kind = nan_mean(x, axis=0, otherwise=0.0), self._kind(x)
        self.fill = np.tile(mean, (len(SITE_KINDS), 1))
        for k in np.unique(kind):
            self.fill[k] = nan_mean(x[kind == k], axis=0, otherwise=mean)
        return self

    def _kind(self, x: np.ndarray) -> np.ndarray:
        return np.zeros(len(x), dtype=int) if self.kind_column is None else x[:, self.kind_column].astype(int)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(x), self.fill[self._kind(x)], x)


class Linear:
    """Base of the linear learners: imputed and standardised columns, an intercept, and coefficients that `solve` finds."""

    name = "linear"

    def fit(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray, names: list[str]) -> Linear:
        self.columns = [i for i, name in enumerate(names) if self.uses(name)]
        if not self.columns:
            raise UserError(f"learner {self.name} finds no column to use; give the stack a joint member")
        self.names = [names[i] for i in self.columns]
        self.impute = Imputer().fit(x, names)
        filled = self.impute(x)[:, self.columns]
        self.centre = np.average(filled, axis=0, weights=weight)
        self.scale = np.sqrt(np.average(np.square(filled - self.centre), axis=0, weights=weight))
        self.scale[self.scale < 1e-9] = np.inf  # a constant column gets no coefficient
        self.coefficient, self.intercept = self.solve((filled - self.centre) / self.scale, y, weight / weight.mean())
        return self

    def uses(self, name: str) -> bool:
        """Whether the column of this name is one of the regressors."""
        return name != SITE_KIND

    def solve(self, z: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, float]:
        """Coefficients and intercept for standardised columns z; the weights have mean 1."""
        raise NotImplementedError

    def predict(self, x: np.ndarray) -> np.ndarray:
        return (self.impute(x)[:, self.columns] - self.centre) / self.scale @ self.coefficient + self.intercept

    def export(self, folder: Path, name: str) -> list[Path]:
        """Write intercept, coefficients and means of the columns, on the features' own scale."""
        path = folder / f"{name}.json"
        slopes = dict(zip(self.names, np.round(self.coefficient / self.scale, 6).tolist(), strict=True))
        intercept = float(self.intercept - (self.coefficient / self.scale) @ self.centre)
        means = dict(zip(self.names, self.centre, strict=True))
        atomic.write_json(path, {"intercept": intercept, "coefficients": slopes, "imputed_by": means})
        return [path]


class Ridge(Linear):
    """Weighted ridge on all features; `alpha` is the penalty per row."""

    name = "ridge"

    def __init__(self, alpha: float = 0.03):
        self.alpha = alpha

    def solve(self, z: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, float]:
        mean = np.average(y, weights=weight)
        gram = (z * weight[:, None]).T @ z + self.alpha * len(z) * np.eye(z.shape[1])
        return np.linalg.solve(gram, (z * weight[:, None]).T @ (y - mean)), float(mean)


class NonNegativeLeastSquares(Linear):
    """Non-negative weights of the members' predictions and a few context means: more damage in these never lowers the grade."""

    name = "nnls"

    def __init__(self, alpha: float = 0.003, context: tuple[str, ...] = ("other_side_elog", "row_elog", "finding_elog")):
        self.alpha, self.context = alpha, tuple(context)

    def uses(self, name: str) -> bool:
        return name.endswith(PREDICTION_COLUMNS) or name in self.context

    def solve(self, z: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, float]:
        root, mean = np.sqrt(weight), np.average(y, weights=weight)
        penalty = np.sqrt(self.alpha * len(z)) * np.eye(z.shape[1])
        coefficient, _ = nnls(np.vstack([z * root[:, None], penalty]), np.r_[(y - mean) * root, np.zeros(z.shape[1])])
        return coefficient, float(mean)


class LeastAbsoluteDeviations(Linear):
    """Weighted least absolute deviations with an L1 penalty: the loss of SC1."""

    name = "lad"

    def __init__(self, alpha: float = 0.05):
        self.alpha = alpha

    def solve(self, z: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, float]:
        from sklearn.linear_model import QuantileRegressor

        model = QuantileRegressor(quantile=0.5, alpha=self.alpha, solver="highs").fit(z, y, sample_weight=weight)
        return model.coef_, float(model.intercept_)


class Mean:
    """The baseline: the mean of the members' predictions, or the single column `only`; nothing but the imputation is fitted."""

    def __init__(self, only: str | None = None):
        self.only = only

    def fit(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray, names: list[str]) -> Mean:  # noqa: ARG002
        self.columns = [i for i, name in enumerate(names) if name.endswith(PREDICTION_COLUMNS) and self.only in (None, name)]
        self.impute = Imputer().fit(x, names)
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        imputed = self.impute(x)[:, self.columns].mean(axis=1)
        return nan_mean(x[:, self.columns], axis=1, otherwise=imputed)

    def export(self, folder: Path, name: str) -> list[Path]:  # noqa: ARG002
        """Write no file, since there are no coefficients."""
        return []


class LightGBM:
    """Small regularised trees that correct the mean of the members; `objective` is l2 for sites and l1 for totals."""

    def __init__(self, rounds: int = 150, objective: str = "l2", base: bool = True, seed: int = 0, **params: Any):
        self.rounds, self.base = rounds, Mean() if base else None
        self.params = {
            "objective": objective, "learning_rate": 0.05, "num_leaves": 7, "min_data_in_leaf": 40, "lambda_l2": 20.0,
            "feature_fraction": 0.4, "bagging_fraction": 0.7, "bagging_freq": 1, "max_cat_to_onehot": 1, "cat_smooth": 20.0,
            **params,
            "seed": seed, "deterministic": True, "force_row_wise": True, "num_threads": THREADS, "verbosity": -1,
        }  # fmt: skip

    def fit(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray, names: list[str]) -> LightGBM:
        import lightgbm

        start = self.base.fit(x, y, weight, names).predict(x) if self.base else None
        categories = [names.index(SITE_KIND)] if SITE_KIND in names else []
        columns = [name.replace(":", "_") for name in names]  # LightGBM's text format does not allow colons
        options = {"init_score": start, "feature_name": columns, "categorical_feature": categories}
        data = lightgbm.Dataset(x, y, weight=weight / weight.mean(), **options)
        self.booster = lightgbm.train(self.params, data, self.rounds)
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        out = self.booster.predict(x, num_threads=THREADS)
        return out + self.base.predict(x) if self.base else out

    def export(self, folder: Path, name: str) -> list[Path]:
        """Write the trees in LightGBM's text format."""
        path = folder / f"{name}.txt"
        with atomic.replacing(path) as temporary:
            self.booster.save_model(temporary)
        return [path]


class ExtraTrees:
    """Extremely randomised trees, averaged with the members' mean as Li & Guan averaged theirs with their network.

    `share` is the trees' share of that average. The paper does not state it; 0.5 is our choice.
    """

    def __init__(self, share: float = 0.5, trees: int = 100, seed: int = 0, **params: Any):
        self.share, self.mean = share, Mean()
        self.params = {"n_estimators": trees, "min_samples_leaf": 5, "max_features": 0.4, **params}
        self.params |= {"random_state": seed, "n_jobs": THREADS}

    def fit(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray, names: list[str]) -> ExtraTrees:
        from sklearn.ensemble import ExtraTreesRegressor

        self.names, self.impute = names, Imputer().fit(x, names)
        self.mean.fit(x, y, weight, names)
        self.forest = ExtraTreesRegressor(**self.params).fit(self.impute(x), y, sample_weight=weight / weight.mean())
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.share * self.forest.predict(self.impute(x)) + (1 - self.share) * self.mean.predict(x)

    def export(self, folder: Path, name: str) -> list[Path]:
        """Write the feature importances, largest first, because hundreds of trees would be unreadable."""
        path = folder / f"{name}.json"
        ranked = sorted(zip(self.forest.feature_importances_.tolist(), self.names, strict=True), reverse=True)
        importances = [[feature, round(value, 5)] for value, feature in ranked]
        atomic.write_json(path, {"parameters": self.params, "importances": importances})
        return [path]


LEARNERS: dict[str, type] = {
    "mean": Mean,
    "ridge": Ridge,
    "nnls": NonNegativeLeastSquares,
    "lad": LeastAbsoluteDeviations,
    "lightgbm": LightGBM,
    "extratrees": ExtraTrees,
}  # the names that a config may give, in site_learners and total_learners


def make(spec: Named) -> Learner:
    """The learner that a config names, unfitted."""
    if spec.name not in LEARNERS:
        raise UserError(f"learner {spec.name!r} is unknown; use one of {', '.join(LEARNERS)}")
    try:
        return LEARNERS[spec.name](**spec.params)
    except TypeError as error:
        raise UserError(f"learner {spec.name}: {error}; correct its params in the config") from error
