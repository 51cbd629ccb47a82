"""The kinds of stage 3 runs. Each has a module that defines how it is trained, given intervals and submitted."""

from __future__ import annotations

from stage3_stack.config import StackConfig
from stage3_stack.kinds.base import Kind
from stage3_stack.kinds.hand_totals import HandTotalsKind
from stage3_stack.kinds.joint_visits import JointVisitsKind
from stage3_stack.kinds.joints import JointsKind

KINDS: dict[str, Kind] = {"joints": JointsKind(), "hand_totals": HandTotalsKind(), "joint_visits": JointVisitsKind()}


def kind_of(config: StackConfig) -> Kind:
    """The kind of run that a config describes."""
    return KINDS[config.kind]
