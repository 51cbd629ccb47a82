"""The score verb: nine numbers, or null with the reason."""

import json
import sys

import pandas as pd
import pytest

from evaluation import score
from ra import challenge_scores
from ra.anatomy import COLUMNS_B, ID


def test_score_prints_nine_numbers_or_null(tmp_path, monkeypatch, capsys):
    good = (
        pd.DataFrame(1.0, index=range(3), columns=list(COLUMNS_B)).astype(object).assign(**{ID: ["UAB001", "UAB002", "UAB003"]})
    )
    gold, pred = tmp_path / "gold.csv", tmp_path / "pred.csv"
    good.to_csv(gold, index=False)
    good.assign(Overall_Tol=3).to_csv(pred, index=False)
    monkeypatch.setattr(sys, "argv", ["score", str(pred), str(gold), "--bootstrap", str(gold)])
    score.run()
    found = json.loads(capsys.readouterr().out)
    assert list(found) == [*challenge_scores.RA2, "bootstrap"]
    assert found["sc1"] == pytest.approx(1.0) and found["sc2"] == 0
    assert found["bootstrap"]["sc1"]["better"] == "other" and found["bootstrap"]["sc1"]["difference"] == pytest.approx(1.0)
    good.drop(columns="LH_pip_E__2").to_csv(pred, index=False)
    monkeypatch.setattr(sys, "argv", ["score", str(pred), str(gold)])
    with pytest.raises(SystemExit) as end:
        score.run()
    output = capsys.readouterr()
    found = json.loads(output.out)
    assert end.value.code == 1 and found["sc3"] is None and found["sc3_hand"] is None and found["sc3_foot"] == 0
    assert "sc3 is NA: submission: LH_pip_E__2 of UAB001 is empty" in output.err
