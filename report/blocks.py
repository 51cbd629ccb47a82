"""What a section is made of: sentences, tables whose numbers are statistics, pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from evaluation.alarms import Alarm
from evaluation.statistic import Statistic

Cell = str | Statistic | None
SCREEN = 24  # rows of a table


@dataclass(frozen=True)
class Text:
    """A paragraph. kind: plain, or note (small print: how it was computed, what to beware of)."""

    words: str
    kind: str = "plain"


@dataclass(frozen=True)
class Table:
    """head: names of the columns; rows of cells, the first cell a row's name. A cell that is a number is a Statistic."""

    caption: str
    head: list[str]
    rows: list[list[Cell]]

    @property
    def folded(self) -> bool:
        """Whether the page shows its caption alone until asked: a table longer than a screen is in nobody's way."""
        return len(self.rows) > SCREEN

    def is_number(self, column: int) -> bool:
        """Whether a column holds statistics: then its name stands above them on the right."""
        return any(isinstance(row[column], Statistic) for row in self.rows if column < len(row))


@dataclass(frozen=True)
class Picture:
    """An image file's bytes (PNG, JPEG or WebP). alt: what it shows, for those who cannot see it. wide: as wide as the page."""

    title: str
    caption: str
    data: bytes
    alt: str
    wide: bool = False


@dataclass(frozen=True)
class Gallery:
    """Small pictures side by side, such as crops."""

    title: str
    caption: str
    pictures: list[Picture]


@dataclass(frozen=True)
class Alarms:
    """What should be looked at first, gravest first; each with the figure of another section that says it."""

    found: list[Alarm]


Block = Text | Table | Picture | Gallery | Alarms


@dataclass
class Section:
    """id: anchor; lead: what it says, in one or two sentences. A section of a set that lacks what it needs is its lead alone.

    more: statistics that belong to it and are in the CSV and JSON but in none of its tables.
    """

    id: str
    title: str
    lead: str
    blocks: list[Block] = field(default_factory=list)
    more: list[Statistic] = field(default_factory=list)

    def statistics(self) -> Iterator[Statistic]:
        """Every number of the section, those of its tables first."""
        for block in self.blocks:
            if isinstance(block, Table):
                yield from (cell for row in block.rows for cell in row if isinstance(cell, Statistic))
            if isinstance(block, Alarms):
                yield from (alarm.figure for alarm in block.found)
        yield from self.more
