"""Prediction intervals: their coverage and width, and the sites that could not be scored."""

from __future__ import annotations

import pandas as pd

from evaluation import coverage
from evaluation.coverage import BANDS, SEEN, WHOLE
from evaluation.raters import SPLITS, Raters
from evaluation.statistic import Statistic
from report.blocks import Block, Cell, Section, Table, Text
from report.plotting import sentence
from report.sections import intervals_figures as figures

ID, TITLE = coverage.SECTION, "Prediction intervals"
MISSING = (
    "Coverage cannot be computed: the run has no prediction intervals of patients whom a reader scored; run "
    "stage3_stack.intervals first."
)
NOTE = (
    "Intervals are conformal. Errors are measured on patients who were not used for training, and each error is divided by its "
    "expected size, which depends on the predicted damage, the uncertainty of the members and their disagreement. An interval "
    "extends by that multiple of the expected size which covers the stated share of the training patients, with a correction for "
    "their number. All visits of a person are kept together, and each person counts once. Out of fold, a patient's interval is "
    "calibrated on the other folds alone. The stated coverage holds over all patients, not for each kind of patient: the table "
    "by severity shows the coverage in bands of the reader's total, which is unknown when a film is scored. The interval of a "
    "grade consists of whole grades and includes the rounded grade, so its coverage exceeds the stated one where no damage is "
    "predicted; joints with and without predicted damage are calibrated separately. The sites that the reader graded above 0 "
    "include those whose damage the model missed, so no coverage is stated for them."
)
COVERAGE = "Share of reader 1's scores inside the model's interval, with its own 95 % interval over persons, and mean width."
BY_BAND = (
    "Coverage of the total by severity. Last columns, for comparison: an interval of constant width, calibrated on the same "
    "patients, which tends to be too wide for mild patients and too narrow for severe ones."
)
STATES = (
    "Sites and totals that could be scored, and why others could not. A joint that could not be scored has no grade in the "
    "table of intervals. The submission's format requires a number, so it contains an imputed grade there, and its manifest "
    "lists these joints."
)
STATE_LABELS = {
    "scored": "scored",
    "no_film": "no film of the limb",
    "refused": "film refused by the quality check",
    "off_film": "joint lies beyond the film's edge",
    "unread": "no prediction by any member",
    "partial": "total of the sites scored, pro-rated",
    "missing": "missing: more than half of the sites not scored",
}
SCOPE_LABELS = {
    SEEN[0]: "sites without predicted damage",
    SEEN[1]: "sites with uncertain damage",
    SEEN[2]: "sites with predicted damage",
}


def make(raters: Raters) -> Section:
    """The section; only its lead if there are no intervals or no reader's scores."""
    by_split = {split: coverage.judged(raters, split) for split in raters.splits}
    by_split = {split: rows for split, rows in by_split.items() if len(rows)}
    if not by_split:
        return Section(ID, TITLE, MISSING)
    leads = [_lead(split, coverage.figures(rows[rows.scope == WHOLE], split, WHOLE)) for split, rows in by_split.items()]
    blocks: list[Block] = [_table(split, rows) for split, rows in by_split.items()]
    blocks += [_bands(split, rows, by_split.get("oof", rows)) for split, rows in by_split.items()]
    reliability = coverage.reliability(raters)
    blocks += [figures.sorted_totals(by_split), figures.widths(by_split)]
    blocks += [figures.reliability(reliability)] if reliability else []
    blocks += _states(raters)
    return Section(ID, TITLE, " ".join(leads), [*blocks, Text(NOTE, "note")], reliability)


def _lead(split: str, total: dict[str, Statistic]) -> str:
    patients = "Out of fold" if split == "oof" else "In the test patients"
    return (
        f"{patients}, reader 1's total lies inside the 95 % interval for a share of {total['coverage_95'].text} of the patients "
        f"(mean width {total['width_95'].text} points) and inside the 80 % interval for {total['coverage_80'].text}."
    )


def _table(split: str, rows: pd.DataFrame) -> Table:
    groups = {name: rows[rows.scope == name] for name in sorted(dict.fromkeys(rows.scope), key=_scope_order)}
    groups |= {name: sites for name, sites in coverage.site_groups(rows).items() if len(sites)}
    head = ["scope", "n", "80 % interval covers", "mean width", "95 % interval covers", "mean width"]
    lines = [_row(SCOPE_LABELS.get(name, name), group, split, name) for name, group in groups.items()]
    return Table(f"{COVERAGE} {sentence(SPLITS[split])}.", head, lines)


def _scope_order(name: str) -> tuple:
    """Sort key: the patient's totals, then those of parts, then sites."""
    return name.endswith("sites"), name.startswith("one "), name != WHOLE, name


def _row(label: str, rows: pd.DataFrame, split: str, scope: str) -> list[Cell]:
    return [label, *coverage.figures(rows, split, scope).values()]


def _bands(split: str, rows: pd.DataFrame, oof: pd.DataFrame) -> Table:
    totals, calibration = (table[table.scope == WHOLE].reset_index(drop=True) for table in (rows, oof))
    lines = []
    for k in range(len(BANDS)):
        chosen = (totals.band == k).to_numpy()
        if not chosen.any():
            continue
        scope = f"total of {coverage.band_name(k)}"
        constant_width = coverage.against_constant(calibration, totals, chosen, split, scope)
        lines.append([*_row(coverage.band_name(k), totals[chosen], split, scope), *constant_width.values()])
    head = [
        "reader 1's total",
        "patients",
        "80 % covers",
        "mean width",
        "95 % covers",
        "mean width",
        "constant 95 %: width",
        "covers",
    ]
    return Table(f"{BY_BAND} {sentence(SPLITS[split])}.", head, lines)


def _states(raters: Raters) -> list[Block]:
    """A table of the numbers of sites and totals in each state, by split; [] if there are none."""
    rows = []
    for split in SPLITS:
        for state, counts in coverage.states(raters, split).items():
            names = ("sites", "patients_of_sites", "totals")
            rows.append([f"{STATE_LABELS[state]}; {SPLITS[split]}", *(counts.get(name) for name in names)])
    head = ["state", "sites", "patients with such sites", "totals of patients"]
    return [Table(STATES, head, rows)] if rows else []
