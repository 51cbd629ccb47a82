"""What each kind of member learns: its pictures, targets, loss and validation, and the rows of the Scores table it fills."""

from stage2_score.tasks.base import PictureTask
from stage2_score.tasks.film import Film
from stage2_score.tasks.hands import Hands, Severity
from stage2_score.tasks.joints import Joints, Whole
from stage2_score.tasks.ratingen import Ratingen

KINDS: dict[str, type[PictureTask]] = {
    "joints": Joints,
    "ratingen": Ratingen,
    "whole": Whole,
    "film": Film,
    "hands": Hands,
    "severity": Severity,
}
