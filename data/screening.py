"""What the pictures show against what was declared: parts found, sides compared, films refused with their reasons."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from data.film_files import VIEWS
from data.issues import Report
from ra import paths
from ra.anatomy import limb
from ra.config import UserError
from ra.imaging.film import Frame
from ra.quality_reasons import REASONS
from ra.tables import FILM_ISSUES, SCREENING

# A set of which more declared films than this share, and at least so many, would be refused for what they show, is of a kind that
# the detector does not know: it is the gate that is wrong.
FOREIGN_SHARE, FOREIGN_LEAST = 0.25, 8
DOUBTFUL = (
    "not_hand_or_foot",
    "wrong_limb",
    "wrong_view",
    "too_many_limbs",
    "side_differs",
)  # the words that the detector alone answers for
FOREIGN = "films of an unknown kind"
# A film declared a hand, on which a hand is seen though not surely, is a hand: the worst joints are the least like those that the
# detector knows, and their patients must not be the ones left out.
UNSURE = ("not_hand_or_foot",)


Reasons = dict[str, str]  # word of ra.quality_reasons -> what it rests on


@dataclass(frozen=True)
class Settled:
    """A row after looking: as it would be prepared, the reasons against it, and the row as it was."""

    row: dict
    reasons: Reasons
    before: dict

    @property
    def as_declared(self) -> bool:
        """Whether the limb that was declared is seen."""
        declared, seen = self.before["part"], self.row.get("part_seen")
        return bool(declared and seen and limb(declared) == limb(seen))

    @property
    def film(self) -> str:
        """What the gate calls it: its film_id, or its file's name where no film came of it."""
        return self.row["film_id"] if self.row["part"] else Path(self.row["path"]).name


def settle(rows: list[dict], gate: Path, report: Report) -> list[dict]:
    """Rows of data.film_files.row, looked at: `part` filled, frames set, refused films left out.

    Writes the reasons to `gate` (FILM_ISSUES) when there are any. A declared part stays; laterality follows the picture.
    """
    seen = dict(iter(look(rows).groupby("path", sort=False)))
    found = [one for row in rows for one in films_of(row, [*seen[row["path"]].itertuples()])]
    foreign = is_foreign(found)
    if foreign:
        report.warn(FOREIGN, "most of these films do not look like the hands and feet that the detector knows")
    kept: dict[str, dict] = {}
    reasons: list[dict] = []
    for one in found:
        trusted = foreign and one.before["part"] is not None
        spared = DOUBTFUL if trusted else UNSURE if one.as_declared else ()
        refused = {word for word in one.reasons if REASONS[word].refuses and word not in spared}
        for word, detail in one.reasons.items():
            no = int(word in refused)
            reasons.append(
                {"film": one.film, "patient_id": one.row["patient_id"], "reason": word, "refused": no, "detail": detail}
            )
        if not refused and one.film in kept:
            report.warn(
                "duplicate film", f"{Path(one.row['path']).name}: {one.film} is also on {Path(kept[one.film]['path']).name}"
            )
        elif not refused:
            kept[one.film] = one.before if trusted else one.row
    _note(reasons, gate, foreign, report)
    return list(kept.values())


def films_of(row: dict, looks: list) -> list[Settled]:
    """The films that come of a row and the looks at its file: one if its part is declared, else one per limb seen."""
    limbs = [look for look in looks if look.limb >= 0]
    if row["part"] is None:
        return [_as_seen(row, look) for look in limbs] or [Settled(row, _reasons(looks[0]), row)]
    same = [look for look in limbs if limb(look.part_seen) == limb(row["part"])]
    if not same:
        look = looks[0]
        other = {"wrong_limb": f"a {limb(look.part_seen)} is seen, a {limb(row['part'])} is declared"} if limbs else {}
        return [Settled(row, other | _reasons(look), row)]
    look = next((look for look in same if look.part_seen == row["part"]), same[0])
    side = look.part_seen[0]
    reasons = _reasons(look)
    if side != row["part"][0]:
        reasons["side_differs"] = f"{look.part_seen} is seen, {row['part']} is declared"
    return [Settled(row | _frame(look) | {"laterality": side, "part_seen": look.part_seen}, reasons, row)]


def is_foreign(found: list[Settled]) -> bool:
    """Whether the detector misjudges a whole set: too many of its declared films would be refused for what they show."""
    declared = [one for one in found if one.before["part"] is not None]
    doubted = sum(any(word in DOUBTFUL for word in one.reasons) for one in declared)
    return doubted >= FOREIGN_LEAST and doubted > FOREIGN_SHARE * len(declared)


def _as_seen(row: dict, look: Any) -> Settled:
    """A film of a file whose parts nobody declared."""
    part = look.part_seen
    named = {"film_id": f"{row['patient_id']}-{part}", "part": part, "laterality": part[0], "view": VIEWS[limb(part)]}
    return Settled(row | named | _frame(look) | {"part_seen": part}, _reasons(look), row)


def _frame(look: Any) -> dict:
    """The columns of FILMS that a look gives."""
    return {"view_seen": look.view_seen, **{name: int(value) for name, value in vars(Frame.of(look)).items()}}


def _reasons(look: Any) -> Reasons:
    """A look's reasons, each with its part of the detail."""
    words = (look.reasons or "").split()
    texts = re.split(rf"(?:^|; )({'|'.join(words)}): ", look.detail or "") if words else []
    return dict.fromkeys(words, "") | dict(zip(texts[1::2], texts[2::2], strict=True))


def _note(reasons: list[dict], gate: Path, foreign: bool, report: Report) -> None:
    """Tell the reasons and write them; in a foreign set those that the detector alone answers for are only written."""
    for reason in reasons:
        text = f"{reason['film']}: {reason['detail']}"
        if reason["reason"] == "unreadable":
            report.warn("unreadable film", reason["detail"])
        elif reason["refused"] or not (foreign and reason["reason"] in DOUBTFUL):
            report.warn(f"{'refused' if reason['refused'] else 'doubted'}: {reason['reason']}", text)
    if reasons:
        table = pd.DataFrame(reasons).drop_duplicates(["film", "reason"])
        for column in ("film", "detail"):
            table[column] = table[column].map(report.clean)
        FILM_ISSUES.write(table, gate)


def look(rows: list[dict]) -> pd.DataFrame:
    """SCREENING of the rows' files, from stage 1: run as a program, since stages meet on disk alone."""
    facts = paths.work(".facts") / "looks.jsonl"
    facts.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        jobs, out = Path(folder) / "jobs.csv", Path(folder) / "looks.parquet"
        pd.DataFrame([{"path": row["path"], "part": row["part"]} for row in rows], columns=["path", "part"]).to_csv(
            jobs, index=False
        )
        command = [sys.executable, "-m", "stage1_detect.screen", "--jobs", str(jobs), "--out", str(out), "--cache", str(facts)]
        stderr = None if sys.stderr.isatty() else subprocess.PIPE  # a terminal gets its progress bar
        done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(paths.ROOT)}, stderr=stderr, text=True)  # noqa: PLW1510
        if done.returncode:
            last = (done.stderr or "").strip().splitlines()[-1:] or ["see the lines above"]
            raise UserError(f"the films cannot be looked at ({last[0]}); --trust prepares them unseen")
        return SCREENING.read(out)
