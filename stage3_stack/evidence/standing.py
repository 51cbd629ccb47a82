"""Where a run stands on the challenge's scores: between the column mean, which knows no film, and the readers' own noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ra import config, metrics, paths
from ra.config import UserError
from ra.metrics import RA2
from stage3_stack import outputs, submission
from stage3_stack.evidence.raters import MODEL, READER1, READER2, TRUTH, Raters
from stage3_stack.evidence.statistic import NAN, Statistic
from stage3_stack.outputs import RANKED

SECTION = "standing"
FLOOR = ("floor", "column mean")
NOISE = (("noise floor", TRUTH), ("noise floor", READER2))  # the first that is known is 100 % of the way
KINDS = ("floor", "member", "learner", "blend", "noise floor")
RESAMPLES = 1000

Rows = dict[tuple[str, str], dict[str, pd.DataFrame]]  # (kind, name) -> split -> submission


@dataclass(frozen=True)
class Standing:
    """rows and gold of the patients that reader 1 scored, person (patient -> person); told: why members are lacking, if they are."""

    rows: Rows
    gold: dict[str, pd.DataFrame]
    person: pd.Series
    told: str = ""

    @property
    def splits(self) -> list[str]:
        return list(self.gold)

    def noise(self, split: str) -> tuple[str, str] | None:
        """The row that stands for what no machine can better: the truth behind a synthetic reader, else another reader."""
        return next((row for row in NOISE if split in self.rows.get(row, {})), None)


def load(raters: Raters) -> Standing:
    """From the run's tables where it is a stack of members on disk; else the model, the readers and the floor alone."""
    rows, gold = _readers(raters)
    person = pd.Series(raters.person, index=raters.patients)
    try:
        found = _scoreboard(raters)
    except UserError as error:
        return Standing(_sorted(rows), gold, person, f"Members and learners are not shown: {error}.")
    if found is None:
        return Standing(_sorted(rows), gold, person, "Members and learners are shown for a stack of joint members on disk only.")
    return Standing(_sorted(rows | found.rows), {s: found.gold[s] for s in gold if s in found.gold}, person)


def _sorted(rows: Rows) -> Rows:
    return dict(sorted(rows.items(), key=lambda row: KINDS.index(row[0][0])))


def _scoreboard(raters: Raters) -> object | None:
    """The results table's own rows; None for a run that is not a stack on disk."""
    from stage3_stack.recipe import Recipe
    from stage3_stack.scoreboard import Scoreboard

    folder = paths.run_dir(raters.data, 3, raters.run)
    saved = folder / "config.yaml"
    if not saved.is_file() or "site_learners" not in saved.read_text() or not (folder / "learners.parquet").is_file():
        return None
    return Scoreboard.make(raters.data, folder, config.load(Recipe, saved))


def _readers(raters: Raters) -> tuple[Rows, dict[str, pd.DataFrame]]:
    """Rows of the raters themselves, and reader 1 as gold."""
    frames = {name: submission.frame(raters.patients, r.grades, r.totals) for name, r in raters.by.items()}
    seen = frames[READER1].notna().any(axis=1).to_numpy()
    gold = {split: frames[READER1][seen & (raters.split == split)] for split in raters.splits}
    rows: Rows = {("blend", raters.run): {split: frames[MODEL].loc[table.index] for split, table in gold.items()}}
    if "oof" in gold:
        rows[FLOOR] = _column_means(raters, gold)
    for row in NOISE:
        tables = {s: frames[row[1]].loc[table.index] for s, table in gold.items()}
        known = {s: table for s, table in tables.items() if table.notna().any(axis=None)}
        rows |= {row: known} if known else {}
    return rows, gold


