"""Disease activity of simulated patients: the components of the DAS28 per visit, as in a registry.

No film shows disease activity, and no film or grade depends on it: it is drawn from a separate random stream. The components are
correlated through the patient's activity, half of whose variance is constant over a person's visits. Damage raises them as little
as in the registry of the thesis behind Rohrbach et al. 2019: the Pearson correlation with the Rau score is 0.15 for DAS28-ESR and
0.08 for DAS28-CRP. Damage therefore acts mainly on the ESR, which DAS28-CRP does not contain.
"""

from __future__ import annotations

import numpy as np

from data.phantom import severity as sv
from ra import clinical

STREAM = 13  # random stream of disease activity, different from those of films and percentages
LOG_RAU = (2.3, 0.75)  # mean and SD of log(1 + Rau) over the default cohort
ON_ACTIVITY, ON_ESR = 0.13, 0.22  # effect of one SD of damage, in SDs of the activity and of the residual of log ESR
NOT_MEASURED = 0.05  # fraction of visits in which a laboratory value is missing
BLANK = float("nan")


def items(patient: sv.Patient) -> dict[str, float]:
    """tender, swollen (0..28), esr (mm/h), crp (mg/L), global (0..100) of a patient's visit; NaN if not measured."""
    person = np.random.default_rng((patient.seed, STREAM)).standard_normal()
    rng = np.random.default_rng((patient.seed, patient.visit, STREAM))
    state, tender, swollen, acute, esr, crp, health = rng.standard_normal(7)
    harm = damage(patient)
    activity = np.sqrt(0.5) * (person + state) + ON_ACTIVITY * harm
    acute = 0.6 * activity + 0.8 * acute  # acute-phase response, common to ESR and CRP
    measured = rng.random(2) > NOT_MEASURED
    return {
        "tender": _joints(rng, 0.5 + 0.9 * activity + 0.5 * tender),
        "swollen": _joints(rng, 0.4 + 0.8 * activity + 0.5 * swollen),
        "esr": round(_within(np.exp(2.65 + 0.75 * (0.8 * acute + 0.6 * esr + ON_ESR * harm)), 1, 140)) if measured[0] else BLANK,
        "crp": round(_within(np.exp(1.25 + 1.0 * (0.8 * acute + 0.6 * crp)), 0.3, 200), 1) if measured[1] else BLANK,
        "global": round(_within(35 + 17 * activity + 14 * health, 0, 100)),
    }


def damage(patient: sv.Patient) -> float:
    """True damage of the patient's joints, in SDs of the default cohort, within -3..3."""
    grades = {key: float(clinical.percent2grade(percent)) for key, percent in sv.ratingen_percent(patient.severity).items()}
    mean, sd = LOG_RAU
    return _within((np.log1p(clinical.rau(grades).score) - mean) / sd, -3, 3)


def _joints(rng: np.random.Generator, log_mean: float) -> int:
    """A number of joints out of 28."""
    return int(min(rng.poisson(np.exp(min(log_mean, 4.0))), 28))


def _within(value: float, low: float, high: float) -> float:
    return float(np.clip(value, low, high))
