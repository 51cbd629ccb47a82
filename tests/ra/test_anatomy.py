"""The site table against the published scheme."""

import hashlib
from collections import Counter

import pytest

from ra import anatomy
from ra.anatomy import BY_COLUMN, COLUMNS_A, COLUMNS_B, MAX_TOTAL, SITES


def test_86_sites_reach_280_and_168_and_448():
    count = Counter((s.finding, anatomy.limb(s.part)) for s in SITES)
    assert count == {("erosion", "hand"): 32, ("erosion", "foot"): 12, ("narrowing", "hand"): 30, ("narrowing", "foot"): 12}
    total = {f: sum(s.max_grade for s in SITES if s.finding == f) for f in anatomy.FINDINGS}
    assert total == {"erosion": 280, "narrowing": 168} and sum(total.values()) == 448
    assert {**total, "total": 448} == MAX_TOTAL
    assert sum(s.max_grade for s in SITES if anatomy.limb(s.part) == "hand") == 280
    assert max(s.max_grade for s in SITES) == anatomy.N_GRADES - 1


def test_every_joint_is_scored_and_every_site_has_a_joint():
    assert len(anatomy.ALL_JOINTS) == len(set(anatomy.ALL_JOINTS)) == 28
    for part in anatomy.PARTS:
        assert {s.joint for s in SITES if s.part == part} == set(anatomy.JOINTS[anatomy.limb(part)])


@pytest.mark.parametrize(
    ("column", "part", "joint", "finding", "maximum"),
    [
        ("LH_mcp_E__ip", "LH", "thumb_ip", "erosion", 5),
        ("RH_pip_J__4", "RH", "pip_4", "narrowing", 4),
        ("RH_wrist_E__nav", "RH", "wrist_nav", "erosion", 5),
        ("LH_wrist_J__capnlun", "LH", "wrist_capnlun", "narrowing", 4),
        ("LF_mtp_E__ip", "LF", "hallux_ip", "erosion", 10),
        ("RF_mtp_J__5", "RF", "mtp_5", "narrowing", 4),
    ],
)
def test_a_column_name_gives_its_site(column, part, joint, finding, maximum):
    site = BY_COLUMN[column]
    assert (site.part, site.joint, site.finding, site.max_grade) == (part, joint, finding, maximum)


def test_columns_round_trip():
    assert len(BY_COLUMN) == 86
    for column, site in BY_COLUMN.items():
        assert site.column == column and site.site == anatomy.joint2site(site.joint, site.finding)
        mirrored = anatomy.other_side(site.part)
        assert f"{mirrored}_{site.site}" in BY_COLUMN and anatomy.other_side(mirrored) == site.part


def test_the_two_published_orders_exchange_two_columns():
    assert len(COLUMNS_A) == len(COLUMNS_B) == 90 and set(COLUMNS_A) == set(COLUMNS_B)
    assert COLUMNS_A[:4] == ("Patient_ID", "Overall_Tol", "Overall_erosion", "Overall_narrowing")
    assert [i for i in range(90) if COLUMNS_A[i] != COLUMNS_B[i]] == [78, 84]
    assert (COLUMNS_A[78], COLUMNS_B[78], COLUMNS_B[84]) == ("LF_mtp_J__ip", "RF_mtp_J__ip", "LF_mtp_J__ip")
    published = "5fa8c144b0f5460366e4134578c5f2f02ae16606"  # SHA-1 of the header line of the first training.csv
    assert hashlib.sha1(",".join(COLUMNS_A).encode()).hexdigest() == published
