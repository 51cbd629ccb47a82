"""Where a run stands on the challenge's scores: between the column mean, which knows no film, and the readers' own noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from evaluation import bootstrap
from evaluation.bootstrap import Resamples, ratio
from evaluation.raters import MODEL, READER1, READER2, TRUTH, Raters
from evaluation.statistic import NAN, Statistic
from ra import challenge_scores, config, paths
from ra.challenge_scores import RA2
from ra.config import UserError
from stage3_stack import submission
from stage3_stack.outputs import RANKED

SECTION = "standing"
FLOOR = ("floor", "column mean")
NOISE = (("noise floor", TRUTH), ("noise floor", READER2))  # the first that is known is 100 % of the way
KINDS = ("floor", "member", "learner", "blend", "noise floor")

Rows = dict[tuple[str, str], dict[str, pd.DataFrame]]  # (kind, name) -> split -> submission


@dataclass(frozen=True)
class Standing:
    """rows and gold of the patients that reader 1 scored, person (patient -> person); told: why members are lacking, if so."""

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
    from evaluation.leaderboard import Scoreboard
    from stage3_stack.config import JointStack

    folder = paths.run_dir(raters.data, 3, raters.run)
    saved = folder / "config.yaml"
    if not saved.is_file() or "site_learners" not in saved.read_text() or not (folder / "learners.parquet").is_file():
        return None
    return Scoreboard.make(raters.data, folder, config.load(JointStack, saved))


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
    draws = bootstrap.resample(standing.person.loc[gold.index].to_numpy())
    rows = {row: tables[split] for row, tables in standing.rows.items() if split in tables}
    found = {row: {s: _sampled(table, gold, s, draws) for s in RANKED} for row, table in rows.items()}
    noise = standing.noise(split)
    nothing = dict.fromkeys(RANKED, (np.full(len(draws.weight), NAN), 0))
    floor, best = found.get(FLOOR, nothing), found.get(noise, nothing)
    out = []
    for (kind, name), samples in found.items():
        cells = {what: {} for what in ("score", "below", "way")}
        for s in RANKED:
            (own, n), (zero, _), (full, _) = samples[s], floor[s], best[s]
            common = {"section": SECTION, "split": split, "of": f"{kind} {name}", "n": n}
            below, way = 100 * (1 - ratio(own, zero)), 100 * ratio(zero - own, zero - full)
            cells["score"][s] = Statistic(name=s, scope="score", **_ends(draws, own), **common)
            cells["below"][s] = Statistic(name=f"{s}_below_mean", scope="percent", value=float(below[0]), **common, digits=0)
            cells["way"][s] = Statistic(name=f"{s}_way", scope="percent", **_ends(draws, way), **common, digits=0)
        out.append(Line(kind, name, **cells))
    return out


def _sampled(table: pd.DataFrame, gold: pd.DataFrame, score: str, draws: Resamples) -> tuple[np.ndarray, int]:
    """(1 + times,) the score as it is and of each resample, and of how many patients it is made."""
    error, weight = challenge_scores.patient_error(table, gold, score), challenge_scores.gold_weight(gold)
    known = ~np.isnan(error) & (weight > 0)
    sums = draws.sums(np.stack([np.where(known, weight * error, 0.0), np.where(known, weight, 0.0)], axis=1))
    return ratio(sums[:, 0], sums[:, 1]), int(known.sum())


def _ends(draws: Resamples, samples: np.ndarray) -> dict[str, float]:
    return dict(zip(("value", "low", "high"), draws.estimate(samples), strict=True))


def differences(standing: Standing, split: str) -> list[tuple[Statistic, str]]:
    """Per score: the blend less the member that is best out of fold, with its interval, and the verdict."""
    blend = next(row for row in standing.rows if row[0] == "blend")
    gold, out = standing.gold[split], []
    draws = bootstrap.resample(standing.person.loc[gold.index].to_numpy())
    for score in RANKED:
        best = _best_member(standing, score)
        if best is None or score not in challenge_scores.scored(gold):
            continue
        (own, n), (other, _) = (_sampled(standing.rows[row][split], gold, score, draws) for row in (blend, best))
        ends = _ends(draws, own - other)
        one = Statistic(SECTION, f"{score}_difference", split, f"blend less {best[1]}", "score", **ends, n=n, digits=4)
        out.append((one, "better" if one.high < 0 else "worse" if one.low > 0 else "not told apart"))
    return out


def totals(raters: Raters, split: str) -> dict[str, dict[str, Statistic]]:
    """Per rater the mean and the standard deviation of his totals; of the model also the latter's ratio to reader 1's."""
    rows = raters.of(split)
    draws, reference = bootstrap.resample(rows.person), rows.by[READER1].totals[:, 0]
    out, first = {}, _moments(draws, reference)[1]
    for name in rows.names:
        mean, sd = _moments(draws, rows.by[name].totals[:, 0])
        n = int((~np.isnan(rows.by[name].totals[:, 0])).sum())
        figures = {"mean": mean, "sd": sd} | ({"sd_ratio": ratio(sd, first)} if name == MODEL else {})
        out[name] = {
            word: Statistic(
                SECTION, word, split, name, "total", **_ends(draws, values), n=n, digits=2 if word == "sd_ratio" else 1
            )
            for word, values in figures.items()
        }
    return out


def _moments(draws: Resamples, total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known = ~np.isnan(total)
    x = np.where(known, total, 0.0)
    n, sums, squares = draws.sums(np.stack([known, x, x * x], axis=1)).T
    mean = ratio(sums, n)
    return mean, np.sqrt(np.maximum(ratio(squares - n * mean**2, n - 1), 0.0))


def _best_member(standing: Standing, score: str) -> tuple[str, str] | None:
    split = next(iter(standing.gold))
    found = {row: RA2[score].fn(t[split], standing.gold[split]) for row, t in standing.rows.items() if row[0] == "member"}
    found = {row: value for row, value in found.items() if not np.isnan(value)}
    return min(found, key=found.get) if found else None
