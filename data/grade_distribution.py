"""Compare a set's grades and totals with the published ones, and warn if they seem to be on another scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from data.issues import Report
from ra import anatomy, atomic, clinical
from ra.anatomy import SITES, joint2site, other_side
from ra.tables import RATINGEN

# How often each grade was given to the 188 final patients of RA2-DREAM (Sun et al., JAMA Netw Open 2022;5(8):e2227423).
GRADE_COUNTS = {
    ("hand", "erosion"): (5450, 406, 108, 13, 10, 29),
    ("foot", "erosion"): (1823, 203, 148, 38, 23, 10, 2, 8, 0, 0, 1),
    ("hand", "narrowing"): (5010, 72, 440, 72, 46),
    ("foot", "narrowing"): (2062, 23, 119, 23, 29),
}
PUBLISHED = {
    "total mean": 18.5, "total 25 %": 5, "total 50 %": 10, "total 75 %": 20, "total max": 256, "share with total 0": 6 / 188,
    "non-zero cells of 86": 9.7, "rate capnlun J": 0.32, "rate mul E": 0.32, "rate MTP1 E": 0.37, "rate nav E": 0.27,
    "rate mna J": 0.24,
}  # fmt: skip
RATES = {
    "capnlun J": ("wrist_J__capnlun", ("LH", "RH")),
    "mul E": ("wrist_E__mul", ("LH", "RH")),
    "MTP1 E": ("mtp_E__1", ("LF", "RF")),
    "nav E": ("wrist_E__nav", ("LH", "RH")),
    "mna J": ("wrist_J__mna", ("LH", "RH")),
}
COLUMNS = {site.column: i for i, site in enumerate(SITES)}
HIGH_TOTAL = 150  # no cohort has a median above it; RA2-DREAM's highest patient weight begins at 149
EXPECTED = 8  # the absence of a grade is reported if a set of this size should have it at least this often


def grades_of(sites: pd.DataFrame) -> np.ndarray:
    """(patients, 86) grades of the training patients with any score, NaN where not scored; columns as anatomy.SITES."""
    rows = sites[(sites.split == "train") & (sites.site != anatomy.TOTAL)].dropna(subset="target")
    wide = rows.assign(column=rows.part + "_" + rows.site).set_index(["patient_id", "column"]).target.unstack()  # noqa: PD010
    return wide.reindex(columns=list(COLUMNS)).to_numpy(float)


def summary(grades: np.ndarray) -> dict[str, float]:
    """The figures of PUBLISHED for grades (patients, 86). Figures per patient use only patients without a missing cell."""
    totals = grades.sum(1)
    totals = totals[np.isfinite(totals)]
    both = [(i, COLUMNS[f"{other_side(s.part)}_{s.site}"]) for i, s in enumerate(SITES) if s.part[0] == "L"]
    erosion = {i: COLUMNS.get(f"{s.part}_{joint2site(s.joint, 'erosion')}") for i, s in enumerate(SITES)}
    pairs = [(erosion[i], i) for i, s in enumerate(SITES) if s.finding == "narrowing" and erosion[i] is not None]
    quartiles = np.percentile(totals, (25, 50, 75)) if len(totals) else np.full(3, np.nan)
    return {
        "total mean": _mean(totals),
        **{f"total {q} %": value for q, value in zip((25, 50, 75), quartiles, strict=True)},
        "total max": totals.max() if len(totals) else np.nan,
        "share with total 0": _mean(totals == 0),
        "non-zero cells of 86": _mean((grades[np.isfinite(grades).all(1)] > 0).sum(1)),
        **{f"rate {name}": _rate(grades[:, [COLUMNS[f"{p}_{site}"] for p in parts]]) for name, (site, parts) in RATES.items()},
        "left-right correlation": _correlation(grades, both),
        "erosion-narrowing correlation": _correlation(grades, pairs),
    }


def counts(grades: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
    """How often each grade was given, (maximum + 1,) per limb and finding."""
    out = {}
    for (limb, finding), max_grade in anatomy.MAX_GRADE.items():
        cells = grades[:, [i for i, s in enumerate(SITES) if anatomy.limb(s.part) == limb and s.finding == finding]]
        out[limb, finding] = np.bincount(cells[np.isfinite(cells)].astype(int), minlength=max_grade + 1)
    return out


def compare(folder: Path, sites: pd.DataFrame | None, report: Report) -> None:
    """Write distribution.csv (figure, this set, RA2-DREAM) into a set's folder; note the main figures, warn of other scales."""
    rows: list[tuple[str, float, float]] = []
    if sites is not None:
        grades = grades_of(sites)
        grade_counts = counts(grades) if len(grades) else {}
        figures = summary(grades) if len(grades) else {}
        rows += [(name, value, PUBLISHED.get(name, np.nan)) for name, value in figures.items()]
        for group, group_counts in grade_counts.items():
            rows += _shares(group, group_counts) if group_counts.sum() else []
        rows += _totals(sites)
        report.notes += [_summary_line(figures)] if np.isfinite(figures.get("total mean", np.nan)) else []
        for fault in [*_unusual_grades(grade_counts), *_unusual_totals(sites)]:
            report.warn("unusual grades", fault)
    if (folder / "ratingen.parquet").is_file():
        rows += _ratingen(RATINGEN.read(folder / "ratingen.parquet"))
    if rows:
        table = pd.DataFrame(rows, columns=["figure", "this set", "RA2-DREAM"]).round(4)
        atomic.write_table(folder / "distribution.csv", table)


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else np.nan


