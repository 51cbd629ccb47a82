"""The learners: fit(x, y, weight, names) on rows of features, predict(x); all in the log scale L(grade) = log2(grade + 1).

A learner keeps everything that it fitted, imputation and scaling included, so that a fold's learner knows that fold's training
patients only. `save` writes what a person can read (JSON) or LightGBM's own text; nothing is pickled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from scipy.optimize import nnls

from ra.config import UserError
from ra.manifest import write_json
from stage3_stack.config import Named
from stage3_stack.features import IDENTITY, KINDS

GUESS = (":elog", ":own")  # how a member's own guess at the target ends: L of a site's grade, L of a total
THREADS = 1  # fixed, so that no sum depends on the machine; on tables this small a second thread only waits


class Learner(Protocol):
    def fit(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray, names: list[str]) -> Learner: ...
    def predict(self, x: np.ndarray) -> np.ndarray: ...
    def save(self, folder: Path, name: str) -> list[Path]: ...


class Imputer:
    """NaN -> the mean of the site's kind among the training rows, else of the column, else 0."""

    def fit(self, x: np.ndarray, names: list[str]) -> Imputer:
        self.identity = names.index(IDENTITY) if IDENTITY in names else None
        mean, kind = _mean(x, np.zeros(x.shape[1])), self._kind(x)
        self.fill = np.tile(mean, (len(KINDS), 1))
        for k in np.unique(kind):
            self.fill[k] = _mean(x[kind == k], mean)
        return self

    def _kind(self, x: np.ndarray) -> np.ndarray:
        return np.zeros(len(x), dtype=int) if self.identity is None else x[:, self.identity].astype(int)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(x), self.fill[self._kind(x)], x)


def _mean(x: np.ndarray, fallback: np.ndarray) -> np.ndarray:
    count = np.sum(~np.isnan(x), axis=0)
    return np.divide(np.nansum(x, axis=0), count, out=fallback.astype(float).copy(), where=count > 0)


class Linear:
    """What the linear learners share: imputed columns, intercepts per kind of site if asked, coefficients to be found."""

    def fit(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray, names: list[str]) -> Linear:
        self.columns = [i for i, name in enumerate(names) if self.uses(name)]
        if not self.columns:
            raise UserError(f"learner {type(self).__name__.lower()} finds no column to use; give the stack a joint member")
        self.names = [names[i] for i in self.columns]
        self.impute = Imputer().fit(x, names)
        filled = self.impute(x)[:, self.columns]
        self.centre = np.average(filled, axis=0, weights=weight)
        self.scale = np.sqrt(np.average(np.square(filled - self.centre), axis=0, weights=weight))
        self.scale[self.scale < 1e-9] = np.inf  # a constant column says nothing
        self.coefficient, self.intercept = self.solve((filled - self.centre) / self.scale, y, weight / weight.mean())
        return self

    def uses(self, name: str) -> bool:
        return name != IDENTITY

    def solve(self, z: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, float]:
        raise NotImplementedError

    def predict(self, x: np.ndarray) -> np.ndarray:
        return (self.impute(x)[:, self.columns] - self.centre) / self.scale @ self.coefficient + self.intercept

    def save(self, folder: Path, name: str) -> list[Path]:
        path = folder / f"{name}.json"
        slope = dict(zip(self.names, np.round(self.coefficient / self.scale, 6).tolist(), strict=True))
        at_zero = float(self.intercept - (self.coefficient / self.scale) @ self.centre)
        write_json(
            path, {"intercept": at_zero, "coefficients": slope, "imputed_by": dict(zip(self.names, self.centre, strict=True))}
        )
        return [path]


class Ridge(Linear):
    """Weighted ridge on all features; `alpha` is the penalty per row."""

    def __init__(self, alpha: float = 0.03):
        self.alpha = alpha

    def solve(self, z: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, float]:
        mean = np.average(y, weights=weight)
        gram = (z * weight[:, None]).T @ z + self.alpha * len(z) * np.eye(z.shape[1])
        return np.linalg.solve(gram, (z * weight[:, None]).T @ (y - mean)), float(mean)


