"""Compare what the pictures show with what was declared: assign limbs, compare sides, refuse films with reasons."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from data import screening_results
from data.film_files import VIEWS
from data.issues import Report
from data.screening_results import Reasons, SeenFile, SeenLimb
from ra.anatomy import limb
from ra.quality_reasons import REASONS
from ra.tables import FILM_ISSUES

# If more than 25 % (and at least 8) of the declared films would be rejected by their picture, assume the data set is out of the
# detector's distribution and trust the declarations.
MAX_REJECTED, MIN_REJECTED = 0.25, 8
UNFAMILIAR = "films of an unknown kind"  # kind of the warning in that case
# Reasons that rest on the detector alone.
DETECTOR_REASONS = ("not_hand_or_foot", "wrong_limb", "wrong_view", "too_many_limbs", "side_differs")
# Reasons that are ignored if the picture shows the declared limb, though with low confidence: the most damaged joints differ most
# from the detector's training data, and the patients who have them must not be left out.
LOW_CONFIDENCE = ("not_hand_or_foot",)


@dataclass(frozen=True)
class ScreenedFilm:
    """A film after screening: its row as it would be prepared, the reasons against it, and the row as declared."""

    row: dict
    reasons: Reasons
    declared: dict

    @property
    def is_declared(self) -> bool:
        """Whether the name or the table declares the part."""
        return self.declared["part"] is not None

    @property
    def shows_declared_limb(self) -> bool:
        """Whether the picture shows the kind of limb that was declared."""
        declared, seen = self.declared["part"], self.row.get("part_seen")
        return bool(declared and seen and limb(declared) == limb(seen))

    @property
    def name(self) -> str:
        """Its film_id, or its file's name if the file shows no limb."""
        return self.row["film_id"] if self.row["part"] else Path(self.row["path"]).name


def resolve_limbs(rows: list[dict], issues_file: Path, report: Report) -> list[dict]:
    """Rows of data.film_files.row after screening: `part` filled, frames set, refused films left out.

    Writes the reasons to `issues_file` (FILM_ISSUES) if there are any. A declared part stays; laterality follows the picture.
    """
    files = screening_results.by_file(screening_results.screen(rows))
    films = [film for row in rows for film in films_of(row, files[row["path"]])]
    unfamiliar = is_unfamiliar(films)
    if unfamiliar:
        report.warn(UNFAMILIAR, "most of these films do not look like the hands and feet that the detector was trained on")
    kept: dict[str, dict] = {}
    issues: list[dict] = []
    for film in films:
        trusted = unfamiliar and film.is_declared
        refusing = _refusing_reasons(film, trusted)
        for reason, detail in film.reasons.items():
            issue = {"film": film.name, "patient_id": film.row["patient_id"], "reason": reason}
            issues.append({**issue, "refused": int(reason in refusing), "detail": detail})
        if refusing:
            continue
        if film.name in kept:
            first = Path(kept[film.name]["path"]).name
            report.warn("duplicate film", f"{Path(film.row['path']).name}: {film.name} is also on {first}")
        else:
            kept[film.name] = film.declared if trusted else film.row
    _record_issues(issues, issues_file, unfamiliar, report)
    return list(kept.values())


def films_of(row: dict, file: SeenFile) -> list[ScreenedFilm]:
    """The films that a row becomes: one if its part is declared, else one per limb that its file shows."""
    if row["part"] is None:
        return [_undeclared_film(row, seen) for seen in file.limbs] or [ScreenedFilm(row, file.reasons, row)]
    same_kind = [seen for seen in file.limbs if limb(seen.part) == limb(row["part"])]
    if not same_kind:
        reasons = dict(file.reasons)
        if file.limbs:
            text = f"a {limb(file.limbs[0].part)} is seen, a {limb(row['part'])} is declared"
            reasons = {"wrong_limb": text} | reasons
        return [ScreenedFilm(row, reasons, row)]
    seen = next((seen for seen in same_kind if seen.part == row["part"]), same_kind[0])
    side = seen.part[0]
    reasons = dict(seen.reasons)
    if side != row["part"][0]:
        reasons["side_differs"] = f"{seen.part} is seen, {row['part']} is declared"
    return [ScreenedFilm(row | _frame(seen) | {"laterality": side, "part_seen": seen.part}, reasons, row)]


def is_unfamiliar(films: list[ScreenedFilm]) -> bool:
    """Whether the set is out of the detector's distribution: it would reject too many of the declared films."""
    declared = [film for film in films if film.is_declared]
    rejected = sum(any(reason in DETECTOR_REASONS for reason in film.reasons) for film in declared)
    return rejected >= MIN_REJECTED and rejected > MAX_REJECTED * len(declared)


def _refusing_reasons(film: ScreenedFilm, trusted: bool) -> set[str]:
    """The reasons that keep a film out of the set. trusted: its declaration counts, not the detector."""
    if trusted:
        ignored = DETECTOR_REASONS
    elif film.shows_declared_limb:
        ignored = LOW_CONFIDENCE
    else:
        ignored = ()
    return {reason for reason in film.reasons if REASONS[reason].refuses and reason not in ignored}


def _undeclared_film(row: dict, seen: SeenLimb) -> ScreenedFilm:
    """The film of a limb on a file whose parts are not declared."""
    part = seen.part
    named = {"film_id": f"{row['patient_id']}-{part}", "part": part, "laterality": part[0], "view": VIEWS[limb(part)]}
    return ScreenedFilm(row | named | _frame(seen) | {"part_seen": part}, seen.reasons, row)


def _frame(seen: SeenLimb) -> dict:
    """The columns of FILMS that the detector determines."""
    return {"view_seen": seen.view, **vars(seen.frame)}


def _record_issues(issues: list[dict], issues_file: Path, unfamiliar: bool, report: Report) -> None:
    """Report and write the issues; in an unfamiliar set those that rest on the detector alone are only written."""
    for issue in issues:
        if issue["reason"] == "unreadable":
            report.warn("unreadable film", issue["detail"])
        elif issue["refused"] or not (unfamiliar and issue["reason"] in DETECTOR_REASONS):
            verdict = "refused" if issue["refused"] else "doubted"
            report.warn(f"{verdict}: {issue['reason']}", f"{issue['film']}: {issue['detail']}")
    if issues:
        table = pd.DataFrame(issues).drop_duplicates(["film", "reason"])
        for column in ("film", "detail"):
            table[column] = table[column].map(report.redact)
        FILM_ISSUES.write(table, issues_file)
