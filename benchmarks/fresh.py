"""What the report says of a finished run on patients whom no stage has seen: python -m benchmarks.fresh (see fresh.sh).

Every figure is read from numbers.csv of the report, where it has its name and place; nothing is computed here but whether the
coverage of the total is what is asked for, and that nobody of the new set was learned from.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

from ra import cli, paths
from ra.config import UserError
from ra.tables import FILMS

WANTED, LEAST, MANY = (0.92, 0.98), 0.88, 50  # 95 % intervals of the total: overall, and in every band of so many patients
FIGURES = (  # heading, section, figures as columns; rows: what `of` and `scope` hold
    ("Coverage and mean width of the intervals", "intervals", "n coverage_80 width_80 coverage_95 width_95", "", ""),
    ("Agreement on the total: ICC, Bland-Altman", "agreement", "icc_2_1 bias lower upper slope", "against", "total"),
    ("Agreement on grades", "agreement", "kappa exact within_one", "against", "all sites"),
    ("The challenge's scores, lower is better", "standing", "sc1 sc2 sc3", "", ""),
    ("Change over time: smallest detectable", "change", "pairs persons sdc_1_reader sdd_1_reader", "", ""),
    ("Change over time: agreement on it", "change", "progression_icc_a1 progression_icc_ak", "", ""),
    ("Change over time: its intervals", "change", "coverage_80 width_80 coverage_95 width_95", "", ""),
    ("Change over time: who progressed", "change", "mean_change share_above_0 share_above_0.5 share_above_sdc", "", ""),
)


def run() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trained", default="phantom-demo", metavar="SET")
    parser.add_argument("--data", default="phantom-fresh-scored", metavar="OTHER")
    parser.add_argument("--run", default="blend", metavar="NAME")
    args = parser.parse_args()
    folder = paths.report(args.data, args.run)
    if not (folder / "numbers.csv").is_file():
        raise UserError(f"{folder} has no numbers.csv; run bash benchmarks/fresh.sh")
    print(unseen(args.trained, args.data))
    numbers = pd.read_csv(folder / "numbers.csv", keep_default_na=True)
    numbers = numbers[numbers.split != "oof"]
    for heading, section, names, of, scope in FIGURES:
        own = numbers[(numbers.section == section) & numbers.name.isin(names.split())].dropna(subset="value")
        own = own[own.of.str.contains(of, regex=False) & own.scope.str.contains(scope, regex=False)]
        print(f"\n{heading}\n{table(own, names.split())}")
    print(f"\n{verdict(numbers)}\nthe report: {folder / 'report.html'}")


def unseen(trained: str, data: str) -> str:
    """One line: how many patients there are, and that none of their films nor persons is the trained set's."""
    old, new = (FILMS.read(paths.films(of)) for of in (trained, data))
    shared = {name: len(set(old[name]) & set(new[name])) for name in ("sha1", "person_id")}
    if any(shared.values()):
        raise UserError(f"{shared['sha1']} films and {shared['person_id']} persons of {data} are also in {trained}; draw others")
    n = f"{new.patient_id.nunique()} sets of films of {new.person_id.nunique()} persons"
    return f"{n}, {len(new)} films: no film and no person is among those of {trained}"


def table(rows: pd.DataFrame, names: list[str]) -> str:
    """Figures with their 95 % intervals, a line per pair and scope, in the report's order."""
    if rows.empty:
        return "nothing in the report"
    cells = rows.assign(cell=[cell(*values) for values in zip(rows.value, rows.low, rows.high, strict=True)])
    keys = cells[["of", "scope"]].drop_duplicates()
    wide = cells.set_index(["of", "scope", "name"]).cell.unstack()  # noqa: PD010
    wide = wide.reindex(index=pd.MultiIndex.from_frame(keys), columns=[name for name in names if name in set(rows.name)])
    return wide.fillna("").reset_index().to_string(index=False)


def cell(value: float, low: float, high: float) -> str:
    """A figure and its interval; decimals by its size."""
    digits = 0 if float(value).is_integer() and np.isnan(low) else 1 if abs(value) >= 10 else 3
    shown = f"{value:.{digits}f}"
    return shown if np.isnan(low) else f"{shown} ({low:.{digits}f} to {high:.{digits}f})"


def verdict(numbers: pd.DataFrame) -> str:
    """Whether the 95 % intervals of the total cover what is asked for."""
    found = numbers[(numbers.section == "intervals") & (numbers.name == "coverage_95")]
    whole = found[found.scope == "total"].value.iloc[0]
    bands = found[found.scope.str.startswith("total of") & (found.n >= MANY)]
    said = [
        f"95 % intervals of the total cover {whole:.1%} (asked: {WANTED[0]:.0%} to {WANTED[1]:.0%}): {answer(whole, *WANTED)}"
    ]
    said += [
        f"  {band.scope}: {band.value:.1%} of {band.n} (asked: at least {LEAST:.0%}): {answer(band.value, LEAST, 1)}"
        for band in bands.itertuples()
    ]
    return "\n".join(said)


def answer(value: float, low: float, high: float) -> str:
    return "met" if low <= value <= high else "NOT met"


if __name__ == "__main__":
    cli.main(run)
