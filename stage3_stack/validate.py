"""Check a submission against the challenge's template and list all its faults.

    python -m stage3_stack.validate PRED.csv TEMPLATE.csv

Faults go to standard output, one line each, and the exit code is 1 if there are any. A different order of rows or columns is not
a fault, because scores are computed by name; it is printed as a note.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ra import cli
from ra.anatomy import BY_COLUMN, ID, MAX_TOTAL, OVERALL
from ra.config import UserError
from stage3_stack.submission import read_text

NOT_FINITE = ["inf", "+inf", "-inf", "infinity", "-infinity", "nan", "na", "null"]
MAXIMUM = {c: s.max_grade for c, s in BY_COLUMN.items()} | {OVERALL[f]: v for f, v in MAX_TOTAL.items()}


def faults(pred: pd.DataFrame, template: pd.DataFrame) -> list[str]:
    """All reasons for which the challenge would refuse or misread a submission. Both tables are text (`submission.read_text`)."""
    return [*_header(pred, template), *_rows(pred, template), *_cells(pred, template)]


def notes(pred: pd.DataFrame, template: pd.DataFrame) -> list[str]:
    """Sentences about harmless differences from the template."""
    out = []
    if list(pred.columns) != list(template.columns) and sorted(pred.columns) == sorted(template.columns):
        out.append("the columns are in another order than the template's")
    if ID in pred.columns and ID in template.columns:
        patients, expected = list(pred[ID]), list(template[ID])
        if patients != expected and sorted(patients) == sorted(expected):
            out.append("the rows are in another order than the template's")
    return out


def _header(pred: pd.DataFrame, template: pd.DataFrame) -> Iterator[str]:
    for name in template.columns:
        if name not in pred.columns:
            yield f"column {name} is missing; add it"
    for name in dict.fromkeys(pred.columns):
        if name not in template.columns:
            yield f"column {name or '(without a name)'} is not in the template; remove it"
        if (pred.columns == name).sum() > 1:
            yield f"column {name} appears {(pred.columns == name).sum()} times; keep one"


def _rows(pred: pd.DataFrame, template: pd.DataFrame) -> Iterator[str]:
    if (pred.columns == ID).sum() != 1:
        return
    expected, counts = set(template[ID]), pred[ID].value_counts(sort=False)
    for patient in template[ID]:
        if patient not in counts:
            yield f"{ID} {patient} is missing; add its row"
    for patient, count in counts.items():
        if patient not in expected:
            yield f"{ID} {patient or '(empty)'} is not in the template; remove its row"
        if count > 1:
            yield f"{ID} {patient} appears {count} times; keep one row"


def _cells(pred: pd.DataFrame, template: pd.DataFrame) -> Iterator[str]:
    columns = [c for c in pred.columns if c in MAXIMUM and c in template.columns and (pred.columns == c).sum() == 1]
    ids = pred[ID] if (pred.columns == ID).sum() == 1 else pd.Series([f"row {i + 1}" for i in range(len(pred))])
    if not columns:
        return  # every column is missing or unknown, which _header reports
    text = pred[columns]
    numbers = text.apply(pd.to_numeric, errors="coerce").astype(float)
    not_finite_word = text.map(str.lower).isin(NOT_FINITE).to_numpy()
    value, maximum = numbers.to_numpy(), np.array([MAXIMUM[c] for c in columns], dtype=float)
    for fault, bad in (
        ("is empty; every cell needs a number", (text == "").to_numpy()),
        ("is not finite", not_finite_word | np.isinf(value)),
        ("is not a number", np.isnan(value) & ~not_finite_word & (text != "").to_numpy()),
        ("is negative", np.isfinite(value) & (value < 0)),
        ("is above the maximum", np.isfinite(value) & (value > maximum)),
    ):
        for row, column in np.argwhere(bad):
            limit = f" {maximum[column]:g}" if "maximum" in fault else ""
            yield f"{columns[column]} of {ids.iloc[row]}: {text.iloc[row, column]!r} {fault}{limit}"
    except_total = numbers[[c for c in columns if c != OVERALL["total"]]]
    if except_total.size and (except_total == 0).all(axis=None):
        yield f"every value except {OVERALL['total']} is 0, which the challenge scores as NA"


def run() -> None:
    """Check the submission that the command line names."""
    p = cli.parser(__doc__)
    p.add_argument("pred", metavar="PRED.csv", help="the submission")
    p.add_argument("template", metavar="TEMPLATE.csv", help="the challenge's template: header and ids")
    args = p.parse_args()
    pred, template = read_text(args.pred), read_text(args.template)
    if ID not in template.columns:
        raise UserError(f"{args.template} has no column {ID}; give the challenge's template.csv")
    lines = faults(pred, template)
    for line in lines:
        print(line)
    for line in notes(pred, template):
        print(f"note: {line}")
    if lines:
        raise UserError(f"{args.pred} has {len(lines)} faults (named above); correct them before you submit")
    print(f"{args.pred}: {len(pred)} patients, {pred.shape[1]} columns, no fault")


if __name__ == "__main__":
    cli.main(run)
