"""The command evaluation.forecast on tables of scores and persons, and the faults that it refuses."""

import sys

import numpy as np
import pandas as pd
import pytest

from data.phantom import histories
from evaluation import forecast as verb
from ra.anatomy import ID
from ra.config import UserError


def test_the_verbs_end_to_end(tmp_path, capsys, monkeypatch):
    def call(verb_module, *arguments):
        monkeypatch.setattr(sys, "argv", ["verb", *map(str, arguments)])
        verb_module.run()

    call(histories, "--out", tmp_path / "h", "--persons", 30, "--visits", 3, "--seed", 5)
    scores, people = tmp_path / "h" / "training.csv", tmp_path / "h" / "people.csv"
    call(verb, "--scores", scores, "--people", people, "--out", tmp_path / "out")
    assert "60 visits of 30 persons" in capsys.readouterr().out
    written = pd.read_csv(tmp_path / "out" / "forecasts_training.csv")
    numbers = pd.read_csv(tmp_path / "out" / "numbers.csv").set_index("name")
    assert np.sqrt(np.mean(np.square(written.ridge - written.outcome))) == pytest.approx(numbers.loc["rmse", "value"].iloc[0])
    pd.read_csv(scores).head(6).to_csv(tmp_path / "few.csv", index=False)
    call(verb, "--scores", tmp_path / "few.csv", "--people", people)
    assert "2 training persons" in capsys.readouterr().out
    pd.read_csv(people).drop(columns="visit").to_csv(tmp_path / "nobody.csv", index=False)
    pd.read_csv(scores).assign(**{ID: "X"}).iloc[:1].to_csv(tmp_path / "others.csv", index=False)
    for bad, who, why in (
        (scores, tmp_path / "nobody.csv", "the column visit 0 times"),
        (people, people, "holds no score"),
        (tmp_path / "others.csv", people, "give the people of these scores"),
    ):
        with pytest.raises(UserError, match=why):
            call(verb, "--scores", bad, "--people", who)
