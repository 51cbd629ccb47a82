"""How sure the model is, and whether it is right about that: coverage and width of its intervals, and what it did not score."""

from __future__ import annotations

import pandas as pd

from evaluation import coverage
from evaluation.coverage import BANDS, WHOLE
from evaluation.raters import SPLITS, Raters
from evaluation.statistic import Statistic
from report.blocks import Block, Section, Table, Text
from report.sections import intervals_figures as pictures

ID, TITLE = coverage.SECTION, "How sure the model is"
LACKING = "There is no reading with intervals that a reader's scores could be held against; run stage3_stack.intervals first."
NOTE = (
    "Intervals are conformal: a residual of a patient whom the model had not seen is divided by the error that the model itself "
    "expects there (from how much damage it sees, how unsure its members are and how far they disagree), and the interval is as "
    "many expected errors wide as covers the stated share of the training patients, with a correction for their number. Patients "
    "are kept whole: a person counts once, however many joints and visits he has. Out of fold, a patient's interval rests on the "
    "other folds alone. The promise holds over all patients together, not for each kind of patient: the table by severity says "
    "how far it holds there; bands are by the reader's total, which the model does not know. A grade's interval is of whole "
    "grades and holds the rounded one, so that where nothing is seen it covers more than it must; the promise is kept for joints "
    "where damage is seen and for the others apart. Those that the reader graded above 0 include the ones that the model missed."
)
COVER = (
    "Share of reader 1's numbers that lie in the model's interval, with its own 95 % interval over persons, and the mean width."
)
BY_BAND = (
    "The total by how severe the patient is. Beside it: an interval of one width for all, calibrated on the same patients, is "
    "too wide for the mild and too narrow for the severe."
)
STATE_WORDS = {
    "scored": "scored",
    "no_film": "no film of the limb",
    "refused": "film refused by the quality gate",
    "off_film": "joint lies off the film",
    "unread": "not read by any member",
    "partial": "total of what was scored, pro-rated",
    "missing": "missing: more than half of the sites not scored",
}


def make(raters: Raters) -> Section:
    """The section; without a reading or a reader its lead alone."""
    judged = {split: coverage.judged(raters, split) for split in raters.splits}
    judged = {split: rows for split, rows in judged.items() if len(rows)}
    if not judged:
        return Section(ID, TITLE, LACKING)
    leads = [_told(split, coverage.figures(rows[rows.scope == WHOLE], split, WHOLE)) for split, rows in judged.items()]
    blocks: list[Block] = [_table(split, rows) for split, rows in judged.items()]
    blocks += [_bands(split, rows, judged.get("oof", rows)) for split, rows in judged.items()]
    more = coverage.reliability(raters)
    blocks += [pictures.sorted_totals(judged), pictures.widths(judged)] + ([pictures.reliability(more)] if more else [])
    blocks += [_states(raters, split) for split in SPLITS if (raters.intervals.split == split).any()]
    return Section(ID, TITLE, " ".join(leads), [*blocks, Text(NOTE, "note")], more)


def _told(split: str, whole: dict[str, Statistic]) -> str:
    where = "Out of fold" if split == "oof" else "On the test patients"
    return (
        f"{where}, the 95 % interval of the total holds reader 1's total in {whole['coverage_95'].text} of the patients and is "
        f"{whole['width_95'].text} points wide on average; the 80 % interval in {whole['coverage_80'].text}."
    )


def _table(split: str, rows: pd.DataFrame) -> Table:
    groups = {name: rows[rows.scope == name] for name in sorted(dict.fromkeys(rows.scope), key=_order)}
    groups |= {name: own for name, own in coverage.site_groups(rows).items() if len(own)}
    head = ["of", "n", "80 % interval holds", "mean width", "95 % interval holds", "mean width"]
    return Table(f"{COVER} {SPLITS[split].capitalize()}.", head, [_row(name, own, split, name) for name, own in groups.items()])


def _order(name: str) -> tuple:
    """The patient's totals, those of parts, sites."""
    return name.endswith("sites"), name.startswith("one "), name != WHOLE, name


def _row(label: str, own: pd.DataFrame, split: str, name: str) -> list:
    return [label, *coverage.figures(own, split, name).values()]


def _bands(split: str, rows: pd.DataFrame, oof: pd.DataFrame) -> Table:
    whole, reference = (table[table.scope == WHOLE].reset_index(drop=True) for table in (rows, oof))
    lines = []
    for k in range(len(BANDS)):
        own = (whole.band == k).to_numpy()
        if not own.any():
            continue
        name = f"total of {coverage.band_name(k)}"
        plain = coverage.against_constant(reference, whole, own, split, name)
        lines.append([*_row(coverage.band_name(k), whole[own], split, name), *plain.values()])
    head = ["reader 1's total", "patients", "80 % holds", "mean width", "95 % holds", "mean width", "one width: width", "holds"]
    return Table(f"{BY_BAND} {SPLITS[split].capitalize()}.", head, lines)


def _states(raters: Raters, split: str) -> Table:
    rows = []
    for state, found in coverage.states(raters, split).items():
        names = ("sites", "patients_of_sites", "totals")
        rows.append([STATE_WORDS[state], *(found.get(name) for name in names)])
    caption = (
        f"What could be scored, and why not, {SPLITS[split]}. A joint that could not be scored has no number in the reading; the "
        "submission, whose format knows no such state, has an imputed one there, and its manifest lists them."
    )
    return Table(caption, ["state", "sites", "of so many patients", "totals of patients"], rows)
