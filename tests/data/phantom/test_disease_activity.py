"""The simulated disease activity resembles that of a treated registry, and is weakly related to damage."""

import numpy as np
import pandas as pd
import pytest

from data.phantom import cohort
from data.phantom import disease_activity as items_of
from data.phantom import severity as sv
from data.sources import activity as sheet_of
from ra import clinical

ITEMS = ("tender", "swollen", "esr", "crp", "global")


@pytest.fixture(scope="module")
def registry():
    """Items, DAS28 and reader 1's Rau score of some thousand simulated visits, without films."""
    people = [p for seed in range(4) for p in cohort.patients(cohort.Cohort(seed=seed, train=700, test=290))]
    table = pd.DataFrame([items_of.items(p) for p in people])
    both = table.tender.to_numpy(), table.swollen.to_numpy()
    health = table["global"].to_numpy()
    seen = [{k: float(clinical.percents2grades(v)) for k, v in sv.read_ratingen(p, 0, 0.85).items()} for p in people]
    return table.assign(
        person=[(p.seed, p.person_id) for p in people],
        visit=[p.visit for p in people],
        days=[p.days for p in people],
        das28_esr=clinical.das28_esr(*both, table.esr.to_numpy(), health),
        das28_crp=clinical.das28_crp(*both, table.crp.to_numpy(), health),
        rau=[clinical.rau(grades).score for grades in seen],
    )


def test_simulated_activity_is_that_of_a_treated_registry(registry):
    assert 3.0 < registry.das28_esr.mean() < 3.6 and 1.0 < registry.das28_esr.std() < 1.6
    assert registry.esr.median() < registry.esr.mean() and registry.crp.median() < 0.7 * registry.crp.mean()
    for name, (low, high) in sheet_of.BOUNDS.items():
        assert registry[name].min() >= low and registry[name].max() <= high, name
        assert name not in sheet_of.WHOLE or (registry[name] % 1 == 0).all()
    assert registry[["tender", "swollen"]].skew().min() > 1
    assert 0.03 < registry.esr.isna().mean() < 0.07, "some values are missing, as in a registry"
    assert np.log(registry[["esr", "crp"]]).corr().iloc[0, 1] > 0.4
    later = registry[registry.visit == 2]
    assert later.days.between(365, 5 * 366).all() and (registry.days[registry.visit == 1] == 0).all()


def test_activity_is_correlated_with_damage_as_weakly_as_in_the_thesis(registry):
    found = registry[["das28_esr", "das28_crp"]].corrwith(registry.rau)
    assert 0.10 < found.das28_esr < 0.20 and 0.03 < found.das28_crp < 0.13
    wide = registry.pivot_table(index="person", columns="visit", values="das28_crp").dropna()
    assert 0.2 < wide[1].corr(wide[2]) < 0.7, "a person's visits are more alike than two persons"


def test_activity_changes_nothing_else_and_needs_no_film():
    """The activity is drawn from a separate random stream, so that patients are the same with and without it."""
    small = cohort.Cohort(train=12, test=6, second_visits=0.4)
    before = [p.readers.sum() for p in cohort.patients(small)]
    people = cohort.patients(small)
    table = cohort.activity_table(people)
    assert [p.readers.sum() for p in cohort.patients(small)] == before
    assert table.equals(cohort.activity_table(people[::-1])[::-1].reset_index(drop=True)), (
        "the order of the patients does not matter"
    )
    assert list(table.columns) == ["Patient_ID", "days", *ITEMS] and len(table) == 18
