"""The part that a film's file name declares: <Patient_ID>-LH.jpg, also with `_` or a blank, in capitals or small letters."""

from __future__ import annotations

import re

_NAME = re.compile(r"(?:(?P<patient>.+)[-_ ])?(?P<part>LH|RH|LF|RF)", re.IGNORECASE)


def split(stem: str) -> tuple[str, str | None]:
    """(patient id, part LH RH LF RF) of a file name without its suffix; (stem, None) when it declares no part."""
    found = _NAME.fullmatch(stem)
    return (found["patient"] or "", found["part"].upper()) if found else (stem, None)


def part_of(stem: str) -> str | None:
    """The part that a file name without its suffix declares, None when it declares none."""
    return split(stem)[1]
