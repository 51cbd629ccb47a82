"""Bo's stacking: a linear map over the outputs of networks that read both hands at once (Bo et al. 2024, section 2.5).

    python -m stage3_stack.hands --data SET --config stage3_stack/configs/demo/hands.yaml

Each ensemble of the config becomes a run of stage 3 of its own name: oof.parquet (the map fitted on the other folds' out-of-fold
predictions), test.parquet (fitted on all training patients), weights.json and metrics.json. Four kinds:

    linear          regressors' totals -> total
    all_classes     every class's output of every classifier -> every class
    single_class    a class's own outputs -> that class
    total_to_class  linear, then the class whose bounds hold the total
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import yaml

from ra import atomic, cli, config, manifest, paths
from ra.anatomy import BOTH_HANDS, MAX_BOTH_HANDS, SEVERITY, TOTAL
from ra.config import UserError
from stage3_stack import config as recipes

if TYPE_CHECKING:
    import pandas as pd

    from stage3_stack.cohort import Cohort


@dataclass(frozen=True)
class Ensemble:
    """One ensemble: `members` are both-hands runs of stage 2, all regressors or all classifiers."""

    name: str  # of the stage-3 run
    stack: Literal["linear", "all_classes", "single_class", "total_to_class"]
    members: tuple[str, ...]
    bounds_of: str | None = None  # total_to_class: the classifier whose head.params.bounds cut the total
    alpha: float = (
        0.1  # penalty per patient on the way from the members' mean (ours: the cohort is small, theirs has 2,700 films)
    )

    def __post_init__(self) -> None:
        if not self.members:
            raise UserError(f"ensemble {self.name}: members is empty; name the runs to combine")
        if (self.stack == "total_to_class") != (self.bounds_of is not None):
            raise UserError(f"ensemble {self.name}: bounds_of names a classifier for total_to_class, and for nothing else")


@dataclass(frozen=True)
class Ensembles:
    """What configs/<profile>/hands.yaml may say."""

    ensembles: tuple[Ensemble, ...]


def run() -> None:
    args = config.parser(__doc__, str((recipes.CONFIGS / "demo" / "hands.yaml").relative_to(paths.ROOT))).parse_args()
    for ensemble in config.load(Ensembles, args.config, args.sets).ensembles:
        folder = paths.run_dir(args.data, 3, ensemble.name)
        members = [paths.run_dir(args.data, 2, m) for m in (*ensemble.members, ensemble.bounds_of) if m]
        made = manifest.Run(folder, ensemble, [paths.sites(args.data), paths.folds(args.data), *members], args.force)
        if made.begin():
            fit(args.data, ensemble, made)


def fit(data: str, ensemble: Ensemble, made: manifest.Run) -> None:
    """Cross-fit, refit for the test patients, write everything, run.json last."""
    from ra import tables
    from stage3_stack import cohort as cohorts
    from stage3_stack import linear_ensembles

    cohort = cohorts.load(data, ensemble.members, joints=False)
    x, total = inputs(cohort, ensemble), totals(data, cohort)
    bounds = class_bounds(data, ensemble.bounds_of or ensemble.members[0]) if ensemble.stack != "linear" else np.empty(0)
    target = np.where(np.isnan(total), np.nan, np.digitize(total, bounds)) if len(bounds) else total
    make = linear_ensembles.MAPS[ensemble.stack]

    def fitted(rows: np.ndarray) -> linear_ensembles.Map:
        known = rows[~np.isnan(total[rows]) & ~np.isnan(x[rows]).any(axis=(1, 2))]
        if not len(known):
            raise UserError(
                f"ensemble {ensemble.name}: no training patient outside a fold has hands and scores; make fewer folds"
            )
        return make(ensemble.alpha, bounds).fit(x[known], total[known])

    whole = fitted(cohort.train)
    found = np.full((len(x), whole.width), np.nan)
    found[cohort.test] = whole.predict(x[cohort.test])
    for k in np.unique(cohort.fold):
        found[cohort.train[cohort.fold == k]] = fitted(cohort.train[cohort.fold != k]).predict(x[cohort.train[cohort.fold == k]])
    files = [made.folder / name for name in ("oof.parquet", "test.parquet", "weights.json")]
    for path, split in zip(files, ("oof", "test"), strict=False):
        tables.SCORES.write(scores(cohort, split, found, target).assign(run=ensemble.name), path)
    atomic.write_json(files[-1], whole.describe(ensemble.members))
    made.finish(files, linear_ensembles.figures(target, found[cohort.train]))
    print(
        f"{ensemble.name}: "
        + ", ".join(f"{k} {v:.3f}" for k, v in linear_ensembles.figures(target, found[cohort.train]).items()),
        flush=True,
    )


def totals(data: str, cohort: Cohort) -> np.ndarray:
    """(n_train,) sums of the hands' grades; where a site is not scored, the total that the set itself gives."""
    from stage3_stack.features import HANDS

    summed = cohort.grades[:, HANDS].sum(axis=1)
    given = given_totals(paths.sites(data)).reindex(cohort.patients[cohort.train]).to_numpy()
    return np.where(np.isnan(summed), given, summed)


