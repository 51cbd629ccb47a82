"""Runs of kind joint_visits: Ratingen grades of every joint of a visit and their Rau score (Rohrbach et al. 2019).

The members' predictions are averaged without fitting anything, so that every training visit keeps out-of-fold predictions. Runs
of this kind have no intervals.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ra import atomic, clinical, paths, tables
from ra.anatomy import ID
from ra.config import UserError
from ra.tables import PROBABILITIES
from stage3_stack import ratingen
from stage3_stack.config import JointVisits
from stage3_stack.kinds.base import Kind, Submission, Trained

ACTIVITY = ("das28_esr", "das28_crp")


class JointVisitsKind(Kind[JointVisits]):
    """The mean of Ratingen members, joint by joint."""

    has_intervals = False

    def inputs(self, data: str, config: JointVisits) -> list[Path]:
        """The readers' percentages of the training joints and the members' runs."""
        return [paths.ratingen(data), *(paths.run_dir(data, 2, member) for member in config.members)]

    def train(self, data: str, config: JointVisits, folder: Path) -> Trained:
        """Write the members' mean as oof.parquet and test.parquet, and the mean of their CDFs if a member has one."""
        files = []
        for split in ("oof", "test"):
            path, mean = folder / f"{split}.parquet", _mean(data, config.members, split)
            if split == "oof" and mean.pred.isna().all():
                raise UserError(f"{', '.join(config.members)} predict none of the joints of {data}; name runs of kind ratingen")
            tables.SCORES.write(mean.assign(run=folder.name), path)
            cdf = ratingen.mean_cdf([paths.run_dir(data, 2, member) for member in config.members], split)
            if cdf is not None:
                atomic.write_table(folder / f"cdf_{split}.parquet", cdf.reset_index())
                files.append(folder / f"cdf_{split}.parquet")
            files.append(path)
        metrics = _metrics(data, folder.name)
        summary = ", ".join(f"{name} {value:.3f}" for name, value in metrics.items())
        return Trained(files, metrics, {"mean": metrics}, summary)

    def submission_inputs(self, data: str, config: JointVisits) -> list[Path]:  # noqa: ARG002
        """The joints of the set, and the disease activity where it was measured."""
        return [paths.ratingen(data), paths.activity(data)]

    def submission(self, data: str, folder: Path, config: JointVisits) -> Submission:  # noqa: ARG002
        """A row per test visit, or per training visit out of fold for a set without test rows."""
        joints = tables.RATINGEN.read(paths.ratingen(data))
        split, rows = ("test", "test") if (joints.split == "test").any() else ("oof", "train")
        table = visit_table(data, folder.name, split, joints[joints.split == rows])
        visits = "test visits" if split == "test" else "training visits, out of fold: the set has no test rows"
        empty = int((table.n_scored == 0).sum())
        note = f"; {empty} of them without a readable crop" if empty else ""
        return Submission(table, split, f"{len(table)} {visits}{note}")


def _mean(data: str, members: tuple[str, ...], split: str) -> pd.DataFrame:
    """The Scores rows of a split: Ratingen predictions, averaged over fold models and members, one row per joint and quantity."""
    rows = pd.concat([tables.SCORES.read(paths.scores(data, 2, member, split)) for member in members])
    rows = rows[rows.site.str.startswith(ratingen.PREFIXES)]
    groups = rows.groupby(["patient_id", "part", "site", "finding"])
    means, first = groups[["pred", *PROBABILITIES]].mean(), groups[["visit", "fold", "target", "max_score"]].first()
    table = means.join(first).reset_index().assign(split=split, seed=0, box_source=None)
    return table if split == "oof" else table.assign(fold=-1)


def _metrics(data: str, run: str) -> dict[str, float]:
    """Out-of-fold metrics of the run against the readers of the training joints."""
    target = ratingen.training_targets(data)
    figures = ratingen.figures(target, ratingen.predict(data, run, "oof", target.index, stage=3))
    return {name: float(getattr(value, "value", value)) for name, value in figures.items()}


def visit_table(data: str, run: str, split: str, joints: pd.DataFrame) -> pd.DataFrame:
    """One row per visit, from the RATINGEN rows of a split.

    It holds each joint's grade, and its percent if a member predicts it; the number of scored joints; their Rau score, and its
    bounds if all other joints are healthy or all are destroyed; DAS28 and its band where measured (no film shows it).
    """
    index = pd.MultiIndex.from_frame(joints[ratingen.KEY])
    pred = ratingen.predict(data, run, split, index, stage=3)
    if np.isnan(pred.grade).all():
        raise UserError(f"run {run} predicts none of the {len(index)} joints of {data}; train its members again")
    by_joint = {"grade": pred.grade} | ({} if pred.mean is None else {"percent": pred.mean.round(1)})
    wide = {name: pd.Series(values, index).unstack(["part", "joint"]) for name, values in by_joint.items()}  # noqa: PD010
    visits = joints.drop_duplicates("patient_id").set_index("patient_id").sort_index()
    columns = {}
    for part, joint in clinical.RAU_SITES:
        for name, values in wide.items():
            if (part, joint) in values:
                dtype = "Int64" if name == "grade" else float
                columns[f"{part}_{joint}_{name}"] = values[part, joint].reindex(visits.index).astype(dtype)
    scores = [clinical.rau(grades) for grades in wide["grade"].reindex(visits.index).to_dict("index").values()]
    rau = {
        "n_scored": [score.n_scored for score in scores],
        "rau": np.round([score.score for score in scores], 1),
        "rau_low": np.round([score.bounds[0] for score in scores], 1),
        "rau_high": np.round([score.bounds[1] for score in scores], 1),
    }
    out = visits[["person_id", "visit"]].assign(**columns, **rau)
    return out.join(_disease_activity(data)).rename_axis(ID).reset_index()


def _disease_activity(data: str) -> pd.DataFrame:
    """DAS28 and its band by patient; no columns for a set without disease activity."""
    if not paths.activity(data).is_file():
        return pd.DataFrame()
    measured = tables.ACTIVITY.read(paths.activity(data)).set_index("patient_id")
    columns = {}
    for name in ACTIVITY:
        columns |= {name: measured[name].round(2), f"{name}_band": measured[name].map(clinical.das28_band)}
    return pd.DataFrame(columns)
