"""Config schema of the papers' table: configs/papers/comparison.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

KINDS = ("joints", "ratingen", "total", "severity")  # what a system predicts


@dataclass(frozen=True)
class SystemGroup:
    """Systems of one paper that predict the same thing; each is a run of stage 2 or of stage 3."""

    paper: str
    kind: Literal["joints", "ratingen", "total", "severity"]
    runs: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """A claim about the difference pred - other of two runs that predict the same thing; RUN/LEARNER is one learner's joints."""

    effect: str  # what the difference between the two systems shows
    pred: str
    other: str


@dataclass(frozen=True)
class PaperComparison:
    """The systems in the table, the claims below it, and the detectors whose localisation is shown side by side."""

    kind: Literal["comparison"]
    groups: tuple[SystemGroup, ...]
    comparisons: tuple[Comparison, ...] = ()
    boxes: tuple[str, ...] = ()  # runs of stage 1 or 2
