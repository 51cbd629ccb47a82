"""Level-2 features: which sites are related, means over them, and the columns of a right and a left joint."""

import numpy as np

from ra.anatomy import SITES
from stage3_stack.cohort import Cohort
from stage3_stack.features import NEIGHBOURS, mean_over, site_features
from stage3_stack.predictions import MemberPredictions

PLACE = {s.column: j for j, s in enumerate(SITES)}


def related(name: str, column: str) -> set[str]:
    return {SITES[i].column for i in np.flatnonzero(NEIGHBOURS[name][PLACE[column]])}


def test_neighbours_are_the_right_joints():
    assert related("other_side", "LH_mcp_E__ip") == {"RH_mcp_E__ip"}
    assert related("other_side", "RF_mtp_J__ip") == {"LF_mtp_J__ip"}
    assert related("other_finding", "LH_pip_E__3") == {"LH_pip_J__3"}
    assert related("other_finding", "LF_mtp_J__1") == {"LF_mtp_E__1"}
    wrist = {f"LH_wrist_J__{place}" for place in ("cmc3", "cmc4", "cmc5", "mna", "capnlun", "radcar")}
    assert related("other_finding", "LH_wrist_E__nav") == wrist
    assert related("adjacent", "RH_pip_J__3") == {"RH_pip_J__2", "RH_pip_J__4"}
    assert related("adjacent", "RH_pip_E__5") == {"RH_pip_E__4"}
    assert len(related("row", "LH_wrist_E__nav")) == 5 and len(related("part", "LF_mtp_J__2")) == 5
    assert len(related("finding", "LH_pip_E__2")) == 43 and len(related("patient", "LH_pip_E__2")) == 85
    assert not any(mask.diagonal().any() for mask in NEIGHBOURS.values())


def test_missing_values_are_left_out_of_a_mean():
    values = np.zeros((1, 86))
    values[0, PLACE["RH_pip_J__2"]], values[0, PLACE["RH_pip_J__4"]] = 3.0, np.nan
    means = mean_over(values, NEIGHBOURS["adjacent"])
    assert means[0, PLACE["RH_pip_J__3"]] == 3.0
    assert np.isnan(mean_over(np.full((1, 86), np.nan), NEIGHBOURS["row"])).all()


def test_patient_features_begin_with_the_side_of_the_site():
    """Each site's prediction is its index: for a right MCP 3, `same` columns hold the right side and `other` columns the left."""
    moments = np.broadcast_to(np.arange(86.0)[None, :, None], (1, 86, 4))
    member = MemberPredictions("m", moments, np.zeros((1, 86)))
    empty = np.empty((0, 86))
    cohort = Cohort(np.array(["a"]), np.ones(1), np.empty(0), np.empty(0), empty, empty[:, :3], np.empty(0), [member])
    features, names = site_features(cohort, "patient")
    seen = dict(zip(names, features[0, PLACE["RH_mcp_E__3"]], strict=True))
    assert seen["same_mcp_3_erosion"] == seen["m:elog"] == PLACE["RH_mcp_E__3"]
    assert seen["other_mcp_3_erosion"] == seen["other_side_elog"] == PLACE["LH_mcp_E__3"]
    assert seen["same_mcp_3_narrowing"] == seen["other_finding_elog"] == PLACE["RH_mcp_J__3"]
    assert seen["same_mtp_5_erosion"] == PLACE["RF_mtp_E__5"] and seen["other_hallux_ip_narrowing"] == PLACE["LF_mtp_J__ip"]
    assert sum(name.startswith(("same_", "other_")) for name in names) == 86 + 2
    alone = site_features(cohort, "own")[1]
    assert set(alone) < set(names) and not any(name.startswith(("same", "other", "row")) for name in alone)
