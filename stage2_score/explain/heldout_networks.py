"""A finished run's networks, each asked only about patients it never saw: what may be looked at without flattering anybody."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file
from torch import Tensor

from ra import paths, tables
from ra.anatomy import RATINGEN, RATINGEN_STEPS_PERCENT
from ra.config import UserError
from stage2_score import tasks
from stage2_score.config import Member, Place
from stage2_score.networks import network as model
from stage2_score.tasks import PictureTask

PERCENT_A_GRADE = RATINGEN_STEPS_PERCENT[1]
PLACE = ["patient_id", "part", "joint"]
ROWS = [*PLACE, "person_id", "finding", "target", "pred", "max_score", "fold"]


def expected(p: Tensor) -> Tensor:
    """Mean grade (N,) of distributions (N, grades)."""
    return p @ torch.arange(p.shape[1], dtype=p.dtype, device=p.device)


def _ratingen(task: PictureTask, out: dict[str, Tensor], finding: str) -> Tensor:  # noqa: ARG001 - there is one finding
    """Expected grade; of a percentage, given or as the mean of its distribution, in widths of a grade."""
    (answer,) = task.decode(out).values()
    if "classes" in out:
        return expected(answer)
    return (answer if answer.ndim == 1 else (1 - answer).sum(1)) / PERCENT_A_GRADE


# kind of member -> the number that its pictures are asked for, of the network's outputs and a finding: (N,)
VALUE: dict[str, Callable[[PictureTask, dict[str, Tensor], str], Tensor]] = {
    "joints": lambda task, out, finding: expected(task.decode(out)[finding]),
    "ratingen": _ratingen,
    "whole": lambda task, out, finding: sum(torch.exp2(out[f]) - 1 for f in task.outputs),  # noqa: ARG005
    "hands": lambda task, out, finding: out["total"],  # noqa: ARG005
    "severity": lambda task, out, finding: expected(task.decode(out)["classes"]),  # noqa: ARG005
}


class HeldOut:
    """pictures and task of a member's whole set; rows: its out-of-fold reading, one row per picture and finding (ROWS)."""

    def __init__(self, name: str, member: Member, place: Place):
        if member.kind not in VALUE:
            raise UserError(f"{name}: a member of kind {member.kind} has no single answer to look at; one of {', '.join(VALUE)}")
        kind, nobody = tasks.KINDS[member.kind], np.zeros(0, int)
        self.name, self.member, self.place = name, member, place
        self.pictures = kind.open(member, place.data)
        self.task = kind(self.pictures, (nobody, nobody), member, member.loss)
        self.rows = self._rows(kind.rows(member, place.data))
        self.fold_of = self.rows.drop_duplicates("patient_id").set_index("patient_id").fold
        told = json.loads((paths.run_dir(place.data, 2, name) / "run.json").read_text())["folds"]
        self.saw = {row["fold"]: {*row["fit"], *row["held_back"]} for row in told}

    def _rows(self, wanted: pd.DataFrame) -> pd.DataFrame:
        key = ["patient_id", "part", "site", "finding"]
        oof = tables.SCORES.read(paths.scores(self.place.data, 2, self.name, "oof")).dropna(subset="pred")
        rows = wanted[[*key, "joint", "person_id"]].merge(oof[[*key, "target", "pred", "max_score", "fold"]], on=key)
        if self.member.kind == "ratingen":
            rows = rows[rows.site.str.startswith(RATINGEN)]
        if self.member.kind == "whole":  # one picture answers for both findings: their sum
            summed = {name: (name, lambda values: values.sum(skipna=False)) for name in ("target", "pred", "max_score")}
            rows = rows.groupby([*PLACE, "person_id", "fold"], sort=False, as_index=False).agg(**summed).assign(finding="total")
        return rows[ROWS].reset_index(drop=True)

    def picture_of(self, rows: pd.DataFrame) -> np.ndarray:
        """(n,) index rows of the pictures of some rows (PLACE); -1 where there is none."""
        return pd.MultiIndex.from_frame(self.pictures.index[PLACE]).get_indexer(pd.MultiIndex.from_frame(rows[PLACE]))

    def unseen(self, fold: int) -> np.ndarray:
        """Index rows of the pictures of a fold's own patients."""
        return np.flatnonzero(self.pictures.index.patient_id.map(self.fold_of).to_numpy() == fold)

    def network(self, fold: int, pictures: np.ndarray) -> torch.nn.Module:
        """The fold's network, to be asked about these pictures; UserError when it learned from one of their patients."""
        known = set(self.pictures.index.patient_id.to_numpy()[pictures]) & self.saw[fold]
        if known:
            raise UserError(
                f"{self.name}: the network of fold {fold} learned from {min(known)}, so that its reading of that patient proves "
                "nothing; train the run again (--force)"
            )
        network = model.make_network(self.member, self.member.head)
        folder = paths.fold_dir(self.place.data, 2, self.member.trained or self.name, fold)
        network.load_state_dict(load_file(folder / "best.safetensors"))
        return network.to(self.place.device).eval()

    def by_fold(self, pictures: np.ndarray) -> Iterator[tuple[torch.nn.Module, np.ndarray]]:
        """Each fold's network with the positions, within `pictures` (index rows), of those of its own patients."""
        fold = self.fold_of.reindex(self.pictures.index.patient_id.to_numpy()[pictures]).to_numpy()
        for k in np.unique(fold[~np.isnan(fold)]).astype(int):
            own = np.flatnonzero(fold == k)
            yield self.network(k, pictures[own]), own

    def batch(self, pictures: np.ndarray) -> dict[str, Tensor]:
        """What a network is shown of index rows, on its device."""
        plain = np.ascontiguousarray(self.pictures.array[self.pictures.index["row"].to_numpy()[pictures]])
        return {name: value.to(self.place.device) for name, value in self.pictures.batch(pictures, plain).items()}

    def value(self, out: dict[str, Tensor], finding: str) -> Tensor:
        """The number asked for, (N,), of a network's outputs."""
        return VALUE[self.member.kind](self.task, out, finding)
