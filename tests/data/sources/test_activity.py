"""Disease activity read from activity.csv, and the faults that are refused."""

import csv

import numpy as np
import pytest

from data.issues import Report
from data.sources import ra2dream
from ra.config import UserError

ITEMS = ("tender", "swollen", "esr", "crp", "global")


HEAD = ("Patient_ID", "days", *ITEMS)


ROWS = [("A1", "0", "4", "9", "0", "", "50"), ("A2", "400", "1", "0", "10", "3", ""), ("B1", "", "28", "28", "300", "0", "100")]


PEOPLE = [
    {"patient_id": p, "person_id": p[0], "visit": visit, "split": "train"} for p, visit in (("A1", 1), ("A2", 2), ("B1", 1))
]


def read(root, rows, head=HEAD, name="train"):
    (root / name).mkdir(exist_ok=True)
    with (root / name / "activity.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([head, *rows])
    report = Report()
    return ra2dream._activity(root, {"train": PEOPLE, "test": []}, report), report


def changed(row, column, value):
    at = HEAD.index(column)
    return [(*r[:at], value, *r[at + 1 :]) if i == row else r for i, r in enumerate(ROWS)]


def test_activity_of_sets_of_films_is_read(tmp_path):
    found, report = read(tmp_path, [*ROWS, ("C1", *ROWS[0][1:])])
    schema, rows = found["activity.parquet"]
    table = schema.check(rows).set_index("patient_id")
    assert table.days.to_dict() == {"A1": 0, "A2": 400, "B1": 0} and table.visit["A2"] == 2
    assert table.das28_esr["A1"] == pytest.approx(0.56 * 2 + 0.28 * 3 + 0 + 0.7) and np.isnan(table.das28_crp["A1"])
    assert report.faults["unknown patient in activity.csv"] == ["train/C1"]
    empty, _ = read(tmp_path, [("A1", "0", *[""] * 5)])
    assert not empty, "a file without measurements gives no table"


REFUSED = {
    "tender joints above 28": (changed(0, "tender", "29"), "row 2 (A1): tender is '29', not a whole number from 0 to 28"),
    "an ESR in words": (changed(1, "esr", "high"), "row 3 (A2): esr is 'high'"),
    "negative days": (changed(1, "days", "-1"), "days is '-1', not a whole number from 0"),
    "days that are not known": (changed(1, "days", ""), "days is empty for a person with 2 sets of films"),
    "two visits of one day": (changed(1, "days", "0"), "person A has visit 1 on day 0 and visit 2 on day 0"),
    "twice": ([*ROWS, ROWS[0]], "A1 appears 2 times"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_impossible_activity_is_refused_in_one_sentence(tmp_path, name):
    rows, message = REFUSED[name]
    with pytest.raises(UserError) as error:
        read(tmp_path, rows)
    assert message in str(error.value) and "\n" not in str(error.value)
