"""Where the run stands: floors, members, learners, the blend and the readers' noise, on the challenge's scores."""

from __future__ import annotations

from stage3_stack.evidence.raters import Raters
from stage3_stack.report.blocks import Section

ID, TITLE = "standing", "Where the run stands"


def make(raters: Raters) -> Section:
    """The results table."""
    return Section(ID, TITLE, f"Run {raters.run} of {raters.data}.")
