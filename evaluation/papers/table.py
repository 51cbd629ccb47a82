"""What `evaluation.compare_papers` prints: all systems in one table, then each paper's own tables."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from evaluation import leaderboard as scoreboard
from evaluation.compare_papers import KINDS, Systems
from evaluation.leaderboard import FLOOR, Scoreboard
from evaluation.papers import comparisons, published, rohrbach_tables
from evaluation.papers.bo_tables import BothHands
from evaluation.ratingen import Study, readings
from ra import paths
from ra.agreement import Interval
from ra.config import UserError
from ra.text_table import grid, number
from stage3_stack import cohort as cohorts
from stage3_stack import outputs
from stage3_stack.outputs import RANKED
from stage3_stack.predictions import load_member

SPLITS = ("oof", "test")
METRICS = {
    "joints": RANKED,
    "ratingen": ("accuracy", "balanced_accuracy", "within_one_balanced_accuracy"),
    "total": ("pcc", "mae", "rmse"),
    "severity": ("accuracy", "balanced_accuracy", "mae"),
}
TITLES = {
    "joints": "Systems that score joints, or totals: the challenge's scores, lower is better (% below the column mean)",
    "ratingen": "Ratingen erosion per joint, grades 0-5: accuracy, balanced accuracy, +-1 balanced accuracy, higher is better",
    "total": "Total of both hands, 0-280: Pearson's correlation, mean absolute and root mean squared error",
    "severity": "Ten ordered classes of that total: accuracy, balanced accuracy, mean absolute error in classes",
}


@dataclass
class Line:
    """A system's row; values by (split, metric), {} for one that is not trained."""

    system: str
    paper: str
    kind: str
    parameters: float = np.nan
    minutes: float = np.nan
    values: dict[tuple[str, str], float | Interval] = field(default_factory=dict)
    below: dict[tuple[str, str], float] = field(default_factory=dict)  # percent below the column mean


