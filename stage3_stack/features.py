"""Level-2 features of a site and of a patient's totals, computed from the members' out-of-fold predictions.

One function makes the features for fitting and for predicting. They are computed patient by patient from the members' tables
alone, without targets and without other patients, so that no predicted fold can leak into the fit. Missing values stay NaN.

Columns of a site's features:

    <member>:elog, :grade, :any, :spread       moments of that member's distribution (predictions.MOMENTS)
    mean_elog ... mean_spread                  their means over the joint members
    <member>:ratingen_elog ...                 moments of a Ratingen member's grade of the joint
    <group>_elog, <group>_any                  means of mean_elog and mean_any over related sites (NEIGHBOURS)
    same_<joint>_<finding>, other_...          mean_elog of every joint on the same and on the other side of the body
    <member>:part, :patient, :hands, :severity   totals and classes of members that see whole films
    template, foot, kind                       share of template boxes, foot or hand, which site it is

Among the features of a total, <member>:own is the member's value for the same total that is predicted.
"""

from __future__ import annotations

import numpy as np

from ra.anatomy import FINDINGS, SITES, limb, other_side
from ra.challenge_scores import log_score
from stage3_stack.cohort import FINDING_SITES, Cohort
from stage3_stack.nan_mean import nan_mean, ratio
from stage3_stack.predictions import FILM_OF, MOMENTS, MemberPredictions

ELOG, GRADE, ANY, _ = range(len(MOMENTS))
# (limb, joint, finding) -> number; left and right sites are of the same kind
SITE_KINDS = {k: i for i, k in enumerate(dict.fromkeys((limb(s.part), s.joint, s.finding) for s in SITES))}
HANDS = np.array([limb(s.part) == "hand" for s in SITES])
SITE_KIND = "kind"  # the feature column with the site's kind, which is a category and not a quantity


def _same(values: list) -> np.ndarray:
    """(86, 86) whether two sites have equal values."""
    array = np.array(values)
    return array[:, None] == array[None, :]


def _neighbours() -> dict[str, np.ndarray]:
    """Name -> (86, 86) booleans: row j marks the sites whose mean is a feature of site j. No site is its own neighbour.

    The joints of a "row" lie side by side in one part: pip, mcp (with the thumb's ip), wrist, mtp (with the hallux ip).
    """
    same_part, same_limb = _same([s.part for s in SITES]), _same([limb(s.part) for s in SITES])
    same_finding, same_site = _same([s.finding for s in SITES]), _same([s.site for s in SITES])
    same_row = same_part & _same([s.site.split("_")[0] for s in SITES])
    same_joint = same_part & _same([s.joint for s in SITES])
    opposite = np.array([[b.part == other_side(a.part) for b in SITES] for a in SITES])

    order = np.zeros(len(SITES), dtype=int)  # position of a site among the sites of its finding
    for sites in FINDING_SITES.values():
        order[sites] = np.arange(len(sites))
    consecutive = np.abs(order[:, None] - order[None, :]) == 1

    joint_other_finding = same_joint & ~same_finding
    has_both_findings = joint_other_finding.any(axis=1, keepdims=True)
    masks = {
        "other_side": opposite & same_site,
        # for a joint that is scored for one finding only: the sites of its row with the other finding
        "other_finding": np.where(has_both_findings, joint_other_finding, same_row & ~same_finding),
        "adjacent": same_finding & same_row & consecutive,
        "row": same_finding & same_row,
        "part": same_finding & same_part,
        "limb": same_finding & same_limb,
        "finding": same_finding,
        "patient": np.ones_like(same_finding),
    }
    return {name: mask & ~np.eye(len(SITES), dtype=bool) for name, mask in masks.items()}


NEIGHBOURS = _neighbours()


