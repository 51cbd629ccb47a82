"""What a learner may know about a site: the members' opinion of it and of the patient's other sites.

One function makes the features for fitting and for predicting. They are computed patient by patient from the members' tables
alone: no target and no other patient enters, so nothing of a fold that is predicted can leak through them. Missing stays NaN.
"""

from __future__ import annotations

import warnings

import numpy as np

from ra.anatomy import FINDINGS, SITES, limb, other_side
from ra.challenge_scores import log_score
from stage3_stack.cohort import FINDING_SITES, Cohort
from stage3_stack.predictions import FILM_OF, MOMENTS, Member

ELOG, GRADE, ANY, _ = range(len(MOMENTS))
KINDS = {k: i for i, k in enumerate(dict.fromkeys((limb(s.part), s.joint, s.finding) for s in SITES))}  # left and right are one
HANDS = np.array([limb(s.part) == "hand" for s in SITES])
IDENTITY = "kind"  # the feature that names the site; a category, not a quantity


def _row(site) -> tuple[str, str]:
    """Sites of one row lie side by side: pip, mcp (with the thumb's ip), wrist, mtp (with the hallux ip) of one part."""
    return site.part, site.site.split("_")[0]


def _masks() -> dict[str, np.ndarray]:
    """name -> (86, 86) booleans: row j marks the sites whose mean is the feature of site j. Site j is in none of its own."""
    n = len(SITES)
    order = {f: {j: i for i, j in enumerate(FINDING_SITES[f])} for f in FINDINGS}

    def mask(related) -> np.ndarray:
        return np.array([[i != j and related(SITES[j], SITES[i], j, i) for i in range(n)] for j in range(n)])

    def other_finding(a, b, *_) -> bool:
        shared = any(s.joint == a.joint and s.part == a.part and s.finding != a.finding for s in SITES)
        return a.finding != b.finding and (_row(a) == _row(b) if not shared else (a.part, a.joint) == (b.part, b.joint))

    def adjacent(a, b, j, i) -> bool:
        return a.finding == b.finding and _row(a) == _row(b) and abs(order[a.finding][i] - order[a.finding][j]) == 1

    return {
        "other_side": mask(lambda a, b, *_: b.part == other_side(a.part) and b.site == a.site),
        "other_finding": mask(other_finding),
        "adjacent": mask(adjacent),
        "row": mask(lambda a, b, *_: a.finding == b.finding and _row(a) == _row(b)),
        "part": mask(lambda a, b, *_: a.finding == b.finding and a.part == b.part),
        "limb": mask(lambda a, b, *_: a.finding == b.finding and limb(a.part) == limb(b.part)),
        "finding": mask(lambda a, b, *_: a.finding == b.finding),
        "patient": mask(lambda *_: True),
    }


MASKS = _masks()


