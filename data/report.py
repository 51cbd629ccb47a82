"""What a preparer found: counts, and faults that it could go on from."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from ra.config import UserError

SHOWN = 3  # faults of one kind that the summary spells out; report.json holds them all

CURES = {
    "missing film": "its joints stay empty and stage 3 fills them; add the film if you have it",
    "unreadable film": "treated as missing; export or download it again",
    "patient without films": "kept, and filled by stage 3; add the films or delete the row",
    "film without a row": "left out; add the patient's row, or rename the file to <Patient_ID>-<LH|RH|LF|RF>.jpg",
    "duplicate film": "the first by name is used; delete the other",
    "total differs from its parts": "kept as given; correct the row if it is a slip",
    "grade in the template": "never read; empty the cell",
    "person in train and test": "the test score will flatter; move one of the sets",
    "unknown patient in people.csv": "left out; correct the id",
    "unknown patient in ratingen.csv": "left out; correct the id",
    "Ratingen grade differs from its percent": "the percent is used; correct the row if it is a slip",
    "global health within 10": "kept as given; DAS28 wants it within 0..100, so multiply it if its scale ends at 10",
    "box of an unknown film": "left out; correct file_name",
    "box of an unknown joint": "left out; name categories as in ra/anatomy.py",
    "box outside its film": "left out; boxes are x, y, width, height in the upright picture's own pixels",
    "duplicate box": "the first is used; delete the other",
    "size differs from the boxes' file": "boxes are read in the upright picture's pixels; check them",
    "film with too few boxes": "the others come from the detector; add them if you can",
}


class Report:
    """Faults by kind (a key of CURES) and counts by name."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.faults: dict[str, list[str]] = defaultdict(list)

    def warn(self, kind: str, text: str) -> None:
        """Note a fault that work goes on from; `text` names the file or id."""
        assert kind in CURES, kind
        self.faults[kind].append(text)

    def as_dict(self) -> dict[str, Any]:
        return {"counts": self.counts, "faults": {kind: found for kind, found in self.faults.items() if found}}

    def __str__(self) -> str:
        """The summary a person reads."""
        lines = [", ".join(f"{count} {name}" for name, count in self.counts.items())]
        for kind, found in self.faults.items():
            more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            lines.append(f"warning: {kind}: {'; '.join(found[:SHOWN])}{more} ({CURES[kind]})")
        return "\n".join(lines)

    def refuse_faults(self) -> None:
        """--strict: any fault is an error."""
        if self.faults:
            total = sum(map(len, self.faults.values()))
            kind, found = next(iter(self.faults.items()))
            raise UserError(f"{total} warnings and --strict; the first is {kind}: {found[0]} ({CURES[kind]})")
