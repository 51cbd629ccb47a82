"""Alarms: rules that the statistics of a report should meet, and for each broken rule the statistic that breaks it most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from evaluation import section_ids
from evaluation.raters import SPLITS
from evaluation.statistic import NAN, Statistic

SECTION = section_ids.ALARMS
StatisticsById = dict[str, Statistic]


@dataclass(frozen=True)
class Rule:
    """A condition that statistics should meet.

    about: pattern of the ids that the rule applies to (section/name/split/of/scope; * for anything). excess: by how much a
    statistic breaks the rule: 0 or less not at all, above 1 gravely, NaN if it cannot be decided. words: what is wrong, with
    {of} and {scope} of the statistic; cure: what to look at or do; fine: what is true if the rule is not broken.
    """

    name: str
    about: str
    excess: Callable[[Statistic, StatisticsById], float]
    words: str
    cure: str
    fine: str


@dataclass(frozen=True)
class Alarm:
    """A broken rule with the statistic that breaks it most and its excess; `raised` is the number of statistics that break it."""

    rule: Rule
    figure: Statistic
    excess: float
    raised: int

    @property
    def gravity(self) -> str:
        """The word mild or grave."""
        return "grave" if self.excess > 1 else "mild"

    @property
    def words(self) -> str:
        """The rule's words for this statistic."""
        return self.rule.words.format(of=self.figure.of, scope=self.figure.scope)

    @property
    def label(self) -> str:
        """Name of the statistic in plain words."""
        name, split = self.figure.name.replace("_", " "), self.figure.split
        return f"{name} of {self.figure.scope}, {self.figure.of}, {SPLITS.get(split, split)}"


@dataclass(frozen=True)
class Check:
    """The outcome of a rule. raised: how many of the n statistics for which it could be decided break it (NaN if n is 0)."""

    rule: Rule
    raised: Statistic
    alarm: Alarm | None


def check(statistics: list[Statistic], rules: tuple[Rule, ...]) -> list[Check]:
    """Apply every rule to the statistics with which it deals; the outcomes are in the order of the rules."""
    by_id = {statistic.id: statistic for statistic in statistics}
    return [_check(rule, by_id) for rule in rules]


def gravest_first(checks: list[Check]) -> list[Alarm]:
    """The alarms of the broken rules, sorted by excess."""
    return sorted((outcome.alarm for outcome in checks if outcome.alarm), key=lambda alarm: -alarm.excess)


def _check(rule: Rule, by_id: StatisticsById) -> Check:
    excess = {name: rule.excess(statistic, by_id) for name, statistic in by_id.items() if fnmatchcase(name, rule.about)}
    decided = {name: value for name, value in excess.items() if not np.isnan(value)}
    broken = {name: value for name, value in decided.items() if value > 0}
    count = float(len(broken)) if decided else NAN
    raised = Statistic(SECTION, "raised", "all", "model", rule.name, count, n=len(decided), unit="figures", digits=0)
    if not broken:
        return Check(rule, raised, None)
    worst = max(broken, key=broken.get)
    return Check(rule, raised, Alarm(rule, by_id[worst], broken[worst], len(broken)))
