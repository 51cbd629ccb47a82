"""report.compare_readers: tables of readers are compared on what they share; a faulty table gives one sentence."""

import sys

import numpy as np
import pandas as pd
import pytest

from evaluation import agreement, reader_tables, site_groups
from evaluation.raters import MODEL, READER1, READER2
from ra import cli
from ra.anatomy import ID, OVERALL, SITES
from ra.config import UserError
from report import compare_readers as verb
from stage3_stack import submission
from tests.worlds.undrawn import undrawn


def table_of(rater, patients, columns=None):
    table = submission.frame(pd.Index(patients), rater.grades, rater.totals)
    return table if columns is None else table[columns]


@pytest.fixture
def csvs(raters, tmp_path):
    """Three readers' tables: B has no Overall columns and another order of rows and columns, C has only erosion of hands."""
    patients = raters.patients
    hands = [site.column for site in SITES if site.finding == "erosion" and "H_" in site.column]
    a, b = table_of(raters.by[READER1], patients), table_of(raters.by[READER2], patients)
    a.to_csv(tmp_path / "A.csv")
    b.drop(columns=list(OVERALL.values())).iloc[5:, ::-1].sample(frac=1, random_state=0).to_csv(tmp_path / "B.csv")
    table_of(raters.by[MODEL], patients, hands).to_csv(tmp_path / "C.csv")
    return tmp_path


def test_the_verb_compares_a_trials_own_readers(csvs, raters, monkeypatch, capsys):
    people = pd.DataFrame({ID: raters.patients, "person_id": raters.person, "visit": raters.visit})
    people.to_csv(csvs / "people.csv", index=False)
    undrawn(monkeypatch)
    monkeypatch.setattr(sys, "argv", ["compare_readers", "A.csv", "B.csv", "--people", "people.csv", "--out", "out"])
    monkeypatch.chdir(csvs)
    verb.run()
    printed = capsys.readouterr().out
    assert "A: 5 of 150 left out" in printed and "rows 2, 3, 4, 5, 6" in printed
    numbers = pd.read_csv(csvs / "out/numbers.csv").set_index("id")
    rows = raters.take(np.arange(5, 150))
    expected = agreement.measure(rows, "all")["kappa", "reader 1 against reader 2", "MCP erosion"]
    row = numbers.loc["agreement/kappa/all/a-against-b/mcp-erosion"]
    assert (row.value, row.low, row.high, row.n) == pytest.approx((expected.value, expected.low, expected.high, expected.n))
    assert expected.text in printed and "agreement/bias/all/a-against-b/total" in (csvs / "out/agreement.html").read_text()
    total = numbers.loc["agreement/bias/all/a-against-b/total"]  # B has no Overall columns, so that both totals are sums
    sums = [rows.by[name].grades.sum(1) for name in (READER1, READER2)]
    assert total.value == pytest.approx((sums[0] - sums[1]).mean())


def test_tables_that_score_some_sites_are_compared_on_those(csvs):
    read = {name: reader_tables.read(csvs / f"{name}.csv") for name in "ABC"}
    known = reader_tables.load(read)
    assert known.names == ["A", "B", "C"] and len(known.patients) == 145 and set(known.split) == {"all"}
    found = agreement.measure(known, "all")
    assert found["kappa", "A against B", "foot erosion"].n == 145 * 12 and found["kappa", "A against C", "foot erosion"].n == 0
    hands = site_groups.LIMB_FINDINGS["hand erosion"]
    assert known.by["A"].totals[:, 0] == pytest.approx(known.by["A"].grades[:, hands].sum(1))  # what C scored too


def edited(path, change):
    change(pd.read_csv(path, dtype=str)).to_csv(path, index=False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.rename(columns={ID: "id"}), "has no column Patient_ID"),
        (lambda t: t.assign(**{ID: ["UAB007", *t[ID][1:]]}), "row 9 has the Patient_ID of row 2; keep one row"),
        (lambda t: t.assign(**{ID: ["", *t[ID][1:]]}), "row 2 has no Patient_ID"),
        (lambda t: t.assign(**{"LH_mcp_E__2": "6"}), "LH_mcp_E__2: '6' is not on its scale, 0 to 5"),
        (lambda t: t.assign(**{"RF_mtp_J__ip": "two"}), "RF_mtp_J__ip: 'two' is not on its scale"),
        (lambda t: t.assign(**{"RF_mtp_J__ip": "-1"}), "'-1' is not on its scale"),
        (lambda t: t.assign(**{ID: t[ID] + "x"}), "no Patient_ID in common"),
        (lambda t: t[[ID]], "no column of scores"),
    ],
)
def test_bad_tables_get_one_sentence(csvs, change, words):
    edited(csvs / "A.csv", change)
    with pytest.raises(UserError, match=words.replace("(", r"\(")):
        reader_tables.load({name: reader_tables.read(csvs / f"{name}.csv") for name in "AB"})


def test_bad_commands_get_one_sentence(csvs, monkeypatch, capsys):
    for arguments, words in (
        (["A.csv"], "1 tables are given"),
        (["A.csv", "A.csv"], "different names"),
        (["A.csv", "none.csv"], "does not exist"),
    ):
        monkeypatch.setattr(sys, "argv", ["compare_readers", *(str(csvs / name) for name in arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main(verb.run)
        message = capsys.readouterr().err
        assert stopped.value.code == 1 and words in message and message.count("\n") == 1
