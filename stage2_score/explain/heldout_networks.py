"""The networks of a finished run, each applied only to patients that it was not trained on."""

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
from stage2_score.config import Member, TrainingContext
from stage2_score.networks import network as model
from stage2_score.tasks.base import PictureTask

PERCENT_PER_GRADE = RATINGEN_STEPS_PERCENT[1]
PLACE = ["patient_id", "part", "joint"]
ROWS = [*PLACE, "person_id", "finding", "target", "pred", "max_score", "fold"]


def expected(p: Tensor) -> Tensor:
    """Mean grade (N,) of distributions (N, grades)."""
    return p @ torch.arange(p.shape[1], dtype=p.dtype, device=p.device)


def _joints(task: PictureTask, out: dict[str, Tensor], finding: str) -> Tensor:
    return expected(task.decode(out)[finding])


def _ratingen(task: PictureTask, out: dict[str, Tensor], finding: str) -> Tensor:  # noqa: ARG001 - there is one finding
    """Expected grade; for a percentage, or the mean of its distribution, the percentage in units of one grade's width."""
    (decoded,) = task.decode(out).values()
    if "classes" in out:
        return expected(decoded)
    return (decoded if decoded.ndim == 1 else (1 - decoded).sum(1)) / PERCENT_PER_GRADE


def _whole(task: PictureTask, out: dict[str, Tensor], finding: str) -> Tensor:  # noqa: ARG001 - the sum of both findings
    return sum(torch.exp2(out[name]) - 1 for name in task.outputs)


def _hands(task: PictureTask, out: dict[str, Tensor], finding: str) -> Tensor:  # noqa: ARG001 - the total
    return out["total"]


def _severity(task: PictureTask, out: dict[str, Tensor], finding: str) -> Tensor:  # noqa: ARG001 - the class of the total
    return expected(task.decode(out)["classes"])


# kind of member -> the number (N,) that is explained, computed from the network's outputs and a finding
VALUES: dict[str, Callable[[PictureTask, dict[str, Tensor], str], Tensor]] = {
    "joints": _joints,
    "ratingen": _ratingen,
    "whole": _whole,
    "hands": _hands,
    "severity": _severity,
}


class HeldOutNetworks:
    """The pictures and networks of a run. rows: its out-of-fold scores, one row per picture and finding (columns ROWS)."""

    def __init__(self, name: str, member: Member, context: TrainingContext):
        if member.kind not in VALUES:
            raise UserError(f"{name}: no explanation exists for kind {member.kind}; one of {', '.join(VALUES)}")
        kind, no_rows = tasks.KINDS[member.kind], np.zeros(0, int)
        self.name, self.member, self.context = name, member, context
        self.pictures = kind.open_pictures(member, context.data)
        self.task = kind(self.pictures, (no_rows, no_rows), member, member.loss)
        self.rows = self._rows(kind.rows(member, context.data))
        self.fold_of = self.rows.drop_duplicates("patient_id").set_index("patient_id").fold
        records = json.loads((paths.run_dir(context.data, 2, name) / "run.json").read_text())["folds"]
        self.trained_on = {record["fold"]: {*record["fit"], *record["held_back"]} for record in records}

    def _rows(self, wanted: pd.DataFrame) -> pd.DataFrame:
        key = ["patient_id", "part", "site", "finding"]
        oof = tables.SCORES.read(paths.scores(self.context.data, 2, self.name, "oof")).dropna(subset="pred")
        rows = wanted[[*key, "joint", "person_id"]].merge(oof[[*key, "target", "pred", "max_score", "fold"]], on=key)
        if self.member.kind == "ratingen":
            rows = rows[rows.site.str.startswith(RATINGEN)]
        if self.member.kind == "whole":  # one picture shows both findings: their sum is explained
            summed = {name: (name, lambda values: values.sum(skipna=False)) for name in ("target", "pred", "max_score")}
            rows = rows.groupby([*PLACE, "person_id", "fold"], sort=False, as_index=False).agg(**summed).assign(finding="total")
        return rows[ROWS].reset_index(drop=True)

    def picture_of(self, rows: pd.DataFrame) -> np.ndarray:
        """(n,) index rows of the pictures of some rows (PLACE); -1 for a row without a picture."""
        return pd.MultiIndex.from_frame(self.pictures.index[PLACE]).get_indexer(pd.MultiIndex.from_frame(rows[PLACE]))

    def unseen(self, fold: int) -> np.ndarray:
        """Index rows of the pictures of the patients whom a fold held out."""
        return np.flatnonzero(self.pictures.index.patient_id.map(self.fold_of).to_numpy() == fold)

    def network(self, fold: int, pictures: np.ndarray) -> torch.nn.Module:
        """The fold's network, to be applied to these pictures; UserError when it was trained on one of their patients."""
        seen = set(self.pictures.index.patient_id.to_numpy()[pictures]) & self.trained_on[fold]
        if seen:
            raise UserError(
                f"{self.name}: the network of fold {fold} was trained on {min(seen)}, so its score of that patient proves "
                "nothing; train the run again (--force)"
            )
        network = model.make_network(self.member, self.member.head)
        folder = paths.fold_dir(self.context.data, 2, self.member.trained or self.name, fold)
        network.load_state_dict(load_file(folder / "best.safetensors"))
        return network.to(self.context.device).eval()

    def by_fold(self, pictures: np.ndarray) -> Iterator[tuple[torch.nn.Module, np.ndarray]]:
        """Each fold's network with the positions, within `pictures` (index rows), of the patients whom the fold held out."""
        fold_of_picture = self.fold_of.reindex(self.pictures.index.patient_id.to_numpy()[pictures]).to_numpy()
        for fold in np.unique(fold_of_picture[~np.isnan(fold_of_picture)]).astype(int):
            positions = np.flatnonzero(fold_of_picture == fold)
            yield self.network(fold, pictures[positions]), positions

    def batch(self, pictures: np.ndarray) -> dict[str, Tensor]:
        """The input of a network for index rows, on its device."""
        plain = np.ascontiguousarray(self.pictures.pixels(pictures))
        return {name: value.to(self.context.device) for name, value in self.pictures.batch(pictures, plain).items()}

    def value(self, out: dict[str, Tensor], finding: str) -> Tensor:
        """The number (N,) that is explained, computed from a network's outputs."""
        return VALUES[self.member.kind](self.task, out, finding)
