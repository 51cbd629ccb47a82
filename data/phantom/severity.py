"""Patients as a latent severity: which sites are damaged, how much, on both sides, at two visits, as scored by two readers.

A copula: the latent value of a site is the sum of the patient's severity, of terms shared by the limb, by both sides and by both
findings, and of a residual. Its thresholds are quantiles of the published grades of RA2-DREAM, so that without a shift (plain
mode) the distribution of each class of sites is the published one by construction. A shift raises the patients' severity
(enriched mode), which a cohort of 100 needs to contain every grade.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ra.anatomy import SITES, Site

# Published counts of grades over the 188 final patients of RA2-DREAM, and how much more often a site is damaged than the mean of
# its class (limb and finding).
COUNTS = {
    ("hand", "erosion"): [5450, 406, 108, 13, 10, 29],
    ("foot", "erosion"): [1823, 203, 148, 38, 23, 10, 2, 7, 8, 0.5, 1],
    ("hand", "narrowing"): [5010, 72, 440, 72, 46],
    ("foot", "narrowing"): [2062, 23, 119, 23, 29],
}
RELATIVE_FREQUENCY = {
    ("wrist_capnlun", "narrowing"): 2.9, ("wrist_mna", "narrowing"): 2.15, ("wrist_radcar", "narrowing"): 1.5,
    ("wrist_cmc3", "narrowing"): 0.9,
    ("wrist_mul", "erosion"): 3.4, ("wrist_nav", "erosion"): 2.9, ("wrist_lunate", "erosion"): 1.6, ("wrist_ulna",
    "erosion"): 1.5,
    ("wrist_mc1", "erosion"): 1.4, ("mtp_1", "erosion"): 2.05, ("mtp_5", "erosion"): 1.3, ("mtp_1", "narrowing"): 2.0,
    ("hallux_ip", "narrowing"): 1.3,
    ("thumb_ip", "erosion"): 0.5, ("pip_2", "erosion"): 0.5, ("pip_3", "erosion"): 0.6, ("pip_4", "erosion"): 0.4,
    ("pip_5", "erosion"): 0.4,
    ("mcp_4", "erosion"): 0.5, ("mcp_3", "erosion"): 0.8,
}  # fmt: skip
# Fractions of a site's latent variance; the remainder is the residual.
PATIENT, LIMB, SIDES, JOINT = 0.25, 0.06, 0.14, 0.12
SKEW = 0.6  # shape of the gamma distribution of the patient's severity: most are mild, few very severe
RATINGEN_STREAM = 11  # random stream of the readers' percentages, different from the films' streams
HEALTHY = 0.01  # fraction of patients without any damage, in addition to those by chance: together 6 of 188


@dataclass(frozen=True)
class Patient:
    """One set of films: identity, context, and per site (order of anatomy.SITES) severity, truth and two readers' grades."""

    patient_id: str
    person_id: str
    visit: int
    split: str
    female: bool
    age: float
    seed: int
    severity: np.ndarray  # (86,) continuous, a grade g is (g - 0.7, g]
    truth: np.ndarray  # (86,) grades
    readers: np.ndarray  # (2, 86) grades
    days: int = 0  # since the person's first visit


def _limb(site: Site) -> str:
    return "hand" if site.part[1] == "H" else "foot"


def patient_level(rng: np.random.Generator, shift: float = 0.0, size: int | None = None) -> np.ndarray | float:
    """Severity of patients: gamma distributed, scaled to mean 0 and variance 1, plus `shift` (enriched mode)."""
    return (rng.gamma(SKEW, 1.0, size) - SKEW) / np.sqrt(SKEW) + shift


def thresholds() -> list[np.ndarray]:
    """Per site, the latent values above which the grade is at least 1, 2, ..."""
    rng = np.random.default_rng(0)
    n = 400_000
    values = np.sort(np.sqrt(PATIENT) * patient_level(rng, size=n) + np.sqrt(1 - PATIENT) * rng.standard_normal(n))
    out = []
    mean_factor = {}
    for key in COUNTS:
        sites = [s for s in SITES if (_limb(s), s.finding) == key]
        mean_factor[key] = np.mean([RELATIVE_FREQUENCY.get((s.joint, s.finding), 0.85) for s in sites])
    for site in SITES:
        counts = np.array(COUNTS[_limb(site), site.finding], dtype=float)
        exceed = counts[::-1].cumsum()[::-1][1:] / counts.sum()
        factor = RELATIVE_FREQUENCY.get((site.joint, site.finding), 0.85) / mean_factor[_limb(site), site.finding]
        out.append(values[np.minimum(((1 - np.clip(exceed * factor, 1e-5, 0.95)) * n).astype(int), n - 1)])
    return out


_THRESHOLDS = thresholds()
_MAX = np.array([s.max_grade for s in SITES])


def _shared(rng: np.random.Generator, names: list) -> np.ndarray:
    """One normal draw per distinct name, repeated for every site with that name."""
    distinct = {name: rng.standard_normal() for name in dict.fromkeys(names)}
    return np.array([distinct[name] for name in names])


