"""Summary of a run's report on patients that no stage was trained on: python -m benchmarks.fresh (see fresh.sh).

All numbers are read from the report's numbers.csv. This module only checks that the intervals of the total cover as much as
required, and that the two sets share no film and no person.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from evaluation.section_ids import AGREEMENT, CHANGE, INTERVALS, LEADERBOARD
from ra import cli, paths
from ra.config import UserError
from ra.tables import FILMS

# Required coverage of the 95 % intervals of the total: OVERALL (lowest, highest), and at least IN_BANDS in each band of totals
# that has MIN_PATIENTS or more.
OVERALL, IN_BANDS, MIN_PATIENTS = (0.92, 0.98), 0.88, 50
TABLES = (  # heading; section; statistics, which are the columns; the texts that `of` and `scope` of a row must contain
    ("Coverage and mean width of the intervals", INTERVALS, "n coverage_80 width_80 coverage_95 width_95", "", ""),
    ("Agreement on the total: ICC, Bland-Altman", AGREEMENT, "icc_2_1 bias lower upper slope", "against", "total"),
    ("Agreement on grades", AGREEMENT, "kappa exact within_one", "against", "all sites"),
    ("The challenge's scores, lower is better", LEADERBOARD, "sc1 sc2 sc3", "", ""),
    ("Change over time: smallest detectable", CHANGE, "pairs persons sdc_1_reader sdd_1_reader", "", ""),
    ("Change over time: agreement on it", CHANGE, "progression_icc_a1 progression_icc_ak", "", ""),
    ("Change over time: its intervals", CHANGE, "coverage_80 width_80 coverage_95 width_95", "", ""),
    ("Change over time: who progressed", CHANGE, "mean_change share_above_0 share_above_0.5 share_above_sdc", "", ""),
)


def run() -> None:
    p = cli.parser(__doc__)
    p.add_argument("--trained", default="phantom-demo", metavar="SET", help="the set of the training (default %(default)s)")
    p.add_argument("--data", default="phantom-fresh-scored", metavar="SET", help="the scored set (default %(default)s)")
    p.add_argument("--run", default="blend", metavar="RUN", help="run of stage 3 (default %(default)s)")
    args = p.parse_args()
    folder = paths.report(args.data, args.run)
    if not (folder / "numbers.csv").is_file():
        raise UserError(f"{folder} has no numbers.csv; run bash benchmarks/fresh.sh")
    print(disjoint(args.trained, args.data))
    numbers = pd.read_csv(folder / "numbers.csv", keep_default_na=True)
    numbers = numbers[numbers.split != "oof"]
    for heading, section, names, of, scope in TABLES:
        rows = numbers[(numbers.section == section) & numbers.name.isin(names.split())].dropna(subset="value")
        rows = rows[rows.of.str.contains(of, regex=False) & rows.scope.str.contains(scope, regex=False)]
        print(f"\n{heading}\n{table(rows, names.split())}")
    print(f"\n{verdict(numbers)}\nthe report: {folder / 'report.html'}")


def disjoint(trained: str, data: str) -> str:
    """A sentence with the size of the new set; UserError if it shares a film or a person with the training set."""
    old, new = (FILMS.read(paths.films(name)) for name in (trained, data))
    shared = {name: len(set(old[name]) & set(new[name])) for name in ("sha1", "person_id")}
    if any(shared.values()):
        raise UserError(f"{shared['sha1']} films and {shared['person_id']} persons of {data} are also in {trained}; draw others")
    n = f"{new.patient_id.nunique()} sets of films of {new.person_id.nunique()} persons"
    return f"{n}, {len(new)} films: none of these films and persons is in {trained}"


def table(rows: pd.DataFrame, names: list[str]) -> str:
    """Statistics with their 95 % intervals, one line per `of` and `scope`, in the report's order."""
    if rows.empty:
        return "not in the report"
    cells = rows.assign(cell=[cell(*values) for values in zip(rows.value, rows.low, rows.high, strict=True)])
    keys = cells[["of", "scope"]].drop_duplicates()
    wide = cells.set_index(["of", "scope", "name"]).cell.unstack()  # noqa: PD010
    wide = wide.reindex(index=pd.MultiIndex.from_frame(keys), columns=[name for name in names if name in set(rows.name)])
    return wide.fillna("").reset_index().to_string(index=False)


def cell(value: float, low: float, high: float) -> str:
    """A value and its interval as text; large values have fewer decimals, counts have none."""
    is_count = float(value).is_integer() and np.isnan(low)
    digits = 1 if abs(value) >= 10 else 3
    if is_count:
        digits = 0
    shown = f"{value:.{digits}f}"
    return shown if np.isnan(low) else f"{shown} ({low:.{digits}f} to {high:.{digits}f})"


def verdict(numbers: pd.DataFrame) -> str:
    """Whether the 95 % intervals of the total cover as much as required."""
    coverage = numbers[(numbers.section == INTERVALS) & (numbers.name == "coverage_95")]
    overall = coverage[coverage.scope == "total"].value.iloc[0]
    bands = coverage[coverage.scope.str.startswith("total of") & (coverage.n >= MIN_PATIENTS)]
    low, high = OVERALL
    lines = [f"95 % intervals of the total cover {overall:.1%} (required: {low:.0%} to {high:.0%}): {met(overall, low, high)}"]
    lines += [
        f"  {band.scope}: {band.value:.1%} of {band.n} (required: at least {IN_BANDS:.0%}): {met(band.value, IN_BANDS, 1)}"
        for band in bands.itertuples()
    ]
    return "\n".join(lines)


def met(value: float, low: float, high: float) -> str:
    """The text `met` if the value lies within low..high, else `NOT met`."""
    return "met" if low <= value <= high else "NOT met"


if __name__ == "__main__":
    cli.main(run)
