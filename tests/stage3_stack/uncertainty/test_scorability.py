"""States of sites without a number."""

import numpy as np
import pandas as pd

from stage3_stack.uncertainty import scorability


def test_without_a_table_of_films_the_state_is_unread(tmp_path, monkeypatch):
    monkeypatch.setenv("RA_DATA", str(tmp_path))
    seen = np.ones((2, 86), bool)
    seen[1, 3] = False
    states = scorability.states("nowhere", pd.Index(["a", "b"]), ("m0",), seen)
    assert states[1, 3] == "unread" and (states == "scored").sum() == 171
