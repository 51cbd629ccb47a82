"""Rows of the results table and what is said below it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ra import challenge_scores, paths, tables
from ra.anatomy import PARTS, SITES
from ra.challenge_scores import unlog_score
from ra.config import UserError
from stage3_stack import cohort as cohorts
from stage3_stack import outputs, submission
from stage3_stack.cohort import FINDING_SITES, TARGETS, Cohort
from stage3_stack.config import JointStack
from stage3_stack.features import film_sums
from stage3_stack.outputs import RANKED
from stage3_stack.predictions import MOMENTS, MemberPredictions

Tables = dict[str, pd.DataFrame]  # split -> submission
NULL_MEMBER = "sitemean"  # a stage-2 run that is shown among the floors when it exists
FLOOR = "column mean"  # what every row is compared with


def read_patients(path: Path) -> pd.DataFrame | None:
    """A table in the challenge's columns, or None when there is none."""
    return submission.read_numbers(path) if path.is_file() else None


def known(data: str, cohort: Cohort) -> tuple[pd.DataFrame | None, Tables]:
    """The reader's scores of the test patients, and the truth behind him per split, as far as the set has them."""
    gold, truth = (read_patients(paths.reader(data, name)) for name in ("gold", "truth"))
    splits = {"oof": cohort.patients[cohort.train], "test": cohort.patients[cohort.test]}
    found = {} if truth is None else {split: truth.loc[truth.index.intersection(ids)] for split, ids in splits.items()}
    return gold, {split: table for split, table in found.items() if len(table)}


def column_means(cohort: Cohort) -> Tables:
    """The training patients' mean of each column; for fold k of the others."""
    gold = outputs.gold_of(cohort)
    out = {"oof": gold.copy(), "test": submission.frame(cohort.patients[cohort.test], *_blank(len(cohort.test)))}
    out["test"].loc[:] = gold.mean().to_numpy()
    for k in np.unique(cohort.fold):
        out["oof"].loc[cohort.fold == k] = gold[cohort.fold != k].mean().to_numpy()
    return {split: table.fillna(0.0) for split, table in out.items()}