def latent(rng: np.random.Generator, level: float) -> np.ndarray:
    """(86,) latent values of a patient whose severity is `level`."""
    rest = 1 - PATIENT - LIMB - SIDES - JOINT
    return (
        np.sqrt(PATIENT) * level
        + np.sqrt(LIMB) * _shared(rng, [_limb(s) for s in SITES])
        + np.sqrt(SIDES) * _shared(rng, [(_limb(s), s.joint, s.finding) for s in SITES])
        + np.sqrt(JOINT) * _shared(rng, [(s.part, s.joint) for s in SITES])
        + np.sqrt(rest) * rng.standard_normal(len(SITES))
    )


def grade_of(values: np.ndarray) -> np.ndarray:
    """Grades (86,) of latent values."""
    return np.array([int((v > t).sum()) for v, t in zip(values, _THRESHOLDS, strict=True)])


def severity_of(grades: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Continuous severity of each grade: in (g - 0.7, g], 0 for 0."""
    return np.where(grades > 0, grades - 0.7 * rng.random(len(grades)), 0.0)


def read(severity: np.ndarray, rng: np.random.Generator, noise: float) -> np.ndarray:
    """One reader's grades (86,) of the severities.

    For a damaged joint the reader has a normal error of `noise` grades (a quarter less for erosion, a fifth more for erosion of
    the foot) and a constant bias. Early damage is sometimes missed, and a healthy joint sometimes scored as damaged, narrowing
    then usually as 2, as in the published counts.
    """
    bias = rng.normal(0, 0.1)
    narrowing = np.array([s.finding == "narrowing" for s in SITES])
    spread = noise * np.where(_MAX == 10, 1.2, 1.0) * np.where(narrowing, 1.05, 0.75) * (0.75 + 0.1 * severity)
    grades = np.ceil(severity - 0.15 + bias + spread * rng.standard_normal(len(severity)))
    missed = (severity <= 1) & (rng.random(len(severity)) < 0.1 + 0.25 * noise)
    invented = (severity == 0) & (rng.random(len(severity)) < 0.028 * noise)
    grades = np.where((severity == 0) | missed, 0, np.maximum(grades, 0))
    grades = np.where(invented, np.where(narrowing, rng.choice([1, 2], len(severity), p=[0.3, 0.7]), 1), grades)
    return np.clip(grades, 0, _MAX).astype(int)


def progress(severity: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Severity at a later visit: never lower; new damage occurs mostly in joints that are damaged already."""
    worse = rng.random(len(severity)) < np.where(severity > 0, 0.3, 0.02)
    return np.minimum(severity + worse * rng.uniform(0.3, 1.3, len(severity)), _MAX)


def damage_maps(patient_severity: np.ndarray, part: str) -> tuple[dict[str, float], dict[str, float]]:
    """Severities of one part as {joint: erosion} and {joint: narrowing}."""
    maps: tuple[dict[str, float], dict[str, float]] = ({}, {})
    for value, site in zip(patient_severity, SITES, strict=True):
        if site.part == part:
            maps[site.finding == "narrowing"][site.joint] = float(value)
    return maps


def ratingen_percent(severity: np.ndarray) -> dict[tuple[str, str], float]:
    """Eroded percent of the surface of the Ratingen joints: 20 per grade in the hand, 10 per grade in the foot.

    The wrist is one joint: the mean over its six sites.
    """
    values: dict[tuple[str, str], list[float]] = {}
    for value, site in zip(severity, SITES, strict=True):
        if site.finding == "erosion":
            joint = "wrist" if site.joint.startswith("wrist") else site.joint
            values.setdefault((site.part, joint), []).append(float(value) * (10 if _limb(site) == "foot" else 20))
    return {key: float(np.mean(v)) for key, v in values.items()}


def read_ratingen(patient: Patient, reader: int, noise: float) -> dict[tuple[str, str], float]:
    """One reader's percentages for the Ratingen joints, in steps of 5, {(part, joint): percent}.

    The percentages agree with the same reader's erosion grades `patient.readers[reader]`: 0 for a grade of 0, else the middle of
    the grade's range (a grade g is (g - 0.7, g]) with a separate error that grows with the damage, because the extent is
    estimated. At the default noise the grades of two readers have a quadratic kappa of about 0.7, and of about 0.6 on a set with
    equal counts of each grade (Rohrbach 2019: 0.562). They have a random stream of their own: no other draw depends on it.
    """
    rng = np.random.default_rng((patient.seed, patient.visit, RATINGEN_STREAM, reader))
    grades = patient.readers[reader]
    by_joint = ratingen_percent(np.where(grades > 0, grades - 0.35, 0.0))
    percent = np.array(list(by_joint.values()))
    error = noise * (12 + 0.45 * percent) * rng.standard_normal(len(percent))
    steps = np.clip(5 * np.round((percent + error) / 5), 5, 100)
    return dict(zip(by_joint, np.where(percent > 0, steps, 0.0).tolist(), strict=True))
