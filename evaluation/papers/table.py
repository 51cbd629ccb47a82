"""The tables of `evaluation.compare_papers`: all systems in one table per kind, then the papers' own tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from evaluation import gold, leaderboard, leaderboard_rows, runs
from evaluation.leaderboard import Leaderboard, score_cell
from evaluation.papers import comparisons, published, rohrbach_tables
from evaluation.papers.bo_tables import BothHands
from evaluation.papers.config import KINDS, PaperComparison
from evaluation.ratingen import Study, readings
from ra import atomic, paths
from ra.agreement import Interval
from ra.config import UserError
from ra.text_table import grid, number
from stage3_stack import cohort as cohorts
from stage3_stack.outputs import RANKED
from stage3_stack.predictions import load_member

SPLITS = ("oof", "test")
METRICS = {
    "joints": RANKED,
    "ratingen": ("accuracy", "balanced_accuracy", "within_one_balanced_accuracy"),
    "total": ("pcc", "mae", "rmse"),
    "severity": ("accuracy", "balanced_accuracy", "mae"),
}
SHORT = {"within_one_balanced_accuracy": "+-1 balanced", "balanced_accuracy": "balanced"}  # names in the heads of columns
TITLES = {
    "joints": "Systems that score joints, or totals: the challenge's scores, lower is better (% below the column mean)",
    "ratingen": "Ratingen erosion per joint, grades 0-5: accuracy, balanced accuracy, +-1 balanced accuracy, higher is better",
    "total": "Total of both hands, 0-280: Pearson's correlation, mean absolute and root mean squared error",
    "severity": "Ten ordered classes of that total: accuracy, balanced accuracy, mean absolute error in classes",
}


@dataclass
class SystemRow:
    """A system's row: values by (split, metric), {} for a system that is not trained; below is percent below the column mean."""

    system: str
    paper: str
    kind: str
    parameters: float = np.nan
    minutes: float = np.nan
    values: dict[tuple[str, str], float | Interval] = field(default_factory=dict)
    below: dict[tuple[str, str], float] = field(default_factory=dict)

    def cell(self, key: tuple[str, str]) -> str:
        """A value without its interval, for the terminal."""
        value = self.values.get(key)
        value = value.value if isinstance(value, Interval) else value
        if self.kind == "joints":
            return score_cell(value, self.below.get(key, np.nan))
        return number(value)


def gather(data: str, wanted: PaperComparison, root: Path) -> SystemsTable:
    """Read every finished run of a set from disk; the raw folder `root` may be missing or lack readers."""
    cohort = cohorts.load(data, tuple(runs.finished(data, 2)), joints=False)
    rows, ensembles = leaderboard_rows.of_cohort(cohort), []
    minutes = {m.name: runs.minutes(paths.run_dir(data, 2, m.name)) for m in cohort.members}
    for name in runs.finished(data, 3):
        folder = paths.run_dir(data, 3, name)
        minutes[name] = runs.minutes(folder)
        if (folder / "learners.parquet").is_file():
            rows["stack", name] = leaderboard_rows.stack_tables(folder)
            rows |= leaderboard_rows.learners(folder, prefix=f"{name}/")  # only for the comparisons
        else:
            ensembles.append(load_member(data, name, pd.Index(cohort.patients), cohort.n_train, stage=3))
    rows |= leaderboard_rows.truth(data, cohort)
    board = Leaderboard(rows, leaderboard.gold_tables(data, cohort), minutes)
    study = Study(data, [m.name for m in cohort.members if m.ratingen is not None], readings(data, root))
    both = BothHands.make(data, cohort, [*cohort.members, *ensembles], gold.reader_scores(data, "gold"))
    return SystemsTable(data, wanted, board, study, both)


