"""The leaderboard of a run: its scores between the column mean, which uses no film, and the noise floor of the readers.

The terminal (evaluation.results), the papers' table (evaluation.compare_papers) and the page (report) share it; the page's
intervals are in leaderboard_statistics.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from evaluation import bootstrap, gold, leaderboard_rows, runs
from evaluation.bootstrap import ratio
from evaluation.leaderboard_rows import FLOOR, NOISE, Key, Rows, Tables
from evaluation.raters import Raters
from ra import atomic, challenge_scores, paths, tables
from ra.anatomy import PARTS, SITES
from ra.config import UserError
from ra.text_table import grid, number
from stage3_stack import cohort as cohorts
from stage3_stack import config as stack_config
from stage3_stack import outputs
from stage3_stack.cohort import Cohort
from stage3_stack.config import JointStack
from stage3_stack.outputs import RANKED

SPLITS = ("oof", "test")
TITLE = "The challenge's scores, lower is better; in brackets percent below the column mean"


def percent_below(score: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """How far a score is below that of the column mean, in percent of the latter."""
    return 100 * (1 - ratio(score, floor))


def percent_of_way(score: np.ndarray, floor: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """How far a score is on the way from the column mean (0 %) to the noise floor (100 %)."""
    return 100 * ratio(np.subtract(floor, score), np.subtract(floor, noise))


def score_cell(score: float | None, percent: float) -> str:
    """A score and its percent below the column mean, for a terminal's table."""
    return number(score, 4) + ("" if np.isnan(percent) else f" {f'({percent:.0f})':>6}")


@dataclass(frozen=True)
class Leaderboard:
    """Submissions and the gold scores with which they are compared.

    rows: (kind, name) -> split -> submission; gold: split -> reader 1's scores, with test only if they are known; minutes: how
    long a run's training took; person: patient -> person, for intervals over persons; missing: how many films and joints were
    missing; note: the reason if members and learners are not among the rows.
    """

    rows: Rows
    gold: Tables
    minutes: dict[str, float] = field(default_factory=dict)
    person: pd.Series | None = None
    missing: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        for split, scores in self.gold.items():
            for (kind, name), submissions in self.rows.items():
                lacking = scores.index.difference(submissions.get(split, scores).index)
                if len(lacking):
                    raise UserError(
                        f"{kind} {name} has no {split} row for patient {lacking[0]}; check that the gold table is that of the set"
                    )

    @property
    def splits(self) -> list[str]:
        """The splits whose gold scores are known."""
        return list(self.gold)

    @property
    def blend(self) -> Key:
        """The row of the run itself."""
        return next(row for row in self.rows if row[0] == "blend")

    def noise_row(self, split: str) -> Key | None:
        """The row that no model can be expected to beat: the truth behind a synthetic reader, else a second reader."""
        return next((row for row in NOISE if split in self.rows.get(row, {})), None)

    def score(self, row: Key, split: str) -> dict[str, float]:
        """SC1, SC2 and SC3 of a row; NaN where the row or the gold is not known."""
        table, scores = self.rows.get(row, {}).get(split), self.gold.get(split)
        if table is None or scores is None:
            return dict.fromkeys(RANKED, np.nan)
        return {name: challenge_scores.RA2[name].fn(table, scores) for name in RANKED}

    def below_mean(self, row: Key, split: str) -> dict[str, float]:
        """Percent below the column mean, per score."""
        score, floor = self.score(row, split), self.score(FLOOR, split)
        return {name: float(percent_below(score[name], floor[name])) for name in RANKED}

    def best_member(self, name: str) -> Key | None:
        """The member with the lowest out-of-fold score; None if no member has that score."""
        scores = {row: self.score(row, self.splits[0])[name] for row in self.rows if row[0] == "member"}
        scores = {row: score for row, score in scores.items() if not np.isnan(score)}
        return min(scores, key=scores.get) if scores else None

    def comparisons(self, split: str) -> list[tuple[str, Key]]:
        """(score, best member) of every score in which the run is compared with the best single member."""
        best = {name: self.best_member(name) for name in RANKED if name in challenge_scores.scored(self.gold[split])}
        return [(name, row) for name, row in best.items() if row is not None]

    def table(self) -> pd.DataFrame:
        """A line per row: scores and percent below the column mean per split, and minutes."""
        lines = []
        for row in leaderboard_rows.in_order(self.rows):
            line = {"kind": row[0], "name": row[1]}
            for split in SPLITS:
                line |= {f"{name}_{split}": score for name, score in self.score(row, split).items()}
                line |= {f"{name}_{split}_below_mean_percent": below for name, below in self.below_mean(row, split).items()}
            lines.append(line | {"minutes": self.minutes.get(row[1], np.nan)})
        return pd.DataFrame(lines)

    def write(self, path: Path) -> None:
        """Write the table as CSV."""
        atomic.write_table(path, self.table().round(5))

    def text(self) -> str:
        """The table for a terminal, the comparison with the best member, the noise floor, and what was missing."""
        return "\n".join([TITLE, "", self._grid(), "", *self._comparison_lines(), *self._noise_lines(), self.missing])

    def _grid(self) -> str:
        columns = [f"{name}_{split}" for split in SPLITS for name in RANKED]
        head = ["", "", *(f"{split} {name.upper()}" for split in SPLITS for name in RANKED), "minutes"]
        lines = [
            [
                line["kind"],
                line["name"],
                *(score_cell(line[column], line[f"{column}_below_mean_percent"]) for column in columns),
                number(line["minutes"], 1),
            ]
            for line in self.table().to_dict("records")
        ]
        return grid(head, lines, left=2)

    def _comparison_lines(self) -> list[str]:
        return [
            f"{split} {name.upper()}: blend - {best[1]} = {self.difference_text(self.blend, best, split, name)}"
            for split in self.splits
            for name, best in self.comparisons(split)
        ]

    def difference_text(self, row: Key, other: Key, split: str, name: str) -> str:
        """The difference of two rows' scores with its interval over patients and its verdict."""
        pair = (self.rows[row][split], self.rows[other][split])
        return bootstrap.difference_text(*challenge_scores.paired_bootstrap(*pair, self.gold[split], name))

    def _noise_lines(self) -> list[str]:
        lines = []
        for split in self.splits:
            noise_row = self.noise_row(split)
            if noise_row is None:
                continue
            floor, score, noise = (self.score(row, split) for row in (FLOOR, self.blend, noise_row))
            if not np.isnan(noise["sc1"]):
                gaps = [
                    f"{name.upper()} {score[name] - noise[name]:+.4f} "
                    f"({float(percent_of_way(score[name], floor[name], noise[name])):.0f} % of the way)"
                    for name in RANKED
                ]
                lines.append(f"{split}: blend above the noise floor by {', '.join(gaps)}")
        return lines


