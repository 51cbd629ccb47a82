"""The report's sections, in their order: a module each, with `make(raters) -> Section`.

A module draws and words; what it shows is computed in evaluation. It never fails because a set lacks something: then
its section is one sentence that says what is lacking.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from evaluation.raters import Raters
from report.blocks import Section

ORDER = ("standing", "agreement", "errors", "intervals", "change", "prognosis", "ratingen", "films", "looking", "training")


def module(name: str) -> ModuleType:
    """A section's module."""
    return importlib.import_module(f"report.sections.{name}")


def make(raters: Raters, order: tuple[str, ...] = ORDER) -> list[Section]:
    """The sections named; first of all what to look at first, which is told from their figures."""
    others = [module(name).make(raters) for name in order]
    return [module("alarms").make(others), *others]
