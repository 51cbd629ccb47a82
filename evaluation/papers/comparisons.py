"""Claims about the difference between two systems: the difference and its 95 % interval over resampled patients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple

import numpy as np

from evaluation.bootstrap import difference_text, paired_difference
from evaluation.leaderboard import Leaderboard
from evaluation.papers.bo_tables import BothHands
from evaluation.papers.config import Comparison
from evaluation.ratingen import Study
from ra import agreement
from stage3_stack import linear_ensembles
from stage3_stack.outputs import RANKED

Measure = Callable[[np.ndarray, np.ndarray], float]  # function of the targets and predictions of some rows


def _accuracy(target: np.ndarray, pred: np.ndarray) -> float:
    return agreement.accuracy(target, pred, 10).value


def _balanced(target: np.ndarray, pred: np.ndarray) -> float:
    return agreement.balanced_accuracy(target, pred).value


# kind of system -> name -> (measure, whether higher is better)
MEASURES: dict[str, dict[str, tuple[Measure, bool]]] = {
    "total": {"RMSE": (agreement.rmse, False)},
    "severity": {"accuracy": (_accuracy, True), "MAE": (agreement.mae, False)},
    "ratingen": {"balanced accuracy": (_balanced, True)},
}


def text(comparisons: tuple[Comparison, ...], board: Leaderboard, study: Study, both: BothHands) -> str:
    """Every comparison of the config, out of fold and on test."""
    out = []
    for comparison in comparisons:
        lines = [*_joint_lines(comparison, board), *_other_lines(comparison, study, both)]
        names = f"{comparison.pred} - {comparison.other}"
        missing = f"{comparison.pred} or {comparison.other} is not trained, or they predict different things"
        out += [f"{comparison.effect}: {names if lines else missing}", *lines]
    return "\n".join(out)


def _joint_lines(comparison: Comparison, board: Leaderboard) -> list[str]:
    """Differences of the challenge's scores between two systems that score joints; [] for other systems."""
    rows = {row[1]: row for row in board.rows}
    if not {comparison.pred, comparison.other} <= set(rows):
        return []
    pred, other = rows[comparison.pred], rows[comparison.other]
    words = {
        f"  {split} {name.upper()}": board.difference_text(pred, other, split, name) for split in board.splits for name in RANKED
    }
    return [f"{what}: {difference}" for what, difference in words.items() if "nan" not in difference]


def _other_lines(comparison: Comparison, study: Study, both: BothHands) -> list[str]:
    """Differences between two systems that predict the same thing, but not joints, in their papers' measures; [] for others."""
    out = []
    for split in ("oof", "test"):
        pred, other = (_predictions(run, split, study, both) for run in (comparison.pred, comparison.other))
        if pred is None or other is None or pred[0] != other[0]:
            continue
        kind, target, values, patient = pred
        for name, (measure, higher_is_better) in MEASURES[kind].items():
            difference = paired_difference(measure, target, values, other[2], patient)
            words = difference_text(*astuple(difference), higher_is_better=higher_is_better)
            out.append(f"  {split} {name}: {words}")
    return out


def _predictions(run: str, split: str, study: Study, both: BothHands) -> tuple[str, np.ndarray, np.ndarray, np.ndarray] | None:
    """(kind, target, prediction, patient) of a run that does not score joints; None for other runs and without targets."""
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
