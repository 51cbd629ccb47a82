"""How the networks were trained: the loss at every epoch, and what chose the epoch that was kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from evaluation.raters import Raters
from evaluation.statistic import Statistic
from report import plotting, upstream_runs
from report.blocks import Block, Picture, Section, Table

ID, TITLE = "training", "How the networks were trained"
LOSSES = ("train_loss", "loss")
CURVES = (
    "A thin line is one fold's network, a dot the epoch whose weights were kept: the one with the lowest criterion on people "
    "held back within the training folds, never on those whose reading is reported. Losses differ in kind from network to "
    "network and must not be compared across columns; a training loss that falls while the criterion rises is learning by "
    "heart."
)
LOSS = "A thin line is one fold's network, a dot its last epoch: this training holds nothing back and takes every epoch."


@dataclass(frozen=True)
class Log:
    """A run's log.csv: fold, epoch, a training loss and, of stage 2, the criterion."""

    group: str
    name: str
    rows: pd.DataFrame
    record: dict

    @property
    def loss(self) -> str | None:
        return next((name for name in LOSSES if name in self.rows), None)

    def kept(self) -> pd.DataFrame:
        """The row of each fold with the lowest criterion; its last one where nothing was held back."""
        by = self.rows.groupby("fold")
        chosen = by.criterion.idxmin().dropna() if "criterion" in self.rows else by.epoch.idxmax()
        return self.rows.loc[chosen]


def make(raters: Raters) -> Section:
    """Training curves of stage 1, of pretraining and of the members, and a table of them."""
    logs = _logs(raters)
    if not logs:
        return Section(ID, TITLE, "No log of a training is left beside this run (log.csv of its members).")
    blocks: list[Block] = []
    for group in dict.fromkeys(log.group for log in logs):
        blocks.append(_curves(group, [log for log in logs if log.group == group]))
    blocks.append(_table(logs))
    lead = "The curves by which one sees whether the networks had learned, and whether they went on too long."
    return Section(ID, TITLE, lead, blocks)


def _logs(raters: Raters) -> list[Log]:
    detector, members = upstream_runs.detector(raters), list(upstream_runs.members(raters))
    starts = dict.fromkeys(path for name in members if (path := upstream_runs.pretraining(raters, name)))
    found = [("Stage 1, joints", detector)] if detector else []
    found += [("Pretraining on bone age", path) for path in starts]
    found += [("Stage 2, members", upstream_runs.folder(raters, name)) for name in members]
    return [log for group, folder in found if (log := _log(group, folder)) is not None]


def _log(group: str, folder: Path) -> Log | None:
    path = folder / "log.csv"
    rows = pd.read_csv(path) if path.is_file() and path.stat().st_size else pd.DataFrame()
    return Log(group, folder.name, rows, upstream_runs.record(folder)) if {"fold", "epoch"} <= set(rows) else None


def _curves(group: str, logs: list[Log]) -> Picture:
    """Training loss above, criterion below; a column per run."""
    held = any("criterion" in log.rows for log in logs)
    size = {"width": max(3.6, 2.4 * len(logs)), "height": 3.9 if held else 2.3}
    with plotting.figure(1 + held, len(logs), squeeze=False, sharex="col", **size) as (drawn, axes):
        for column, log in enumerate(logs):
            for axis, what in zip(axes[:, column], (log.loss, "criterion"), strict=False):
                _lines(axis, log, what)
            axes[0, column].set_title(log.name, loc="left")
            axes[-1, column].set_xlabel("epoch")
            axes[-1, column].xaxis.get_major_locator().set_params(integer=True)
        for axis, word in zip(axes[:, 0], ("training loss", "criterion"), strict=False):
            axis.set_ylabel(word)
        alt = f"Curves of training loss and criterion by epoch of {', '.join(log.name for log in logs)}."
        return plotting.picture(drawn, group, CURVES if held else LOSS, alt, wide=len(logs) > 2)


def _lines(axis: object, log: Log, what: str | None) -> None:
    if what is None or what not in log.rows:
        axis.set_visible(False)
        return
    kept = log.kept()
    for number, (fold, rows) in enumerate(log.rows.groupby("fold")):
        colour = plotting.COLOURS[number % len(plotting.COLOURS)]
        axis.plot(rows.epoch, rows[what], color=colour, linewidth=0.9)
        own = kept[kept.fold == fold]
        axis.plot(own.epoch, own[what], "o", color=colour, markersize=4)


def _table(logs: list[Log]) -> Table:
    head = ["", "networks", "weights in each", "epochs run", "epoch kept", "training loss there", "criterion there"]
    return Table(
        "Means over the networks of a run, one per fold. Minutes stand with the results.", head, [_row(log) for log in logs]
    )


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
    told = [
        Statistic(ID, name, "all", log.name, log.group, float(value), n=n, unit="networks", digits=digits)
        for name, (value, digits) in values.items()
    ]
    return [f"{log.group}: {log.name}", *told]
