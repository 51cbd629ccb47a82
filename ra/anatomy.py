"""The scored joints and sites of hands and feet, shared by all stages.

A *part* is one limb of a patient (LH RH LF RF); a *joint* is what a box is drawn around; a *site* is a scored place with one
finding, named as the column of RA2-DREAM without its part. Sharp/van der Heijde: van der Heijde, J Rheumatol 2000;27:261;
column names: RA2-DREAM (Sun et al., JAMA Netw Open 2022;5(8):e2227423).
"""

from __future__ import annotations

from dataclasses import dataclass

PARTS = ("LH", "RH", "LF", "RF")
FINDINGS = ("erosion", "narrowing")
LIMBS = ("hand", "foot")
TOTAL = "total"  # the site name of a sum; with part "ALL" it is the sum of the patient
ALL_PARTS = "ALL"
BOTH_HANDS = "HANDS"  # both hands in one picture: the part of their total (0..280) and of their severity class
SEVERITY = "severity"  # the site name of a severity class, which is an ordered class of a total

HAND_JOINTS = (
    "thumb_ip", "pip_2", "pip_3", "pip_4", "pip_5", "mcp_1", "mcp_2", "mcp_3", "mcp_4", "mcp_5",
    "wrist_mc1", "wrist_mul", "wrist_nav", "wrist_lunate", "wrist_radius", "wrist_ulna",
    "wrist_cmc3", "wrist_cmc4", "wrist_cmc5", "wrist_mna", "wrist_capnlun", "wrist_radcar",
)  # fmt: skip
FOOT_JOINTS = ("hallux_ip", "mtp_1", "mtp_2", "mtp_3", "mtp_4", "mtp_5")
JOINTS = {"hand": HAND_JOINTS, "foot": FOOT_JOINTS}
ALL_JOINTS = HAND_JOINTS + FOOT_JOINTS  # 28: the class ids of the detector and of the joint embedding

MAX_GRADE = {("hand", "erosion"): 5, ("hand", "narrowing"): 4, ("foot", "erosion"): 10, ("foot", "narrowing"): 4}
MAX_TOTAL = {"erosion": 280, "narrowing": 168, "total": 448}
MAX_BOTH_HANDS = 280
N_GRADES = 11  # 0..10, the widest scale: the columns p0..p10 of the Scores table

EROSION_HAND = HAND_JOINTS[:16]
NARROWING_HAND = HAND_JOINTS[1:10] + HAND_JOINTS[16:]

# Ratingen scores the eroded share of a joint's surface, the wrist as one joint (Rohrbach 2019, Table 1).
WRIST = "wrist"
RATINGEN_JOINTS = {"hand": (*HAND_JOINTS[:10], WRIST), "foot": FOOT_JOINTS}
RATINGEN_STEPS_PERCENT = (0, 20, 40, 60, 80)  # the grade is the number of these that the percentage exceeds
# Prefixes of the site names of Ratingen rows in a Scores table, before the joint: grade, mean and median of the percentage.
RATINGEN, PERCENT, MEDIAN = "ratingen__", "percent__", "median__"


@dataclass(frozen=True)
class Site:
    """One of the 86 scored places. `column` is its RA2-DREAM name, e.g. LH_mcp_E__ip."""

    part: str
    joint: str
    site: str
    finding: str
    max_grade: int

    @property
    def column(self) -> str:
        return f"{self.part}_{self.site}"


def limb(part: str) -> str:
    """The limb of a part: LH RH -> hand, LF RF -> foot."""
    return "hand" if part[1] == "H" else "foot"


def other_side(part: str) -> str:
    """LH <-> RH, LF <-> RF."""
    return ("R" if part[0] == "L" else "L") + part[1]


def joint2site(joint: str, finding: str) -> str:
    """The RA2-DREAM name of a joint's site: thumb_ip, erosion -> mcp_E__ip (RA2-DREAM counts the thumb's IP as mcp)."""
    row, place = joint.split("_", 1)
    row = {"thumb": "mcp", "hallux": "mtp"}.get(row, row)
    return f"{row}_{'E' if finding == 'erosion' else 'J'}__{place}"


def _sites(parts: tuple[str, ...], finding: str) -> list[Site]:
    hand = EROSION_HAND if finding == "erosion" else NARROWING_HAND
    return [
        Site(part, joint, joint2site(joint, finding), finding, MAX_GRADE[limb(part), finding])
        for part in parts
        for joint in (hand if limb(part) == "hand" else FOOT_JOINTS)
    ]


SITES: tuple[Site, ...] = tuple(_sites(("LH", "RH", "LF", "RF"), "erosion") + _sites(("LH", "RH", "LF", "RF"), "narrowing"))
BY_COLUMN = {site.column: site for site in SITES}

ID = "Patient_ID"
OVERALL = {"total": "Overall_Tol", "erosion": "Overall_erosion", "narrowing": "Overall_narrowing"}
COLUMNS_A = (ID, *OVERALL.values(), *(site.column for site in SITES))  # as first distributed


def _swap_hallux(columns: tuple[str, ...]) -> tuple[str, ...]:
    swap = {"LF_mtp_J__ip": "RF_mtp_J__ip", "RF_mtp_J__ip": "LF_mtp_J__ip"}
    return tuple(swap.get(column, column) for column in columns)


COLUMNS_B = _swap_hallux(COLUMNS_A)  # in files since April 2020; read columns by name, write them in the template's order