def _rate(cells: np.ndarray) -> float:
    """Fraction of the scored cells that are not 0."""
    return _mean(cells[np.isfinite(cells)] > 0)


def _correlation(grades: np.ndarray, pairs: list[tuple[int, int]]) -> float:
    first, second = (grades[:, [pair[k] for pair in pairs]].ravel() for k in (0, 1))
    both = np.isfinite(first) & np.isfinite(second)
    varies = both.any() and np.ptp(first[both]) > 0 and np.ptp(second[both]) > 0
    return float(np.corrcoef(first[both], second[both])[0, 1]) if varies else np.nan


def _published_counts(group: tuple[str, str], n_grades: int) -> np.ndarray:
    """GRADE_COUNTS of a limb and finding, (n_grades,), zeros for grades that were never given."""
    counted = np.array(GRADE_COUNTS[group], float)
    return np.pad(counted, (0, n_grades - len(counted)))


def _shares(group: tuple[str, str], group_counts: np.ndarray) -> list[tuple[str, float, float]]:
    """Rows of distribution.csv: the share of each grade of a limb and finding, here and in RA2-DREAM."""
    published = _published_counts(group, len(group_counts))
    shares = zip(group_counts / group_counts.sum(), published / published.sum(), strict=True)
    return [(f"share of grade {grade}, {' '.join(group)}", ours, theirs) for grade, (ours, theirs) in enumerate(shares)]


def _given_totals(sites: pd.DataFrame) -> dict[str, np.ndarray]:
    """The training patients' totals as given in the set, by part and finding."""
    rows = sites[(sites.split == "train") & (sites.site == anatomy.TOTAL)].dropna(subset="target")
    return {f"{part} {finding}": group.target.to_numpy() for (part, finding), group in rows.groupby(["part", "finding"])}


def _totals(sites: pd.DataFrame) -> list[tuple[str, float, float]]:
    """Rows of distribution.csv: statistics of the totals that the set gives."""
    rows = []
    for name, totals in _given_totals(sites).items():
        figures = {"number": len(totals), "mean": totals.mean(), "max": totals.max()}
        figures |= {f"{q} %": np.percentile(totals, q) for q in (25, 50, 75)}
        rows += [(f"{name} as given: {figure}", float(value), np.nan) for figure, value in figures.items()]
    return rows


def _ratingen(table: pd.DataFrame) -> list[tuple[str, float, float]]:
    """Rows of distribution.csv: the share of each Ratingen grade among the training patients' joints."""
    percents = table[table.split == "train"].percent.dropna()
    grades = percents.map(clinical.percent2grade)
    shares = [(f"share of Ratingen grade {grade}", float((grades == grade).mean()), np.nan) for grade in range(6)]
    return shares if len(percents) else []


def _unusual_grades(grade_counts: dict[tuple[str, str], np.ndarray]) -> list[str]:
    """Warnings of grades that a set of this size should have but lacks: another scale, or damage only marked as present."""
    faults = []
    for group, group_counts in grade_counts.items():
        published = _published_counts(group, len(group_counts))
        name, n_cells, above_0 = " ".join(group), group_counts.sum(), group_counts[1:].sum()
        expected = published / published[1:].sum() * above_0  # of each grade above 0
        if group_counts[2:].sum() == 0 and expected[2:].sum() >= EXPECTED:
            faults.append(f"{name} is only 0 or 1 in {n_cells} cells; grades go to {len(group_counts) - 1}")
        elif group == ("foot", "erosion") and group_counts[6:].sum() == 0 and expected[6:].sum() >= EXPECTED:
            faults.append(f"{name} never exceeds 5; feet are scored 0 to 10, both sides of a joint summed")
        elif not above_0 and published[1:].sum() / published.sum() * n_cells >= EXPECTED:
            faults.append(f"{name} is 0 in all of {n_cells} cells; where a joint was not scored the cell must be empty")
    return faults


def _unusual_totals(sites: pd.DataFrame) -> list[str]:
    """A warning if the median of the given totals is above HIGH_TOTAL."""
    totals = _given_totals(sites).get(f"{anatomy.ALL_PARTS} {anatomy.TOTAL}", np.array([]))
    median = np.median(totals) if len(totals) >= EXPECTED else 0
    if median > HIGH_TOTAL:
        return [f"half of the {len(totals)} totals are above {median:g}; the published median is {PUBLISHED['total 50 %']}"]
    return []


def _summary_line(figures: dict[str, float]) -> str:
    """The main figures in one line, the published ones in brackets."""
    quartiles, theirs = ("/".join(f"{f[f'total {q} %']:g}" for q in (25, 50, 75)) for f in (figures, PUBLISHED))
    return (
        f"totals: mean {figures['total mean']:.1f}, quartiles {quartiles}, max {figures['total max']:g}; "
        f"{figures['non-zero cells of 86']:.1f} of 86 cells not 0 "
        f"(RA2-DREAM: {PUBLISHED['total mean']}, {theirs}, {PUBLISHED['total max']}; {PUBLISHED['non-zero cells of 86']})"
    )
