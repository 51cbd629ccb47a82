"""Reasons for which the quality gate refuses or flags a film. They are stored in tables and do not change any score."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """refuses: the film gets no scores; otherwise it is scored and flagged. cure: what the user can do."""

    refuses: bool
    cure: str


REASONS: dict[str, Reason] = {
    "unreadable": Reason(True, "export or download it again"),
    "not_hand_or_foot": Reason(True, "give films of hands and feet only"),
    "wrong_limb": Reason(True, "it shows a foot where a hand was declared, or the other way round; correct the name or the tag"),
    "wrong_view": Reason(True, "hands are scored on PA, feet on AP films; a lateral or oblique one is not scored"),
    "too_small": Reason(True, "export the film at full size"),
    "too_dark": Reason(True, "export the film with another window, or repeat it"),
    "blown_out": Reason(True, "export the film with another window, or repeat it"),
    "too_many_limbs": Reason(True, "give one patient's film per file"),
    "cut_off": Reason(False, "the named joints lie outside the film and get no score"),
    "side_differs": Reason(False, "the picture shows the other side than declared; both are kept, check the film"),
    "view_differs": Reason(False, "the picture shows another view than declared; both are kept, check the film"),
    "greys_differ": Reason(False, "the picture looks inverted, contrary to what the file declares; check the film"),
    "turned": Reason(False, "the film lay on its side or upside down and is read upright; nothing to do"),
}


def refused(reasons: str) -> bool:
    """Whether any of the reasons (names separated by spaces) refuses the film."""
    return any(REASONS[word].refuses for word in reasons.split())