@dataclass
class SystemsTable:
    """All systems of a set with their measurements."""

    data: str
    wanted: PaperComparison
    board: Leaderboard
    study: Study
    both: BothHands

    @cached_property
    def rows(self) -> list[SystemRow]:
        """Per kind: floors, the config's systems in its order, other finished runs, the noise floor."""
        listed = [SystemRow(run, group.paper, group.kind) for group in self.wanted.groups for run in group.runs]
        names = [row.system for row in listed]
        twice = [name for i, name in enumerate(names) if name in names[:i]]
        if twice:
            raise UserError(f"the config names system {twice[0]} twice; keep one")
        others = [SystemRow(name, "-", kind) for kind, found in self._finished().items() for name in found if name not in names]
        floors = [SystemRow(name, kind, "joints") for kind, name in self.board.rows if kind == "floor" and name not in names]
        noise = [SystemRow(name, kind, "joints") for kind, name in self.board.rows if kind == "noise floor"]
        ratingen = [SystemRow(name, "floor", "ratingen") for name in self.study.floors("oof") or self.study.floors("test")]
        return [self._filled(row) for row in (*floors, *ratingen, *listed, *others, *noise)]

    def _finished(self) -> dict[str, list[str]]:
        hands = self.both.members.values()
        return {
            "joints": [name for kind, name in self.board.rows if kind in ("member", "stack")],
            "ratingen": self.study.runs,
            "total": [m.name for m in hands if m.hands is not None],
            "severity": [m.name for m in hands if m.severity is not None],
        }

    def _filled(self, row: SystemRow) -> SystemRow:
        """The row with its measurements."""
        key = next((key for key in self.board.rows if key[1] == row.system), None) if row.kind == "joints" else None
        for split in SPLITS:
            if row.kind != "joints":
                row.values |= {(split, name): value for name, value in self._figures(row, split).items()}
            elif key is not None:
                row.values |= {(split, name): value for name, value in self.board.score(key, split).items()}
                row.below |= {(split, name): value for name, value in self.board.below_mean(key, split).items()}
        row.minutes = self.board.minutes.get(row.system, np.nan)
        if row.values:
            record = runs.record(paths.run_dir(self.data, 2, row.system))
            row.parameters = record.get("metrics", {}).get("parameters", np.nan)
        return row

    def _figures(self, row: SystemRow, split: str) -> dict[str, float | Interval]:
        """The measures of a system that does not score joints; {} for a system that is not trained."""
        if row.kind != "ratingen":
            return self.both.figures(row.system, split)
        floors = self.study.floors(split)
        return floors.get(row.system) or (self.study.figures(row.system, split) if row.system in self.study.runs else {})

    def text(self) -> str:
        """The tables of all kinds, the papers' own tables, the comparisons, and the detectors' localisation."""
        parts = [self._section(kind, [row for row in self.rows if row.kind == kind]) for kind in KINDS]
        parts[1:1] = [published.challenge_text()]
        claims = comparisons.text(self.wanted.comparisons, self.board, self.study, self.both)
        parts += [rohrbach_tables.text(self.study), self.both.text(), claims, self._boxes()]
        return "\n\n".join(part for part in parts if part)

    def _section(self, kind: str, rows: list[SystemRow]) -> str:
        if not rows:
            return ""
        keys = [(split, name) for split in SPLITS for name in METRICS[kind]]
        head = ["system", "paper", "parameters", "minutes", *(f"{split} {SHORT.get(name, name)}" for split, name in keys)]
        lines = []
        for row in rows:
            size = "-" if np.isnan(row.parameters) else f"{row.parameters:,.0f}"
            is_trained = row.values or row.system in self.board.minutes
            name = row.system if is_trained else f"{row.system} (not trained)"
            lines.append([name, row.paper, size, number(row.minutes, 1), *(row.cell(key) for key in keys)])
        return f"{TITLES[kind]}\n\n{grid(head, lines, left=2)}"

    def _boxes(self) -> str:
        """Localisation of the detectors, out of fold: share of joints within 2 % of the film's long side, median error."""
        lines = []
        for run in self.wanted.boxes:
            found = [runs.metrics(paths.run_dir(self.data, stage, run)) for stage in (1, 2)]
            measured = next((metrics for metrics in found if "within_2_percent" in metrics), {})
            error = measured.get("median_error_frac")
            share = 100 * measured.get("within_2_percent", np.nan)
            lines.append([run, number(share, 1), number(None if error is None else 100 * error, 2)])
        if not lines:
            return ""
        title = "Localisation out of fold: joints within 2 % of the film's long side, and the median error in % of it"
        return f"{title}\n\n{grid(['detector', 'within 2 %', 'median %'], lines)}"

    def table(self) -> pd.DataFrame:
        """The tidy table: a line per system, split and metric; for a system that is not trained, one line without a value."""
        lines = []
        for row in self.rows:
            common = {"system": row.system, "paper": row.paper, "kind": row.kind}
            common |= {"parameters": row.parameters, "minutes": row.minutes}
            if not row.values:
                lines.append(common)
            for (split, metric), value in row.values.items():
                interval = value if isinstance(value, Interval) else Interval(value, np.nan, np.nan)
                line = {"split": split, "metric": metric, "value": interval.value, "low": interval.low, "high": interval.high}
                lines.append(common | line | {"below_mean_percent": row.below.get((split, metric), np.nan)})
        return pd.DataFrame(lines)

    def write(self, path: Path) -> None:
        """Write the tidy table as CSV."""
        atomic.write_table(path, self.table().round(5))