def mean_over(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(n, 86) -> (n, 86): for each site the mean of the known values among the sites of its mask; NaN when none is known."""
    count = (~np.isnan(values)).astype(float) @ mask.T
    return ratio(np.nan_to_num(values) @ mask.T, count)


def mean_moments(members: list[MemberPredictions]) -> np.ndarray:
    """(n, 86, 4) moments averaged over the joint members that have a value; NaN where none has."""
    return nan_mean(np.stack([m.moments for m in members if m.moments is not None]), axis=0)


def _site(cohort: Cohort, mean: np.ndarray) -> dict[str, np.ndarray]:
    """The members' predictions for the site itself. Only <member>:elog predicts L(grade); a Ratingen grade has another scale."""
    out: dict[str, np.ndarray] = {}
    for m in cohort.members:
        if m.moments is not None:
            out |= {f"{m.name}:{moment}": m.moments[..., i] for i, moment in enumerate(MOMENTS)}
    out |= {f"mean_{moment}": mean[..., i] for i, moment in enumerate(MOMENTS)}
    for m in cohort.members:
        if m.ratingen is not None:
            out |= {f"{m.name}:ratingen_{moment}": m.ratingen[..., i] for i, moment in enumerate(MOMENTS)}
    return out


def _related_sites(cohort: Cohort, mean: np.ndarray) -> dict[str, np.ndarray]:  # noqa: ARG001
    """Means over related sites of the patient."""
    out = {f"{name}_elog": mean_over(mean[..., ELOG], mask) for name, mask in NEIGHBOURS.items()}
    return out | {f"{name}_any": mean_over(mean[..., ANY], NEIGHBOURS[name]) for name in ("other_side", "finding", "patient")}


def _both_sides(cohort: Cohort, mean: np.ndarray) -> dict[str, np.ndarray]:  # noqa: ARG001
    """Predictions for the joint's other side and other finding, and all 86 of the patient, with the site's own side first.

    After Li & Guan, whose second level used both sides and both findings of a patient. We add that `same_` columns hold the right
    side for a right joint and the left side for a left joint, so that both sides train one model.
    """
    elog = mean[..., ELOG]
    out = {f"{name}_elog": mean_over(elog, NEIGHBOURS[name]) for name in ("other_side", "other_finding")}
    site_index = {(s.part[0], limb(s.part), s.joint, s.finding): j for j, s in enumerate(SITES)}
    sides = {"same": [s.part[0] for s in SITES], "other": [other_side(s.part)[0] for s in SITES]}
    for name, side_of_site in sides.items():
        for kind in SITE_KINDS:
            columns = [site_index[side, *kind] for side in side_of_site]
            out[f"{name}_{kind[1]}_{kind[2]}"] = elog[:, columns]
    return out


def _whole_films(cohort: Cohort, mean: np.ndarray) -> dict[str, np.ndarray]:
    """Predictions of whole-film and both-hands members for the part and for the patient."""
    shape, out = mean.shape[:2], {}
    for m in cohort.members:
        if m.films is not None:
            part = np.stack([m.films[:, FILM_OF[s.part, s.finding]] for s in SITES], axis=1)
            out[f"{m.name}:part"] = log_score(part)
            out[f"{m.name}:patient"] = np.broadcast_to(log_score(8 * nan_mean(m.films, axis=-1))[:, None], shape)
        if m.hands is not None:
            out[f"{m.name}:hands"] = np.broadcast_to(log_score(m.hands)[:, None], shape)
        if m.severity is not None:
            out[f"{m.name}:severity"] = np.broadcast_to(expected_class(m)[:, None], shape)
    return out


def _identity(cohort: Cohort, mean: np.ndarray) -> dict[str, np.ndarray]:
    """The site's kind and limb, and the share of members whose box came from the template."""
    template = nan_mean(np.stack([m.template for m in cohort.members if m.template is not None], axis=-1), axis=-1)
    foot = [float(limb(s.part) == "foot") for s in SITES]
    kind = [float(SITE_KINDS[limb(s.part), s.joint, s.finding]) for s in SITES]
    shape = mean.shape[:2]
    return {"template": template, "foot": np.broadcast_to(foot, shape), SITE_KIND: np.broadcast_to(kind, shape)}


FEATURE_SETS = {
    "all": (_site, _related_sites, _whole_films, _identity),
    "own": (_site, _identity),  # the site itself only
    "patient": (_site, _both_sides, _identity),
}  # the values of `features` in a config


def site_features(cohort: Cohort, features: str = "all") -> tuple[np.ndarray, list[str]]:
    """(n, 86, F) features of all patients and their names; `features` is a name in FEATURE_SETS."""
    mean = mean_moments(cohort.members)
    out: dict[str, np.ndarray] = {}
    for block in FEATURE_SETS[features]:
        out |= block(cohort, mean)
    return np.stack(list(out.values()), axis=-1), list(out)


def expected_class(member: MemberPredictions) -> np.ndarray:
    """(n,) expected severity class 0..9."""
    return member.severity @ np.arange(member.severity.shape[1])


def total_features(cohort: Cohort, rows: np.ndarray, grades: np.ndarray, target: str) -> tuple[np.ndarray, list[str]]:
    """(len(rows), F) features of patients' totals, from the stack's site grades (len(rows), 86) and the members' sums.

    `target` is total, erosion or narrowing. A member's sum for this target is named <member>:own, other sums by their finding.
    Where a film is missing, the stack's grades complete the sum, so that all features are on one scale, L(total). Sites that the
    set does not score add nothing to a sum (their `grades` are 0).
    """

    def named(prefix: str, sums: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {f"{prefix}:{'own' if name == target else name}": log_score(value) for name, value in sums.items()}

    scored_parts = np.array([any(cohort.scored[j] for j in _sites_of(*key)) for key in FILM_OF])
    out = {f"sites_{name}": log_score(value) for name, value in _sums(grades).items()}
    for m in cohort.members:
        if m.moments is not None:
            expected = m.moments[rows][..., GRADE]
            out |= named(m.name, _sums(np.where(np.isnan(expected) | ~cohort.scored, grades, expected)))
        if m.films is not None:
            sums = film_sums(np.where(scored_parts, m.films[rows], np.nan), grades)
            out |= named(m.name if m.moments is None else f"{m.name}_film", sums)
        out |= _patient_features(m, rows, grades, target, cohort.scored)
    damaged = mean_moments(cohort.members)[rows][..., ANY]
    out["count"] = np.log2(1 + np.nansum(np.where(cohort.scored, damaged, np.nan), axis=1))  # expected number of damaged sites
    out["worst"] = log_score(grades.max(axis=1))
    out["half_grade"] = np.log2(1 + (grades > 0.5).sum(axis=1))  # number of sites above half a grade
    return np.stack(list(out.values()), axis=-1), list(out)


def _patient_features(
    m: MemberPredictions, rows: np.ndarray, grades: np.ndarray, target: str, scored: np.ndarray
) -> dict[str, np.ndarray]:
    """Predictions of a both-hands or Ratingen member; the stack's grades are used for feet and for missing hands."""
    out = {}
    if m.hands is not None:
        hands = np.where(np.isnan(m.hands[rows]), grades[:, HANDS].sum(axis=1), m.hands[rows])
        out[f"{m.name}:hands"] = log_score(hands)
        if target == "total":
            out[f"{m.name}:own"] = log_score(hands + grades[:, ~HANDS].sum(axis=1))
    if m.severity is not None:
        out[f"{m.name}:severity"] = expected_class(m)[rows]
    if m.ratingen is not None:
        expected = m.ratingen[rows][..., GRADE]
        filled = np.where(np.isnan(expected) | ~scored, grades, expected)
        out[f"{m.name}:ratingen"] = log_score(filled[:, FINDING_SITES["erosion"]].sum(axis=1))
    return out


def _sums(grades: np.ndarray) -> dict[str, np.ndarray]:
    """(n, 86) -> the patient's total, erosion and narrowing."""
    return {"total": grades.sum(axis=1)} | {finding: grades[:, sites].sum(axis=1) for finding, sites in FINDING_SITES.items()}


def _sites_of(part: str, finding: str) -> list[int]:
    """Indices of the sites of one part and finding."""
    return [j for j, s in enumerate(SITES) if s.part == part and s.finding == finding]


def film_sums(films: np.ndarray, grades: np.ndarray) -> dict[str, np.ndarray]:
    """Part totals (n, 8) -> the patient's total, erosion and narrowing; a missing part is the sum of its grades (n, 86)."""
    filled = films.copy()
    for (part, finding), i in FILM_OF.items():
        filled[:, i] = np.where(np.isnan(films[:, i]), grades[:, _sites_of(part, finding)].sum(axis=1), films[:, i])
    sums = {}
    for finding in FINDINGS:
        columns = [i for (_, other), i in FILM_OF.items() if other == finding]
        sums[finding] = filled[:, columns].sum(axis=1)
    return {"total": sum(sums.values()), **sums}
