"""Coverage of the prediction intervals: how often they contain reader 1's score, for which patients, and how wide they are.

The errors of one person are not independent, so that the interval of a share comes from bootstrap.wilson.
"""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pandas as pd

from evaluation import section_ids
from evaluation.bootstrap import wilson
from evaluation.raters import MODEL, READER1, Raters
from evaluation.statistic import NAN, Statistic
from ra import paths
from ra.anatomy import ALL_PARTS, BOTH_HANDS, PARTS, SITES, TOTAL, limb
from ra.tables import LEVELS
from stage3_stack import intervals
from stage3_stack.cohort import MAX_GRADES, TARGETS
from stage3_stack.predictions import SITE_OF
from stage3_stack.uncertainty import conformal, prediction_table

SECTION = section_ids.INTERVALS
GRADED = ("sites that reader 1 graded 0", "sites that reader 1 graded above 0")  # coverage is not guaranteed by outcome
BANDS = (0, 1, 4, 8, 21, 56, 149)  # lowest totals of the bands of severity; RA2-DREAM weights patients by these bands
WHOLE = "total"
NOMINAL = (50, 60, 70, 80, 90, 95)  # levels in percent
SITES_SCOPE = "all sites"
SEEN = ("sites where the model sees nothing", "sites where it doubts", "sites where it sees damage")  # conformal.CLASSES


def band_name(index: int) -> str:
    """The name of a band: 0, 1 to 3, ..., from 149."""
    low = BANDS[index]
    if index == len(BANDS) - 1:
        return f"from {low}"
    high = BANDS[index + 1] - 1
    return str(low) if low == high else f"{low} to {high}"


def judged(raters: Raters, split: str) -> pd.DataFrame:
    """PREDICTION_INTERVALS rows of a split that have an interval and a score by reader 1.

    Added columns: `truth` (reader 1's score), `scope`, `band` (of reader 1's total), and for each level `covered` and `width`.
    """
    rows = raters.in_split(split)
    table = rows.intervals[rows.intervals.split == split].copy() if len(rows.intervals) else pd.DataFrame()
    if table.empty:
        return table
    truth = _reader(rows, table)
    table["truth"] = table.target.where(table.target.notna(), truth)
    table["scope"] = [scope(*key) for key in zip(table.part, table.site, table.finding, strict=True)]
    totals = dict(zip(rows.patients, rows.by[READER1].totals[:, 0], strict=True))
    total = table.patient_id.map(totals).to_numpy(float)
    table["band"] = np.where(np.isnan(total), -1, np.searchsorted(BANDS, np.nan_to_num(total), side="right") - 1)
    table = table[table.truth.notna() & table[f"low{LEVELS[0]}"].notna()].reset_index(drop=True)
    for level in LEVELS:
        table[f"covered{level}"] = (table[f"low{level}"] <= table.truth) & (table.truth <= table[f"high{level}"])
        table[f"width{level}"] = table[f"high{level}"] - table[f"low{level}"]
    return table


def scope(part: str, site: str, finding: str) -> str:
    """The name of a row's group, such as: total, erosion total; one hand, erosion; hand erosion sites."""
    if part in (ALL_PARTS, BOTH_HANDS):
        return WHOLE if finding == TOTAL else f"{finding} total"
    return f"one {limb(part)}, {finding}" if site == TOTAL else f"{limb(part)} {finding} sites"


def _reader(rows: Raters, table: pd.DataFrame) -> np.ndarray:
    """(N,) reader 1's score of each PREDICTION_INTERVALS row; for a part, the sum of its grades, NaN if one is missing."""
    first, is_scored = rows.by[READER1], ~np.isnan(rows.by[READER1].grades).all(axis=0)
    row, out = pd.Index(rows.patients).get_indexer(table.patient_id), np.full(len(table), np.nan)
    for (part, site, finding), of_key in table.reset_index(drop=True).groupby(["part", "site", "finding"]).groups.items():
        if (part, site) in SITE_OF:
            values = first.grades[:, SITE_OF[part, site]]
        elif part in PARTS:
            sites = [j for j, s in enumerate(SITES) if s.part == part and finding in (s.finding, TOTAL) and is_scored[j]]
            values = first.grades[:, sites].sum(axis=1)
        else:
            values = first.totals[:, TARGETS.index(finding)]
        out[of_key] = values[row[of_key]]
    return out


