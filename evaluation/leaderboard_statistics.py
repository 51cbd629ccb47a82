"""The leaderboard as statistics with 95 % intervals: every row's scores, the comparison with the best member, the totals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from evaluation import bootstrap, section_ids
from evaluation.bootstrap import Resamples, ratio
from evaluation.leaderboard import Leaderboard, percent_below, percent_of_way
from evaluation.leaderboard_rows import FLOOR
from evaluation.raters import MODEL, READER1, Raters
from evaluation.statistic import NAN, Statistic
from ra import challenge_scores
from stage3_stack.outputs import RANKED

SECTION = section_ids.LEADERBOARD


@dataclass(frozen=True)
class Line:
    """A row's statistics on one split, per score.

    score: its value. below: percent below the column mean; it has no interval, which would only repeat that of the score. way:
    percent of the way from the column mean to the noise floor.
    """

    kind: str
    name: str
    score: dict[str, Statistic]
    below: dict[str, Statistic]
    way: dict[str, Statistic]


def lines(board: Leaderboard, split: str) -> list[Line]:
    """Every row of the split with 95 % intervals, from a bootstrap over persons with the same resamples for all rows."""
    gold, draws = board.gold[split], _draws(board, split)
    submissions = {row: tables[split] for row, tables in board.rows.items() if split in tables}
    samples = {row: {s: _sampled(table, gold, s, draws) for s in RANKED} for row, table in submissions.items()}
    unknown = dict.fromkeys(RANKED, (np.full(len(draws.weight), NAN), 0))
    floor, noise = samples.get(FLOOR, unknown), samples.get(board.noise_row(split), unknown)
    out = []
    for (kind, name), sampled in samples.items():
        line = Line(kind, name, {}, {}, {})
        for s in RANKED:
            score, n = sampled[s]
            common = {"section": SECTION, "split": split, "of": f"{kind} {name}", "n": n}
            below = percent_below(score, floor[s][0])
            way = percent_of_way(score, floor[s][0], noise[s][0])
            line.score[s] = Statistic(name=s, scope="score", **_ends(draws, score), **common)
            line.below[s] = Statistic(name=f"{s}_below_mean", scope="percent", value=float(below[0]), **common, digits=0)
            line.way[s] = Statistic(name=f"{s}_way", scope="percent", **_ends(draws, way), **common, digits=0)
        out.append(line)
    return out


def _draws(board: Leaderboard, split: str) -> Resamples:
    return bootstrap.resample(board.person.loc[board.gold[split].index].to_numpy())


def _sampled(table: pd.DataFrame, gold: pd.DataFrame, score: str, draws: Resamples) -> tuple[np.ndarray, int]:
    """(1 + times,) a score and its value in each resample, and the number of patients from whom it is computed."""
    error, weight = challenge_scores.patient_error(table, gold, score), challenge_scores.gold_weight(gold)
    counts = ~np.isnan(error) & (weight > 0)
    sums = draws.sums(np.stack([np.where(counts, weight * error, 0.0), np.where(counts, weight, 0.0)], axis=1))
    return ratio(sums[:, 0], sums[:, 1]), int(counts.sum())


def _ends(draws: Resamples, samples: np.ndarray) -> dict[str, float]:
    return dict(zip(("value", "low", "high"), draws.estimate(samples), strict=True))


def differences(board: Leaderboard, split: str) -> list[tuple[Statistic, str]]:
    """For each score: the run's score minus that of the best single member, with its interval, and the verdict."""
    gold, draws, out = board.gold[split], _draws(board, split), []
    for score, best in board.comparisons(split):
        (blend, n), (other, _) = (_sampled(board.rows[row][split], gold, score, draws) for row in (board.blend, best))
        ends = _ends(draws, blend - other)
        statistic = Statistic(SECTION, f"{score}_difference", split, f"blend less {best[1]}", "score", **ends, n=n, digits=4)
        out.append((statistic, bootstrap.verdict(statistic.low, statistic.high)))
    return out


def totals(raters: Raters, split: str) -> dict[str, dict[str, Statistic]]:
    """Mean and standard deviation (SD) of each rater's totals; for the model also the ratio of its SD to that of reader 1."""
    rows = raters.in_split(split)
    draws, out = bootstrap.resample(rows.person), {}
    sd_of_reader = _moments(draws, rows.by[READER1].totals[:, 0])[1]
    for name in rows.names:
        total = rows.by[name].totals[:, 0]
        mean, sd = _moments(draws, total)
        measures = {"mean": (mean, 1), "sd": (sd, 1)} | ({"sd_ratio": (ratio(sd, sd_of_reader), 2)} if name == MODEL else {})
        common = {"section": SECTION, "split": split, "of": name, "scope": "total", "n": int((~np.isnan(total)).sum())}
        out[name] = {
            measure: Statistic(name=measure, **_ends(draws, samples), **common, digits=digits)
            for measure, (samples, digits) in measures.items()
        }
    return out


def _moments(draws: Resamples, total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(1 + times,) the mean and the standard deviation of the totals that are known."""
    is_known = ~np.isnan(total)
    x = np.where(is_known, total, 0.0)
    n, sums, squares = draws.sums(np.stack([is_known, x, x * x], axis=1)).T
    mean = ratio(sums, n)
    return mean, np.sqrt(np.maximum(ratio(squares - n * mean**2, n - 1), 0.0))
