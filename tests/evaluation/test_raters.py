"""Raters of a run by its kind, subsets of them, and the verb that lists changes."""

import numpy as np
import pytest

from evaluation import changes, raters
from evaluation.raters import MODEL, READER1
from ra import atomic, config, paths
from tests.worlds import crops_world, evaluation_world
from tests.worlds.stack_world import call


def finished(run: str, text: str) -> None:
    """A finished run of stage 3 of the set s."""
    folder = paths.run_dir("s", 3, run)
    atomic.write_text(folder / "config.yaml", text)
    atomic.write_json(folder / "run.json", {})


def test_a_run_of_joint_visits_has_ratingen_members_and_no_svdh_grades(tmp_path, monkeypatch):
    monkeypatch.setenv("RA_DATA", str(tmp_path))
    crops_world.make()
    finished("visits", "kind: joint_visits\nmembers: [good, zero]\n")
    rows = raters.load("s", "visits")
    assert rows.ratingen == ("good", "zero") and rows.names == [] and len(rows.patients) == 24
    with pytest.raises(config.UserError, match="does not exist"):
        raters.load("s", "nowhere")


def test_a_run_without_a_kind_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("RA_DATA", str(tmp_path))
    finished("old", "members: [m0]\n")
    with pytest.raises(config.UserError, match="kind is missing"):
        raters.load("s", "old")


def test_a_subset_keeps_all_arrays_of_its_patients():
    rows = evaluation_world.make(n_train=12, n_test=9)
    test = rows.in_split("test")
    assert rows.in_split("all") is rows and test.splits == ["test"] and rows.splits == ["oof", "test"]
    assert np.array_equal(test.probabilities, rows.probabilities[12:]) and set(test.fold) == {-1}
    again = rows.take(np.array([3, 1]))
    assert np.array_equal(again.by[READER1].grades, rows.by[READER1].grades[[3, 1]])
    assert list(again.patients) == list(rows.patients[[3, 1]]) and (again.by[MODEL].whole % 1 == 0).all()


@pytest.mark.parametrize("flag", ["--force", "--device=cpu", "--fold=0", "--name=x"])
def test_the_verb_of_changes_refuses_flags_that_it_does_not_use(flag):
    with pytest.raises(SystemExit) as refused:
        call(changes, "--data", "s", flag)
    assert refused.value.code == 2