def site_groups(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Groups of the sites in the rows of `judged`: all, by the prediction, by reader 1's score; {} if there are only totals."""
    sites = rows[rows.site != TOTAL]
    if sites.empty:
        return {}
    kind = np.digitize(sites.value, conformal.CLASSES)
    damaged = {GRADED[0]: sites[sites.truth == 0], GRADED[1]: sites[sites.truth > 0]}
    return {SITES_SCOPE: sites} | {name: sites[kind == k] for k, name in enumerate(SEEN)} | damaged


def figures(rows: pd.DataFrame, split: str, name: str) -> dict[str, Statistic]:
    """The statistics n, coverage_80, width_80, coverage_95 and width_95 of rows of `judged`."""
    n, unit = len(rows), "patients" if rows.patient_id.is_unique else "places"
    measure = "held" if name in GRADED else "coverage"
    same, digits = {"n": n, "unit": unit}, 1 if n and rows.max_score.min() > max(MAX_GRADES) else 2
    out = {"n": Statistic(SECTION, "n", split, MODEL, name, float(n), digits=0, **same)}
    for level in LEVELS:
        share = astuple(wilson(rows[f"covered{level}"].to_numpy(), rows.person_id.to_numpy()))
        width = float(rows[f"width{level}"].mean()) if n else NAN
        out[f"coverage_{level}"] = Statistic(SECTION, f"{measure}_{level}", split, MODEL, name, *share, digits=2, **same)
        out[f"width_{level}"] = Statistic(SECTION, f"width_{level}", split, MODEL, name, width, digits=digits, **same)
    return out


def constant(oof: pd.DataFrame, rows: pd.DataFrame, level: int) -> np.ndarray:
    """(N,) half the width of an interval of the total with one width for all patients.

    It is the quantile of the absolute out-of-fold errors; for a training patient, only of the errors in the other folds.
    """
    error, person, half = (oof.truth - oof.value).abs().to_numpy(), oof.person_id.to_numpy(), {}
    for fold in rows.fold.unique():
        others = (oof.fold != fold).to_numpy()
        half[fold] = conformal.quantile(error[others], person[others], level / 100)
    return rows.fold.map(half).to_numpy(float)


def against_constant(oof: pd.DataFrame, rows: pd.DataFrame, chosen: np.ndarray, split: str, name: str) -> dict[str, Statistic]:
    """Width (within the scale) and coverage, on the `chosen` rows, of a 95 % interval with one width for all patients.

    NaN for an applied run, whose calibration patients are in another set.
    """
    half, rows = constant(oof, rows, 95)[chosen], rows[chosen]
    low, high = np.maximum(rows.value - half, 0), np.minimum(rows.value + half, rows.max_score)
    is_known = np.isfinite(half)
    covered = ((low <= rows.truth) & (rows.truth <= high)).to_numpy()
    share = astuple(wilson(covered[is_known], rows.person_id.to_numpy()[is_known]))
    width = float((high - low)[is_known].mean()) if is_known.any() else NAN
    same = {"n": len(rows), "unit": "patients"}
    return {
        "constant_width_95": Statistic(SECTION, "constant_width_95", split, MODEL, name, width, digits=1, **same),
        "constant_coverage_95": Statistic(SECTION, "constant_coverage_95", split, MODEL, name, *share, digits=2, **same),
    }


def states(raters: Raters, split: str) -> dict[str, dict[str, Statistic]]:
    """state -> the numbers of sites and of totals with this state, and the numbers of patients who have any."""
    table = raters.intervals[raters.intervals.split == split] if len(raters.intervals) else raters.intervals
    out: dict[str, dict[str, Statistic]] = {}
    if table.empty:
        return out
    whole = table.part.isin((ALL_PARTS, BOTH_HANDS)) & (table.finding == TOTAL) & (table.site == TOTAL)
    for what, rows, unit in (("sites", table[table.site != TOTAL], "sites"), ("totals", table[whole], "patients")):
        for state, in_state in rows.groupby("state"):
            count = Statistic(SECTION, what, split, MODEL, str(state), float(len(in_state)), n=len(rows), unit=unit, digits=0)
            n = in_state.patient_id.nunique()
            patients = Statistic(SECTION, f"patients_of_{what}", split, MODEL, str(state), float(n), n=n, digits=0)
            out.setdefault(str(state), {}).update({what: count, f"patients_of_{what}": patients})
    return out


def reliability(raters: Raters) -> list[Statistic]:
    """Measured coverage of the patients' totals at several nominal levels, cross-fitted like the run's intervals; [] for a run
    that is not on disk."""
    folder = paths.run_dir(raters.data, 3, raters.run)
    if not (folder / "config.yaml").is_file():
        return []
    predictions = intervals.predictions(raters.data, raters.run)
    columns = [column for column in predictions.columns if column.stratum == TOTAL]
    column = next((i for i, column in enumerate(columns) if column.finding == TOTAL), None)
    if column is None:
        return []
    stratum = prediction_table.stratum(predictions, TOTAL)
    low, high, _ = conformal.cross_fitted(stratum, predictions.person, predictions.fold, NOMINAL)
    low, high = low[:, column], high[:, column]
    row = pd.Index(raters.patients).get_indexer(predictions.patient)
    truth, out = np.where(row >= 0, raters.by[READER1].totals[row, 0], np.nan), []
    for split in raters.splits:
        in_split = (predictions.fold >= 0) == (split == "oof")
        use = in_split & ~np.isnan(truth) & ~np.isnan(low[:, 0])
        for i, level in enumerate(NOMINAL):
            covered = (low[use, i] <= truth[use]) & (truth[use] <= high[use, i])
            share = astuple(wilson(covered, predictions.person[use]))
            out.append(Statistic(SECTION, f"measured_{level}", split, MODEL, WHOLE, *share, n=int(use.sum()), digits=2))
    return out
