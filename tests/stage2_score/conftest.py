"""Fixtures of all tests of stage 2."""

from tests.worlds.stage2_world import world  # noqa: F401 - a fixture
