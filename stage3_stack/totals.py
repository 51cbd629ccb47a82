"""Write submissions/NAME.csv (Patient_ID, total) of an ensemble of both-hands members, with its manifest; print how well it does.

    python -m stage3_stack.totals --data SET --config stage3_stack/configs/demo/sources/hand_totals.yaml [--name NAME]

The first ensemble of the config answers: for the test patients, or out of fold for the training patients of a set that has no
test rows. A patient without a readable film of a hand has an empty cell. NAME.intervals.csv, beside it, has the totals' 80 and
95 % intervals (stage3_stack.intervals, which comes first). Figures are out of fold, and on test where the set's
gold.parquet knows the totals; the column mean is that of the training patients, for a fold that of the others.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from ra import atomic, cli, config, manifest, paths
from ra.anatomy import ID, TOTAL
from ra.config import UserError
from stage3_stack import config as recipes
from stage3_stack import intervals
from stage3_stack.hands import Ensemble, Ensembles, given_totals, totals

FLOOR = "column mean"
FIGURES = {"rmse": 2, "mae": 2, "pcc": 3}  # and their digits


def run() -> None:
    p = config.parser(__doc__, str((recipes.CONFIGS / "demo" / "sources" / "hand_totals.yaml").relative_to(paths.ROOT)))
    p.add_argument("--name", help="name of the submission (default: the set's name)")
    args = p.parse_args()
    ensemble = config.load(Ensembles, args.config, args.sets).ensembles[0]
    write(args.data, ensemble, paths.submission(args.name or args.data))
    print(text(args.data, ensemble), flush=True)


def write(data: str, ensemble: Ensemble, out: Path) -> None:
    """The CSV in place, then its manifest."""
    from ra import tables

    folder = paths.run_dir(data, 3, ensemble.name)
    split = "test" if len(tables.SCORES.read(folder / "test.parquet")) else "oof"
    scores = tables.SCORES.read(folder / f"{split}.parquet")
    if not (folder / "run.json").is_file() or not (scores.site == TOTAL).all():
        raise UserError(f"{folder} holds no finished run of totals; run stage3_stack.hands with the same config first")
    standing = intervals.required(data, ensemble.name)
    record = out.with_suffix(".json")
    record.unlink(missing_ok=True)  # from here until the end there is no finished submission of this name
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    table = scores.sort_values("patient_id").rename(columns={"patient_id": ID, "pred": TOTAL})[[ID, TOTAL]]
    table.round(2).to_csv(temporary, index=False)
    temporary.replace(out)
    finished = json.loads((folder / "run.json").read_text())
    content = {"submission": out.name, "set": data, "run": ensemble.name, "split": split, "patients": len(table)}
    content |= intervals.beside(out, paths.prediction_intervals(data, ensemble.name, split), list(table[ID]), [TOTAL])
    content |= {"inputs": {"run": manifest.file_hash(folder), "intervals": standing}, "sha256": manifest.file_hash(out)}
    content |= {"oof": finished["metrics"], "config_hash": finished["config_hash"], "versions": manifest.versions()}
    atomic.write_json(record, content)
    whose = "test patients" if split == "test" else "training patients, out of fold: the set has no test rows"
    empty = int(table[TOTAL].isna().sum())
    print(f"{out}: totals of {len(table)} {whose}" + (f"; {empty} of them empty, without a film of a hand" if empty else ""))


def text(data: str, ensemble: Ensemble) -> str:
    """RMSE, MAE and PCC of the column mean, of each member and of the ensemble, out of fold and on test."""
    from ra.text_table import grid, number
    from stage3_stack.linear_ensembles import regression_figures

    truth, rows = gather(data, ensemble)
    lines = []
    for name, answers in rows.items():
        found = {split: regression_figures(truth[split], answers[split]) for split in truth}
        cells = [number(found[split][figure], digits) for split in truth for figure, digits in FIGURES.items()]
        lines.append([name, *cells])
    head = ["totals of hands", *(f"{split} {figure.upper()}" for split in truth for figure in FIGURES)]
    known = ", ".join(f"{np.isfinite(values).sum()} patients {split}" for split, values in truth.items())
    return f"{grid(head, lines)}\n{known}"


def gather(data: str, ensemble: Ensemble) -> tuple[dict[str, np.ndarray], dict[str, dict[str, np.ndarray]]]:
    """Truth per split, and per row of the table its answers per split; test is left out where its totals are not known."""
    import pandas as pd

    from stage3_stack import cohort as cohorts
    from stage3_stack.predictions import load_member

    cohort = cohorts.load(data, ensemble.members, joints=False)
    patients = pd.Index(cohort.patients)
    stacked = load_member(data, ensemble.name, patients, cohort.n_train, stage=3)
    truth = {"oof": totals(data, cohort)}
    rows_of = {"oof": cohort.train, "test": cohort.test}
    gold = paths.work(data) / "gold.parquet"
    if gold.is_file():
        truth["test"] = given_totals(gold).reindex(patients[cohort.test]).to_numpy()
    known = truth["oof"]
    mean = {"oof": np.array([np.nanmean(known[cohort.fold != k]) for k in cohort.fold])}
    mean["test"] = np.full(len(cohort.test), np.nanmean(known))
    rows = {m.name: {split: m.hands[rows_of[split]] for split in truth} for m in (*cohort.members, stacked)}
    return truth, {FLOOR: mean, **rows}


if __name__ == "__main__":
    cli.main(run)
