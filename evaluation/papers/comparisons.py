"""What may be claimed of a difference between two systems: it and its 95 % interval over resampled patients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from evaluation import leaderboard
from evaluation.compare_papers import Comparison
from evaluation.leaderboard import Scoreboard
from evaluation.papers.bo_tables import BothHands
from evaluation.ratingen import Study
from ra import agreement
from ra.challenge_scores import SEED
from stage3_stack import linear_ensembles
from stage3_stack.outputs import RANKED

TIMES = 1000
Measure = Callable[[np.ndarray, np.ndarray], float]  # (target, pred) of some rows


def _accuracy(target: np.ndarray, pred: np.ndarray) -> float:
    return agreement.accuracy(target, pred, 10).value


def _balanced(target: np.ndarray, pred: np.ndarray) -> float:
    return agreement.balanced_accuracy(target, pred).value


# kind -> name -> the measure, and whether more of it is better
MEASURES: dict[str, dict[str, tuple[Measure, bool]]] = {
    "total": {"RMSE": (agreement.rmse, False)},
    "severity": {"accuracy": (_accuracy, True), "MAE": (agreement.mae, False)},
    "ratingen": {"balanced accuracy": (_balanced, True)},
}


def paired_bootstrap(
    measure: Measure, target: np.ndarray, pred: np.ndarray, other: np.ndarray, patient: np.ndarray, times: int = TIMES
) -> tuple[float, float, float]:
    """measure(pred) - measure(other) on rows (n,) that both answer, and its 95 % interval over resampled patients (n,)."""
    known = ~np.isnan(np.stack([target, pred, other])).any(axis=0)
    target, pred, other, patient = target[known], pred[known], other[known], patient[known]

    def difference(rows: np.ndarray) -> float:
        return measure(target[rows], pred[rows]) - measure(target[rows], other[rows])

    own = [np.flatnonzero(patient == name) for name in np.unique(patient)]
    if not own:
        return (float("nan"),) * 3
    rng = np.random.default_rng(SEED)
    draws = [difference(np.concatenate([own[i] for i in rng.integers(0, len(own), len(own))])) for _ in range(times)]
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return difference(np.arange(len(target))), float(low), float(high)


def text(claims: tuple[Comparison, ...], found: Scoreboard, study: Study, both: BothHands) -> str:
    """Every comparison of the config, out of fold and on test."""
    out = []
    for claim in claims:
        lines = [*_joints(claim, found), *_own(claim, study, both)]
        names = f"{claim.pred} - {claim.other}"
        missing = f"{claim.pred} or {claim.other} is not trained, or they are not measured alike"
        out += [f"{claim.says}: {names if lines else missing}", *lines]
    return "\n".join(out)


def _joints(claim: Comparison, found: Scoreboard) -> list[str]:
    rows = {name: splits for (_, name), splits in found.rows.items()}
    if not {claim.pred, claim.other} <= set(rows):
        return []
    said = {
        f"  {split} {score.upper()}": leaderboard.difference_text(rows[claim.pred][split], rows[claim.other][split], gold, score)
        for split, gold in found.gold.items()
        for score in RANKED
    }
    return [f"{what}: {words}" for what, words in said.items() if "nan" not in words]


def _own(claim: Comparison, study: Study, both: BothHands) -> list[str]:
    out = []
    for split in ("oof", "test"):
        pair = [_answers(run, split, study, both) for run in (claim.pred, claim.other)]
        if None in pair or pair[0][0] != pair[1][0]:
            continue
        (kind, target, pred, patient), (_, _, other, _) = pair
        for name, (measure, more) in MEASURES[kind].items():
            difference, low, high = paired_bootstrap(measure, target, pred, other, patient)
            words = {True: ("better", "worse"), False: ("worse", "better")}[more]
            verdict = words[0] if low > 0 else words[1] if high < 0 else "not told apart"
            interval = f"{difference:+.4f}, 95 % interval over patients [{low:+.4f}, {high:+.4f}]"
            out.append(f"  {split} {name}: {interval}: {verdict}")
    return out


def _answers(run: str, split: str, study: Study, both: BothHands) -> tuple[str, np.ndarray, np.ndarray, np.ndarray] | None:
    """(kind, target, prediction, patient) of a run that does not score joints; None for any other, or without a target."""
    if run in study.runs and split in study.readings:
        first = study.readings[split].reader1
        grade = study.predictions[run, split].grade
        return "ratingen", first.grade.to_numpy(), grade, first.index.get_level_values("patient_id").to_numpy()
    member = both.members.get(run)
    if member is None or split not in both.targets:
        return None
    rows = both.cohort.train if split == "oof" else both.cohort.test
    kind = "severity" if member.hands is None else "total"
    pred = linear_ensembles.likeliest(member.severity[rows]) if member.hands is None else member.hands[rows]
    return kind, both.targets[split][kind], pred, both.cohort.patients[rows]
