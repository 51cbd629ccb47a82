"""One module per layout that films come in. To add one: write its module, add its name to MODULES.

A module has `films(root)`: every film file, and `texts(root)`: every other file that it reads (both only listed, to see
whether something changed), and `read(root, report, columns) -> Raw`. What else it may have:

    COLUMNS: dict[str, str]    role -> its usual column name, where names are the user's; `read` then gets `columns`, role -> name
    download(root) -> None     fetches the set where it is published (--download)
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pandas as pd

from ra.config import UserError
from ra.tables import Schema

MODULES = {
    "ra2dream": "data.sources.ra2dream",
    "ram_h1200": "data.sources.ram_h1200",
    "hand_totals": "data.sources.hand_totals",
    "scqm_joints": "data.sources.scqm_joints",
    "rsna_boneage": "data.sources.rsna_boneage",
    "phantom": "data.sources.phantom",
}


@dataclass(frozen=True)
class Raw:
    """What a layout holds, before its films are decoded.

    films: rows of data.film_files.row; `part` None where nothing declares it: the picture tells, and may hold two. vouched: the
    films are what their names say, nobody need look at the pictures. patients: patient_id, person_id, total of the training
    patients. tables: file name -> (schema, table) to be written; of one with a film_id only the rows of readable films; a
    function makes the table from the films table. boxes: files of joint boxes (data.annotations), if any. copies: file name -> a
    file to be copied byte for byte.
    """

    films: list[dict]
    patients: pd.DataFrame
    tables: dict[str, tuple[Schema, pd.DataFrame | Callable[[pd.DataFrame], pd.DataFrame]]] = field(default_factory=dict)
    boxes: tuple[Path, ...] = ()
    copies: dict[str, Path] = field(default_factory=dict)
    vouched: bool = False


def module(name: str) -> ModuleType:
    """The module of a source."""
    return importlib.import_module(MODULES[name])


def columns(layout: ModuleType, given: dict[str, str]) -> dict[str, str]:
    """Role -> column name of a layout whose names are the user's; UserError for a role it does not know."""
    usual: dict[str, str] = getattr(layout, "COLUMNS", {})
    for role in given:
        if role not in usual:
            known = f"one of {', '.join(usual)}" if usual else "this source's columns have fixed names"
            raise UserError(f"--column {role}: unknown; {known}")
    return usual | given
