"""The contract on disk: typed tables that refuse what a later step could not trust.

Long tables, one row per thing; a missing value is NaN, never 0. Every write goes to a temporary name and is then moved.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

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
from ra.config import UserError
from ra.quality_reasons import REASONS

LEVELS = (80, 95)  # percent of an interval
# Why a place has no number: its film is not there, was refused by the gate, or ends before the joint. unread: none of these, but
# no member saw it. A total is partial where some of its places have none, and missing where more than half have none.
STATES = ("scored", "no_film", "refused", "off_film", "unread", "partial", "missing")
PROBABILITIES = tuple(f"p{grade}" for grade in range(N_GRADES))


class ContractError(UserError):
    """A table breaks its schema."""


@dataclass(frozen=True)
class Column:
    """dtype: str, int or float; `required` refuses missing values; `values` lists the allowed ones; low/high bound it.

    A table without a column that has a `default` gets it.
    """

    dtype: str
    required: bool = True
    values: tuple = ()
    low: float | None = None
    high: float | None = None
    default: object = ...


@dataclass(frozen=True)
class Schema:
    """A table's name, columns and key (a key's rows are unique)."""

    name: str
    columns: dict[str, Column]
    key: tuple[str, ...]

    def check(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table with its columns in order and typed; ContractError names the first fault."""
        absent = {c: column.default for c, column in self.columns.items() if c not in table.columns}
        table = table.assign(**{c: default for c, default in absent.items() if default is not ...})
        missing = [c for c in self.columns if c not in table.columns]
        if missing:
            raise ContractError(f"{self.name}: column {missing[0]} is missing")
        unknown = [c for c in table.columns if c not in self.columns]
        if unknown:
            raise ContractError(f"{self.name}: unknown column {unknown[0]}")
        out = pd.DataFrame({name: self._typed(table[name], column, name) for name, column in self.columns.items()})
        duplicate = out.duplicated(list(self.key))
        if duplicate.any():
            row = out.loc[duplicate.idxmax(), list(self.key)].to_dict()
            raise ContractError(f"{self.name}: duplicate row {row}")
        return out.reset_index(drop=True)

    def _typed(self, values: pd.Series, column: Column, name: str) -> pd.Series:
        if column.required and values.isna().any():
            raise ContractError(f"{self.name}.{name}: {int(values.isna().sum())} missing values where none may be")
        try:
            typed = values.astype({"str": "object", "int": "int64", "float": "float64"}[column.dtype])
        except (TypeError, ValueError) as error:
            raise ContractError(f"{self.name}.{name}: not {column.dtype}: {error}") from error
        typed = typed.where(typed.notna(), None) if column.dtype == "str" else typed
        present = typed.dropna()
        numbers = [v for v in present if not isinstance(v, str)] if column.dtype == "str" else []
        if numbers:
            raise ContractError(f"{self.name}.{name}: {numbers[0]!r} is not text")
        if column.values and not present.isin(column.values).all():
            bad = present[~present.isin(column.values)].iloc[0]
            raise ContractError(f"{self.name}.{name}: {bad!r} is not one of {', '.join(map(str, column.values))}")
        for bound, broken in ((column.low, present.lt), (column.high, present.gt)):
            if bound is not None and broken(bound).any():
                raise ContractError(f"{self.name}.{name}: {present[broken(bound)].iloc[0]} is outside its bound {bound}")
        return typed

    def read(self, path: Path) -> pd.DataFrame:
        """Read and check; a missing file is a UserError that says which step makes it."""
        if not Path(path).is_file():
            raise UserError(f"{path} does not exist; run the step that writes it first (bash run_all.sh runs all in order)")
        texts = {name: str for name, column in self.columns.items() if column.dtype == "str"}  # an id may look like a number
        csv = {"dtype": texts, "keep_default_na": False, "na_values": [""]}
        return self.check(pd.read_csv(path, **csv) if str(path).endswith(".csv") else pd.read_parquet(path))

    def write(self, table: pd.DataFrame, path: Path) -> pd.DataFrame:
        """Check, write to a temporary name, move into place; returns the checked table."""
        out = self.check(table)
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            out.to_csv(temporary, index=False) if path.suffix == ".csv" else out.to_parquet(temporary, index=False)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        return out


_PART_OR_ALL = (*PARTS, ALL_PARTS, BOTH_HANDS)
_TEXT = Column("str")
_SPLIT = Column("str", values=("train", "test"))

FILMS = Schema(
    "films",
    {
        "film_id": _TEXT,  # <patient_id>-<part>, and -<joint> where a film is one joint's crop
        "patient_id": _TEXT,  # one set of films, the row of a submission
        "person_id": _TEXT,  # the human being; several patient_ids of one person never part in folds
        "visit": Column("int", low=1),
        "part": Column("str", values=PARTS),
        "view": _TEXT,
        "laterality": Column("str", values=("L", "R")),  # as the picture shows it: canonical pictures of R are mirrored
        "path": _TEXT,  # absolute, or relative to the checkout
        "sha1": _TEXT,
        "width_px": Column("int", low=1),  # of the film: the window of its file, set upright
        "height_px": Column("int", low=1),
        "split": _SPLIT,
        # Where the film lies in its file's picture (ra.imaging.film.Frame); a whole upright file by default.
        "left_px": Column("int", low=0, default=0),
        "top_px": Column("int", low=0, default=0),
        "turns": Column("int", low=0, high=3, default=0),
        "spacing_mm": Column("float", required=False, low=0, default=math.nan),  # per pixel, where the file tells it believably
        # What the picture shows, where someone looked; `part` and `view` are what was declared.
        "part_seen": Column("str", required=False, values=PARTS, default=None),
        "view_seen": Column("str", required=False, default=None),
    },
    ("film_id",),
)

