"""Every fault of a submission is named; harmless differences are notes."""

import sys

import pandas as pd
import pytest

from ra import anatomy
from ra.anatomy import COLUMNS_B, ID
from ra.config import UserError
from stage3_stack import submission, validate


@pytest.fixture
def template(tmp_path):
    """The template's path and a faultless submission's table."""
    ids = ["UAB001", "UAB002", "UAB003"]
    path = tmp_path / "template.csv"
    pd.DataFrame({ID: ids}).reindex(columns=list(COLUMNS_B)).to_csv(path, index=False)
    good = pd.DataFrame(1.0, index=range(3), columns=list(COLUMNS_B)).astype(object)
    good[ID] = ids
    return path, good


FAULTS = {
    "UAB002 is missing": lambda t: t.drop(index=1),
    "UAB009 is not in the template": lambda t: pd.concat([t, t.tail(1).assign(**{ID: "UAB009"})]),
    "UAB003 appears 2 times": lambda t: pd.concat([t, t.tail(1)]),
    "column LH_pip_E__2 is missing": lambda t: t.drop(columns="LH_pip_E__2"),
    "column comment is not in the template": lambda t: t.assign(comment=1),
    "column LH_pip_E__2 appears 2 times": lambda t: t.rename(columns={"LH_pip_E__3": "LH_pip_E__2"}),
    "LH_pip_E__2 of UAB001: '' is empty": lambda t: t.mask(cell(t, "LH_pip_E__2")),
    "LH_pip_E__2 of UAB001: 'two' is not a number": lambda t: t.mask(cell(t, "LH_pip_E__2"), "two"),
    "LH_pip_E__2 of UAB001: 'inf' is not finite": lambda t: t.mask(cell(t, "LH_pip_E__2"), "inf"),
    "LH_pip_E__2 of UAB001: '-0.5' is negative": lambda t: t.mask(cell(t, "LH_pip_E__2"), -0.5),
    "LH_pip_J__2 of UAB001: '4.1' is above the maximum 4": lambda t: t.mask(cell(t, "LH_pip_J__2"), 4.1),
    "LF_mtp_E__1 of UAB001: '10.5' is above the maximum 10": lambda t: t.mask(cell(t, "LF_mtp_E__1"), 10.5),
    "Overall_Tol of UAB001: '449' is above the maximum 448": lambda t: t.mask(cell(t, "Overall_Tol"), 449),
    "every value except Overall_Tol is 0": lambda t: t.assign(**dict.fromkeys(COLUMNS_B[2:], 0)),
}


def cell(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Marks the first row's cell of a column."""
    return pd.DataFrame(False, index=table.index, columns=table.columns).assign(**{column: table.index == table.index[0]})


@pytest.mark.parametrize("fault", FAULTS)
def test_the_fault_is_named(template, tmp_path, monkeypatch, capsys, fault):
    path, good = template
    pred = tmp_path / "pred.csv"
    monkeypatch.setattr(sys, "argv", ["validate", str(pred), str(path)])
    good.to_csv(pred, index=False)
    validate.run()
    assert "no fault" in capsys.readouterr().out
    FAULTS[fault](good).to_csv(pred, index=False)
    with pytest.raises(UserError, match=r"has [12] faults"):
        validate.run()
    assert fault in capsys.readouterr().out


def test_all_faults_are_named_and_another_order_is_noted(template, tmp_path):
    path, good = template
    pred = tmp_path / "pred.csv"
    good.iloc[::-1][list(anatomy.COLUMNS_A)].to_csv(pred, index=False)
    tables = submission.read_text(pred), submission.read_text(path)
    assert validate.faults(*tables) == [] and len(validate.notes(*tables)) == 2
    good.loc[0, ["LH_pip_E__2", "RH_pip_E__3"]], good.loc[2, "LF_mtp_J__1"] = "x", 7
    good.to_csv(pred, index=False)
    assert len(validate.faults(submission.read_text(pred), submission.read_text(path))) == 3


def test_a_table_without_any_known_column_is_named_column_by_column(template):
    path, _ = template
    found = validate.faults(pd.DataFrame({"a;b": ["1;2"]}), submission.read_text(path))
    assert "column a;b is not in the template; remove it" in found and f"column {ID} is missing; add it" in found
