"""Training curves: the loss at every epoch, and the criterion that chose the epoch whose weights were kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from evaluation import section_ids
from evaluation.raters import Raters
from evaluation.statistic import Statistic
from report import plotting, upstream_runs
from report.blocks import Block, Picture, Section, Table

ID, TITLE = section_ids.TRAINING, "Training of the networks"
LOSSES = ("train_loss", "loss")
MISSING = "There is no training log (log.csv) of this run's members."
LEAD = "Training curves show whether the networks converged and whether they were trained for too long."
CURVES = (
    "Each thin line is the network of one fold; a dot marks the epoch whose weights were kept: the one with the lowest "
    "criterion on persons held back within the training folds, never on the patients whose scores are reported. Losses differ "
    "in kind between networks and must not be compared across columns. A training loss that falls while the criterion rises "
    "indicates overfitting."
)
LOSS = "Each thin line is the network of one fold; a dot is its last epoch, whose weights were kept. No data were held back."


@dataclass(frozen=True)
class Log:
    """A run's log.csv: fold, epoch, a training loss and, for members of stage 2, the criterion."""

    group: str
    name: str
    rows: pd.DataFrame
    record: dict

    @property
    def loss(self) -> str | None:
        """The name of the loss column."""
        return next((name for name in LOSSES if name in self.rows), None)

    def kept(self) -> pd.DataFrame:
        """The row of each fold with the lowest criterion; the last row if there is no criterion."""
        by_fold = self.rows.groupby("fold")
        index = by_fold.criterion.idxmin().dropna() if "criterion" in self.rows else by_fold.epoch.idxmax()
        return self.rows.loc[index]


def make(raters: Raters) -> Section:
    """Training curves of stage 1, of pretraining and of the members, and a table of their last epochs."""
    logs = _logs(raters)
    if not logs:
        return Section(ID, TITLE, MISSING)
    groups = dict.fromkeys(log.group for log in logs)
    curves: list[Block] = [_curves(group, [log for log in logs if log.group == group]) for group in groups]
    return Section(ID, TITLE, LEAD, [*curves, _table(logs)])


def _logs(raters: Raters) -> list[Log]:
    detector, members = upstream_runs.detector(raters), list(upstream_runs.members(raters))
    pretrained = dict.fromkeys(path for name in members if (path := upstream_runs.pretraining(raters, name)))
    folders = [("Stage 1, joints", detector)] if detector else []
    folders += [("Pretraining on bone age", path) for path in pretrained]
    folders += [("Stage 2, members", upstream_runs.folder(raters, name)) for name in members]
    logs = [_log(group, folder) for group, folder in folders]
    return [log for log in logs if log is not None]


def _log(group: str, folder: Path) -> Log | None:
    path = folder / "log.csv"
    rows = pd.read_csv(path) if path.is_file() and path.stat().st_size else pd.DataFrame()
    return Log(group, folder.name, rows, upstream_runs.record(folder)) if {"fold", "epoch"} <= set(rows) else None


def _curves(group: str, logs: list[Log]) -> Picture:
    """Curves of the training loss (above) and of the criterion (below), with a column per run."""
    with_criterion = any("criterion" in log.rows for log in logs)
    size = {"width": max(3.6, 2.4 * len(logs)), "height": 3.9 if with_criterion else 2.3}
    with plotting.figure(1 + with_criterion, len(logs), squeeze=False, sharex="col", **size) as (fig, axes):
        for column, log in zip(axes.T, logs, strict=True):
            for ax, name in zip(column, (log.loss, "criterion"), strict=False):
                _lines(ax, log, name)
            column[0].set_title(log.name, loc="left")
            column[-1].set_xlabel("epoch")
            column[-1].xaxis.get_major_locator().set_params(integer=True)
            epochs = log.rows.epoch.unique()
            if len(epochs) == 1:
                column[-1].set_xticks(epochs)
        for ax, label in zip(axes[:, 0], ("training loss", "criterion"), strict=False):
            ax.set_ylabel(label)
        alt = f"Curves of training loss and criterion by epoch of {', '.join(log.name for log in logs)}."
        return plotting.picture(fig, group, CURVES if with_criterion else LOSS, alt, wide=len(logs) > 2)


def _lines(ax: Axes, log: Log, name: str | None) -> None:
    if name is None or name not in log.rows:
        ax.set_visible(False)
        return
    kept = log.kept()
    for k, (fold, rows) in enumerate(log.rows.groupby("fold")):
        colour = plotting.COLOURS[k % len(plotting.COLOURS)]
        ax.plot(rows.epoch, rows[name], color=colour, linewidth=0.9)
        kept_row = kept[kept.fold == fold]
        ax.plot(kept_row.epoch, kept_row[name], "o", color=colour, markersize=4)


def _table(logs: list[Log]) -> Table:
    head = ["", "networks", "weights in each", "epochs run", "epoch kept", "its training loss", "its criterion"]
    caption = "Means over the networks of a run, one per fold. The run time is listed with the challenge scores."
    return Table(caption, head, [_row(log) for log in logs])


def _row(log: Log) -> list:
    kept, n = log.kept(), log.rows.fold.nunique()
    values = {
        "networks": (n, 0),
        "parameters": (log.record.get("metrics", {}).get("parameters", np.nan), 0),
        "epochs": (log.rows.groupby("fold").size().mean(), 1),
        "epoch kept": (kept.epoch.mean() + 1 - log.rows.epoch.min(), 1),
        "training loss": (kept[log.loss].mean() if log.loss else np.nan, 3),
        "criterion": (kept.criterion.mean() if "criterion" in kept else np.nan, 3),
    }
    cells = [
        Statistic(ID, name, "all", log.name, log.group, float(value), n=n, unit="networks", digits=digits)
        for name, (value, digits) in values.items()
    ]
    return [f"{log.group}: {log.name}", *cells]