# What a person or a network saw in a file: one row per limb, upright within its frame; a file without any has limb -1.
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
        "reasons": Column("str", required=False),  # words of ra.quality_reasons.REASONS, a space between them
        "detail": Column("str", required=False),  # what they rest on, in one sentence without a patient's identity
    },
    ("path", "limb"),
)

# Why films were refused or doubted: one row per film (or file) and reason.
FILM_ISSUES = Schema(
    "film_issues",
    {
        "film": _TEXT,  # film_id, or the file's name where no film came of it
        "patient_id": Column("str", required=False),
        "reason": Column("str", values=tuple(REASONS)),
        "refused": Column("int", low=0, high=1),
        "detail": Column("str", required=False),
    },
    ("film", "reason"),
)

# One row per patient and scored site, films or no films; totals are the rows with site "total"
# (part "ALL" and finding erosion, narrowing or total for the patient's three Overall columns).
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

# Percent of a joint's surface that is eroded (Ratingen); the wrist is one joint.
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

# Disease activity, one row per patient; what was not measured is NaN. Measured by a doctor, never read from a film.
ACTIVITY = Schema(
    "activity",
    {
        "patient_id": _TEXT,
        "person_id": _TEXT,
        "visit": Column("int", low=1),
        "days": Column("int", low=0),  # since the person's first visit; dates themselves are not kept
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
        "joint": Column("str", values=(*ALL_JOINTS, WRIST)),  # the wrist as one joint only where a set has it cropped so
        "fold": Column("int", low=-1),  # the fold model that made it; -1 when none did
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

# Of growing hands; what the backbones pretrain on.
BONE_AGE = Schema(
    "bone_age",
    {"film_id": _TEXT, "bone_age_months": Column("float", low=0, high=300), "male": Column("int", low=0, high=1)},
    ("film_id",),
)

# oof: one row per training patient and site, fold = the fold that held the patient out.
# test: one row per fold model, patient and site.
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


# What a run of stage 3 says of every scored place and total, and how sure it is. What nobody could see is NaN, not a number.
PREDICTION_INTERVALS = Schema(
    "prediction_intervals",
    {
        "patient_id": _TEXT,
        "person_id": _TEXT,
        "visit": Column("int", low=1),
        "split": Column("str", values=("oof", "test")),
        "fold": Column("int", low=-1),
        "part": Column("str", values=_PART_OR_ALL),  # a total: a part's, or the patient's (ALL; HANDS of a set of hand totals)
        "site": _TEXT,  # "total" for a total
        "finding": Column("str", values=(*FINDINGS, "total")),
        "state": Column("str", values=STATES),
        "target": Column("float", required=False, low=0, high=448),
        "value": Column("float", required=False, low=0, high=448),  # expected grade, or the total, pro-rated
        "imputed": Column("float", required=False, low=0, high=448),  # what the submission has in its place
        "max_score": Column("int", low=1),
        "n_scored": Column("int", low=0),  # of the n_sites places that make a total; 1 or 0 of 1 for a site
        "n_sites": Column("int", low=1),
        "lowest": Column("float", required=False, low=0, high=448),  # if everything that was not scored were 0
        "highest": Column("float", required=False, low=0, high=448),  # if it had its maximum
        **{f"{end}{level}": Column("float", required=False, low=0, high=448) for level in LEVELS for end in ("low", "high")},
    },
    ("patient_id", "part", "site", "finding"),
)


def challenge(columns: list[str]) -> Schema:
    """Schema of a table of grades in the challenge's columns: one row per patient, NaN where not scored."""
    top = {c: site.max_grade for c, site in BY_COLUMN.items()} | {c: MAX_TOTAL[finding] for finding, c in OVERALL.items()}
    return Schema("grades", {ID: _TEXT, **{c: Column("float", required=False, low=0, high=top[c]) for c in columns}}, (ID,))


def check_coverage(scores: pd.DataFrame, expected: pd.DataFrame, where: str) -> None:
    """Every expected (patient, part, site, finding) has its out-of-fold row exactly once, else ContractError."""
    key = ["patient_id", "part", "site", "finding"]
    counts = scores.groupby(key).size()
    wanted = expected.set_index(key).index
    lacking = wanted.difference(counts.index)
    if len(lacking):
        raise ContractError(f"{where}: {len(lacking)} expected rows are missing, the first is {lacking[0]}")
    if (counts > 1).any():
        raise ContractError(f"{where}: {counts.idxmax()} appears {counts.max()} times out of fold")
