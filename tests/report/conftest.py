"""Fixtures of all tests of the report: raters, no set on disk, and blank pictures."""

import cv2
import numpy as np
import pytest

from report import plotting
from report.blocks import Picture
from tests.worlds.evaluation_fixtures import empty_data_root, raters  # noqa: F401 - fixtures


@pytest.fixture(scope="session")
def no_set(tmp_path_factory):
    """No set is on disk, so that sections have only the raters."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RA_DATA", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture
def blank_figures(monkeypatch):
    """Figures are not rendered, which takes most of a section's time."""
    blank = png(np.zeros((4, 4), np.uint8))

    def picture(_figure, title, caption, alt, *, wide=False):
        return Picture(title, caption, blank, alt, wide)

    monkeypatch.setattr(plotting, "picture", picture)


def png(grey: np.ndarray) -> bytes:
    """The bytes of a PNG file."""
    return cv2.imencode(".png", grey)[1].tobytes()
