"""Reading and arranging submissions."""

import numpy as np
import pandas as pd

from ra.anatomy import COLUMNS_B, ID
from stage3_stack import submission


def test_ids_that_look_like_numbers_stay_text(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(f"{ID},Overall_Tol\n007,3\n")
    assert submission.read_numbers(path).index[0] == "007"


def test_a_set_that_scores_some_sites_has_no_overall_columns():
    """A total of some sites under the name of the challenge's total would mislead."""
    table = pd.DataFrame(1.0, index=["a"], columns=list(COLUMNS_B[1:]))
    assert submission.columns(table) == list(COLUMNS_B)
    some = submission.columns(table.assign(LF_mtp_E__1=np.nan))
    assert some[0] == ID and "LF_mtp_E__1" not in some and "Overall_Tol" not in some and len(some) == 86


def test_predictions_follow_the_template():
    table = pd.DataFrame({"x": [1.00004, 2.0], "y": [3.0, 4.0]}, index=pd.Index(["a", "b"], name=ID))
    template = pd.DataFrame({"y": "", ID: ["b", "a"]})
    assert submission.arranged(table, template).to_dict("list") == {"y": [4.0, 3.0], ID: ["b", "a"]}
