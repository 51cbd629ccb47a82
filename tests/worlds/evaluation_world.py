"""Raters without films for tests: persons with visits, two readers, a model, and models broken on purpose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from evaluation.raters import MODEL, READER1, READER2, TRUTH, Rater, Raters
from ra.anatomy import SITES, limb
from tests.worlds.stack_world import STEPS, latent_damage

MAXIMA = np.array([s.max_grade for s in SITES], dtype=float)
EROSION = np.array([s.finding == "erosion" for s in SITES])
FEET = np.array([limb(s.part) == "foot" for s in SITES])


def totals(grades: np.ndarray) -> np.ndarray:
    """(n, 3) total, erosion, narrowing."""
    return np.stack([grades.sum(1), grades[:, EROSION].sum(1), grades[:, ~EROSION].sum(1)], axis=1)


def graded(latent: np.ndarray) -> np.ndarray:
    """(n, 86) whole grades of latent damage."""
    return np.stack([np.searchsorted(STEPS[s.max_grade], latent[:, j]) for j, s in enumerate(SITES)], axis=1).astype(float)


def expected(latent: np.ndarray) -> np.ndarray:
    """(n, 86) expected grades of latent damage; half a grade at a reader's step, so that rounding gives the reader's grade."""
    return np.stack([_between_steps(latent[:, j], np.array(STEPS[s.max_grade])) for j, s in enumerate(SITES)], axis=1)


def _between_steps(latent: np.ndarray, steps: np.ndarray) -> np.ndarray:
    damage, grades = np.r_[steps[0] - 0.3, steps, steps[-1] + 0.3], np.r_[0, np.arange(len(steps)) + 0.5, len(steps)]
    return np.interp(latent, damage, grades)


def rater(grades: np.ndarray) -> Rater:
    """A rater whose totals are the sums of the grades."""
    return Rater(grades, totals(grades))


def with_rater(raters: Raters, name: str, scores: Rater) -> Raters:
    """The same patients with other scores by one rater."""
    return replace(raters, by=raters.by | {name: scores})


def with_grades(raters: Raters, name: str, grades: np.ndarray) -> Raters:
    """The same patients with other grades by one rater, whose totals are the sums of these grades."""
    return with_rater(raters, name, rater(grades))


def make(n_train: int = 90, n_test: int = 60, seed: int = 0, visits: int = 3) -> Raters:
    """Persons with `visits` visits each, whose damage grows from visit to visit; whole persons in 3 folds."""
    rng = np.random.default_rng(seed)
    n = n_train + n_test
    person, visit = np.arange(n) // visits, np.arange(n) % visits + 1
    latent = latent_damage(person.max() + 1, rng)[person]
    pace = rng.gamma(1.0, 0.15, person.max() + 1)[person]
    latent = latent + ((visit - 1) * pace)[:, None] * (latent > 0.3)
    first, second = (graded(latent + rng.normal(0, 0.1, (n, 1)) + rng.normal(0, 0.25, latent.shape)) for _ in range(2))
    model = expected(latent + rng.normal(0, 0.1, (n, 1)) + rng.normal(0, 0.35, latent.shape))
    train = np.arange(n) < n_train
    grade = np.arange(11)
    distance = np.square(grade - model[..., None])
    probabilities = np.where(grade <= MAXIMA[:, None], np.exp(-0.5 * distance / 0.3), 0.0)
    return Raters(
        "world",
        "blend",
        np.array([f"UAB{i:03d}" for i in range(n)], dtype=object),
        np.array([f"P{k:03d}" for k in person], dtype=object),
        visit,
        np.where(train, "oof", "test").astype(object),
        np.where(train, person % 3, -1),
        {MODEL: rater(model), READER1: rater(first), READER2: rater(second), TRUTH: rater(graded(latent))},
        probabilities / probabilities.sum(axis=-1, keepdims=True),
    )


def constant(raters: Raters) -> Raters:
    """A model that gives every patient the mean of reader 1."""
    mean = np.nanmean(raters.by[READER1].grades, axis=0)
    return _broken(raters, np.broadcast_to(mean, raters.by[MODEL].grades.shape).copy())


def shuffled(raters: Raters, seed: int = 1) -> Raters:
    """A model whose predictions were given to other patients."""
    return _broken(raters, raters.by[MODEL].grades[np.random.default_rng(seed).permutation(len(raters.patients))])


def shifted(raters: Raters, by: float = 2.0) -> Raters:
    """A model that grades every joint two grades too high, up to the end of the scale."""
    return _broken(raters, np.minimum(raters.by[MODEL].grades + by, MAXIMA))


def blind_to_feet(raters: Raters) -> Raters:
    """A model that grades every foot 0."""
    return _broken(raters, np.where(FEET, 0.0, raters.by[MODEL].grades))


BROKEN = {"constant": constant, "shuffled": shuffled, "shifted": shifted, "blind_to_feet": blind_to_feet}


def _broken(raters: Raters, grades: np.ndarray) -> Raters:
    return raters.with_model(grades, totals(grades))
