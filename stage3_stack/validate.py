"""Name every fault of a submission before the challenge does.

    python -m stage3_stack.validate PRED.csv TEMPLATE.csv

Faults go to standard output, one line each, and the exit code is 1 when there is any. A different order of rows or columns
is no fault (the score reads by name) and is noted.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import pandas as pd

from ra import cli
from ra.anatomy import BY_COLUMN, ID, MAX_TOTAL, OVERALL
from ra.config import UserError
from stage3_stack.submission import read_text

MAXIMUM = {c: s.max_grade for c, s in BY_COLUMN.items()} | {OVERALL[f]: v for f, v in MAX_TOTAL.items()}


def faults(pred: pd.DataFrame, template: pd.DataFrame) -> list[str]:
    """Every reason why the challenge would refuse or misread a submission (both tables as `submission.read_text` gives them)."""
    return [*_header(pred, template), *_rows(pred, template), *_cells(pred, template)]


def notes(pred: pd.DataFrame, template: pd.DataFrame) -> list[str]:
    """What is different from the template but harmless."""
    out = []
    if list(pred.columns) != list(template.columns) and sorted(pred.columns) == sorted(template.columns):
        out.append("the columns stand in another order than the template's")
    if ID in pred.columns and ID in template.columns:
        mine, wanted = list(pred[ID]), list(template[ID])
        if mine != wanted and sorted(mine) == sorted(wanted):
            out.append("the rows stand in another order than the template's")
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
    wanted, counts = set(template[ID]), pred[ID].value_counts(sort=False)
    for patient in template[ID]:
        if patient not in counts:
            yield f"{ID} {patient} is missing; add its row"
    for patient, count in counts.items():
        if patient not in wanted:
            yield f"{ID} {patient or '(empty)'} is not in the template; remove its row"
        if count > 1:
            yield f"{ID} {patient} appears {count} times; keep one row"


def _cells(pred: pd.DataFrame, template: pd.DataFrame) -> Iterator[str]:
    once = [c for c in pred.columns if c in MAXIMUM and c in template.columns and (pred.columns == c).sum() == 1]
    ids = pred[ID] if (pred.columns == ID).sum() == 1 else pd.Series([f"row {i + 1}" for i in range(len(pred))])
    text = pred[once]
    numbers = text.apply(pd.to_numeric, errors="coerce").astype(float)
    spelled = text.map(str.lower).isin(["inf", "+inf", "-inf", "infinity", "-infinity", "nan", "na", "null"]).to_numpy()
    value, top = numbers.to_numpy(), np.array([MAXIMUM[c] for c in once], dtype=float)
    for what, bad in (
        ("is empty; every cell needs a number", (text == "").to_numpy()),
        ("is not finite", spelled | np.isinf(value)),
        ("is not a number", np.isnan(value) & ~spelled & (text != "").to_numpy()),
        ("is negative", np.isfinite(value) & (value < 0)),
        ("is above the maximum", np.isfinite(value) & (value > top)),
    ):
        for row, column in np.argwhere(bad):
            limit = f" {top[column]:g}" if "maximum" in what else ""
            yield f"{once[column]} of {ids.iloc[row]}: {text.iloc[row, column]!r} {what}{limit}"
    rest = numbers[[c for c in once if c != OVERALL["total"]]]
    if rest.size and (rest == 0).all(axis=None):
        yield f"every value except {OVERALL['total']} is 0, which the challenge scores as NA"


def run() -> None:
    p = argparse.ArgumentParser(description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("pred", metavar="PRED.csv", help="the submission")
    p.add_argument("template", metavar="TEMPLATE.csv", help="the challenge's template: header and ids")
    args = p.parse_args()
    pred, template = read_text(args.pred), read_text(args.template)
    if ID not in template.columns:
        raise UserError(f"{args.template} has no column {ID}; give the challenge's template.csv")
    found = faults(pred, template)
    for line in found:
        print(line)
    for line in notes(pred, template):
        print(f"note: {line}")
    if found:
        raise UserError(f"{args.pred} has {len(found)} faults (named above); correct them before you submit")
    print(f"{args.pred}: {len(pred)} patients, {pred.shape[1]} columns, no fault")


if __name__ == "__main__":
    cli.main(run)