@dataclass
class Overview:
    """Everything that was measured of a set's systems."""

    data: str
    systems: Systems
    scoreboard: Scoreboard
    study: Study
    both: BothHands

    @classmethod
    def make(cls, data: str, systems: Systems, root: Path) -> Overview:
        """Gather from disk; `root` may lack whatever is not known."""
        cohort = cohorts.load(data, tuple(scoreboard.finished(data, 2)), joints=False)
        gold, truth = scoreboard.known(data, cohort)
        rows, stacked = scoreboard.base_rows(cohort), []
        took = {m.name: scoreboard.minutes(paths.run_dir(data, 2, m.name)) for m in cohort.members}
        for name in scoreboard.finished(data, 3):
            folder = paths.run_dir(data, 3, name)
            took[name] = scoreboard.minutes(folder)
            if (folder / "learners.parquet").is_file():
                rows["stack", name] = scoreboard.stack_tables(folder)
                rows |= _learners(folder)
            else:
                stacked.append(load_member(data, name, pd.Index(cohort.patients), cohort.n_train, stage=3))
        found = Scoreboard(cohort, rows, {"oof": outputs.gold_of(cohort)}, took, "").against(gold, truth)
        study = Study(data, [m.name for m in cohort.members if m.ratingen is not None], readings(data, root))
        return cls(data, systems, found, study, BothHands.make(data, cohort, [*cohort.members, *stacked], gold))

    @cached_property
    def lines(self) -> list[Line]:
        """Of every kind: floors, the config's systems in its order, other finished runs, the noise floor."""
        listed = [Line(run, group.paper, group.kind) for group in self.systems.groups for run in group.runs]
        twice = [line.system for i, line in enumerate(listed) if line.system in {other.system for other in listed[:i]}]
        if twice:
            raise UserError(f"the config names system {twice[0]} twice; keep one")
        known = {line.system for line in listed}
        others = [Line(name, "-", kind) for kind, names in self._finished().items() for name in names if name not in known]
        floors = [Line(name, kind, "joints") for kind, name in self.scoreboard.rows if kind == "floor" and name not in known]
        noise = [Line(name, kind, "joints") for kind, name in self.scoreboard.rows if kind == "noise floor"]
        edges = [Line(name, "floor", "ratingen") for name in self.study.floors("oof") or self.study.floors("test")]
        return [self._filled(line) for line in (*floors, *edges, *listed, *others, *noise)]

    def _finished(self) -> dict[str, list[str]]:
        hands = self.both.members.values()
        return {
            "joints": [name for kind, name in self.scoreboard.rows if kind in ("member", "stack")],
            "ratingen": self.study.runs,
            "total": [m.name for m in hands if m.hands is not None],
            "severity": [m.name for m in hands if m.severity is not None],
        }

    def _filled(self, line: Line) -> Line:
        if line.kind == "joints":
            row = next(((kind, name) for kind, name in self.scoreboard.rows if name == line.system), None)
            for split in SPLITS if row else ():
                own, floor = self.scoreboard.score(*row, split), self.scoreboard.score("floor", FLOOR, split)
                line.values |= {(split, score): own[score] for score in RANKED}
                line.below |= {(split, score): 100 * (1 - own[score] / floor[score]) for score in RANKED}
        else:
            for split in SPLITS:
                line.values |= {(split, name): value for name, value in self._own(line, split).items()}
        line.minutes = self.scoreboard.took.get(line.system, np.nan)
        line.parameters = _parameters(paths.run_dir(self.data, 2, line.system)) if line.values else np.nan
        return line

    def _own(self, line: Line, split: str) -> dict[str, float | Interval]:
        if line.kind != "ratingen":
            return self.both.figures(line.system, split)
        floors = self.study.floors(split)
        return floors.get(line.system) or (self.study.figures(line.system, split) if line.system in self.study.runs else {})

    def text(self) -> str:
        """The table and everything below it."""
        parts = [self._section(kind, [line for line in self.lines if line.kind == kind]) for kind in KINDS]
        parts[1:1] = [published.challenge_text()]
        said = comparisons.text(self.systems.comparisons, self.scoreboard, self.study, self.both)
        parts += [rohrbach_tables.text(self.study), self.both.text(), said, self._boxes()]
        return "\n\n".join(part for part in parts if part)

    def _section(self, kind: str, lines: list[Line]) -> str:
        if not lines:
            return ""
        head = ["system", "paper", "parameters", "minutes", *(f"{split} {name}" for split in SPLITS for name in METRICS[kind])]
        head = [h.replace("within_one_balanced_accuracy", "+-1 balanced").replace("balanced_accuracy", "balanced") for h in head]
        rows = []
        for line in lines:
            cells = [self._cell(line, (split, name)) for split in SPLITS for name in METRICS[kind]]
            size = "-" if np.isnan(line.parameters) else f"{line.parameters:,.0f}"
            name = line.system if line.values or line.system in self.scoreboard.took else f"{line.system} (not trained)"
            rows.append([name, line.paper, size, number(line.minutes, 1), *cells])
        return f"{TITLES[kind]}\n\n{grid(head, rows, left=2)}"

    @staticmethod
    def _cell(line: Line, key: tuple[str, str]) -> str:
        value = line.values.get(key)
        value = value.value if isinstance(value, Interval) else value
        percent = line.below.get(key, np.nan)
        return number(value, 4 if line.kind == "joints" else 3) + ("" if np.isnan(percent) else f" {f'({percent:.0f})':>6}")

    def _boxes(self) -> str:
        """Localisation of the detectors, out of fold: share of joints within 2 % of the film's long side, median error."""
        rows = []
        for run in self.systems.boxes:
            found = [_metrics(paths.run_dir(self.data, stage, run)) for stage in (1, 2)]
            own = next((m for m in found if "within_2_percent" in m), {})
            error = own.get("median_error_frac")
            share = 100 * own.get("within_2_percent", np.nan)
            rows.append([run, number(share, 1), number(None if error is None else 100 * error, 2)])
        if not rows:
            return ""
        title = "Localisation out of fold: joints within 2 % of the film's long side, and the median error in % of it"
        return f"{title}\n\n{grid(['detector', 'within 2 %', 'median %'], rows)}"

    def table(self) -> pd.DataFrame:
        """Tidy: a line per system, split and metric; a system that is not trained has one without a value."""
        rows = []
        for line in self.lines:
            own = {"system": line.system, "paper": line.paper, "kind": line.kind}
            own |= {"parameters": line.parameters, "minutes": line.minutes}
            rows += [] if line.values else [own]
            for (split, metric), found in line.values.items():
                interval = found if isinstance(found, Interval) else Interval(found, np.nan, np.nan)
                one = {"split": split, "metric": metric, "value": interval.value, "low": interval.low, "high": interval.high}
                rows.append(own | one | {"below_mean_percent": line.below.get((split, metric), np.nan)})
        return pd.DataFrame(rows)

    def write(self, path: Path) -> None:
        """The tidy table as CSV."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self.table().round(5).to_csv(temporary, index=False)
        temporary.replace(path)


def _learners(folder: Path) -> dict[tuple[str, str], scoreboard.Tables]:
    """A stack's learners by `RUN/LEARNER`, for comparisons alone."""
    out: dict[tuple[str, str], scoreboard.Tables] = {}
    for (name, split), table in outputs.read_learners(folder / "learners.parquet").items():
        out.setdefault(("learner", f"{folder.name}/{name}"), {})[split] = table
    return out


def _metrics(folder: Path) -> dict:
    path = folder / "metrics.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def _parameters(folder: Path) -> float:
    """Trainable parameters by the run's own record; NaN for what has none."""
    path = folder / "run.json"
    found = json.loads(path.read_text()).get("metrics", {}) if path.is_file() else {}
    return found.get("parameters", np.nan)