def _column_means(raters: Raters, gold: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The training patients' mean of each column; for fold k of the other folds."""
    train = gold["oof"]
    fold = pd.Series(raters.fold, index=raters.patients)
    out = {split: table.copy() for split, table in gold.items()}
    for k in pd.unique(fold[train.index]):
        own = (fold[train.index] == k).to_numpy()
        out["oof"].loc[own] = train[~own].mean().to_numpy()
    if "test" in gold:
        out["test"].loc[:] = train.mean().to_numpy()
    return {split: table.fillna(0.0) for split, table in out.items()}


@dataclass(frozen=True)
class Line:
    """What a row reaches on a split, per score: its value, the percent below the column mean (no interval: it says the same as
    the value's), and the percent of the way from there to the noise floor."""

    kind: str
    name: str
    score: dict[str, Statistic]
    below: dict[str, Statistic]
    way: dict[str, Statistic]


def lines(standing: Standing, split: str) -> list[Line]:
    """Every row of the split with 95 % intervals: bootstrap over persons, the same resamples for all rows."""
    gold = standing.gold[split]
    weight, drawn = metrics.gold_weight(gold), draws(standing.person.loc[gold.index])
    rows = {row: tables[split] for row, tables in standing.rows.items() if split in tables}
    found = {row: {s: _sampled(table, gold, s, weight, drawn) for s in RANKED} for row, table in rows.items()}
    noise = standing.noise(split)
    nothing = dict.fromkeys(RANKED, (np.full(RESAMPLES + 1, NAN), 0))
    floor, best = found.get(FLOOR, nothing), found.get(noise, nothing)
    out = []
    for (kind, name), samples in found.items():
        cells = {what: {} for what in ("score", "below", "way")}
        for s in RANKED:
            (own, n), (zero, _), (full, _) = samples[s], floor[s], best[s]
            of = f"{kind} {name}"
            with np.errstate(invalid="ignore", divide="ignore"):
                cells["score"][s] = _statistic(s, split, of, "score", own, n, 4)
                cells["below"][s] = _statistic(f"{s}_below_mean", split, of, "percent", 100 * (1 - own / zero)[:1], n, 0)
                cells["way"][s] = _statistic(f"{s}_way", split, of, "percent", 100 * (zero - own) / (zero - full), n, 0)
        out.append(Line(kind, name, **cells))
    return out


def draws(person: pd.Series, times: int = RESAMPLES) -> np.ndarray:
    """(times + 1, n) how often each patient counts: once in the first row, then as often as his person is drawn."""
    code, found = pd.factorize(person)
    rng = np.random.default_rng(metrics.SEED)
    counts = rng.multinomial(len(found), np.full(len(found), 1 / len(found)), times)
    return np.concatenate([np.ones((1, len(code))), counts[:, code]])


def _sampled(
    table: pd.DataFrame, gold: pd.DataFrame, score: str, weight: np.ndarray, drawn: np.ndarray
) -> tuple[np.ndarray, int]:
    """The score of each resample, and of how many patients it is made."""
    error = metrics.patient_error(table, gold, score)
    known = ~np.isnan(error) & (weight > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return drawn[:, known] @ (weight * error)[known] / (drawn[:, known] @ weight[known]), int(known.sum())


def _statistic(name: str, split: str, of: str, scope: str, samples: np.ndarray, n: int, digits: int) -> Statistic:
    """Of the whole sample, first in `samples`, and of resamples if there are any."""
    low, high = np.quantile(samples[1:], [0.025, 0.975]) if len(samples) > 1 and np.isfinite(samples).all() else (NAN, NAN)
    return Statistic(SECTION, name, split, of, scope, float(samples[0]), float(low), float(high), n, digits=digits)


def differences(standing: Standing, split: str) -> list[tuple[Statistic, str]]:
    """Per score: the blend less the member that is best out of fold, with its interval, and the verdict."""
    blend = next(row for row in standing.rows if row[0] == "blend")
    gold, out = standing.gold[split], []
    weight, drawn = metrics.gold_weight(gold), draws(standing.person.loc[gold.index])
    for score in RANKED:
        best = _best_member(standing, score)
        if best is None or score not in metrics.scored(gold):
            continue
        own, other = (_sampled(standing.rows[row][split], gold, score, weight, drawn) for row in (blend, best))
        one = _statistic(f"{score}_difference", split, f"blend less {best[1]}", "score", own[0] - other[0], own[1], 4)
        verdict = "better" if one.high < 0 else "worse" if one.low > 0 else "not told apart"
        out.append((one, verdict))
    return out


def _best_member(standing: Standing, score: str) -> tuple[str, str] | None:
    split = next(iter(standing.gold))
    found = {row: RA2[score].fn(t[split], standing.gold[split]) for row, t in standing.rows.items() if row[0] == "member"}
    found = {row: value for row, value in found.items() if not np.isnan(value)}
    return min(found, key=found.get) if found else None
