"""The kinds of members, each with its pictures, targets, loss, validation and rows of the Scores table."""

from stage2_score.tasks.base import MemberTask
from stage2_score.tasks.film import Film
from stage2_score.tasks.hands import Hands, Severity
from stage2_score.tasks.joints import Joints, Whole
from stage2_score.tasks.ratingen import Ratingen
from stage2_score.tasks.sitemean import SiteMean

KINDS: dict[str, type[MemberTask]] = {
    "joints": Joints,
    "ratingen": Ratingen,
    "whole": Whole,
    "film": Film,
    "hands": Hands,
    "severity": Severity,
    "sitemean": SiteMean,
}
