"""One module per layout of a data set on disk. To add one: write its module, add its name to MODULES.

A module has `films(root)`: every film file, and `texts(root)`: every other file that it reads (both only list the files, to
detect changes), and `read(root, report, columns) -> Raw`. It may also have:

    COLUMNS: dict[str, str]    role -> default column name, if users may rename columns; `read` then gets `columns`, role -> name
    download(root) -> None     downloads the published set (--download)
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pandas as pd

from ra.config import UserError
from ra.table_validation import Schema

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
    """The content of a data set before its films are decoded.

    films: rows of data.film_files.row; `part` is None if not declared: screening then finds the limbs (a film may show two).
    vouched: the films show what their names declare, so that they need no screening. patients: patient_id, person_id, total of
    the training patients. tables: file name -> (schema, table, or a function that makes it from the films table); of a table with
    film_id only the rows of readable films are written. boxes: files of joint boxes (data.annotations), if any. copies: file
    name -> a file to be copied byte for byte.
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
    """Role -> column name: the layout's defaults with the given names over them; UserError for an unknown role."""
    usual: dict[str, str] = getattr(layout, "COLUMNS", {})
    for role in given:
        if role not in usual:
            hint = f"one of {', '.join(usual)}" if usual else "this source's columns have fixed names"
            raise UserError(f"--column {role}: unknown; {hint}")
    return usual | given
