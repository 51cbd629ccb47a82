"""The films that a table's cells name: with or without their folders, with or without a suffix, with either slash."""

from __future__ import annotations

from pathlib import Path

from data.csv_input import shown
from ra.config import UserError
from ra.imaging import film


class Named:
    """Files below a root by what a cell may call them."""

    def __init__(self, files: list[Path], root: Path):
        self.root = root
        self.of: dict[str, list[Path]] = {}
        for file in files:
            for name in _names(file.relative_to(root)):
                self.of.setdefault(name, []).append(file)

    def __contains__(self, cell: str) -> bool:
        return plain(cell) in self.of

    def __getitem__(self, cell: str) -> Path:
        """The file that the cell names; UserError where it may be one of several."""
        found = self.of[plain(cell)]
        if len(found) > 1:
            several = " and ".join(file.relative_to(self.root).as_posix() for file in found[:2])
            raise UserError(f"{shown(cell)} may be {several}; write it with its folder and suffix")
        return found[0]


def plain(cell: str) -> str:
    """A path as a table may write it, with forward slashes and a film's suffix in small letters."""
    cell = cell.replace("\\", "/").removeprefix("./")
    suffix = Path(cell).suffix
    return cell.removesuffix(suffix) + suffix.lower() if suffix.lower() in film.SUFFIXES else cell


def _names(file: Path) -> list[str]:
    """A file's name with any of its folders, each with and without the suffix."""
    whole = plain(file.as_posix())
    pieces = [whole, *(whole.split("/", i)[-1] for i in range(1, whole.count("/") + 1))]
    return [name for piece in pieces for name in (piece, piece[: -len(file.suffix)])]
