"""Config schema of this stage: one dataclass per kind of stack, chosen by the experiment's `kind:`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ra import config, manifest
from ra.config import Named, UserError


@dataclass(frozen=True)
class JointStack:
    """A stack of joint and whole-part members: its learners and the settings of their blend."""

    kind: Literal["joints"]
    members: tuple[str, ...]  # runs of stage 2
    site_learners: tuple[Named, ...]  # predict one grade of one site
    total_learners: tuple[Named, ...]  # predict the patient's total, erosion and narrowing
    features: Literal["all", "own", "patient"] = "all"  # columns that a site's learners see: features.FEATURE_SETS
    inner_folds: int = 5  # splits of the training patients on which blend weights and threshold are chosen
    rounds: int = 12  # picks of the greedy blend
    bags: int = 16  # the greedy blend is averaged over this number of resamples of the patients
    zero_below: tuple[float, ...] = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)  # thresholds tried: a grade below becomes 0
    seed: int = 0

    def __post_init__(self) -> None:
        _check_members(self.members)
        if not self.zero_below:
            raise UserError("zero_below is empty; name at least 0.0, which leaves small grades alone")
        if self.inner_folds < 2:
            raise UserError(f"inner_folds is {self.inner_folds}; at least 2 are needed")
        if not self.site_learners or not self.total_learners:
            raise UserError("site_learners or total_learners is empty; name at least {name: mean}")


@dataclass(frozen=True)
class HandTotals:
    """A linear ensemble of members that read both hands at once, all regressors or all classifiers (Bo et al., section 2.5)."""

    kind: Literal["hand_totals"]
    combine: Literal["linear", "all_classes", "single_class", "total_to_class"]  # linear_ensembles.py
    members: tuple[str, ...]  # runs of stage 2
    bounds_of: str | None = None  # total_to_class: the classifier whose head.params.bounds divide the total into classes
    # Penalty per patient on the distance of the weights from equal weights. The paper uses none, because it had 2,700 films.
    alpha: float = 0.1

    def __post_init__(self) -> None:
        _check_members(self.members)
        if (self.combine == "total_to_class") != (self.bounds_of is not None):
            raise UserError("bounds_of names a classifier: combine: total_to_class needs it, the other values take none")


@dataclass(frozen=True)
class JointVisits:
    """The mean of Ratingen members over each joint of a visit (Rohrbach et al. 2019)."""

    kind: Literal["joint_visits"]
    members: tuple[str, ...]  # runs of stage 2, of kind ratingen

    def __post_init__(self) -> None:
        _check_members(self.members)


KINDS: dict[str, type] = {"joints": JointStack, "hand_totals": HandTotals, "joint_visits": JointVisits}
StackConfig = JointStack | HandTotals | JointVisits


def saved(folder: Path) -> StackConfig:
    """The config of a finished run, read from its folder; UserError if the run is not finished."""
    manifest.file_hash(folder)
    return config.experiments(KINDS, [folder / "config.yaml"])[0][1]


def _check_members(members: tuple[str, ...]) -> None:
    if not members:
        raise UserError("members is empty; name at least one run of stage 2")
    if len(set(members)) < len(members):
        raise UserError(f"members names a run twice: {', '.join(members)}")
