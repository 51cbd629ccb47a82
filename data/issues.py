"""The report of a preparation: counts, and faults that did not stop it."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

from ra.config import UserError
from ra.quality_reasons import REASONS

SHOWN = 3  # faults of one kind that the summary lists; report.json has them all
PATIENT = "<patient>"

CURES = {
    "missing film": "its joints stay empty and stage 3 fills them; add the film if you have it",
    "unreadable film": "treated as missing; export or download it again",
    "patient without films": "kept, and filled by stage 3; add the films or delete the row",
    "film without a row": "left out; add the patient's row, or rename the file to <Patient_ID>-<LH|RH|LF|RF>.jpg",
    "row without a film": "gets no score; correct the name, add the film or delete the row",
    "one of two hands": "the total is of both hands, so it is neither trained on nor predicted; correct the other hand's film",
    "film of a foot": "left out; these totals are of hands",
    "total above one hand's maximum": "not trained on; the film shows one hand, so give that hand's total or a film of both",
    "duplicate film": "the first by name is used; delete the other",
    "total differs from its parts": "kept as given; correct the row if it is a mistake",
    "grade in the template": "not used; empty the cell",
    "person in train and test": "the test score will be optimistic; move one of the sets",
    "unknown patient in people.csv": "left out; correct the id",
    "unknown patient in ratingen.csv": "left out; correct the id",
    **{f"unknown patient in {name}.csv": "left out; correct the id" for name in ("gold", "reader2", "truth")},
    "unknown patient in activity.csv": "left out; correct the id",
    "Ratingen grade differs from its percent": "the percent is used; correct the row if it is a mistake",
    "global health within 10": "kept as given; DAS28 expects 0..100, so multiply by 10 if the scale ends at 10",
    "box of an unknown film": "left out; correct file_name, unless the film was refused or is unreadable",
    "box of an unknown joint": "left out; name categories as in ra/anatomy.py",
    "box outside its film": "left out; boxes are x, y, width, height in the upright picture's own pixels",
    "duplicate box": "the first is used; delete the other",
    "size differs from the boxes' file": "boxes are read in the upright picture's pixels; check them",
    "film with too few boxes": "the others come from the detector; add them if you can",
    "same film twice": "one film under two ids counts twice in training; delete one, or correct its id",
    "same film in train and test": "its test score means nothing; remove it from one of the two",
    "same film mirrored": "one of the two sides is a mirrored copy; find the true film",
    "one person under two ids": "folds may separate a person's films; give these ids one person_id",
    "one id for two persons": "the headers name two persons; correct the id of one of them",
    "visits out of order": "correct the visits, or the films' patients",
    "ids that look alike": "if they mean one person, spell them alike",
    "films of an unknown kind": "all are kept as declared; look at contact.png, and finetune the detector on a few of them",
    "unusual grades": "compare distribution.csv; convert another scale first",
    **{f"{verdict}: {word}": reason.cure for verdict in ("refused", "doubted") for word, reason in REASONS.items()},
}


class Report:
    """Faults by kind (a key of CURES), counts by name, and further lines of the summary (notes).

    identities: texts that identify a patient; they are replaced by <patient> in everything that is printed or written.
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.faults: dict[str, list[str]] = defaultdict(list)
        self.notes: list[str] = []
        self.identities: set[str] = set()

    def warn(self, kind: str, text: str) -> None:
        """Add a fault that does not stop the preparation; `text` names the file or id."""
        assert kind in CURES, kind
        self.faults[kind].append(text)

    def redact(self, text: str) -> str:
        """The text with every patient's identity replaced, upper or lower case."""
        low = text.lower()
        for identity in sorted((i for i in self.identities if i and i.lower() in low), key=len, reverse=True):
            text = re.sub(re.escape(identity), PATIENT, text, flags=re.IGNORECASE)
        return text

    def as_dict(self) -> dict[str, Any]:
        """Counts, faults by kind and notes, for report.json."""
        faults = {kind: [self.redact(text) for text in texts] for kind, texts in self.faults.items() if texts}
        return {"counts": self.counts, "faults": faults, "notes": [self.redact(text) for text in self.notes]}

    def __str__(self) -> str:
        """The summary for the terminal."""
        lines = [", ".join(f"{count} {name}" for name, count in self.counts.items()), *self.notes]
        for kind, texts in self.faults.items():
            more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
            lines.append(f"warning: {kind}: {'; '.join(texts[:SHOWN])}{more} ({CURES[kind]})")
        return self.redact("\n".join(lines))

    def refuse_faults(self) -> None:
        """UserError if there is any fault (--strict)."""
        if self.faults:
            total = sum(map(len, self.faults.values()))
            kind, texts = next(iter(self.faults.items()))
            raise UserError(self.redact(f"{total} warnings and --strict; the first is {kind}: {texts[0]} ({CURES[kind]})"))
