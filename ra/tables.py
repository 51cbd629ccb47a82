"""The tables on disk through which the stages communicate: one schema each.

All are long tables, one row per film, box, site or patient; a missing value is NaN, never 0.
"""

from __future__ import annotations

import math

import pandas as pd

from ra.anatomy import (
    ALL_JOINTS,
    ALL_PARTS,
    BOTH_HANDS,
    BY_COLUMN,
    FINDINGS,
    ID,
    MAX_TOTAL,
    N_GRADES,
    OVERALL,
    PARTS,
    RATINGEN_JOINTS,
    WRIST,
)
from ra.quality_reasons import REASONS
from ra.table_validation import Column, ContractError, Schema

LEVELS = (80, 95)  # coverage of the prediction intervals, percent
# A site is scored, or has no prediction because there is no film of it (no_film), the quality gate refused the film (refused),
# the joint lies off the film (off_film), or no member predicted it for another reason (unread). A total is partial if some of its
# sites have no prediction, missing if more than half have none.
STATES = ("scored", "no_film", "refused", "off_film", "unread", "partial", "missing")
PROBABILITIES = tuple(f"p{grade}" for grade in range(N_GRADES))

_PART_OR_ALL = (*PARTS, ALL_PARTS, BOTH_HANDS)
_TEXT = Column("str")
_SPLIT = Column("str", values=("train", "test"))

FILMS = Schema(
    "films",
    {
        "film_id": _TEXT,  # <patient_id>-<part>; followed by -<joint> if the film is one joint's crop
        "patient_id": _TEXT,  # one set of films, the row of a submission
        "person_id": _TEXT,  # the human being; all patient_ids of a person are in the same fold
        "visit": Column("int", low=1),
        "part": Column("str", values=PARTS),
        "view": _TEXT,
        "laterality": Column("str", values=("L", "R")),  # as the picture shows it: canonical pictures of R are mirrored
        "path": _TEXT,  # absolute, or relative to the checkout
        "sha1": _TEXT,
        "width_px": Column("int", low=1),  # of the film: the window of its file, set upright
        "height_px": Column("int", low=1),
        "split": _SPLIT,
        # Where the film lies within the picture of its file (ra.imaging.film.Frame); by default it is the whole picture, upright.
        "left_px": Column("int", low=0, default=0),
        "top_px": Column("int", low=0, default=0),
        "turns": Column("int", low=0, high=3, default=0),
        "spacing_mm": Column(
            "float", required=False, low=0, default=math.nan
        ),  # per pixel; missing if the file has no plausible value
        # What screening detected in the picture; `part` and `view` are what was declared.
        "part_seen": Column("str", required=False, values=PARTS, default=None),
        "view_seen": Column("str", required=False, default=None),
    },
    ("film_id",),
)

# What screening detected in each file: one row per limb, with the frame in which it is upright; a file without a limb has one row
# with limb -1.
SCREENING = Schema(
    "screening",
    {
        "path": _TEXT,
        "limb": Column("int", low=-1),
        "part_seen": Column("str", required=False, values=PARTS),
        "view_seen": Column("str", required=False),
        "left_px": Column("int", low=0),
        "top_px": Column("int", low=0),
        "width_px": Column("int", low=0),
        "height_px": Column("int", low=0),
        "turns": Column("int", low=0, high=3),
        "quality": Column("float", low=0, high=1),
        "reasons": Column("str", required=False),  # names from ra.quality_reasons.REASONS, separated by spaces
        "detail": Column("str", required=False),  # the evidence for them, in one sentence without a patient's identity
    },
    ("path", "limb"),
)

# Quality issues: why films were refused or flagged, one row per film (or file) and reason.
FILM_ISSUES = Schema(
    "film_issues",
    {
        "film": _TEXT,  # film_id, or the file's name if no film was made from it
        "patient_id": Column("str", required=False),
        "reason": Column("str", values=tuple(REASONS)),
        "refused": Column("int", low=0, high=1),
        "detail": Column("str", required=False),
    },
    ("film", "reason"),
)

# One row per patient and scored site, whether or not there is a film; totals are the rows with site "total" (part "ALL" and
# finding erosion, narrowing or total for the patient's three Overall columns).
SITES = Schema(
    "sites",
    {
        "patient_id": _TEXT,
        "person_id": _TEXT,
        "visit": Column("int", low=1),
        "part": Column("str", values=_PART_OR_ALL),
        "joint": _TEXT,
        "site": _TEXT,
        "finding": Column("str", values=(*FINDINGS, "total")),
        "target": Column("float", required=False, low=0, high=448),
        "split": _SPLIT,
    },
    ("patient_id", "part", "site", "finding"),
)

# Ratingen: percent of a joint's surface that is eroded; the wrist is one joint.
RATINGEN = Schema(
    "ratingen",
    {
        "patient_id": _TEXT,
        "person_id": _TEXT,
        "visit": Column("int", low=1),
        "part": Column("str", values=PARTS),
        "joint": Column("str", values=tuple(dict.fromkeys(j for joints in RATINGEN_JOINTS.values() for j in joints))),
        "percent": Column("float", required=False, low=0, high=100),  # NaN for test patients and where not scored
        "split": _SPLIT,
    },
    ("patient_id", "part", "joint"),
)

