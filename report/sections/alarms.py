"""What to look at first: rules that statistics of the other sections break, and a table of all rules."""

from __future__ import annotations

from evaluation import alarms
from evaluation.alarm_rules import RULES
from evaluation.alarms import Alarm, Check
from report.blocks import Alarms, Block, Section, Table, Text

ID, TITLE = alarms.SECTION, "What to look at first"
NOTE = (
    "These rules are checked automatically over the statistics of all sections below. They detect gross faults; scores that "
    "break no rule can still be wrong. Each alarm shows the statistic that breaks its rule most."
)


def make(sections: list[Section]) -> Section:
    """The alarms raised by the statistics of the other sections."""
    checks = alarms.check([statistic for section in sections for statistic in section.statistics()], RULES)
    raised = alarms.gravest_first(checks)
    blocks: list[Block] = [Alarms(raised)] if raised else []
    blocks += [_table(checks), Text(NOTE, "note")]
    return Section(ID, TITLE, _lead(raised, checks), blocks)


def _lead(raised: list[Alarm], checks: list[Check]) -> str:
    n_checked = sum(1 for check in checks if check.raised.n)
    unchecked = f" {len(checks) - n_checked} more could not be checked." if n_checked < len(checks) else ""
    if not raised:
        return f"None of the {n_checked} rules that could be checked is broken.{unchecked}"
    grave = sum(alarm.gravity == "grave" for alarm in raised)
    return f"Broken rules: {len(raised)} of the {n_checked} that could be checked, {grave} of them gravely.{unchecked}"


def _table(checks: list[Check]) -> Table:
    """A row per rule: what should hold, and how many of the checked statistics break it; rules that hold come first."""
    rows = [[check.rule.fine, _verdict(check), check.raised, f"of {check.raised.n}"] for check in sorted(checks, key=_sort_key)]
    return Table("What was checked, and how many statistics break the rule", ["rule", "result", "broken by", "statistics"], rows)


def _sort_key(check: Check) -> int:
    return 2 if not check.raised.n else int(check.alarm is not None)


def _verdict(check: Check) -> str:
    if not check.raised.n:
        return "cannot be checked"
    return "holds" if check.alarm is None else "broken, see above"