def mean_over(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(n, 86) -> (n, 86): for each site the mean of what is known among the sites of its mask; NaN when nothing is."""
    count = (~np.isnan(values)).astype(float) @ mask.T
    return np.divide(np.nan_to_num(values) @ mask.T, count, out=np.full(count.shape, np.nan), where=count > 0)


def opinion(members: list[Member]) -> np.ndarray:
    """(n, 86, 4) mean moments over the joint members that have one; all NaN where none has."""
    stack = np.stack([m.moments for m in members])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a film that is missing for every member stays NaN
        return np.nanmean(stack, axis=0)


def _own(cohort: Cohort, mean: np.ndarray) -> dict[str, np.ndarray]:
    """The members' opinion of the very site; <member>:elog is a member's own guess at L(grade), a Ratingen grade is not."""
    out: dict[str, np.ndarray] = {}
    for m in cohort.members:
        if m.moments is not None:
            out |= {f"{m.name}:{moment}": m.moments[..., i] for i, moment in enumerate(MOMENTS)}
    out |= {f"mean_{moment}": mean[..., i] for i, moment in enumerate(MOMENTS)}
    for m in cohort.members:
        if m.ratingen is not None:
            out |= {f"{m.name}:ratingen_{moment}": m.ratingen[..., i] for i, moment in enumerate(MOMENTS)}
    return out


def _related(cohort: Cohort, mean: np.ndarray) -> dict[str, np.ndarray]:  # noqa: ARG001
    """Means over related sites of the patient."""
    out = {f"{name}_elog": mean_over(mean[..., ELOG], mask) for name, mask in MASKS.items()}
    return out | {f"{name}_any": mean_over(mean[..., ANY], MASKS[name]) for name in ("other_side", "finding", "patient")}


def _both_sides(cohort: Cohort, mean: np.ndarray) -> dict[str, np.ndarray]:  # noqa: ARG001
    """The same joint on the other side and in the other finding, and all 86 opinions of the patient, the site's own side first.

    After Li & Guan, whose second level saw both sides and both findings of a patient; that a right joint's row names the
    right side's opinions as a left joint's the left side's, so that both learn from each other, is ours.
    """
    elog = mean[..., ELOG]
    out = {f"{name}_elog": mean_over(elog, MASKS[name]) for name in ("other_side", "other_finding")}
    place = {(s.part[0], limb(s.part), s.joint, s.finding): j for j, s in enumerate(SITES)}
    for side, of in (("same", lambda part: part[0]), ("other", lambda part: other_side(part)[0])):
        for kind in KINDS:
            out[f"{side}_{kind[1]}_{kind[2]}"] = elog[:, [place[of(s.part), *kind] for s in SITES]]
    return out


def _whole(cohort: Cohort, mean: np.ndarray) -> dict[str, np.ndarray]:
    """What members of whole films say of the part and of the patient."""
    shape, out = mean.shape[:2], {}
    for m in cohort.members:
        if m.films is not None:
            part = np.stack([m.films[:, FILM_OF[s.part, s.finding]] for s in SITES], axis=1)
            out[f"{m.name}:part"] = log_score(part)
            out[f"{m.name}:patient"] = np.broadcast_to(log_score(8 * _nanmean(m.films))[:, None], shape)
        if m.hands is not None:
            out[f"{m.name}:hands"] = np.broadcast_to(log_score(m.hands)[:, None], shape)
        if m.severity is not None:
            out[f"{m.name}:severity"] = np.broadcast_to(expected_class(m)[:, None], shape)
    return out


def _place(cohort: Cohort, mean: np.ndarray) -> dict[str, np.ndarray]:
    """Which site it is, and whether its box was the template's."""
    template = _nanmean(np.stack([m.template for m in cohort.members if m.template is not None], axis=-1))
    foot = [float(limb(s.part) == "foot") for s in SITES]
    kind = [float(KINDS[limb(s.part), s.joint, s.finding]) for s in SITES]
    return {"template": template} | {
        name: np.broadcast_to(value, mean.shape[:2]) for name, value in (("foot", foot), (IDENTITY, kind))
    }


FEATURES = {
    "all": (_own, _related, _whole, _place),
    "own": (_own, _place),
    "patient": (_own, _both_sides, _place),
}  # the named sets of a recipe


def site_features(cohort: Cohort, features: str = "all") -> tuple[np.ndarray, list[str]]:
    """(n, 86, F) features of all patients and their names; `features` is a name in FEATURES."""
    mean = opinion([m for m in cohort.members if m.moments is not None])
    out: dict[str, np.ndarray] = {}
    for block in FEATURES[features]:
        out |= block(cohort, mean)
    return np.stack(list(out.values()), axis=-1), list(out)


def expected_class(member: Member) -> np.ndarray:
    """(n,) expected severity class 0..9."""
    return member.severity @ np.arange(member.severity.shape[1])


def _nanmean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is known; NaN when nothing is."""
    count = np.sum(~np.isnan(values), axis=-1)
    return np.divide(np.nansum(values, axis=-1), count, out=np.full(count.shape, np.nan), where=count > 0)


def total_features(cohort: Cohort, rows: np.ndarray, grades: np.ndarray, target: str) -> tuple[np.ndarray, list[str]]:
    """(len(rows), F) features of patients' totals, from the stack's own site grades (len(rows), 86) and the members' sums.

    `target` is total, erosion or narrowing; the members' sums of it are called <member>:own. A sum over a missing film takes
    the stack's grades for it, so that all are numbers on one scale: L(total). Sites that the set does not score count in none
    (their `grades` are 0).
    """
    parts = np.array([any(cohort.scored[j] for j in _of(*key)) for key in FILM_OF])
    out = {f"sites_{name}": log_score(value) for name, value in _sums(grades).items()}
    for m in cohort.members:
        if m.moments is not None:
            own = m.moments[rows][..., GRADE]
            own = _sums(np.where(np.isnan(own) | ~cohort.scored, grades, own))
            out |= {f"{m.name}:{'own' if name == target else name}": log_score(value) for name, value in own.items()}
        if m.films is not None:
            own = film_sums(np.where(parts, m.films[rows], np.nan), grades)
            prefix = m.name if m.moments is None else f"{m.name}_film"
            out |= {f"{prefix}:{'own' if name == target else name}": log_score(value) for name, value in own.items()}
        out |= _patient_features(m, rows, grades, target, cohort.scored)
    seen = opinion([m for m in cohort.members if m.moments is not None])[rows]
    out["count"] = np.log2(1 + np.nansum(np.where(cohort.scored, seen[..., ANY], np.nan), axis=1))
    out["worst"] = log_score(grades.max(axis=1))
    out["half_grade"] = np.log2(1 + (grades > 0.5).sum(axis=1))
    return np.stack(list(out.values()), axis=-1), list(out)


def _patient_features(m: Member, rows: np.ndarray, grades: np.ndarray, target: str, scored: np.ndarray) -> dict[str, np.ndarray]:
    """What a both-hands or Ratingen member says of a patient; the stack's own grades stand in for feet and missing hands."""
    out = {}
    if m.hands is not None:
        hands = np.where(np.isnan(m.hands[rows]), grades[:, HANDS].sum(axis=1), m.hands[rows])
        out[f"{m.name}:hands"] = log_score(hands)
        if target == "total":
            out[f"{m.name}:own"] = log_score(hands + grades[:, ~HANDS].sum(axis=1))
    if m.severity is not None:
        out[f"{m.name}:severity"] = expected_class(m)[rows]
    if m.ratingen is not None:
        grade = m.ratingen[rows][..., GRADE]
        known = np.where(np.isnan(grade) | ~scored, grades, grade)
        out[f"{m.name}:ratingen"] = log_score(known[:, FINDING_SITES["erosion"]].sum(axis=1))
    return out


def _sums(grades: np.ndarray) -> dict[str, np.ndarray]:
    """(n, 86) -> the patient's total, erosion and narrowing."""
    return {"total": grades.sum(axis=1)} | {f: grades[:, s].sum(axis=1) for f, s in FINDING_SITES.items()}


def _of(part: str, finding: str) -> list[int]:
    """The sites of one part and finding."""
    return [j for j, s in enumerate(SITES) if s.part == part and s.finding == finding]


def film_sums(films: np.ndarray, grades: np.ndarray) -> dict[str, np.ndarray]:
    """Part totals (n, 8) -> the patient's total, erosion and narrowing; a missing part is the sum of its grades (n, 86)."""
    filled = films.copy()
    for (part, finding), i in FILM_OF.items():
        filled[:, i] = np.where(np.isnan(films[:, i]), grades[:, _of(part, finding)].sum(axis=1), films[:, i])
    by = {f: filled[:, [i for (_, g), i in FILM_OF.items() if g == f]].sum(axis=1) for f in FINDINGS}
    return {"total": sum(by.values()), **by}