# Disease activity as measured in the clinic (not on films), one row per patient; what was not measured is NaN.
ACTIVITY = Schema(
    "activity",
    {
        "patient_id": _TEXT,
        "person_id": _TEXT,
        "visit": Column("int", low=1),
        "days": Column("int", low=0),  # since the person's first visit; the dates themselves are not stored
        "swollen": Column("float", required=False, low=0, high=28),  # joints of 28
        "tender": Column("float", required=False, low=0, high=28),
        "esr": Column("float", required=False, low=0),  # erythrocyte sedimentation rate, mm/h
        "crp": Column("float", required=False, low=0),  # C-reactive protein, mg/L
        "global_health": Column("float", required=False, low=0, high=100),  # the patient's own assessment, mm of 100
        "das28_esr": Column("float", required=False),  # ra.clinical.das28_esr
        "das28_crp": Column("float", required=False),
    },
    ("patient_id",),
)

BOXES = Schema(
    "boxes",
    {
        "film_id": _TEXT,
        "joint": Column("str", values=(*ALL_JOINTS, WRIST)),  # WRIST (the wrist as one joint) only in sets of joint crops
        "fold": Column("int", low=-1),  # the fold model that predicted the box; -1 if it is not from a model
        "x_px": Column("float"),  # the box's centre, in the film's own pixels after EXIF rotation, un-mirrored
        "y_px": Column("float"),
        "w_px": Column("float", low=0),
        "h_px": Column("float", low=0),
        "conf": Column("float", required=False, low=0, high=1),
        "source": Column("str", values=("model", "template", "truth", "outside")),  # outside: the joint is not on the film
    },
    ("film_id", "joint"),
)

FOLDS = Schema(
    "folds",
    {"patient_id": _TEXT, "fold": Column("int", low=0), "stratum": _TEXT},
    ("patient_id",),
)

# Bone ages of children's hands, on which the backbones are pretrained.
BONE_AGE = Schema(
    "bone_age",
    {"film_id": _TEXT, "bone_age_months": Column("float", low=0, high=300), "male": Column("int", low=0, high=1)},
    ("film_id",),
)

# Predictions of stages 2 and 3. oof: one row per training patient and site, fold = the fold that held the patient out. test: one
# row per fold model, patient and site.
SCORES = Schema(
    "scores",
    {
        "run": _TEXT,
        "split": Column("str", values=("oof", "test")),
        "fold": Column("int", low=-1),
        "seed": Column("int"),
        "patient_id": _TEXT,
        "visit": Column("int", low=1),
        "part": Column("str", values=_PART_OR_ALL),
        "site": _TEXT,
        "finding": Column("str", values=(*FINDINGS, "total")),
        "target": Column("float", required=False, low=0, high=448),
        "pred": Column("float", required=False, low=0, high=448),  # expected grade
        **{p: Column("float", required=False, low=0, high=1.0001) for p in PROBABILITIES},
        "max_score": Column("int", low=1),
        "box_source": Column("str", required=False, values=("model", "template", "truth", "none")),
    },
    ("split", "fold", "patient_id", "part", "site", "finding"),
)


# Predictions of a stack for every site and total, with prediction intervals; NaN where nothing could be scored.
PREDICTION_INTERVALS = Schema(
    "prediction_intervals",
    {
        "patient_id": _TEXT,
        "person_id": _TEXT,
        "visit": Column("int", low=1),
        "split": Column("str", values=("oof", "test")),
        "fold": Column("int", low=-1),
        "part": Column("str", values=_PART_OR_ALL),  # of a total: the part, ALL (the patient) or HANDS (a set of hand totals)
        "site": _TEXT,  # "total" for a total
        "finding": Column("str", values=(*FINDINGS, "total")),
        "state": Column("str", values=STATES),
        "target": Column("float", required=False, low=0, high=448),
        "value": Column("float", required=False, low=0, high=448),  # expected grade, or the total, pro-rated
        "imputed": Column("float", required=False, low=0, high=448),  # the value in the submission, which has no gaps
        "max_score": Column("int", low=1),
        "n_scored": Column("int", low=0),  # scored among the n_sites sites of a total; 0 or 1 of 1 for a site
        "n_sites": Column("int", low=1),
        "lowest": Column("float", required=False, low=0, high=448),  # the total if every site that was not scored were 0
        "highest": Column("float", required=False, low=0, high=448),  # the total if every such site had its maximum
        **{f"{end}{level}": Column("float", required=False, low=0, high=448) for level in LEVELS for end in ("low", "high")},
    },
    ("patient_id", "part", "site", "finding"),
)


def challenge(columns: list[str]) -> Schema:
    """Schema of a table of grades in the challenge's columns: one row per patient, NaN where not scored."""
    maximum = {c: site.max_grade for c, site in BY_COLUMN.items()} | {c: MAX_TOTAL[finding] for finding, c in OVERALL.items()}
    return Schema("grades", {ID: _TEXT, **{c: Column("float", required=False, low=0, high=maximum[c]) for c in columns}}, (ID,))


def check_coverage(scores: pd.DataFrame, expected: pd.DataFrame, where: str) -> None:
    """ContractError unless every expected (patient, part, site, finding) has exactly one out-of-fold row."""
    key = ["patient_id", "part", "site", "finding"]
    counts = scores.groupby(key).size()
    wanted = expected.set_index(key).index
    lacking = wanted.difference(counts.index)
    if len(lacking):
        raise ContractError(f"{where}: {len(lacking)} expected rows are missing, the first is {lacking[0]}")
    if (counts > 1).any():
        raise ContractError(f"{where}: {counts.idxmax()} appears {counts.max()} times out of fold")
