"""Every change between a patient's successive visits, per joint and per total, with its interval and its verdict.

    python -m evaluation.changes --data SET [--run RUN]

Reads the run's prediction intervals (stage3_stack.intervals) and writes data/work/SET/stage3/RUN/changes.csv: a row per pair of
visits and site or total. Only the total has a verdict (progressed, not progressed or cannot tell), which depends on the 95 %
interval and on the readers' smallest detectable change.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from evaluation import raters, visit_pairs
from evaluation.detectable_change import Study
from ra import atomic, cli, paths
from ra.anatomy import ALL_PARTS, SITES, TOTAL
from ra.config import UserError
from ra.tables import LEVELS
from stage3_stack.cohort import TARGETS

SITES_AND_TOTALS = [(ALL_PARTS, TOTAL, finding) for finding in TARGETS] + [(s.part, s.site, s.finding) for s in SITES]


def table(study: Study) -> pd.DataFrame:
    """A row per pair of visits and site or total that the model scored at both visits."""
    pairs, people = study.pairs, study.raters
    ends = {"before": pairs.before, "after": pairs.after}
    columns = {"person_id": pairs.person, "split": pairs.split}
    columns |= {f"patient_id_{end}": people.patients[rows] for end, rows in ends.items()}
    columns |= {f"visit_{end}": people.visit[rows] for end, rows in ends.items()}
    out = pd.DataFrame({name: np.repeat(values, len(SITES_AND_TOTALS)) for name, values in columns.items()})
    out[["part", "site", "finding"]] = SITES_AND_TOTALS * len(pairs)
    out["change"] = pairs.change(raters.MODEL).ravel()
    for level in LEVELS:
        out[f"low{level}"], out[f"high{level}"] = study.bounds[level].low.ravel(), study.bounds[level].high.ravel()
    verdict = np.full((len(pairs), len(SITES_AND_TOTALS)), "", dtype=object)
    verdict[:, 0] = study.verdicts(max(LEVELS))
    return out.assign(verdict=verdict.ravel())[out.change.notna()].round(4)


def run() -> None:
    p = cli.parser(__doc__, "data")
    p.add_argument("--run", default="blend", metavar="RUN", help="run of stage 3 (default %(default)s)")
    args = p.parse_args()
    study = Study(visit_pairs.successive(raters.load(args.data, args.run)))
    if not study.has_change:
        raise UserError(
            f"{args.data} has no person with two visits that reader 1 and the model scored; check the persons in people.csv"
        )
    path = paths.run_dir(args.data, 3, args.run) / "changes.csv"
    atomic.write_table(path, table(study))
    verdicts = study.verdicts(max(LEVELS)).tolist()
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in visit_pairs.VERDICTS)
    print(f"{path}: {len(verdicts)} pairs of visits; {counts}", flush=True)


if __name__ == "__main__":
    cli.main(run)
