"""The part in a film's file name: <Patient_ID>-LH.jpg; the separator may be `-`, `_` or a space, case does not matter."""

from __future__ import annotations

import re

_NAME = re.compile(r"(?:(?P<patient>.+)[-_ ])?(?P<part>LH|RH|LF|RF)", re.IGNORECASE)


def split(stem: str) -> tuple[str, str | None]:
    """(patient id, part) of a file name without its suffix; (stem, None) if it names no part."""
    match = _NAME.fullmatch(stem)
    return (match["patient"] or "", match["part"].upper()) if match else (stem, None)


def part_of(stem: str) -> str | None:
    """The part LH RH LF RF in a file name without its suffix; None if it names no part."""
    return split(stem)[1]