def _blank(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full((n, len(SITES)), np.nan), np.full((n, len(TARGETS)), np.nan)


def member_tables(cohort: Cohort, member: MemberPredictions, floor: Tables) -> Tables:
    """A member as a submission of its own, decoded as suits it: 2^E[L]-1 for a site, the sum of expected grades for a total.
    A missing film's joints get the column mean."""
    out = {}
    for split, rows in (("oof", cohort.train), ("test", cohort.test)):
        mean, _ = submission.split(floor[split])
        grades, totals = _blank(len(rows))
        if member.moments is not None:
            decoded, expected = unlog_score(member.moments[rows, :, 0]), member.moments[rows][..., MOMENTS.index("grade")]
            grades = np.where(np.isnan(decoded), mean, decoded)
            expected = np.where(np.isnan(expected), mean, expected)
            sums = {f: expected[:, s].sum(axis=1) for f, s in FINDING_SITES.items()}
            totals = np.stack([sum(sums.values()), *sums.values()], axis=1)
        if member.films is not None and member.moments is None:
            totals = np.stack(list(film_sums(member.films[rows], mean).values()), axis=1)
        out[split] = submission.frame(cohort.patients[rows], grades, totals)
    return out


def base_rows(cohort: Cohort) -> dict[tuple[str, str], Tables]:
    """The floors, and every member that says anything of the 86 sites or of a patient's total."""
    floor = column_means(cohort)
    rows = {("floor", "all zero"): {split: table * 0.0 for split, table in floor.items()}, ("floor", FLOOR): floor}
    for member in cohort.members:
        if member.moments is not None or member.films is not None:
            rows["floor" if member.name == NULL_MEMBER else "member", member.name] = member_tables(cohort, member, floor)
    return rows


def finished(data: str, stage: int) -> list[str]:
    """The stage's finished runs that left predictions, by name."""
    found = paths.run_dir(data, stage, "").glob("*/oof.parquet")
    return sorted(path.parent.name for path in found if (path.parent / "run.json").is_file())


def stack_tables(folder: Path) -> Tables:
    """What a finished stack submits."""
    return {split: outputs.read_scores(folder / f"{split}.parquet") for split in ("oof", "test")}


def minutes(folder: Path) -> float:
    """How long a run's training took by its run.json; members that share the cores say so themselves."""
    path = folder / "run.json"
    if not path.is_file():
        return np.nan
    manifest = json.loads(path.read_text())
    return manifest.get("metrics", {}).get("train_seconds", manifest.get("seconds", np.nan)) / 60


@dataclass
class Scoreboard:
    """rows: (kind, name) -> its submissions per split; gold per split (test may be missing)."""

    cohort: Cohort
    rows: dict[tuple[str, str], Tables]
    gold: Tables
    took: dict[str, float]
    missing: str

    @classmethod
    def make(cls, data: str, folder: Path, recipe: JointStack) -> Scoreboard:
        """Gather every row's predictions from disk, and what is known of the patients."""
        cohort = cohorts.load(data, tuple(dict.fromkeys([*recipe.members, *finished(data, 2)])))  # also what is not stacked
        rows = base_rows(cohort)
        for (name, split), table in outputs.read_learners(folder / "learners.parquet").items():
            rows.setdefault(("learner", name), {})[split] = table
        rows["blend", folder.name] = stack_tables(folder)
        took = {m.name: minutes(paths.run_dir(data, 2, m.name)) for m in cohort.members} | {folder.name: minutes(folder)}
        found = cls(cohort, rows, {"oof": outputs.gold_of(cohort)}, took, missing_text(data, cohort, recipe))
        return found.against(*known(data, cohort))

    def against(self, gold: pd.DataFrame | None, truth: Tables) -> Scoreboard:
        """With the test patients' gold and the truth behind the readers, as far as there are any."""
        self.gold |= {} if gold is None else {"test": gold}
        if truth:
            self.rows["noise floor", "truth"] = truth
        return self._checked()

    def _checked(self) -> Scoreboard:
        """Every test table has exactly gold's patients, else a UserError."""
        for split, gold in self.gold.items():
            for (kind, name), splits in self.rows.items():
                lacking = gold.index.difference(splits.get(split, gold).index)
                if len(lacking):
                    raise UserError(
                        f"{kind} {name} has no {split} row for patient {lacking[0]}; is this the set's own gold table?"
                    )
        return self

    def score(self, kind: str, name: str, split: str) -> dict[str, float]:
        """SC1, SC2, SC3 of a row; NaN where there is nothing to score."""
        table, gold = self.rows[kind, name].get(split), self.gold.get(split)
        if table is None or gold is None:
            return dict.fromkeys(RANKED, np.nan)
        return {score: challenge_scores.RA2[score].fn(table, gold) for score in RANKED}

    def test_scores(self) -> dict[str, float]:
        """The blend's on test."""
        return self.score("blend", self._blend, "test")

    @property
    def _blend(self) -> str:
        return next(name for kind, name in self.rows if kind == "blend")

    def table(self) -> pd.DataFrame:
        """One line per row: scores and percent below the column mean, per split, and minutes."""
        order = ["floor", "member", "learner", "blend", "noise floor"]
        lines = []
        for kind, name in sorted(self.rows, key=lambda row: order.index(row[0])):
            line = {"kind": kind, "name": name}
            for split in ("oof", "test"):
                own, floor = self.score(kind, name, split), self.score("floor", FLOOR, split)
                line |= {f"{score}_{split}": own[score] for score in RANKED}
                line |= {f"{score}_{split}_below_mean_percent": 100 * (1 - own[score] / floor[score]) for score in RANKED}
            lines.append(line | {"minutes": self.took.get(name, np.nan)})
        return pd.DataFrame(lines)

    def write(self, path: Path) -> None:
        """The table as CSV."""
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self.table().round(5).to_csv(temporary, index=False)
        temporary.replace(path)

    def best_member(self, score: str) -> str | None:
        """The member with the least out-of-fold score; None when no member has that score."""
        found = {name: self.score("member", name, "oof")[score] for kind, name in self.rows if kind == "member"}
        found = {name: value for name, value in found.items() if not np.isnan(value)}
        return min(found, key=found.get) if found else None

    def text(self) -> str:
        """The table for a terminal, and the lines below it."""
        return "\n".join([self._grid(), "", *self._comparisons(), *self._noise(), self.missing])

    def _grid(self) -> str:
        head = f"{'':12}{'':16}" + "".join(f"{split + ' ' + score.upper():>16}" for split in ("oof", "test") for score in RANKED)
        lines = [head + f"{'minutes':>9}", f"{'':28}" + f"{'(% below mean)':>16}" * 6]
        for row in self.table().to_dict("records"):
            cells = ""
            for split in ("oof", "test"):
                for score in RANKED:
                    value, percent = row[f"{score}_{split}"], row[f"{score}_{split}_below_mean_percent"]
                    cells += f"{'-':>16}" if np.isnan(value) else f"{value:>9.4f} {f'({percent:.0f})':>6}"
            took = "-" if np.isnan(row["minutes"]) else f"{row['minutes']:.1f}"
            lines.append(f"{row['kind']:12}{row['name']:16}{cells}{took:>9}")
        return "\n".join(lines)

    def _comparisons(self) -> list[str]:
        out = []
        for split, gold in self.gold.items():
            for score in RANKED:
                best = self.best_member(score)
                if best is None or score not in challenge_scores.scored(gold):
                    continue
                pair = (self.rows["blend", self._blend][split], self.rows["member", best][split])
                out.append(f"{split} {score.upper()}: blend - {best} = {difference_text(*pair, gold, score)}")
        return out

    def _noise(self) -> list[str]:
        if ("noise floor", "truth") not in self.rows:
            return []
        out = []
        for split in self.gold:
            floor, own, noise = (
                self.score(*row, split) for row in (("floor", FLOOR), ("blend", self._blend), ("noise floor", "truth"))
            )
            if not np.isnan(noise["sc1"]):
                gaps = [
                    f"{s.upper()} {own[s] - noise[s]:+.4f} ({100 * (floor[s] - own[s]) / (floor[s] - noise[s]):.0f} % of the way)"
                    for s in RANKED
                ]
                out.append(f"{split}: blend above the noise floor by {', '.join(gaps)}")
        return out


def difference_text(pred: pd.DataFrame, other: pd.DataFrame, gold: pd.DataFrame, score: str) -> str:
    """The difference of two submissions in words, with its interval."""
    difference, low, high = challenge_scores.paired_bootstrap(pred, other, gold, score)
    verdict = "better" if high < 0 else "worse" if low > 0 else "not told apart"
    return f"{difference:+.4f}, 95 % interval over patients [{low:+.4f}, {high:+.4f}]: {verdict}"


def missing_text(data: str, cohort: Cohort, recipe: JointStack) -> str:
    """How many films were missing and how many joints were filled or placed by the template."""
    said = []
    films = tables.FILMS.read(paths.films(data)) if paths.films(data).is_file() else None
    stacked = Cohort(**(vars(cohort) | {"members": [m for m in cohort.members if m.name in recipe.members]}))
    scored = cohort.scored
    parts_scored = [part for part in PARTS if any(scored[j] for j, s in enumerate(SITES) if s.part == part)]
    for split, rows in (("train", cohort.train), ("test", cohort.test)):
        source = outputs.sources(stacked, rows)[:, scored]
        parts = [f"{(source == 'none').sum()} of {source.size} sites filled", f"{(source == 'template').sum()} by template boxes"]
        if films is not None:
            own = films[films.patient_id.isin(cohort.patients[rows]) & films.part.isin(parts_scored)]
            wanted, present = len(parts_scored) * len(rows), own.groupby(["patient_id", "part"]).ngroups
            parts.insert(0, f"{wanted - present} of {wanted} films missing")
        said.append(f"{split}: {', '.join(parts)}")
    return "; ".join(said)
