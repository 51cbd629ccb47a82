"""Blank pictures for the tests of the report, because drawing takes most of the time."""

import base64

from report import error_figures, rater_figures
from report.blocks import Picture

PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


def undrawn(patch):
    """Replace the pictures of agreement and errors by one pixel; patch: a pytest.MonkeyPatch."""
    for module, names in ((rater_figures, "bland_altman totals confusion venn"), (error_figures, "by_site calibration healthy")):
        for name in names.split():
            patch.setattr(module, name, lambda *_: Picture("", "", PIXEL, ""))
