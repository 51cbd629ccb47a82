"""Write submissions/NAME.csv of a set that is scored joint by joint, with its manifest; print how well it does.

    python -m stage3_stack.visits --data SET --config stage3_stack/configs/demo/sources/scqm_joints.yaml [--name NAME]

A row per visit: each joint's Ratingen grade, and its percent where a run knows it; the joints scored, the Rau score of these and
its bounds if the others were all healthy or all destroyed; the DAS28 with its band where it was measured: no film tells it. The
config's runs are averaged. Of the test visits, or out of fold of the training visits where the set has no test rows.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ra import atomic, cli, clinical, config, folds, manifest, paths, tables
from ra.anatomy import ID
from ra.config import UserError
from stage3_stack import config as recipes

if TYPE_CHECKING:
    import pandas as pd

    from stage3_stack.ratingen import Figures, Prediction

FLOOR, MEAN = "commonest grade, mean percent", "mean of the runs"
FIGURES = {
    "accuracy": 3,
    "balanced_accuracy": 3,
    "within_one_balanced_accuracy": 3,
    "quadratic_kappa": 3,
    "percent_rmse": 1,
    "rau_pcc": 3,
    "rau_mae": 1,
}  # and their digits
HEAD = ["accuracy", "balanced", "+-1 balanced", "quadratic kappa", "percent RMSE", "Rau PCC", "Rau MAE"]
ACTIVITY = ("das28_esr", "das28_crp")


@dataclass(frozen=True)
class Visits:
    """What configs/<profile>/sources/scqm_joints.yaml may say."""

    runs: tuple[str, ...]  # Ratingen runs of stage 2

    def __post_init__(self) -> None:
        if not self.runs:
            raise UserError("runs is empty; name at least one Ratingen run of stage 2")


def run() -> None:
    p = config.parser(__doc__, str((recipes.CONFIGS / "demo" / "sources" / "scqm_joints.yaml").relative_to(paths.ROOT)))
    p.add_argument("--name", help="name of the submission (default: the set's name)")
    args = p.parse_args()
    visits = config.load(Visits, args.config, args.sets)
    inputs = {name: manifest.file_hash(paths.run_dir(args.data, 2, name)) for name in visits.runs}
    found = figures(args.data, visits.runs)
    content = {"set": args.data, "inputs": inputs, "config_hash": config.digest(visits), "metrics": plain(found)}
    write(args.data, visits.runs, paths.submission(args.name or args.data), content)
    print(text(found), flush=True)


def write(data: str, runs: tuple[str, ...], out: Path, content: dict) -> None:
    """The CSV in place, then its manifest."""
    joints = tables.RATINGEN.read(paths.ratingen(data))
    split = "test" if (joints.split == "test").any() else "oof"
    rows = table(data, runs, split, joints[joints.split == ("test" if split == "test" else "train")])
    record = out.with_suffix(".json")
    record.unlink(missing_ok=True)  # from here until the end there is no finished submission of this name
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    rows.to_csv(temporary, index=False)
    temporary.replace(out)
    content |= {"submission": out.name, "split": split, "visits": len(rows), "sha256": manifest.file_hash(out)}
    atomic.write_json(record, content | {"versions": manifest.versions()})
    whose = "test visits" if split == "test" else "training visits, out of fold: the set has no test rows"
    empty = int((rows.n_scored == 0).sum())
    print(f"{out}: {len(rows)} {whose}" + (f"; {empty} of them without a readable crop" if empty else ""), flush=True)


def table(data: str, runs: tuple[str, ...], split: str, joints: pd.DataFrame) -> pd.DataFrame:
    """The CSV's rows, a visit each, of the RATINGEN rows of a split."""
    import pandas as pd

    from stage3_stack.ratingen import KEY, predict

    index = pd.MultiIndex.from_frame(joints[KEY])
    found = predict(data, runs, split, index)
    if np.isnan(found.grade).all():
        raise UserError(f"{', '.join(runs)} answer none of {len(index)} joints of {data}; name runs of kind ratingen")
    of_place = {"grade": found.grade} | ({} if found.mean is None else {"percent": found.mean.round(1)})
    wide = {what: pd.Series(values, index).unstack(["part", "joint"]) for what, values in of_place.items()}  # noqa: PD010
    visits = joints.drop_duplicates("patient_id").set_index("patient_id").sort_index()
    columns = {
        f"{part}_{joint}_{what}": of[part, joint].reindex(visits.index).astype("Int64" if what == "grade" else float)
        for part, joint in clinical.RAU_SITES
        for what, of in wide.items()
        if (part, joint) in of
    }
    scores = [clinical.rau(grades) for grades in wide["grade"].reindex(visits.index).to_dict("index").values()]
    rau = {
        "n_scored": [score.n_scored for score in scores],
        "rau": np.round([score.score for score in scores], 1),
        "rau_low": np.round([score.bounds[0] for score in scores], 1),
        "rau_high": np.round([score.bounds[1] for score in scores], 1),
    }
    out = visits[["person_id", "visit"]].assign(**columns, **rau)
    return out.join(activity(data)).rename_axis(ID).reset_index()


