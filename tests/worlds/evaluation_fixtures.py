"""Fixtures that the tests of the evaluation and of the report share; each folder's conftest.py imports them."""

from __future__ import annotations

import pytest

from evaluation.raters import Raters
from tests.worlds import evaluation_world


@pytest.fixture(scope="module")
def raters() -> Raters:
    """90 training and 60 test patients, scored by two readers and a sound model."""
    return evaluation_world.make()


@pytest.fixture
def empty_data_root(tmp_path, monkeypatch) -> None:
    """A data root without any set, so that sections and statistics have only the raters."""
    monkeypatch.setenv("RA_DATA", str(tmp_path / "data"))
