"""The report's sections, in their order: a module each, with `make(raters) -> Section`.

A module draws and words; what it shows is computed in stage3_stack.evidence. It never fails because a set lacks something: then
its section is one sentence that says what is lacking.
"""

from __future__ import annotations

import importlib

from stage3_stack.evidence.raters import Raters
from stage3_stack.report.blocks import Section

ORDER = ("standing", "change", "ratingen", "films", "looking", "training")


def make(raters: Raters) -> list[Section]:
    """Every section of the report; first what to look at first, which is told from all others."""
    from stage3_stack.report.sections import alarms

    others = [importlib.import_module(f"stage3_stack.report.sections.{name}").make(raters) for name in ORDER]
    return [alarms.make(others), *others]