def activity(data: str) -> pd.DataFrame:
    """DAS28 and its band by patient; no column where the set has none."""
    import pandas as pd

    if not paths.activity(data).is_file():
        return pd.DataFrame()
    known = tables.ACTIVITY.read(paths.activity(data)).set_index("patient_id")
    return pd.DataFrame(
        {
            column: values
            for name in ACTIVITY
            for column, values in ((name, known[name].round(2)), (f"{name}_band", known[name].map(clinical.das28_band)))
        }
    )


def figures(data: str, runs: tuple[str, ...]) -> dict[str, dict[str, Figures]]:
    """split -> the floor, each run, and their mean -> figures against the reader."""
    from stage3_stack import ratingen

    out = {}
    for split, own in ratingen.readings(data, None).items():
        rows = {FLOOR: commonest(data, split, own.reader1)}
        rows |= {name: ratingen.predict(data, name, split, own.reader1.index) for name in runs}
        rows |= {MEAN: ratingen.predict(data, runs, split, own.reader1.index)} if len(runs) > 1 else {}
        found = {name: ratingen.figures(own.reader1, pred) for name, pred in rows.items()}
        out[split] = {name: own | {"percent_rmse": float(np.sqrt(own.get("mse", np.nan)))} for name, own in found.items()}
    return out


def commonest(data: str, split: str, target: pd.DataFrame) -> Prediction:
    """The floor: the training joints' commonest grade and mean percent; for a fold those of the others."""
    from stage3_stack.ratingen import readings, sure

    train = readings(data, None)["oof"].reader1
    fold = folds.load(data)
    of_train = train.index.get_level_values("patient_id").map(fold)
    of_target = target.index.get_level_values("patient_id").map(fold) if split == "oof" else np.full(len(target), -1)
    answers = {k: train[of_train != k] for k in np.unique(of_target)}
    grade = {k: others.grade.mode().iloc[0] for k, others in answers.items()}
    percent = {k: others.percent.mean() for k, others in answers.items()}
    return sure(np.array([grade[k] for k in of_target]), np.array([percent[k] for k in of_target]))


def plain(found: dict[str, dict[str, Figures]]) -> dict:
    """Figures without their intervals."""
    return {
        split: {name: {k: getattr(v, "value", v) for k, v in values.items()} for name, values in rows.items()}
        for split, rows in found.items()
    }


def text(found: dict[str, dict[str, Figures]]) -> str:
    """A table per split."""
    from ra.text_table import grid, number

    parts = []
    for split, rows in found.items():
        cells = [[name, *(number(own.get(f), digits) for f, digits in FIGURES.items())] for name, own in rows.items()]
        where = "out of fold" if split == "oof" else "test"
        title = f"Ratingen, {where}; 95 % intervals as in the paper, joints taken as independent"
        parts.append(f"{title}\n\n{grid(['run', *HEAD], cells)}")
    return "\n\n".join(parts)


if __name__ == "__main__":
    cli.main(run)
