"""What to look at first: rules over all statistics of a report, and the figure that breaks each of them most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from evaluation.raters import SPLITS
from evaluation.statistic import NAN, Statistic

SECTION = "alarms"
Book = dict[str, Statistic]  # every statistic of the report by its id


@dataclass(frozen=True)
class Rule:
    """What a figure should not be.

    about: pattern of the ids that it looks at (section/name/split/of/scope; * for anything). excess: by how much a figure breaks
    it: 0 or less not at all, above 1 gravely, NaN cannot be said. words: what is wrong ({of}, {scope} of the figure); cure: what
    to look at or do; fine: what is true when nothing is wrong.
    """

    name: str
    about: str
    excess: Callable[[Statistic, Book], float]
    words: str
    cure: str
    fine: str


@dataclass(frozen=True)
class Alarm:
    """A broken rule: excess and figure of the statistic that breaks it most, `raised` how many do."""

    rule: Rule
    figure: Statistic
    excess: float
    raised: int

    @property
    def gravity(self) -> str:
        return "grave" if self.excess > 1 else "mild"

    @property
    def words(self) -> str:
        return self.rule.words.format(of=self.figure.of, scope=self.figure.scope)

    @property
    def label(self) -> str:
        """What the figure is."""
        one = self.figure
        return f"{one.name.replace('_', ' ')} of {one.scope}, {one.of}, {SPLITS.get(one.split, one.split)}"


@dataclass(frozen=True)
class Check:
    """A rule and what came of it. raised: how many figures break it, of n that it could look at (NaN of none)."""

    rule: Rule
    raised: Statistic
    alarm: Alarm | None


def check(statistics: list[Statistic], rules: tuple[Rule, ...]) -> list[Check]:
    """Every rule against every statistic that it is about, in the rules' order."""
    book = {one.id: one for one in statistics}
    return [_check(rule, book) for rule in rules]


def gravest_first(checks: list[Check]) -> list[Alarm]:
    """The broken rules."""
    return sorted((found.alarm for found in checks if found.alarm), key=lambda alarm: -alarm.excess)


def _check(rule: Rule, book: Book) -> Check:
    excess = {name: rule.excess(one, book) for name, one in book.items() if fnmatchcase(name, rule.about)}
    known = {name: value for name, value in excess.items() if not np.isnan(value)}
    broken = {name: value for name, value in known.items() if value > 0}
    count = float(len(broken)) if known else NAN
    raised = Statistic(SECTION, "raised", "all", "model", rule.name, count, n=len(known), unit="figures", digits=0)
    if not broken:
        return Check(rule, raised, None)
    worst = max(broken, key=broken.get)
    return Check(rule, raised, Alarm(rule, book[worst], broken[worst], len(broken)))
