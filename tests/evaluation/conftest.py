"""Fixtures of all tests of the evaluation."""

from tests.worlds.evaluation_fixtures import empty_data_root, raters  # noqa: F401 - fixtures
