"""Tables 1 and 2 of Bo et al. 2024, row by row: the paper's figures, and ours out of fold and on test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from evaluation.papers import published
from ra.anatomy import SITES
from ra.config import UserError
from ra.text_table import grid, number
from stage3_stack import ensemble, linear_ensembles
from stage3_stack.cohort import Cohort
from stage3_stack.features import HANDS
from stage3_stack.predictions import MemberPredictions

CAPTION = (
    "{what}\n"
    "Their data: 3,818 films of both hands, 358 in test; between their two radiologists PCC {PCC}, MAE {MAE}, RMSE {RMSE}.\n"
    "Ours: a small cohort, {train} patients out of fold and {test} in test, another range of damage, smaller pictures and\n"
    "networks. Compare rows within a column, not their columns with ours. Our ensembles are solved at once, without batches."
)
HEADS = {"total": ("PCC", "MAE", "RMSE"), "severity": ("acc.", "BA", "PCC", "MAE", "RMSE")}
DIGITS = {"total": (3, 2, 2), "severity": (3, 3, 3, 2, 2)}


@dataclass
class BothHands:
    """Systems that read both hands at once: members of stages 2 and 3 by name, and their targets.

    targets: split -> kind (total, severity) -> (n,) the reader's totals or classes of the split's patients.
    """

    cohort: Cohort
    members: dict[str, MemberPredictions]
    targets: dict[str, dict[str, np.ndarray]]

    @classmethod
    def make(cls, data: str, cohort: Cohort, members: list[MemberPredictions], gold: pd.DataFrame | None) -> BothHands:
        """Targets are sums of the sites' grades; classes have the bounds of the first classifier among the members."""
        systems = {m.name: m for m in members if m.hands is not None or m.severity is not None}
        totals = {"oof": cohort.grades[:, HANDS].sum(axis=1)}
        if gold is not None:
            columns = [s.column for s, hand in zip(SITES, HANDS, strict=True) if hand]
            totals["test"] = gold[columns].sum(axis=1, skipna=False).reindex(cohort.patients[cohort.test]).to_numpy()
        bounds = cls._bounds(data, systems)
        return cls(cohort, systems, {split: {"total": t} | _classes(t, bounds) for split, t in totals.items()})

    @staticmethod
    def _bounds(data: str, members: dict[str, MemberPredictions]) -> np.ndarray | None:
        classifiers = [m.name for m in members.values() if m.severity is not None and m.stage == 2]
        bounds_by_name = {name: ensemble.class_bounds(data, name) for name in classifiers}
        for name, bounds in bounds_by_name.items():
            if not np.array_equal(bounds, bounds_by_name[classifiers[0]]):
                raise UserError(f"{name} and {classifiers[0]} have different class bounds; train them with the same bounds")
        return bounds_by_name[classifiers[0]] if bounds_by_name else None

    def figures(self, name: str, split: str) -> dict[str, float]:
        """The paper's metrics of a system; {} if it is not trained or the split has no targets."""
        member = self.members.get(name)
        rows = self.cohort.train if split == "oof" else self.cohort.test
        if member is None or split not in self.targets or not len(rows):
            return {}
        if member.hands is not None:
            return linear_ensembles.figures(self.targets[split]["total"], member.hands[rows, None])
        return linear_ensembles.figures(self.targets[split]["severity"], member.severity[rows])

    def text(self) -> str:
        """Both tables, and how the paper's data differ from ours; empty if no such system is trained."""
        if not self.members:
            return ""
        n = {"train": self.cohort.n_train, "test": len(self.cohort.test)}
        table_1 = CAPTION.format(what="Bo et al. 2024, Table 1: total of both hands (0-280).", **published.BO_READERS, **n)
        table_2 = "Bo et al. 2024, Table 2: ten ordered classes of that total, with our bounds; other data, as above."
        return "\n\n".join(
            [
                f"{table_1}\n\n{self._grid(published.BO_TABLE_1, 'total')}",
                f"{table_2}\n\n{self._grid(published.BO_TABLE_2, 'severity')}",
            ]
        )

    def _grid(self, table: tuple[published.BoRow, ...], kind: str) -> str:
        head = ["section", "model", "how", "batch"]
        head += [f"{source} {name}" for source in ("their", "oof", "test") for name in HEADS[kind]]
        lines, section = [], ""
        for row in table:
            ours = [list(self.figures(row.run, split).values()) or [None] * len(row.figures) for split in ("oof", "test")]
            cells = [number(v, d) for values in (row.figures, *ours) for v, d in zip(values, DIGITS[kind], strict=True)]
            lines.append([row.section if row.section != section else "", row.model, row.how, row.batch, *cells])
            section = row.section
        return grid(head, lines, left=3)


def _classes(total: np.ndarray, bounds: np.ndarray | None) -> dict[str, np.ndarray]:
    return {"severity": np.where(np.isnan(total), np.nan, np.digitize(total, [] if bounds is None else bounds))}
