"""One module per layout that films come in. To add one: write its module, add its name to MODULES.

A module has `films(root)`: every film file, and `texts(root)`: every other file that it reads (both only listed, to see
whether something changed), and `read(root, report) -> Raw`.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pandas as pd

from ra.tables import Schema

MODULES = {
    "ra2dream": "data.sources.ra2dream",
    "rsna_boneage": "data.sources.rsna_boneage",
}


@dataclass(frozen=True)
class Raw:
    """What a layout holds, before its films are decoded.

    films: rows of data.films.row. patients: patient_id, person_id, total of the training patients. tables: file name ->
    (schema, table) to be written as they are; of one with a film_id only the rows of readable films. coco: boxes, if any.
    copies: file name -> file to be copied byte for byte.
    """

    films: list[dict]
    patients: pd.DataFrame
    tables: dict[str, tuple[Schema, pd.DataFrame]] = field(default_factory=dict)
    coco: Path | None = None
    copies: dict[str, Path] = field(default_factory=dict)


def module(name: str) -> ModuleType:
    """The module of a source."""
    return importlib.import_module(MODULES[name])
