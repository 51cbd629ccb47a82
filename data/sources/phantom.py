"""The synthetic cohort: written by data.phantom in the layout of RA2-DREAM. Its films are what their names say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from data.issues import Report
from data.sources import Raw, ra2dream

films, texts = ra2dream.films, ra2dream.texts


def read(root: Path, report: Report) -> Raw:
    """As of RA2-DREAM, vouched for by the generator."""
    return replace(ra2dream.read(root, report), vouched=True)
