"""Blank pictures for the tests of the report: drawing is most of the work."""

import base64

from stage3_stack.report import compared, mistakes
from stage3_stack.report.blocks import Picture

PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


def undrawn(patch):
    """In place of the pictures of agreement and errors; patch: a pytest.MonkeyPatch."""
    for module, names in ((compared, "bland_altman totals confusion venn"), (mistakes, "by_site calibration healthy")):
        for name in names.split():
            patch.setattr(module, name, lambda *_: Picture("", "", PIXEL, ""))
