"""The report's sections in their order. Each has a module with ID, TITLE and `make(raters) -> Section`.

A section shows results of `evaluation` as figures, tables and sentences. If the set lacks a section's inputs, the section is one
sentence that names them.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from evaluation.raters import Raters
from report.blocks import Section

ORDER = (
    "leaderboard",
    "agreement",
    "errors",
    "intervals",
    "change",
    "prognosis",
    "ratingen",
    "films",
    "explanations",
    "training",
)


def module(name: str) -> ModuleType:
    """The module of a section, imported when it is needed."""
    return importlib.import_module(f"report.sections.{name}")


def make(raters: Raters, order: tuple[str, ...] = ORDER) -> list[Section]:
    """The named sections, preceded by the section of alarms, which checks the statistics of all other sections."""
    sections = [module(name).make(raters) for name in order]
    return [module("alarms").make(sections), *sections]
