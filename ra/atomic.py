"""Write files and folders so that they are never seen incomplete: under a temporary name beside the target, then renamed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write a file to; it is renamed to `path` when the block ends, and deleted when the block raises."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path, *, keep_subfolders: bool = False) -> Iterator[Path]:
    """An empty temporary folder to fill; it replaces the folder `path` when the block ends and is deleted when it raises.

    keep_subfolders: subfolders of the replaced folder that the new one lacks are moved into it. If the process is killed, the
    folder is the old one or the new one, or, between two renames, set aside: `finish_replacing` then restores it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    finish_replacing(path, keep_subfolders=keep_subfolders)
    for leftover in path.parent.glob(f".{path.name}.[0-9]*.tmp"):  # left by a killed process
        shutil.rmtree(leftover)
    temporary = _temporary(path)
    temporary.mkdir()
    try:
        yield temporary
        if path.exists():
            path.replace(_set_aside(path))
        temporary.replace(path)
        finish_replacing(path, keep_subfolders=keep_subfolders)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def finish_replacing(path: Path, *, keep_subfolders: bool = False) -> None:
    """Finish a replacement of the folder `path` that was interrupted; without one, do nothing.

    If there is no new folder, the old one is restored. If there is one, the old folder is deleted; with `keep_subfolders`, as
    given to `replacing_folder`, those of its subfolders that the new folder lacks are moved there first.
    """
    path = Path(path)
    old = _set_aside(path)
    if not old.exists():
        return
    if not path.exists():
        old.replace(path)
        return
    if keep_subfolders:
        for subfolder in old.iterdir():
            if subfolder.is_dir() and not (path / subfolder.name).exists():
                subfolder.replace(path / subfolder.name)
    shutil.rmtree(old)


def _temporary(path: Path) -> Path:
    """The temporary path at which this process writes what will become `path`."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def _set_aside(path: Path) -> Path:
    """The path at which the old folder is kept until the new one is in place."""
    return path.with_name(f".{path.name}.old")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON with sorted keys; NaN is allowed."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=True) + "\n")


def write_table(path: Path, table: pd.DataFrame, *, index: bool = False) -> None:
    """Write a table as CSV or parquet, by the path's suffix."""
    with replacing(path) as temporary:
        if Path(path).suffix == ".csv":
            table.to_csv(temporary, index=index)
        else:
            table.to_parquet(temporary, index=index)