def given_totals(sites: Path) -> pd.Series:
    """Totals that a sites table gives for hands as a whole, by patient: of both, or of the one that the film shows."""
    from ra import tables

    table = tables.SITES.read(sites)
    own = table[(table.site == TOTAL) & (table.finding == TOTAL) & table.part.isin(("LH", "RH", BOTH_HANDS))]
    return own.groupby("patient_id").target.max()  # a patient has one of the three


def inputs(cohort: Cohort, ensemble: Ensemble) -> np.ndarray:
    """(n, members, 1) totals or (n, members, 10) class probabilities; UserError for a member of the other kind."""
    kind = "severity" if ensemble.stack in ("all_classes", "single_class") else "hands"
    for m in cohort.members:
        if getattr(m, kind) is None:
            wanted = "no severity classes" if kind == "severity" else "no total of both hands"
            raise UserError(f"ensemble {ensemble.name}: member {m.name} predicts {wanted}; name another run")
    return np.stack([getattr(m, kind).reshape(len(cohort.patients), -1) for m in cohort.members], axis=1)


def class_bounds(data: str, run_name: str) -> np.ndarray:
    """(9,) totals at which classes 1..9 begin, from the classifier's own config."""
    path: Path = paths.run_dir(data, 2, run_name) / "config.yaml"
    bounds = (yaml.safe_load(path.read_text()) if path.is_file() else {}).get("head", {}).get("params", {}).get("bounds")
    if not bounds:
        raise UserError(f"{path} names no head.params.bounds; name a severity classifier that is trained")
    return np.array(bounds, dtype=float)


def scores(cohort: Cohort, split: str, found: np.ndarray, target: np.ndarray) -> pd.DataFrame:
    """Scores rows of a split: found (n, 1) totals or (n, 10) class probabilities of all patients; target (n_train,)."""
    import pandas as pd

    from ra.tables import PROBABILITIES

    oof, width = split == "oof", found.shape[1]
    rows = cohort.train if oof else cohort.test
    values = found[rows]
    if width > 1:
        site, top, pred = SEVERITY, width - 1, values @ np.arange(width)
    else:
        site, top, pred = TOTAL, MAX_BOTH_HANDS, values[:, 0]
    p = {column: values[:, k] if 1 < width > k else np.nan for k, column in enumerate(PROBABILITIES)}
    people = {"patient_id": cohort.patients[rows], "visit": cohort.visit[rows], "fold": cohort.fold if oof else -1}
    answer = {"target": target if oof else np.nan, "pred": pred, "max_score": top}
    same = {"split": split, "seed": 0, "part": BOTH_HANDS, "site": site, "finding": TOTAL, "box_source": None}
    return pd.DataFrame(people | same | answer | p)


if __name__ == "__main__":
    cli.main(run)
