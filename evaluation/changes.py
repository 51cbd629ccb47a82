"""Every change between a person's successive visits, per joint and per total, with its interval and what it says.

    python -m evaluation.changes --data SET --run RUN

Reads the run's reading (stage3_stack.intervals) and writes data/work/SET/stage3/RUN/changes.csv: a row per pair of visits and
place. verdict: progressed, not progressed or cannot tell, of the total alone, by the 95 % interval and the readers' smallest
detectable change.
"""

from __future__ import annotations

import os

import numpy as np
import pandas as pd

from evaluation import change, raters
from evaluation.progression import Study
from ra import cli, paths
from ra.anatomy import ALL_PARTS, SITES, TOTAL
from ra.config import UserError
from ra.tables import LEVELS
from stage3_stack import config as recipes
from stage3_stack.cohort import TARGETS

PLACES = [(ALL_PARTS, TOTAL, finding) for finding in TARGETS] + [(s.part, s.site, s.finding) for s in SITES]


def table(study: Study) -> pd.DataFrame:
    """A row per pair and place that the model scored at both visits."""
    pairs, known = study.pairs, study.raters
    ends = {"before": pairs.before, "after": pairs.after}
    columns = {"person_id": pairs.person, "split": pairs.split}
    columns |= {f"patient_id_{end}": known.patients[rows] for end, rows in ends.items()}
    columns |= {f"visit_{end}": known.visit[rows] for end, rows in ends.items()}
    out = pd.DataFrame({name: np.repeat(values, len(PLACES)) for name, values in columns.items()})
    out[["part", "site", "finding"]] = PLACES * len(pairs)
    out["change"] = pairs.change(raters.MODEL).ravel()
    for level in LEVELS:
        out[f"low{level}"], out[f"high{level}"] = study.bounds[level].low.ravel(), study.bounds[level].high.ravel()
    verdict = np.full((len(pairs), len(PLACES)), "", dtype=object)
    verdict[:, 0] = study.verdicts(max(LEVELS))
    return out.assign(verdict=verdict.ravel())[out.change.notna()].round(4)


def run() -> None:
    args = recipes.parser(__doc__).parse_args()
    name = recipes.run_name(args)
    study = Study(change.successive(raters.load(args.data, name)))
    if not study.told:
        raise UserError(
            f"{args.data} has no person with two visits that reader 1 and the model scored; people.csv tells whose they are"
        )
    path = paths.run_dir(args.data, 3, name) / "changes.csv"
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    table(study).to_csv(temporary, index=False)
    temporary.replace(path)
    said = study.verdicts(max(LEVELS)).tolist()
    counts = ", ".join(f"{said.count(verdict)} {verdict}" for verdict in change.VERDICTS)
    print(f"{path}: {len(said)} pairs of visits; {counts}", flush=True)


if __name__ == "__main__":
    cli.main(run)
