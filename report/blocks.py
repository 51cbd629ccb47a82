"""The parts of a section: sentences, tables whose numbers are statistics, and pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from evaluation.alarms import Alarm
from evaluation.statistic import Statistic

Cell = str | Statistic | None
SCREEN_ROWS = 24  # a table of more rows is longer than a screen


@dataclass(frozen=True)
class Text:
    """A paragraph. kind: plain, or note (small print: how a number was computed, and its limits)."""

    text: str
    kind: str = "plain"


@dataclass(frozen=True)
class Table:
    """A table. head: names of the columns; rows: cells, the first of which names the row. A number is always a Statistic."""

    caption: str
    head: list[str]
    rows: list[list[Cell]]

    @property
    def collapsed(self) -> bool:
        """True if the table starts collapsed (more than SCREEN_ROWS rows)."""
        return len(self.rows) > SCREEN_ROWS

    def is_number(self, column: int) -> bool:
        """True if a column holds statistics; its cells and its name are then aligned to the right."""
        return any(isinstance(row[column], Statistic) for row in self.rows if column < len(row))


@dataclass(frozen=True)
class Picture:
    """An image file's bytes (PNG, JPEG or WebP). alt: description for readers who cannot see it; wide: spans the page."""

    title: str
    caption: str
    data: bytes
    alt: str
    wide: bool = False


@dataclass(frozen=True)
class Gallery:
    """Small pictures side by side, such as crops of joints."""

    title: str
    caption: str
    pictures: list[Picture]


@dataclass(frozen=True)
class Alarms:
    """Broken rules, the gravest first, each with the statistic that breaks it most."""

    alarms: list[Alarm]


Block = Text | Table | Picture | Gallery | Alarms


@dataclass
class Section:
    """A section of the page. id: its anchor; lead: its result in one or two sentences.

    If the set lacks the inputs of a section, the section consists only of its lead, which names what is missing. extra: more
    statistics of the section, which are written to the CSV and JSON, but are in none of its tables.
    """

    id: str
    title: str
    lead: str
    blocks: list[Block] = field(default_factory=list)
    extra: list[Statistic] = field(default_factory=list)

    def statistics(self) -> Iterator[Statistic]:
        """Every number of the section, those of its tables first."""
        for block in self.blocks:
            if isinstance(block, Table):
                yield from (cell for row in block.rows for cell in row if isinstance(cell, Statistic))
            if isinstance(block, Alarms):
                yield from (alarm.figure for alarm in block.alarms)
        yield from self.extra