def of_run(data: str, run: str, config: JointStack) -> Leaderboard:
    """The leaderboard of a finished joint stack: its floors, all finished members, its learners, itself and the noise floor."""
    folder = paths.run_dir(data, 3, run)
    cohort = cohorts.load(data, tuple(dict.fromkeys([*config.members, *runs.finished(data, 2)])))  # also unstacked members
    rows = leaderboard_rows.of_cohort(cohort) | leaderboard_rows.learners(folder)
    rows["blend", run] = leaderboard_rows.stack_tables(folder)
    minutes = {m.name: runs.minutes(paths.run_dir(data, 2, m.name)) for m in cohort.members} | {run: runs.minutes(folder)}
    rows |= leaderboard_rows.truth(data, cohort)
    return Leaderboard(rows, gold_tables(data, cohort), minutes, missing=missing_text(data, cohort, config.members))


def of_raters(raters: Raters) -> Leaderboard:
    """The leaderboard on a run's page; unless the run is a stack on disk, with the model, the readers and the floor only."""
    rows, gold_of = leaderboard_rows.of_raters(raters)
    person, note, of_disk = pd.Series(raters.person, index=raters.patients), "", None
    try:
        of_disk = _on_disk(raters)
        if of_disk is None:
            note = "Members and learners are shown only for a stack of joint members that is on disk."
    except UserError as error:
        note = f"Members and learners are not shown: {error}."
    if of_disk is not None:
        rows, gold_of = rows | of_disk.rows, {split: of_disk.gold[split] for split in gold_of if split in of_disk.gold}
    return Leaderboard(leaderboard_rows.in_order(rows), gold_of, person=person, note=note)


def _on_disk(raters: Raters) -> Leaderboard | None:
    """The leaderboard of a joint stack that was trained on this set; None for any other run."""
    folder = paths.run_dir(raters.data, 3, raters.run)
    if not (folder / "config.yaml").is_file() or not (folder / "learners.parquet").is_file():
        return None
    config = stack_config.saved(folder)
    return of_run(raters.data, raters.run, config) if isinstance(config, JointStack) else None


def gold_tables(data: str, cohort: Cohort) -> Tables:
    """Reader 1's scores per split: the training targets and, if the set has it, gold.csv of the test patients."""
    test = gold.reader_scores(data, "gold")
    return {"oof": outputs.gold_of(cohort)} | ({} if test is None else {"test": test})


def missing_text(data: str, cohort: Cohort, members: tuple[str, ...]) -> str:
    """How many films were missing, how many sites were filled (imputed), and how many have a box from the template."""
    texts = []
    films = tables.FILMS.read(paths.films(data)) if paths.films(data).is_file() else None
    stacked = Cohort(**(vars(cohort) | {"members": [m for m in cohort.members if m.name in members]}))
    scored = cohort.scored
    parts_scored = [part for part in PARTS if any(scored[j] for j, s in enumerate(SITES) if s.part == part)]
    for split, rows in (("train", cohort.train), ("test", cohort.test)):
        source = outputs.sources(stacked, rows)[:, scored]
        n_filled, n_template = (source == "none").sum(), (source == "template").sum()
        counts = [f"{n_filled} of {source.size} sites filled", f"{n_template} by template boxes"]
        if films is not None:
            present = films[films.patient_id.isin(cohort.patients[rows]) & films.part.isin(parts_scored)]
            n_wanted, n_present = len(parts_scored) * len(rows), present.groupby(["patient_id", "part"]).ngroups
            counts.insert(0, f"{n_wanted - n_present} of {n_wanted} films missing")
        texts.append(f"{split}: {', '.join(counts)}")
    return "; ".join(texts)
