"""Histories of visits depend only on their seed and never contain healing."""

import numpy as np
import pandas as pd
import pytest

from data.phantom import histories
from ra.anatomy import SITES


@pytest.fixture(scope="module")
def drawn() -> dict[str, pd.DataFrame]:
    return histories.draw(histories.Histories(persons=120, visits=4, seed=5))


def test_histories_are_a_function_of_their_seed_and_never_heal(drawn):
    again = histories.draw(histories.Histories(persons=120, visits=4, seed=5))
    assert all(drawn[name].equals(again[name]) for name in histories.TABLES)
    assert not drawn["training"].equals(histories.draw(histories.Histories(persons=120, visits=4, seed=6))["training"])
    assert not drawn["training"].equals(drawn["reader2"])
    truth = drawn["truth"][[s.column for s in SITES]].to_numpy().reshape(120, 4, -1)
    rise = np.diff(truth, axis=1)
    assert (rise >= 0).all() and rise.sum() > 0
    assert (drawn["people"].groupby("person_id").days.diff().dropna() > 300).all()