class Nnls(Linear):
    """Non-negative weights of the members' own guesses and a few context means: more damage seen never lowers a grade."""

    def __init__(self, alpha: float = 0.003, context: tuple[str, ...] = ("other_side_elog", "row_elog", "finding_elog")):
        self.alpha, self.context = alpha, tuple(context)

    def uses(self, name: str) -> bool:
        return name.endswith(GUESS) or name in self.context

    def solve(self, z: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, float]:
        root, mean = np.sqrt(weight), np.average(y, weights=weight)
        penalty = np.sqrt(self.alpha * len(z)) * np.eye(z.shape[1])
        coefficient, _ = nnls(np.vstack([z * root[:, None], penalty]), np.r_[(y - mean) * root, np.zeros(z.shape[1])])
        return coefficient, float(mean)


class Lad(Linear):
    """Weighted least absolute deviations with an L1 penalty: SC1's own loss."""

    def __init__(self, alpha: float = 0.05):
        self.alpha = alpha

    def solve(self, z: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, float]:
        from sklearn.linear_model import QuantileRegressor

        model = QuantileRegressor(quantile=0.5, alpha=self.alpha, solver="highs").fit(z, y, sample_weight=weight)
        return model.coef_, float(model.intercept_)


class Mean:
    """The null learner: the mean of the members' own guesses (or `only` one of them); nothing is fitted but what fills a gap."""

    def __init__(self, only: str | None = None):
        self.only = only

    def fit(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray, names: list[str]) -> Mean:  # noqa: ARG002
        self.columns = [i for i, name in enumerate(names) if name.endswith(GUESS) and self.only in (None, name)]
        self.impute = Imputer().fit(x, names)
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        own = x[:, self.columns]
        count = np.sum(~np.isnan(own), axis=1)
        filled = self.impute(x)[:, self.columns].mean(axis=1)
        return np.divide(np.nansum(own, axis=1), count, out=filled, where=count > 0)

    def save(self, folder: Path, name: str) -> list[Path]:  # noqa: ARG002
        return []


class LightGBM:
    """Small regularised trees that correct the members' mean; `objective` l2 for sites, l1 for totals."""

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
        category = [names.index(IDENTITY)] if IDENTITY in names else []
        plain = [name.replace(":", "_") for name in names]  # LightGBM's text format knows no colon
        data = lightgbm.Dataset(
            x, y, weight=weight / weight.mean(), init_score=start, feature_name=plain, categorical_feature=category
        )
        self.booster = lightgbm.train(self.params, data, self.rounds)
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        out = self.booster.predict(x, num_threads=THREADS)
        return out + self.base.predict(x) if self.base else out

    def save(self, folder: Path, name: str) -> list[Path]:
        path = folder / f"{name}.txt"
        self.booster.save_model(path)
        return [path]


class ExtraTrees:
    """Extremely randomised trees, averaged with the members' mean guess as Li & Guan averaged theirs with their network.

    `share` is the trees' part of that average (0.5, ours: they do not say).
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

    def save(self, folder: Path, name: str) -> list[Path]:
        """The importances, largest first; the trees themselves are of no use to a reader."""
        path = folder / f"{name}.json"
        found = sorted(zip(self.forest.feature_importances_.tolist(), self.names, strict=True), reverse=True)
        write_json(path, {"parameters": self.params, "importances": [[feature, round(value, 5)] for value, feature in found]})
        return [path]


LEARNERS: dict[str, type] = {
    "mean": Mean, "ridge": Ridge, "nnls": Nnls, "lad": Lad, "lightgbm": LightGBM, "extratrees": ExtraTrees,
}  # fmt: skip


def make(spec: Named) -> Learner:
    """The learner that a recipe names, unfitted."""
    if spec.name not in LEARNERS:
        raise UserError(f"learner {spec.name!r} is unknown; one of {', '.join(LEARNERS)}")
    try:
        return LEARNERS[spec.name](**spec.params)
    except TypeError as error:
        raise UserError(f"learner {spec.name}: {error}; correct its params in the config") from error
