"""Ratingen systems in the measures of the paper and the thesis: all systems, the best one's confusion matrix, three raters."""

from __future__ import annotations

from evaluation.papers import published
from evaluation.ratingen import Figures, Study
from ra import agreement
from ra.text_table import grid, number

GRADES = ("accuracy", "balanced_accuracy", "within_one_balanced_accuracy", "quadratic_kappa")
REST = {"crps": 4, "mse": 1, "mae": 2, "rau_pcc": 3, "rau_mae": 1}  # metric -> digits
HEAD = ["system", "accuracy", "balanced", "+-1 balanced", "quadratic kappa", "CRPS", "MSE", "MAE", "Rau PCC", "Rau MAE"]
SPLIT_NAMES = {"oof": "out of fold", "test": "test"}


def text(study: Study) -> str:
    """All tables; empty if the set has no Ratingen scores or no system predicts them."""
    if not study.runs or not study.readings:
        return ""
    parts = [_table(study, split) for split in study.readings] + [_published()]
    best = study.best()
    for split, readers in study.readings.items() if best else ():
        parts.append(_confusion(study, best, split))
        if readers.reader2 is not None:
            parts.append(_raters(study, best, split))
    return "\n\n".join(parts)


def _cells(figures: Figures) -> list[str]:
    return [number(figures.get(name)) for name in GRADES] + [number(figures.get(name), d) for name, d in REST.items()]


def _table(study: Study, split: str) -> str:
    n = len(study.readings[split].reader1)
    rows = [[name, *_cells(figures)] for name, figures in study.floors(split).items()]
    rows += [[run, *_cells(study.figures(run, split))] for run in study.runs]
    title = f"Ratingen, {SPLIT_NAMES[split]}: {n} joints of reader 1; 95 % intervals as in the paper, joints taken as independent"
    return f"{title}\n\n{grid(HEAD, rows)}"


def _published() -> str:
    head = [HEAD[0], "where", *HEAD[1:4], *HEAD[5:8]]
    rows = [[run, where, *map(number, figures), *["-"] * 3] for run, where, figures in published.ROHRBACH_CLASSES]
    for run, where, (crps, mse, mae) in published.ROHRBACH_PERCENT:
        rows.append([run, where, *["-"] * 3, number(crps, 4), number(mse, 1), number(mae, 2)])
    title = "Published in the paper and the thesis: 102,265 joints of left hands, other data than ours"
    return f"{title}\n\n{grid(head, rows, left=2)}"


def _confusion(study: Study, run: str, split: str) -> str:
    target, pred = study.readings[split].reader1.grade.to_numpy(), study.predictions[run, split].grade
    counts, shares = agreement.confusion(target, pred), agreement.confusion(target, pred, normalise=True)
    rows = [
        [f"reader {k}", *(f"{c} ({number(s, 2)})" for c, s in zip(count, share, strict=True))]
        for k, (count, share) in enumerate(zip(counts, shares, strict=True))
    ]
    head = [f"{run}, {SPLIT_NAMES[split]}", *(f"model {k}" for k in range(len(counts)))]
    title = "Confusion of the best system (highest balanced accuracy out of fold): joints (share of the reader's grade)"
    return f"{title}\n\n{grid(head, rows)}"


def _raters(study: Study, run: str, split: str) -> str:
    n, figures = study.raters(run, split)
    published_of = {pair: agreement.Interval(*values) for pair, values in published.ROHRBACH_RATERS.items()}
    rows = [[pair, number(value), number(published_of[pair])] for pair, value in figures.items()]
    title = f"Three raters, {SPLIT_NAMES[split]}: {n} joints, about as many of each grade; model {run}; quadratic kappa, ICC(1,1)"
    return f"{title}\n\n{grid(['pair', 'ours', 'paper, Table 3 (308 joints)'], rows)}"
